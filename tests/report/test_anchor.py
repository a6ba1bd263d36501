"""Anchors: how a claim is linked to."""

from hypothesis import given
from hypothesis import strategies as st

from mechcheck.report import anchor


def test_anchors_are_readable_and_distinct() -> None:
    assert anchor("ioi.s_inhibition-1") == "claim-ioi.s_inhibition-1"
    assert anchor("ioi/a[x]").startswith("claim-ioi-a-x-")
    ids = ["ioi/a", "ioi:a", "ioi-a", "ioi a", "<b>", "😀", "שלום", "", "\ud800"]
    assert len({anchor(i) for i in ids}) == len(ids)


@given(st.text())
def test_anchors_need_no_escaping(claim_id: str) -> None:
    assert set(anchor(claim_id)) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-")
