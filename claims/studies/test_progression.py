"""From layer to layer: do heads look farther and choose more sharply, and when does the answer appear?"""

from mechcheck import (
    Lines,
    attention_distance,
    attention_entropy,
    claim,
    head_heatmap,
    layer_mean,
    layer_trend,
    logit_lens,
)

VIG = "Vig and Belinkov 2019, arXiv:1906.04284"
LENS = "nostalgebraist 2020, interpreting GPT: the logit lens"
SHORTCUT = "names-gpt2-seed0"


def first_and_last(scores):
    """The mean of the first and of the last layer."""
    return layer_mean(scores, 0), layer_mean(scores, len(scores.values) - 1)


def by_layer(title, **scores):
    """A curve over layers for each score."""
    some = next(iter(scores.values()))
    return Lines(title, range(len(some.values)), {name: s.mean.mean(1) for name, s in scores.items()}, "layer", some.unit)


@claim(
    "The last layer attends farther back than the first, by more than a token",
    source=VIG, task="ioi", kind="structure", expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_later_layers_attend_farther(model, prompts, check):
    distance = attention_distance(model, prompts)
    first, last = first_and_last(distance)
    check.greater(last, first, margin=1.0)
    check.figure(head_heatmap("Attention distance", distance.mean, "tokens"))
    check.figure(lambda: by_layer("Distance by layer", tokens=distance, first_too=attention_distance(model, prompts, first=True)))


@claim("The last layer chooses more sharply than the first: its attention has less entropy", source=VIG, task="ioi", kind="structure")
def test_later_layers_choose_more_sharply(model, prompts, check):
    entropy = attention_entropy(model, prompts)
    first, last = first_and_last(entropy)
    check.greater(first, last, margin=0.25)
    check.figure(head_heatmap("Attention entropy", entropy.mean, "nats"))


@claim(
    "The answer is not yet there before the last layer: the logit lens shows less than half of the preference",
    source=LENS, task="ioi", kind="structure", expect={"names-gpt2-seed1": "refuted"}, decoy={"model": "names-gpt2-seed1"},
)  # fmt: skip
def test_the_answer_appears_in_the_last_layer(model, prompts, check):
    lens = logit_lens(model, prompts)
    before, final = lens.at_layer(model.cfg.n_layers - 1), lens.at_layer(model.cfg.n_layers)
    check.requires(final, above=1.0, label="there is a preference in the end: logit difference > 1")
    check.below(before / final, 0.5, "share of the preference that is there before the last layer < 0.5")
    check.figure(
        Lines("Logit lens at END", range(len(lens.logit_diff)), {"preference": lens.logit_diff.mean(1)}, "layers run", "logit difference")
    )


@claim(
    "Over the layers of a deeper model attention goes farther and farther back",
    source=VIG, task="gendered_pronoun", kind="structure",
)  # fmt: skip
def test_attention_goes_farther_with_depth(model, prompts, check):
    distance = attention_distance(model, prompts)
    first, last = first_and_last(distance)
    check.above(layer_trend(distance), 0.5)
    check.greater(last, first, margin=1.0)
    check.figure(head_heatmap("Attention distance", distance.mean, "tokens"))
    check.figure(lambda: by_layer("Distance by layer", tokens=distance, first_too=attention_distance(model, prompts, first=True)))
