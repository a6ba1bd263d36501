"""Indirect object identification as a Python function: what holds of the model that was built so holds of trained ones in part.

What is asked is asked of every prompt: do all interventions at once give what the function says? Functions, alignments and thresholds
were fixed on discovery prompts.
"""

import pytest

from mechcheck import Bars, causal_abstraction, claim

GEIGER = "Geiger et al. 2021, arXiv:2106.02997"
UNMAPPED = "arXiv:2607.00267"
BUILT, TRAINED = "compiled-ioi", ("names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2")


def by_place(prompt, let):
    """Who is named twice gives; the answer is the other one."""
    giver = let("giver", "S1" if prompt["S2"] == prompt["S1"] else "IO")
    return let("answer", prompt["IO"] if giver == "S1" else prompt["S1"])


def by_order(prompt, let):
    """Says the same of every prompt; but what the giver is set to changes nothing."""
    let("giver", "S1" if prompt["S2"] == prompt["S1"] else "IO")
    return let("answer", prompt["IO"] if prompt["S2"] == prompt["S1"] else prompt["S1"])


def answer_alone(prompt, let):
    """One variable: the answer."""
    return let("answer", prompt["IO"] if prompt["S2"] == prompt["S1"] else prompt["S1"])


def giver_alone(prompt, let):
    """One variable: who gives."""
    giver = let("giver", "S1" if prompt["S2"] == prompt["S1"] else "IO")
    return prompt["IO"] if giver == "S1" else prompt["S1"]


def aligned(circuit, names="giver answer"):
    every = {"giver": circuit["s_inhibition"], "answer": circuit["name_mover"]}
    return {name: every[name] for name in names.split()}


@pytest.mark.parametrize("how", ["true"])
@claim(
    "The S-inhibition heads say which place to avoid, the name movers the name that stands elsewhere, and nothing else matters",
    source=f"{GEIGER}; {UNMAPPED}", task="ioi", kind="structure", models=TRAINED,
    expect="refuted", positive_control={"model": BUILT},
    decoy=[{"how": "permuted"}, {"how": "another function"}, {"how": "a part left out"}],
)  # fmt: skip
def test_the_model_is_the_function(model, prompts, roles, check, how):
    """In trained models the S-inhibition heads' outputs carry more than a place: taken from a prompt with other people they often fail."""
    circuit = roles(model)
    alignment = aligned(circuit)
    if how == "permuted":
        alignment = dict(zip(alignment, reversed(alignment.values()), strict=True))
    function = by_place
    if how == "another function":
        function = by_order
    if how == "a part left out":
        function, alignment = giver_alone, aligned(circuit, "giver")
    found = causal_abstraction(model, prompts, function, alignment, decoys=0, seed=check.seed)
    check.rate(found.accuracy, above=0.9)
    every = [*found.above.values(), *found.below.values(), *found.unmapped.values()]
    check.figure(lambda: Bars("Agrees with the function", [one.what for one in every], [one.accuracy.mean for one in every], unit="share"))


@pytest.mark.parametrize("variable", ["answer"])
@claim(
    "All of the answer goes through the name movers: whatever they say is said, and nothing else changes it",
    source=f"{GEIGER}; {UNMAPPED}", task="ioi", kind="sufficiency", models=TRAINED,
    expect={"names-gpt2-seed1": "refuted"}, positive_control={"model": BUILT}, decoy={"variable": "giver"},
)  # fmt: skip
def test_the_answer_goes_through_the_name_movers(model, prompts, roles, check, variable):
    function = answer_alone if variable == "answer" else giver_alone
    found = causal_abstraction(model, prompts, function, aligned(roles(model), variable), seed=check.seed)
    check.rate(found.accuracy, above=0.9)
