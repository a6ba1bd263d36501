"""`mechcheck reproduce`: an author's evidence, and a reviewer with another checkout."""

import json
import os
import subprocess
import sys

import made_evidence as make
import pytest

from mechcheck import cli
from mechcheck.base.errors import MechcheckError
from mechcheck.cli.reproducing import _different_weights, _files, _models, _place
from mechcheck.models.loading import stored_weights

CLAIM = """
@claim({name!r}, task="ioi", models=["names-gpt2-seed4"]{more})
def test_{name}(model, prompts, check):
    check.rate(run(model, prompts, metric=correct), above={above})
"""


def claims(*, more: str = "", above: float = 0.5, names: tuple[str, ...] = ("one", "two", "three")) -> str:
    made = (CLAIM.format(name=name, more=more if name == "two" else "", above=above) for name in names)
    return "from mechcheck import claim, correct, run\n" + "".join(made)


@pytest.fixture(scope="module")
def author(tmp_path_factory, shell):
    """A folder with claims and the evidence of a run of them, told to be of another torch and of other weights."""
    folder = tmp_path_factory.mktemp("author")
    (folder / "test_it.py").write_text(claims())
    (folder / "pytest.ini").write_text("[pytest]\n")
    options = ["--mech-profile=smoke", "--mech-seed=3", "--mech-report=evidence", "-p", "no:randomly"]
    with shell.for_python():
        subprocess.run([sys.executable, "-m", "pytest", "-q", "test_it.py", *options], cwd=folder, check=True, capture_output=True)
    file = folder / "evidence" / "evidence.json"
    evidence = json.loads(file.read_text())
    evidence["run"]["versions"]["torch"] = "0.0"
    evidence["claims"][0]["model"]["weights_sha256"] = "0" * 64
    file.write_text(json.dumps(evidence))
    return folder


def test_what_differs_first_then_claim_by_claim(author, tmp_path, capsys):
    """The reviewer's checkout has the first claim as it was, another version of the second, not the third, and one more."""
    (tmp_path / "test_it.py").write_text(claims(more=", version=2", names=("one", "two", "four")))
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    said = ["reproduce", str(author / "evidence"), "--root", str(tmp_path), "-o", str(tmp_path / "again")]
    assert cli.main(said) == 1
    lines = capsys.readouterr().out.splitlines()
    assert "3 claims" in lines[0]
    assert "profile smoke, seed 3, cpu" in lines[0]
    assert any(line.startswith("differs   torch: 0.0 there, ") for line in lines)
    assert any(line.startswith(f"differs   weights of names-gpt2-seed4: {'0' * 64}, ") for line in lines)
    told = {line.split()[1]: line for line in lines if line[:1] in "=∦−"}
    assert "ioi/test_one[names-gpt2-seed4]  every prompt has the same value" in told["same"]
    assert "ioi/test_two[names-gpt2-seed4] (version 1 of the claim -> version 2)" in told["incomparable"]
    assert "ioi/test_three[names-gpt2-seed4]: supported in the baseline" in told["missing"]
    assert lines[-1].startswith("reproduced: 1 of 3 claims are the same")
    made = json.loads((tmp_path / "again" / "evidence.json").read_text())
    assert {claim["id"].partition("[")[0] for claim in made["claims"]} == {"ioi/test_one", "ioi/test_two"}  # and not the fourth
    assert (made["run"]["seed"], made["run"]["profile"], made["run"]["complete"]) == (3, "smoke", True)


def test_claims_that_are_not_here(author, tmp_path, capsys):
    assert cli.main(["reproduce", str(author / "evidence"), "--root", str(tmp_path)]) == 2
    assert "none of the claims' files is here (test_it.py)" in capsys.readouterr().err


def test_evidence_does_not_say_what_is_run(tmp_path):
    """Only files under the folder that was named, whatever the node ids say."""
    inside, outside = tmp_path / "root", tmp_path / "outside.py"
    inside.mkdir()
    outside.write_text("")
    (inside / "-x.py").write_text("")
    (inside / "test_a.py").write_text("")
    names = ["test_a.py", "../outside.py", str(outside), "-x.py", "test_b.py", "a\0b.py"]
    here, absent = _files(inside, [{"nodeid": f"{name}::test_it[m]"} for name in names])
    assert here == ["test_a.py"]
    assert absent == dict.fromkeys(names[1:], 1)


@pytest.mark.parametrize("name", ["../m", "/m", "~/m", "-m", r"..\m"])
def test_a_model_is_not_taken_from_where_the_evidence_says(name):
    with pytest.raises(MechcheckError, match="say where it is with --model DIR"):
        _place(name, None, [])


def test_where_a_model_is(tmp_path):
    (tmp_path / "mine").mkdir()
    there = os.fspath(tmp_path / "mine")
    assert _place("mine", "abc", [there]) == there
    assert _place("gpt2", "607a30d", [there]) == "gpt2@607a30d"
    assert _place("names-gpt2-seed4", None, []) == "names-gpt2-seed4"


def test_models_that_are_named_but_in_no_node_id():
    """Of a grid of models, and of several seeds: they are looked for where the reviewer has them, and their weights compared."""
    one, other, own = make.model("one"), make.model("other") | {"weights_sha256": "e" * 64}, make.model("made by the claim")
    several = make.claim("a", nodeid="test_it.py::test_a", model=one, models=[other, own], grid={"axes": {"models": ["one", "other"]}})
    seeds = make.claim("b", nodeid="test_it.py::test_b", model=None, models=[one, other])
    assert _models([several], []) == _models([seeds], ["one", "other"]) == {"one": None, "other": None}
    assert _models([seeds], []) == {}
    embedded = make.model("names-gpt2-seed4")
    assert [*_different_weights([make.claim("c", model=None, models=[embedded])], {"names-gpt2-seed4": "names-gpt2-seed4"})] == [
        f"weights of names-gpt2-seed4: {embedded['weights_sha256']} there, {stored_weights('names-gpt2-seed4')} here"
    ]


def test_circuits_of_the_authors_own(author, tmp_path, capsys):
    evidence = json.loads((author / "evidence" / "evidence.json").read_text())
    for claim in evidence["claims"]:
        claim["command"] += " --mech-circuits=/home/author/found"
    (tmp_path / "samples").symlink_to(author / "evidence" / "samples")
    (tmp_path / "evidence.json").write_text(json.dumps(evidence))
    assert cli.main(["reproduce", str(tmp_path), "--root", str(author), "-o", str(tmp_path / "out")]) == 2
    assert "name it with --circuits DIR" in capsys.readouterr().err


def test_nothing_was_measured(tmp_path, capsys):
    (tmp_path / "samples").mkdir()
    skipped = make.claim(verdict="skipped", met=None, expectations=[], deciding=None)
    (tmp_path / "evidence.json").write_text(json.dumps(make.evidence([skipped])))
    assert cli.main(["reproduce", str(tmp_path)]) == 2
    assert "no claim that was measured" in capsys.readouterr().err
