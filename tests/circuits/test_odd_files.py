"""Circuits in files in which something is odd: refused in words, by name."""

import json
import os
from pathlib import Path

import pytest

from mechcheck import cli
from mechcheck.base.errors import CircuitError, MechcheckError
from mechcheck.circuits.files import load_circuit
from mechcheck.circuits.graph_files import read_graph

GOOD = 'source = "s"\nweights_sha256 = "00"\n[roles]\nmover = "1.0"\n'
GRAPH = {"cfg": {"n_layers": 1, "n_heads": 1}, "nodes": {}, "edges": {"input->m0": {"in_graph": True}}}


def test_a_path_may_be_text(tmp_path):
    path = tmp_path / "c.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert load_circuit(str(path)).roles.keys() == load_circuit(path).roles.keys() == {"mover"}
    with pytest.raises(CircuitError, match=r"^nowhere\.toml cannot be read: .*No such file"):
        load_circuit("nowhere.toml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("source = 1\nweights_sha256 = '0'\n[roles]", "source is text, not 1"),
        ("source = 's'\nweights_sha256 = []\n[roles]", r"weights_sha256 is text, not \[\]"),
        ("source = 's'\nweights_sha256 = '0'\nroles = 3", r"\[roles\] is a table, not 3"),
        ("source = 's'\nweights_sha256 = '0'\n[roles]\na = 1", "role 'a' needs text, or a table"),
        ("source = 's'\nweights_sha256 = '0'\n[roles]\na = {heads = 1.5}", "cannot read sites from 1.5"),
        ("source = 's'\nweights_sha256 = '0'\n[roles]\na = {mlps = {}}", "cannot read sites from {}"),
        ("source = 's'\nweights_sha256 = '0'\n[roles]\na = {mlps = '0-99999999999'}", "more than 7 digits"),
        ("source = 's'\nweights_sha256 = '0'\nabsent = 3\n[roles]", r"\[absent\] is a table, not 3"),
        ("source = 's'\nweights_sha256 = '0'\n[roles]\n[absent]\na = 'x'", r"\[absent.a\] is a table, not 'x'"),
        ("source = 's'\nweights_sha256 = '0'\n[roles]\n[absent.a]\nwhy = 1\ncriterion = 'c'", r"why of \[absent.a\] is text, not 1"),
        ("source = 's'\nshape = 3\n[roles]", r"shape is \[layers, heads\], two numbers above 0, not 3"),
        ("source = 's'\nshape = [1]\n[roles]", "shape is"),
        ("source = 's'\nshape = [1, true]\n[roles]", "shape is"),
        ("source = 's'\nweights_sha256 = '0'\nedges = []", r"\[edges\] is a table, not \[\]"),
        ("source = 's'\nweights_sha256 = '0'\n[edges]\nedges = 1", "edges of .edges. is text, not 1"),
        ("source = 's'\nweights_sha256 = '0'\n[edges]\nedges = '0-9999999.0->logits'", "more than 131,072 sites"),
        ("source = 's'\nweights_sha256 = '0'\n[edges]\nedges = '0.0->logits'\nscores = 1", "is a table of edges and their numbers"),
        ("a = " + "[" * 10_000, "more than 64 levels"),
        ("a." * 10_000 + "b = 1", "a key in it has more than 64 parts"),
    ],
)
def test_entries_of_another_kind(tmp_path, capsys, text, said):
    path = tmp_path / "c.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(CircuitError, match=rf"^c\.toml cannot be read: .*{said}"):
        load_circuit(path)
    assert cli.main(["circuit", "show", str(path)]) == 2
    assert capsys.readouterr().err.startswith("mechcheck: c.toml cannot be read: ")


@pytest.mark.parametrize("data", [b"\xff\xfe", GOOD.encode("utf-16"), b'source = "\xed\xa0\x80"'])
def test_what_is_not_utf8(tmp_path, data):
    path = tmp_path / "c.toml"
    path.write_bytes(data)
    with pytest.raises(CircuitError, match=r"c\.toml cannot be read: 'utf-8' codec can't decode byte 0x.. in position"):
        load_circuit(path)


@pytest.mark.parametrize("suffix", [".toml", ".json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "directory", "loop", "long"])
def test_what_is_no_file(tmp_path, capsys, suffix, kind):
    path = tmp_path / f"c{suffix}"
    match kind:
        case "pipe":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "directory":
            path.mkdir()
        case "loop":
            path.symlink_to(path)
        case "long":
            path = tmp_path / ("n" * 300 + suffix)
    with pytest.raises(CircuitError):
        (load_circuit if suffix == ".toml" else read_graph)(path)
    assert cli.main(["circuit", "show", str(path)]) == 2
    assert capsys.readouterr().err.startswith("mechcheck: ")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"cfg": None}, "cfg: a table is expected"),
        ({"cfg": {"n_layers": "2", "n_heads": 1}}, "cfg.n_layers: a whole number is expected, not '2'"),
        ({"cfg": {"n_layers": 1000, "n_heads": 1000}}, "1000 layers of 1000 heads"),
        ({"cfg": {"n_layers": -1, "n_heads": 1}}, "cfg.n_layers: a number of at least 1 is expected"),
        ({"edges": []}, "edges: a table is expected"),
        ({"edges": {"input->m0": 1}}, "edges"),
        ({"edges": {"input->m0": {"in_graph": "yes"}}}, "in_graph"),
        ({"edges": {"input->m0": {"in_graph": True, "score": [1]}}}, "score"),
        ({"nodes": 3}, "nodes"),
    ],
)
def test_graphs_of_another_kind(tmp_path, change, said):
    path = tmp_path / "g.json"
    path.write_text(json.dumps(GRAPH | change), encoding="utf-8")
    with pytest.raises(CircuitError) as refused:
        read_graph(path)
    assert said in str(refused.value)


@pytest.mark.parametrize("out", ["missing/o.json", "o.json/", "o.dot"])
def test_where_nothing_can_be_written(tmp_path, capsys, out):
    (tmp_path / "o.dot").mkdir()
    path = tmp_path / "g.json"
    path.write_text(json.dumps(GRAPH), encoding="utf-8")
    status = cli.main(["circuit", "show", str(path), "--to", str(tmp_path / out)])
    assert status == (2 if out == "o.dot" else 0)  # folders that are missing are made, and a Path has no slash at its end
    assert Path(tmp_path / out).is_dir() == (out == "o.dot")
    assert "Traceback" not in capsys.readouterr().err


def test_it_is_one_of_our_own_errors():
    assert issubclass(CircuitError, MechcheckError)
