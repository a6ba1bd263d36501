"""When the heads of names-gpt2-seed4 formed, along its own training.

The checkpoints are not shipped. They are made anew, in two minutes on one core, and given as models; on another kind of processor than that
of the shipped weights they differ from theirs by what rounding does to a training run:

    python fixtures/recipes/train_gpt2.py --seed 4 --out runs/seed4 --checkpoints 250,500,750,1000,1250,1500,2000
    pytest claims/training $(printf -- '--mech-model %s ' runs/seed4-step*)

The heads are those that were found in the finished model, followed back. Steps were read off the discovery prompts.
"""

import re

from mechcheck import attention_to, claim, induction_scores, load_circuit, onset_figure, provenance
from mechcheck.circuits.recorded import circuit_path

SOURCE = "Olsson et al. 2022, arXiv:2209.11895 (that heads form in a phase of training); the claims are ours"
FINISHED = "names-gpt2-seed4"
CHECKPOINTS = [f"seed4-step{step}" for step in (250, 500, 750, 1000, 1250, 1500, 2000)]


def step_of(replica):
    """From the name of its directory."""
    return int(re.search(r"-step(\d+)", provenance(replica.model).name)[1])


def along(replicas, score):
    """Step -> what the score says of the model there."""
    return {step_of(one): score(one) for one in replicas}


@claim(
    "The S-inhibition head attends to the second subject from step 750 on, and not yet at step 500",
    source=SOURCE, task="ioi", kind="structure", models=CHECKPOINTS,
)  # fmt: skip
def test_when_the_s_inhibition_head_forms(replicas, check):
    heads = load_circuit(circuit_path("ioi", FINISHED))["s_inhibition"]
    scores = along(replicas, lambda one: attention_to(one.model, one.prompts, heads, "END", "S2"))
    found = check.onset(scores, above=0.3, by=750, after=500)
    check.figure(lambda: onset_figure(found, "Attention from END to S2"))


@claim(
    "Induction heads attend to what followed the last time from step 1250 on, and not yet at step 1000, where IOI is done already",
    source=SOURCE, task="induction", kind="structure", models=CHECKPOINTS,
)  # fmt: skip
def test_when_the_induction_heads_form(replicas, check):
    heads = load_circuit(circuit_path("induction", FINISHED))["induction"]
    scores = along(replicas, lambda one: induction_scores(one.model, one.prompts).of(heads))
    found = check.onset(scores, above=0.3, by=1250, after=1000)
    check.figure(lambda: onset_figure(found, "Induction score"))
