"""compiled-induction: a previous-token head feeds an induction head, among distractors.

0.0 writes each place's previous token; 1.0 attends to the place whose previous token is the one at hand, and writes the token that
stands there (Olsson et al. 2022, arXiv:2209.11895). Heads 0.1 and 1.1 attend exactly as these two and write nothing; heads 0.2 and
1.2 attend everywhere alike and write nothing. The vocabulary is too large for a dimension per word, so that tokens are codes: a
wrong token matches by up to 0.4, and BOS, where there is nothing to read, lies between that and a match.
"""

from mechcheck.compiled._blueprint import ALWAYS, Blueprint, Head, Match, Move, codes, flag, positions, scratch
from mechcheck.compiled._compiler import token_ids
from mechcheck.compiled._truth import CERTAIN, CHANGES, NEVER, Attention, Near, Row

TASK = "induction"
SHARP, GAIN = 60.0, 20.0
CONTEXT, WIDTH = 40, 64
SPECIAL = ("<pad>", "<bos>", "<unk>")


def blueprint() -> Blueprint:
    """Two layers of three heads."""
    token = codes("token", [word for word in token_ids() if word not in SPECIAL], WIDTH)
    previous = (Match("position", "position", SHARP, offset=-1), Match(ALWAYS, "bos", SHARP / 2))
    repeated = (Match("token", "previous", SHARP), Match(ALWAYS, "bos", 0.7 * SHARP))
    return Blueprint(
        "compiled-induction",
        (
            token,
            positions("position", CONTEXT),
            flag("bos", ["<bos>"]),
            scratch("previous", like=token),
            scratch("answer", like=token),
        ),
        {
            "0.0": Head("previous_token", "NEXT", previous, (Move("token", "previous"),)),
            "0.1": Head("previous_token_lookalike", "NEXT", previous),
            "0.2": Head("idle", "NEXT"),
            "1.0": Head("induction", "END", repeated, (Move("token", "answer", GAIN),)),
            "1.1": Head("induction_lookalike", "END", repeated),
            "1.2": Head("idle_late", "END"),
        },
        outputs={"answer": "token"},
        context=CONTEXT,
    )


def _following(role: str, share: Near) -> Attention:
    return Attention(role, "END", "NEXT", share)


# Codes overlap by chance, so that the foil's logit is about 0 on average and not exactly.
COPIES, SILENT = Near(20.0, 0.6), Near(0.0, 0.3)
_ALIKE = (_following("induction", CERTAIN), _following("induction_lookalike", CERTAIN))
TRUTH = (
    Row((), "untouched", "The induction head writes 20 times the code of the token that followed.", COPIES, NEVER, (
        *_ALIKE, Attention("previous_token", "NEXT", "FIRST", CERTAIN), Attention("previous_token_lookalike", "NEXT", "FIRST", CERTAIN),
    )),
    *(
        Row(("previous_token",), method, "NEXT no longer says what stood before it, so that nothing matches.", Near(0.0, 0.05), None,
            (_following("induction", NEVER), _following("induction_lookalike", NEVER)))
        for method in CHANGES
    ),
    Row(("induction",), "zero", "Nothing is written.", Near(0.0, 0.001), None, _ALIKE),
    Row(("induction",), "mean", "The mean over fresh tokens, of which hardly any is repeated.", SILENT, None, _ALIKE),
    Row(("induction",), "resample", "On fresh tokens hardly anything is repeated.", SILENT, None, _ALIKE),
    Row(("induction",), "patch", "In the counterfactual nothing is repeated.", Near(0.0, 0.05), None, _ALIKE),
    *(
        Row((role,), method, "It writes nothing, wherever it attends.", COPIES, NEVER, _ALIKE)
        for role in ("previous_token_lookalike", "idle", "induction_lookalike", "idle_late")
        for method in CHANGES
    ),
)  # fmt: skip
