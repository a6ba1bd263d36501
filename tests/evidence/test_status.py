"""Words for what has become of a claim."""

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.status import words_among


def test_words():
    assert words_among(" drifted, missing,", ("drifted", "missing", "new")) == {"drifted", "missing"}
    assert words_among("", ("drifted",)) == frozenset()
    with pytest.raises(MechcheckError, match="unknown 'drifting'; choose among drifted, missing"):
        words_among("drifting,missing", ("drifted", "missing"))
