"""compiled-negative: a name mover, and a negative name mover that writes against the answer.

0.0 duplicate token -> 1.0 S-inhibition -> 2.0 name mover (+12) and 2.1 negative name mover (-5), which attend alike (Wang et al.
2022, arXiv:2211.00593, section 3.3). Ablating the negative mover raises the logit difference.
"""

from mechcheck.compiled._blueprint import Blueprint
from mechcheck.compiled._people import CONTEXT, duplicate_token, name_mover, people_registers, s_inhibition
from mechcheck.compiled._truth import ABLATIONS, CERTAIN, NEVER, Attention, Near, Row

TASK = "ioi"
AGAINST = -5.0


def blueprint() -> Blueprint:
    """Three layers of two heads."""
    heads = {"0.0": duplicate_token(), "1.0": s_inhibition(), "2.0": name_mover(), "2.1": name_mover("negative_name_mover", AGAINST)}
    return Blueprint("compiled-negative", people_registers(), heads, outputs={"answer": "name"}, context=CONTEXT)


_BOTH_TO_IO = (Attention("name_mover", "END", "IO", CERTAIN), Attention("negative_name_mover", "END", "IO", CERTAIN))
# Over prompts, the mean over the reference holds a little of every name; IO and S get the same on average only.
_WITHIN = {"zero": 0.01, "mean": 0.3, "resample": 0.01}
TRUTH = (
    Row((), "untouched", "12 for IO and 5 against it.", Near(7.0, 0.01), NEVER, _BOTH_TO_IO),
    *(
        Row(("negative_name_mover",), method, "Nothing is written against IO.", Near(12.0, _WITHIN[method]), NEVER, _BOTH_TO_IO)
        for method in ABLATIONS
    ),
    Row(("negative_name_mover",), "patch", "It writes against S.", Near(17.0, 0.01), NEVER, _BOTH_TO_IO),
    *(
        Row(("name_mover",), method, "Only the negative mover writes about IO.", Near(-5.0, _WITHIN[method]), CERTAIN, _BOTH_TO_IO)
        for method in ABLATIONS
    ),
    Row(("name_mover",), "patch", "12 for S, and 5 against IO.", Near(-17.0, 0.01), CERTAIN, _BOTH_TO_IO),
    *(
        Row((role,), method, "Nothing is avoided: (12 - 5) (1/3 - 2/3).", Near(-7 / 3, 0.01), CERTAIN)
        for role in ("duplicate_token", "s_inhibition") for method in ABLATIONS
    ),
    *(
        Row((role,), "patch", "Both movers attend to S.", Near(-7.0, 0.01), CERTAIN)
        for role in ("duplicate_token", "s_inhibition")
    ),
)  # fmt: skip
