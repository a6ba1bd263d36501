"""`mechcheck calibrate`: its shares, table and page; and the figures that are recorded."""

import json
from pathlib import Path

import pytest

from mechcheck.cli import main
from mechcheck.cluster.executor import cluster_executor
from mechcheck.conformance.calibration import calibrate_profiles, share
from mechcheck.conformance.calibration_page import page, share_text, table
from mechcheck.verdicts.case import PROFILES

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "calibration.json"
HEADLINES = ("false_positive_rate", "power", "vacuity_detection", "inconclusive_rate")


def test_shares_have_exact_intervals():
    assert share([0] * 400, bool) == {"value": 0.0, "low": 0.0, "high": 0.00918, "n": 400}  # 1 - .025 ** (1 / 400)
    assert share([1, 0, 0, 0], bool) == {"value": 0.25, "low": 0.00631, "high": 0.80588, "n": 4}
    assert share([], bool)["value"] is None
    assert share_text(share([1, 0, 0, 0], bool)) == "25.0% [0.6%, 80.6%] of 4"


def test_the_command_calibrates_a_model_and_processes_that_share_the_profiles_give_the_same(tmp_path, capsys, warm):
    profiles, told = ["smoke", "ci"], {"claims": 80, "population": 108}
    options = [f"--{name}={value}" for name, value in told.items()]
    assert main(["calibrate", "compiled-induction", *(f"--profile={name}" for name in profiles), *options, "--out", str(tmp_path)]) == 0
    found = json.loads((tmp_path / "calibration.json").read_text())
    assert list(found) == profiles
    smoke = found["smoke"]
    assert smoke["false_positive_rate"]["n"] == 80
    assert smoke["false_positive_rate"]["value"] < 0.2
    assert smoke["false_claims_supported"] == {"value": 0.0, "low": 0.0, "high": smoke["false_claims_supported"]["high"], "n": 40}
    assert smoke["power_by_distance"]["1"]["value"] < smoke["power_by_distance"]["4"]["value"]
    assert smoke["of"]["subjects"] == ["induction, compiled-induction"]
    printed = capsys.readouterr().out
    assert share_text(smoke["vacuity_detection"]) in printed
    shown = (tmp_path / "calibration.html").read_text()
    assert share_text(smoke["vacuity_detection"]) in shown
    assert "http" not in shown
    with cluster_executor("local", 2) as executor:
        shared = calibrate_profiles(["compiled-induction"], profiles, **told, executor=executor)
    assert json.loads(json.dumps(shared)) == found


def test_too_few_claims_are_an_error(capsys):
    assert main(["calibrate", "compiled-induction", "--claims", "10"]) == 2
    assert "--claims 10: at least 80" in capsys.readouterr().err


def test_names_are_escaped_on_the_page():
    some = share([1, 0], bool)
    result = {"power_by_subject": {"<b>": some}, "of": {"prompts": 1, "decoys": 1, "claims": 1, "seed": 0, "subjects": ["<i>"]}}
    assert "&lt;b&gt;" in page({"smoke": result})
    assert "<i>" not in page({"smoke": result})
    assert table({"smoke": result})[1].split()[-3:] == ["-", "5%", "nominal"]


@pytest.mark.parametrize("profile", PROFILES)
def test_the_recorded_figures_are_complete(profile):
    recorded = json.loads(RECORDED.read_text())
    assert set(recorded) == set(PROFILES)
    for name in HEADLINES:
        found = recorded[profile][name]
        assert 0 <= found["low"] <= found["value"] <= found["high"] <= 1
        assert found["n"] >= 400, name
    of = recorded[profile]["of"]
    assert (of["prompts"], of["decoys"]) == PROFILES[profile]
    assert len(of["subjects"]) == 18
