"""Is what the S-inhibition heads are worth a matter of who is named, how long the sentence is, or who comes first?

The margin is a quarter of the effect on the discovery prompts, about nine logits, and was fixed on those.
"""

from mechcheck import Ablate, Bars, claim, prompt_properties, run

SOURCE = "the objection is anybody's; the claims are ours"
MODELS = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
LEAST, MARGIN = 4.0, 2.25


def properties(prompts):
    """Length, the names' places in the vocabulary, and whether the receiver is named first."""
    known = prompt_properties(prompts)
    names = {name: values for name, values in known.items() if name.endswith("vocabulary")}
    first = (prompts.positions["IO"] < prompts.positions["S1"]).tolist()
    return {"length": known["length"], **names, "the receiver's being named first": first}


@claim(
    "What the S-inhibition heads are worth is no matter of name, length or order: it hardly changes with these, and is there at each",
    source=SOURCE, task="ioi", kind="specificity", models=MODELS,
)  # fmt: skip
def test_loss_without_s_inhibition_is_no_matter_of_name_length_or_order(model, prompts, circuit, check):
    lost = run(model, prompts) - run(model, prompts, Ablate(circuit["s_inhibition"], "mean"))
    found = check.unconfounded(lost.named("logits lost"), properties(prompts), above=LEAST, margin=MARGIN)
    columns = ([getattr(one.estimate, end) for one in found] for end in ("value", "low", "high"))
    check.figure(Bars("Slope on each property, others held fixed", [one.name for one in found], *columns, unit="logits per SD"))
