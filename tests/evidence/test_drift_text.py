"""What changed since a baseline, as text."""

import pytest

from mechcheck.evidence.drift_text import surroundings


@pytest.mark.parametrize(
    ("before", "shown"),
    [
        ("c" * 40, "c" * 12),
        ("9 prompts, sha256 " + "a" * 64, "9 prompts, sha256 " + "a" * 12),
        ("0." + "1" * 37, "0." + "1" * 37),
        ("ten heads " * 4, "ten heads ten heads ten heads ten heads"),
        ("ten heads " * 5, "ten heads ten heads ten heads ten heads…"),
    ],
)
def test_hashes_by_their_beginning_and_texts_cut(before, shown):
    changed = [{"what": "it", "before": before, "after": "none"}]
    assert surroundings([], {"changed": changed}) == f"it {shown} -> none"
