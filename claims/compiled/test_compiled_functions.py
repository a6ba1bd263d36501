"""A model that was built as a function is that function, variable by variable; what is wrong with other hypotheses is told."""

import pytest

from mechcheck import Bars, causal_abstraction, claim
from mechcheck.compiled import known_circuit

GEIGER = "Geiger et al. 2021, arXiv:2106.02997"
UNMAPPED = "arXiv:2607.00267"
MODEL = "compiled-ioi"
PROMPTS = 96  # every one of them is run with everything that is not aligned, and with each part of that
ROLES = {"duplicate": "duplicate_token", "avoid": "s_inhibition", "answer": "name_mover"}


def built(prompt, let):
    """Whoever is named twice is avoided; the answer is the other one."""
    first = let("duplicate", prompt.place("S1") if prompt["S2"] == prompt["S1"] else prompt.place("IO"))
    avoided = prompt.tokens[let("avoid", first)]
    return let("answer", prompt["IO"] if avoided == prompt["S1"] else prompt["S1"])


def deaf(prompt, let):
    """Says the same of every prompt, and is another function: nobody reads what is avoided."""
    let("avoid", let("duplicate", prompt.place("S1") if prompt["S2"] == prompt["S1"] else prompt.place("IO")))
    return let("answer", prompt["IO"] if prompt["S2"] == prompt["S1"] else prompt["S1"])


def without_answer(prompt, let):
    """The same function; what it gives has no name."""
    return built(prompt, lambda name, value: value if name == "answer" else let(name, value))


def hypothesis(what):
    """A function, and where its variables are."""
    circuit = known_circuit(MODEL)
    places = {name: circuit[role] for name, role in ROLES.items()}
    match what:
        case "built":
            return built, places
        case "permuted":
            return built, dict(zip(places, [places["avoid"], places["answer"], places["duplicate"]], strict=True))
        case "deaf":
            return deaf, places
        case "without the answer":
            return without_answer, {name: sites for name, sites in places.items() if name != "answer"}


@pytest.mark.parametrize("what", ["built"])
@claim(
    "The compiled model is the function that it was built as: interventions on both commute, whatever becomes of all other parts",
    source=f"{GEIGER}; {UNMAPPED}", kind="structure", models=[MODEL],
    decoy=[{"what": "permuted"}, {"what": "deaf"}, {"what": "without the answer"}],
)  # fmt: skip
def test_the_model_is_the_function_it_was_built_as(model, prompts, check, what):
    found = causal_abstraction(model, prompts[:PROMPTS], *hypothesis(what), decoys=5 if what == "built" else 0, seed=check.seed)
    check.rate(found.accuracy, above=0.9)
    check.below(found.error, 0.1)
    if found.decoys:
        check.rate(
            max((one.accuracy for one in found.decoys), key=lambda one: one.mean), below=0.75, label="the best permuted alignment < 0.75"
        )
    every = [*found.above.values(), *found.below.values(), *found.unmapped.values()]
    check.figure(lambda: Bars("Agrees with the function", [one.what for one in every], [one.accuracy.mean for one in every], unit="share"))


@pytest.mark.parametrize("what", ["without the answer"])
@claim(
    "Interchanges alone do not tell that the part which carries the answer is left out; perturbing what is not aligned does",
    source=UNMAPPED, kind="specificity", models=[MODEL], decoy={"what": "built"},
)  # fmt: skip
def test_only_the_unmapped_tell(model, prompts, check, what):
    found = causal_abstraction(model, prompts[:PROMPTS], *hypothesis(what), decoys=0, seed=check.seed)
    check.rate(found.interchange_accuracy, above=0.9)
    check.rate(found.unmapped_accuracy, below=0.5)
