"""For all and not on average: Hypothesis looks for the people and the sentence on which a claim about IOI breaks.

What each claim says, and on which models it is expected to be refuted, was fixed on the discovery sentences.
"""

from mechcheck import Patch, attention_to, claim, run
from mechcheck.strategies import ioi_in_every_sentence, ioi_sentences

WANG = "Wang et al. 2022, arXiv:2211.00593"
SHORTCUT = "names-gpt2-seed0"  # learned IOI another way: one head attends to S2 and writes against it
COMPOSED = ["names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
KNOWN = {"model": "compiled-ioi"}  # does IOI by construction, whoever the people are


@claim(
    "Whoever the two people are, the model prefers the one who gives nothing, in each of 48 sentences",
    source=WANG, task="ioi", kind="generalisation", models=COMPOSED, expect="refuted", positive_control=KNOWN,
)  # fmt: skip
def test_any_people(model, check):
    """99% is not all. 60 pairs are 2880 prompts, which a model of that accuracy does not survive."""
    check.for_all(ioi_in_every_sentence(model), lambda prompts: run(model, prompts) > 0, n=60)


@claim(
    "The name movers attend to the indirect object more than to the subject, in every sentence",
    source=WANG, task="ioi", kind="structure", models=COMPOSED, expect="refuted",
    positive_control=KNOWN | {"circuit": {"name_mover": "2.0@END"}},
)  # fmt: skip
def test_name_movers_in_every_sentence(model, circuit, check):
    def prefer_io(prompt):
        to_io, to_s1 = (attention_to(model, prompt, circuit["name_mover"], "END", key) for key in ("IO", "S1"))
        return (to_io - to_s1).named("attention to IO more than to S1") > 0

    check.for_all(ioi_sentences(model), prefer_io)


@claim(
    "The S-inhibition heads attend from END to the second subject, in every sentence",
    source=WANG, task="ioi", kind="structure", expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_s_inhibition_in_every_sentence(model, circuit, check):
    check.for_all(ioi_sentences(model), lambda prompt: attention_to(model, prompt, circuit["s_inhibition"], "END", "S2") > 0.3)


@claim(
    "What the S-inhibition heads bring from the flipped run lowers the preference for the indirect object, in every sentence",
    source=WANG, task="ioi", kind="sufficiency", expect={SHORTCUT: "refuted"},
)  # fmt: skip
def test_patching_s_inhibition_in_every_sentence(model, circuit, check):
    patch = Patch(circuit["s_inhibition"])
    check.for_all(
        ioi_sentences(model),
        lambda prompt: (run(model, prompt) - run(model, prompt, patch)).named("logit difference that the patch takes away") > 0,
    )
