"""What processes leave, until it is merged."""

import numpy as np
import pytest
from runs import claim, measurement, values

from mechcheck.base.reading import read_json
from mechcheck.conformance.sentinels import Sentinel
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.runs import RunRecord


def test_the_last_record_of_a_claim_counts(tmp_path):
    parts = Parts(tmp_path)
    for reason in ("started", "decided"):
        parts.save_record(claim("a", nodeid="test_a.py::test_a", measured=None) | {"reason": reason})
    parts.save_record({"nodeid": "test_a.py::test_b"})
    kept = sorted((tmp_path / "claims").iterdir())
    assert [read_json(path).get("reason") for path in kept] == ["decided", None]


def test_samples_are_read_as_they_were_written(tmp_path):
    """Also ratios, which are kept as numerator and denominator."""
    effect = measurement(values())
    share = measurement(values(1.0)) / measurement(values(4.0, seed=3))
    record = claim("t/a[m]", effect, share)
    record["expectations"][1]["estimate"]["value"] = share.mean
    Parts(tmp_path).save_samples("t/a[m]", [effect, share])
    found = RunRecord({}, {"t/a[m]": record}, tmp_path / "samples").measurements("t/a[m]")
    for read, written in zip(found, (effect, share), strict=True):
        np.testing.assert_array_equal(read.values, written.values)
        assert (read.ids, read.templates) == (written.ids, written.templates)
        assert read.mean == written.mean
    assert found[0].denominator is None
    assert found[1].denominator == pytest.approx(values(4.0, seed=3))


def test_each_process_keeps_its_own_sentinels(tmp_path, monkeypatch):
    for process in (1, 2):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        Parts(tmp_path).save_sentinels("lab/m", [Sentinel("lab/m", "hooks are gone", process == 1, "")])
    kept = sorted((tmp_path / "sentinels").iterdir())
    assert [read_json(path)[0]["passed"] for path in kept] == [True, False]
