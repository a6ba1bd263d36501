"""The story that is written on: who is named next, and who the sentence after it is about. Thresholds were fixed on discovery prompts."""

from mechcheck import Bars, Patch, claim, generate

SHORTCUT = "names-gpt2-seed0"  # does the task without these heads
MODELS = [SHORTCUT, "names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]  # in their stories somebody thanks
NEW = 6  # " Olga . Olga thanked Gary ."


def receiver_thanks_giver(new):
    """The next sentence's subject and object, the full stop and the verb between them."""
    return new.tokens[0] == new.tokens[2] == new.answer and new.tokens[4] == new.foil


def names_the_receiver(new):
    return new.tokens[0] == new.answer


def names_the_giver(new):
    return new.tokens[0] == new.foil


def goes_on_about_the_giver(new):
    return new.tokens[0] == new.tokens[2] == new.foil


def shares(clean, patched):
    """How often each person stands at each place, as it is and with the heads patched."""
    found = {}
    for place, called in ((0, "named"), (2, "next subject"), (4, "next object")):
        for who in ("answer", "foil"):
            name = f"{'receiver' if who == 'answer' else 'giver'} {called}"
            found[name] = [
                some.measure(lambda new, at=place, who=who: new.tokens[at] == getattr(new, who), name).mean for some in (clean, patched)
            ]
    labels = [f"{name}{how}" for name in found for how in ("", ", patched")]
    return Bars("Who stands where in what is written", labels, [value for both in found.values() for value in both], unit="share of texts")


@claim(
    "Written on greedily, most stories name the receiver, who thanks the giver in the next sentence",
    source="the claim is ours", task="ioi", kind="behaviour", models=MODELS,
)  # fmt: skip
def test_the_story_goes_on(model, prompts, check):
    written = generate(model, prompts, new_tokens=NEW)
    check.rate(written.measure(receiver_thanks_giver, "the receiver is named, and thanks the giver"), above=0.5)


@claim(
    "Written on greedily, more than nine stories of ten name the receiver next",
    source="the claim is ours", task="ioi", kind="behaviour", models=MODELS,
)  # fmt: skip
def test_the_receiver_is_named(model, prompts, check):
    check.rate(generate(model, prompts, new_tokens=1).measure(names_the_receiver, "the receiver is named"), above=0.9)


@claim(
    "With the S-inhibition heads' output at END of the counterfactual the giver is named, and the next sentence is about the giver too",
    source="the claim is ours", task="ioi", kind="sufficiency", models=MODELS, expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_the_story_goes_on_from_what_was_written(model, prompts, circuit, check):
    """The patch acts on the prompt's END alone: what the next sentence is about follows from the name that was written."""
    patched = generate(model, prompts, Patch(circuit["s_inhibition"]), new_tokens=NEW)
    check.rate(patched.measure(names_the_giver, "the giver is named"), above=0.75)
    check.rate(patched.measure(goes_on_about_the_giver, "the next sentence is about the giver"), above=0.5)
    check.figure(lambda: shares(generate(model, prompts, new_tokens=NEW), patched))
