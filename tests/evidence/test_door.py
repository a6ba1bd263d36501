"""What is let in as evidence: nothing that later ends in a traceback, whoever reads it."""

import copy
import io
import json
import os
import zipfile

import numpy as np
import pytest
from made_evidence import evidence, rich_claims
from runs import MOVED, OLD, claim, write_run

from mechcheck import cli
from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.door import unfit, unfit_figure
from mechcheck.evidence.runs import read_baseline, read_evidence, read_run

WHOLE = evidence(rich_claims()[:2])


def set_at(value, at, new):
    """A copy with something else at a place: "claims.0.id"."""
    found = copy.deepcopy(value)
    inside = found
    *way, last = [int(key) if key.isdigit() else key for key in at.split(".")]
    for key in way:
        inside = inside[key]
    inside[last] = new
    return found


def test_what_is_let_in():
    assert unfit(WHOLE) is None
    assert unfit_figure(WHOLE) is None


@pytest.mark.parametrize(
    ("at", "new", "said"),
    [
        ("run", None, "run: a table is expected, not None"),
        ("run.seed", "0", "run.seed: a whole number is expected, not '0'"),
        ("run.confidence", 10**400, "run.confidence"),
        ("run.complete", "yes", "run.complete: true or false is expected"),
        ("claims", {}, "claims: a list is expected, not a table"),
        ("claims.0", 7, "claims[0]: a table is expected, not 7"),
        ("claims.0.id", None, "claims[0].id: text is expected, not None"),
        ("claims.0.verdict", "maybe", "claims[0].verdict: one of supported, "),
        ("claims.0.expectations.0.estimate.value", "1.0", "claims[0].expectations[0].estimate.value: a number or null is expected"),
        ("claims.0.expectations.0.region", [0], "claims[0].expectations[0].region: it has 1 members"),
        ("claims.0.deciding", 99, "claims[0].deciding: check 99 of"),
        ("claims.1.id", WHOLE["claims"][0]["id"], "claims[1]: a claim before it is"),
        ("claims.0.more", 1, "claims[0]: it has an entry 'more', which is not known"),
    ],
)
def test_what_is_not(tmp_path, capsys, at, new, said):
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(set_at(WHOLE, at, new), allow_nan=False), encoding="utf-8")
    for arguments in (["report", str(path)], ["summary", str(path)], ["compare", str(path), str(path)]):
        assert cli.main(arguments) == 2
        error = capsys.readouterr().err
        assert error.startswith("mechcheck: ")
        assert said in error or "larger than any float" in error or "does not name its schema" in error


FIGURES = [
    {"kind": "lens", "title": "t", "data": {"tokens": ["a"], "layers": ["0"], "p_answer": [[]], "p_foil": [[0.1], []], "top": [[[]], []]}},
    {
        "kind": "attention",
        "title": "t",
        "data": {"tokens": ["a", "b"], "patterns": [{"head": "0.0", "low": 0, "high": 1, "values": "!!"}], "weighted": None},
    },
    {"kind": "circuit", "title": "t", "data": {"nodes": [], "edges": [{"source": "x", "target": "y", "weight": 1.0}], "unit": ""}},
]


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure["kind"])
def test_figures_that_cannot_be_drawn(tmp_path, capsys, figure):
    whole = set_at(WHOLE, "claims.0.figures", [figure])
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(whole), encoding="utf-8")
    if (problem := unfit_figure(whole)) is None:
        assert cli.main(["report", str(path)]) == 0
        return
    assert problem.startswith("claims[0].figures[0]: this is no figure")
    assert cli.main(["report", str(path)]) == 2
    assert "cannot be drawn: claims[0].figures[0]" in capsys.readouterr().err


def test_text_that_no_encoding_has(tmp_path, capsys):
    """A path of the file system can hold such a half of a character, so that evidence may."""
    path = tmp_path / "evidence.json"
    path.write_text(json.dumps(set_at(WHOLE, "claims.0.statement", "half \udcff of it")), encoding="utf-8")
    assert cli.main(["summary", str(path)]) == 0
    assert "half " in capsys.readouterr().out
    assert cli.main(["report", str(path)]) == 0


@pytest.mark.parametrize("odd", ["pipe", "device", "directory", "deep", "bytes"])
def test_what_is_no_evidence_file(tmp_path, odd):
    path = tmp_path / "evidence.json"
    match odd:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "deep":
            path.write_text("[" * 100_000, encoding="utf-8")
        case "bytes":
            path.write_bytes(b"\xff\xfe")
    for read in (read_evidence, read_run, read_baseline):
        with pytest.raises(MechcheckError, match=r"is not an evidence file of mechcheck|no evidence at"):
            read(path)


def _npz(path, **arrays):
    np.savez_compressed(path, **arrays)


def _bomb(path, **arrays):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed, packed.open("values_0.npy", "w", force_zip64=True) as stream:
        for _ in range(33):
            stream.write(bytes(1 << 24))


def _promise(path, **arrays):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**14,)})
    with zipfile.ZipFile(path, "w") as packed:
        packed.writestr("values_0.npy", header.getvalue())


SAMPLES = {
    "pickle": lambda path, values_0, ids_0, templates_0: _npz(path, values_0=np.array([{}] * 48), ids_0=ids_0, templates_0=templates_0),
    "ids of objects": lambda path, values_0, ids_0, templates_0: _npz(
        path, values_0=values_0, ids_0=ids_0.astype(object), templates_0=templates_0
    ),
    "texts for numbers": lambda path, values_0, ids_0, templates_0: _npz(path, values_0=ids_0, ids_0=ids_0, templates_0=templates_0),
    "numbers for texts": lambda path, values_0, ids_0, templates_0: _npz(path, values_0=values_0, ids_0=values_0, templates_0=templates_0),
    "complex": lambda path, values_0, ids_0, templates_0: _npz(path, values_0=values_0 * 1j, ids_0=ids_0, templates_0=templates_0),
    "a table": lambda path, values_0, ids_0, templates_0: _npz(path, values_0=values_0[:, None], ids_0=ids_0, templates_0=templates_0),
    "too few": lambda path, values_0, ids_0, templates_0: _npz(path, values_0=values_0[1:], ids_0=ids_0, templates_0=templates_0),
    "none": lambda path, values_0, ids_0, templates_0: _npz(path, ids_0=ids_0),
    "a bomb": _bomb,
    "a promise": _promise,
    "no zip": lambda path, **arrays: path.write_bytes(b"PK"),
}


@pytest.mark.parametrize("kind", [*SAMPLES, "a pipe"])
def test_samples_that_are_none(tmp_path, capsys, kind):
    old, new = write_run(tmp_path / "old", claim("a", OLD)), write_run(tmp_path / "new", claim("a", MOVED))
    (path,) = (tmp_path / "old" / "samples").iterdir()
    arrays = dict(np.load(path))
    path.unlink()
    if kind == "a pipe":
        os.mkfifo(path)
    else:
        SAMPLES[kind](path, **arrays)
    assert cli.main(["compare", str(old), str(new), "--json"]) in (0, 1)
    found = json.loads(capsys.readouterr().out)["drift"]["a"]
    assert found["status"] == "incomparable"
    assert "its samples cannot be read" in found["reason"]


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ("[]", "is not a file of accepted changes: it: a table is expected, not a list"),
        ('{"schema": "mechcheck.accepted/1"}', "it lacks accepted"),
        ('{"schema": "mechcheck.accepted/1", "accepted": [{"id": 1}]}', "accepted[0]"),
        ('{"schema": "mechcheck.accepted/9", "accepted": []}', "has schema 'mechcheck.accepted/9'"),
        ("[" * 100_000, "more than 64 levels"),
    ],
)
def test_accepted_changes_that_are_none(tmp_path, capsys, accepted, said):
    old, new = write_run(tmp_path / "old", claim("a", OLD)), write_run(tmp_path / "new", claim("a", MOVED))
    (tmp_path / "old" / "accepted.json").write_text(accepted, encoding="utf-8")
    assert cli.main(["compare", str(old), str(new)]) == 2
    assert said in capsys.readouterr().err
