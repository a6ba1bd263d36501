"""Zero, mean and resample ablation are three questions: on a circuit that is known, one head gives three answers to them.

On the trained models "ablating S-inhibition flips the answer" is refuted (claims/ioi): there ablation leaves indifference. In the
compiled model it is true by construction, and the same instrument says so.
"""

import pytest

from mechcheck import Ablate, Patch, attention_to, claim, grid, run
from mechcheck.compiled import known_circuit

MCGRATH = "McGrath et al. 2023, arXiv:2307.15771"
WANG = "Wang et al. 2022, arXiv:2211.00593"
MODEL = "compiled-ioi"


def intervention(sites, method):
    """Ablation by the named method, or the heads' outputs from the run with the second subject flipped."""
    return Patch(sites) if method == "patched" else Ablate(sites, method)


@pytest.mark.parametrize("role", ["name_mover"])
@pytest.mark.parametrize(
    ("method", "low", "high"), [("zero", 7.0, 9.0), ("mean", 2.5, 6.0), ("resample", -1.0, 1.0)], ids=["zero", "mean", "resample"]
)
@claim(
    "Without the name mover the backup takes over (zero), takes over in part (mean), or sleeps on (resample)",
    source=MCGRATH, kind="necessity", models=[MODEL], decoy={"role": "previous_token"},
)  # fmt: skip
def test_three_ablations_three_answers(model, prompts, check, role, method, low, high):
    ablated = run(model, prompts, Ablate(known_circuit(MODEL)[role], method))
    check.between(ablated, low, high)


@claim(
    "A silenced name mover wakes its backup; one that says something else does not",
    source=MCGRATH, kind="structure", models=[MODEL],
    over=grid(method=["zero", "mean", "resample"]), version=2, expect="method_dependent", decoy={"method": "resample"},
)  # fmt: skip
def test_wakes_the_backup(model, prompts, check, method):
    circuit = known_circuit(MODEL)
    before, after = (
        attention_to(model, prompts, circuit["backup_name_mover"], "END", "IO", what)
        for what in ((), Ablate(circuit["name_mover"], method))
    )
    check.greater(after.named("backup's attention to IO"), before.named("before"), margin=0.25)


@pytest.mark.parametrize("role", ["s_inhibition"])
@claim(
    "Taking away the S-inhibition head's output flips the answer from the indirect object to the subject",
    source=WANG, kind="necessity", models=[MODEL], decoy={"role": "previous_token"},
    over=grid(method=["zero", "mean", "resample", "patched"]), version=2,
)  # fmt: skip
def test_removing_s_inhibition_flips_the_answer(model, prompts, check, role, method):
    changed = run(model, prompts, intervention(known_circuit(MODEL)[role], method))
    check.rate(changed < 0, above=0.75)
    check.below(changed, 0.0)
