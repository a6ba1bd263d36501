"""The caveats there are: in a run's summary, in the schema, accepted or failing."""

import pytest

from mechcheck.base.errors import ClaimError
from mechcheck.evidence.caveats.known import BRIEFLY, caveat_lines, failing_caveats, judged
from mechcheck.evidence.store import schema
from mechcheck.notation.caveats import CAVEATS
from mechcheck.verdicts.claim import claim


def test_a_run_s_summary_counts_them():
    twice, later = [{"about": "other_lengths", "text": "x"}] * 2, [{"about": "of later", "text": "y"}]
    known = [{"about": "other_lengths", "text": "x", "accepted": "why"}]
    claims = [{"caveats": twice}, {"caveats": []}, {}, {"caveats": later}, {"caveats": known}]
    assert list(caveat_lines(claims)) == ["1 claim: of later", f"2 claims: {BRIEFLY['other_lengths']} (accepted by 1)"]


def test_each_is_known_everywhere():
    about = schema()["$defs"]["caveat"]["properties"]["about"]["enum"]
    assert set(BRIEFLY) == set(CAVEATS) == set(about)
    assert all("arXiv:" in text for text in BRIEFLY.values()), "each has a source"


def test_accepted_or_failing():
    found = [{"about": about, "text": "x"} for about in ("bounded_metric", "other_lengths", "beyond_whole")]
    told = judged(found, {"bounded_metric": "no logits here"}, {"bounded_metric", "other_lengths"})
    assert [set(one) - {"about", "text"} for one in told] == [{"accepted"}, {"fails"}, set()]
    assert failing_caveats({"caveats": told}) == ["other_lengths: x"]
    assert failing_caveats({"caveats": judged(found, {}, ())}) == failing_caveats({}) == []


@pytest.mark.parametrize(
    ("accepts", "said"),
    [
        ({"bounded_metrics": "why"}, "did you mean 'bounded_metric'"), ({"bounded_metric": " "}, "a reason is expected"),
        ({"bounded_metric": True}, "a reason is expected"), ({3: "why"}, "the caveats are gaussian_noise"),
        (["bounded_metric"], "a mapping"),
    ],
)  # fmt: skip
def test_what_cannot_be_accepted(accepts, said):
    with pytest.raises(ClaimError, match=said):
        claim("x", accepts=accepts)
