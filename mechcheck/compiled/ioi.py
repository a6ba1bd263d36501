"""compiled-ioi: indirect object identification with a backup name mover that wakes when the name mover falls silent.

0.0 duplicate token -> 1.0 S-inhibition -> 2.0 name mover; 3.0 backup. Head 0.1 is a perfect previous-token head whose output nobody
reads: an attention pattern is no role.

The backup attends to the names as the name mover does, or to itself (where there is nothing to read). Its score for itself is
SHARP - DROWSY + |answer|^2, as its query and key both read the answer that the name mover wrote; a name scores SHARP. So it sleeps
while anything definite was written: the right name (|answer|^2 = 144) or, after resampling, three wrong ones (48). Zeros (0)
wake it; the mean over many prompts, a little of every name (2.4 and sampling noise), wakes it by half.
"""

from mechcheck.compiled._blueprint import ALWAYS, Blueprint, Head, Match, Move, scratch
from mechcheck.compiled._people import (
    CONTEXT,
    NOTHING,
    SHARP,
    UNAVOIDED_NAMES,
    duplicate_token,
    name_mover,
    people_registers,
    s_inhibition,
)
from mechcheck.compiled._truth import ABLATIONS, CERTAIN, CHANGES, NEVER, Attention, Near, Row

TASK = "ioi"
DROWSY = 3.0
BACKUP_GAIN = 8.0


def blueprint() -> Blueprint:
    """Four layers of two heads."""
    registers = people_registers()
    previous = (Match("position", "position", SHARP, offset=-1), NOTHING)
    backup = (
        *UNAVOIDED_NAMES,
        Match("position", "position", SHARP - DROWSY),  # the key "position" is shared with `avoid`, so this costs no dimensions
        Match("answer", "answer", 1.0),
        # Away from END there is no name to match, so that BOS has to win over the place itself.
        Match(ALWAYS, "bos", 2 * SHARP),
        Match("at_end", "bos", -2 * SHARP),
    )
    return Blueprint(
        "compiled-ioi",
        (*registers, scratch("previous", like=registers[0])),
        {
            "0.0": duplicate_token(),
            "0.1": Head("previous_token", "END", previous, (Move("name", "previous"),)),
            "1.0": s_inhibition(),
            "2.0": name_mover(),
            "3.0": Head("backup_name_mover", "END", backup, (Move("name", "answer", BACKUP_GAIN),)),
        },
        outputs={"answer": "name"},
        context=CONTEXT,
    )


def _to_io(role: str, share: Near) -> Attention:
    return Attention(role, "END", "IO", share)


_SUBJECT_TWICE = "all three names look alike to the name mover, and two of them are the subject: 12 (1/3 - 2/3)"
_INDIFFERENT = Near(-4.0, 0.01)
TRUTH = (
    Row((), "untouched", "The name mover writes 12 for IO.", Near(12.0, 0.01), NEVER, (
        Attention("duplicate_token", "S2", "S1", CERTAIN), Attention("s_inhibition", "END", "S2", CERTAIN),
        _to_io("name_mover", CERTAIN), _to_io("backup_name_mover", NEVER),
    )),
    *(
        Row((role,), method, f"Nothing is avoided: {_SUBJECT_TWICE}.", _INDIFFERENT, CERTAIN, (_to_io("name_mover", Near(1 / 3, 0.001)),))
        for role in ("duplicate_token", "s_inhibition") for method in ABLATIONS
    ),
    *(
        Row((role,), "patch", "IO's place is avoided in place of S's.", Near(-12.0, 0.01), CERTAIN, (_to_io("name_mover", NEVER),))
        for role in ("duplicate_token", "s_inhibition")
    ),
    Row(("name_mover",), "zero", "Silence wakes the backup: 8 e^3 / (1 + e^3).", Near(7.62, 0.02), NEVER,
        (_to_io("backup_name_mover", Near(0.9526, 0.001)),)),
    Row(("name_mover",), "mean", "A little of every name half wakes the backup, by how many prompts the mean is over.",
        Near(4.3, 1.2), NEVER, (_to_io("backup_name_mover", Near(0.53, 0.14)),)),
    Row(("name_mover",), "resample", "Three wrong names are written and keep the backup asleep: IO and S get nothing.",
        Near(0.0, 0.01), None, (_to_io("backup_name_mover", NEVER),)),
    Row(("name_mover",), "patch", "S is written in place of IO.", Near(-12.0, 0.01), CERTAIN,
        (_to_io("backup_name_mover", NEVER), _to_io("name_mover", CERTAIN))),
    *(
        Row((role,), method, why, Near(12.0, 0.01), NEVER, (_to_io("name_mover", CERTAIN),))
        for role, why in (
            ("backup_name_mover", "It sleeps, and has nothing to lose."), ("previous_token", "Nobody reads what it writes."),
        )
        for method in CHANGES
    ),
    Row(("name_mover", "backup_name_mover"), "zero", "Nothing is written.", Near(0.0, 0.01)),
    Row(("s_inhibition", "name_mover"), "zero", "The backup wakes, and avoids nothing: 8 (1/3 - 2/3), less what it keeps for itself.",
        Near(-2.62, 0.02), CERTAIN),
)  # fmt: skip
