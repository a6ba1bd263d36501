"""compiled-redundant: either of two S-inhibition heads suffices, so that ablating one shows nothing and ablating both everything.

0.0 duplicate token -> 1.0 and 1.1, two S-inhibition heads -> 2.0 name mover. Each writes the subject's places to the register that
the name mover avoids; avoided twice is avoided as well as once, as attention saturates. This is the redundancy that hides circuits
from ablation of single heads (McGrath et al. 2023, arXiv:2307.15771, for its self-repairing form).
"""

from dataclasses import replace

from mechcheck.compiled._blueprint import Blueprint
from mechcheck.compiled._people import CONTEXT, duplicate_token, name_mover, people_registers, s_inhibition
from mechcheck.compiled._truth import ABLATIONS, CERTAIN, NEVER, Attention, Near, Row

TASK = "ioi"
TWINS = ("s_inhibition_one", "s_inhibition_two")


def blueprint() -> Blueprint:
    """Three layers of two heads."""
    one, two = (replace(s_inhibition(), role=role) for role in TWINS)
    return Blueprint(
        "compiled-redundant",
        people_registers(),
        {"0.0": duplicate_token(), "1.0": one, "1.1": two, "2.0": name_mover()},
        outputs={"answer": "name"},
        context=CONTEXT,
    )


def _to_io(share: Near) -> tuple[Attention, ...]:
    return (Attention("name_mover", "END", "IO", share),)


TRUTH = (
    Row((), "untouched", "The name mover writes 12 for IO.", Near(12.0, 0.01), NEVER, (
        *(Attention(role, "END", "S2", CERTAIN) for role in TWINS), *_to_io(CERTAIN),
    )),
    *(
        Row((role,), method, "The other head says the same.", Near(12.0, 0.01), NEVER, _to_io(CERTAIN))
        for role in TWINS for method in ABLATIONS
    ),
    *(
        Row(roles, method, "Nothing is avoided: 12 (1/3 - 2/3).", Near(-4.0, 0.01), CERTAIN, _to_io(Near(1 / 3, 0.001)))
        for roles in (TWINS, ("duplicate_token",)) for method in ABLATIONS
    ),
    *(
        Row((role,), "patch", "Each head names another person to avoid, so that no name is left and nothing is written: "
            "patching shows what ablation hides.", Near(0.0, 0.01), None, _to_io(NEVER))
        for role in TWINS
    ),
    Row(TWINS, "patch", "IO's place is avoided in place of S's.", Near(-12.0, 0.01), CERTAIN, _to_io(NEVER)),
    Row(("name_mover",), "zero", "Nothing is written.", Near(0.0, 0.001)),
)  # fmt: skip
