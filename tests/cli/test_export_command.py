"""`mechcheck export`."""

import json

import made_evidence as make
import pytest
import yaml

from mechcheck import cli


@pytest.fixture
def evidence(tmp_path):
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(make.evidence([make.claim("ioi/é", verdict="refuted", met=False)])))
    return path


@pytest.mark.parametrize(("name", "named"), [("ctrf", "reportFormat"), ("sarif", "$schema")])
def test_printed_or_written(evidence, tmp_path, capsys, name, named):
    assert cli.main(["export", str(evidence), "--format", name]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert named in printed
    assert "ioi/é" in json.dumps(printed, ensure_ascii=False)
    assert cli.main(["export", str(tmp_path), "--format", name, "-o", str(tmp_path / "new" / "x.json")]) == 0
    assert json.loads((tmp_path / "new" / "x.json").read_text()) == printed


def test_results_are_yaml(evidence, capsys):
    assert cli.main(["export", str(evidence), "--format", "eval-results", "--dataset", "me/claims"]) == 0
    (one,) = yaml.safe_load(capsys.readouterr().out)
    assert one["dataset"] == {"id": "me/claims", "task_id": "ioi/é"}


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--format", "eval-results"], "name it with --dataset OWNER/NAME"),
        (["--format", "ctrf", "--model", "m"], "--model belongs to --format eval-results"),
        (["--format", "sarif", "--source-url", "x"], "--source-url belongs to"),
    ],
)
def test_what_does_not_fit(evidence, capsys, more, said):
    assert cli.main(["export", str(evidence), *more]) == 2
    assert said in capsys.readouterr().err


def test_no_evidence(tmp_path, capsys):
    assert cli.main(["export", str(tmp_path), "--format", "ctrf"]) == 2
    assert "no evidence" in capsys.readouterr().err
