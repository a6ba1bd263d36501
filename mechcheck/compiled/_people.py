"""What the compiled models of indirect object identification share: registers, and the heads that find and avoid the subject.

"Mary and John went to the park , John gave a ring to" -> Mary. At the second John, the duplicate-token head finds the first;
at END, the S-inhibition head brings both places to the register `avoid`; the name mover attends to the names that do not
stand there, and writes the one it finds to the output (Wang et al. 2022, arXiv:2211.00593).
"""

from mechcheck.compiled._blueprint import ALWAYS, Head, Match, Move, Register, flag, positions, scratch, words
from mechcheck.tasks.names import load_language

CONTEXT = 40
SHARP = 30.0
"""Score of a match. The first place that any head attends to instead is BOS, at half of that, where there is nothing to read."""
GAIN = 12.0
"""Logits that a name mover writes for the name it attends to."""
NOTHING = Match(ALWAYS, "bos", SHARP / 2)
NOT_ITSELF = Match("position", "position", -2 * SHARP)


def people_registers() -> tuple[Register, ...]:
    """Names, flags, positions, and scratch registers of the circuit."""
    language = load_language()
    ends = sorted({clause[-1] for clause in language.givings + language.givings_held_out})
    name, position = words("name", language.names), positions("position", CONTEXT)
    return (
        name,
        position,
        flag("is_name", language.names),
        flag("at_end", ends),
        flag("bos", ["<bos>"]),
        scratch("earlier", like=position),  # where the same name stood before
        scratch("repeated"),  # whether it did
        scratch("avoid", like=position),
        scratch("answer", like=name),
    )


def duplicate_token() -> Head:
    """At a name, attends to the same name at an earlier place, and notes the place."""
    matches = (Match("name", "name", SHARP), NOT_ITSELF, NOTHING)
    return Head("duplicate_token", "S2", matches, (Move("position", "earlier"), Move("is_name", "repeated")))


def s_inhibition() -> Head:
    """At END, attends to the repeated name, and notes both its places."""
    matches = (Match("at_end", "repeated", SHARP), NOTHING)
    return Head("s_inhibition", "END", matches, (Move("earlier", "avoid"), Move("position", "avoid")))


def name_mover(role: str = "name_mover", gain: float = GAIN) -> Head:
    """At END, attends to the names that are not to be avoided, and writes them to the answer."""
    return Head(role, "END", (*UNAVOIDED_NAMES, NOTHING), (Move("name", "answer", gain),))


UNAVOIDED_NAMES = (Match("at_end", "is_name", SHARP), Match("avoid", "position", -SHARP))
