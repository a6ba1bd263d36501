"""Do IOI and induction share their heads? In the layer that reads who and what came before they come apart, in the one that copies not.

The lesion is a head's mean at every position. Margin and expectations were fixed on the discovery prompts of both tasks.
"""

import pytest

from mechcheck import claim, induction_prompts, load_circuit, provenance
from mechcheck.circuits.recorded import circuit_path

SOURCE = "Teuber 1955, Annu. Rev. Psychol. 6:267 (the design); the claim is ours"
# Those that do both tasks and have a circuit for each.
MODELS = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]
MARGIN, SEED = 1 / 3, 0
ROLES = {"first": ("s_inhibition", "previous_token"), "second": ("name_mover", "induction")}


def heads_of(model, circuit, layer):
    """The heads of IOI and of induction; "exchanged" gives each task the other's of the first layer."""
    ours, theirs = ROLES["first" if layer == "exchanged" else layer]
    other = load_circuit(circuit_path("induction", provenance(model).name.partition("#")[0]))
    found = circuit[ours], other[theirs]
    return found[::-1] if layer == "exchanged" else found


@pytest.mark.parametrize("layer", ["first", "second"])
@claim(
    "IOI and induction are doubly dissociated: each loses most without its own heads, and less than a third of that without the other's",
    source=SOURCE, task="ioi", kind="specificity", models=MODELS,
    # S-inhibition heads are worth something to induction too: on the discovery prompts 63% and 38% of what its own are.
    expect={"second": "refuted", "names-gpt2-seed1": "refuted", "names-neox-seed2": "refuted"},
    positive_control={"layer": "first"}, decoy=["random_sites", {"layer": "exchanged"}],
)  # fmt: skip
def test_are_doubly_dissociated(model, prompts, circuit, check, layer):
    ours, theirs = heads_of(model, circuit, layer)
    repeated = induction_prompts(model, n=len(prompts), seed=SEED, split="verify")
    found = check.dissociates({"IOI": (prompts, ours), "induction": (repeated, theirs)}, margin=MARGIN)
    check.figure(found.figure)
