"""Publications as data: what the shipped ones say, and what a file is refused for."""

import math
from pathlib import Path

import pytest

from mechcheck.base.errors import CircuitError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.files import load_circuit
from mechcheck.circuits.published import published, published_names
from mechcheck.circuits.recorded import circuit_path

OWN = """
title = "Ours"
source = "We 2026"
task = "ioi"
models = ["gpt2"]
shape = [12, 12]

[figures.seen]
claim = "It is seen"
where = "section 1"
kind = "structure"
unit = "attention"
replicates = "within the tolerance"
value = 0.5
tolerance = 0.1
"""


@pytest.fixture
def own(tmp_path):
    """own(old, new): the data with one text put in the place of another."""

    def write(old: str = "", new: str = "") -> Path:
        path = tmp_path / "ours.toml"
        assert old in OWN
        path.write_text(OWN.replace(old, new) if old else OWN, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", published_names())
def test_every_publication_says_where_and_what_counts(name):
    paper = published(name)
    assert len(paper) >= 1
    for figure in paper.values():
        assert len(figure.replicates) > 20
        assert figure.low < figure.high
        assert figure.value is None or figure.low < figure.value < figure.high
        said = paper.said(figure.name)
        assert said["statement"] == figure.claim
        assert said["source"] == f"{paper.source}, {figure.where}"
        assert said["models"] == list(paper.models)
    tests = "\n".join(path.read_text(encoding="utf-8") for path in (data_dir("claims") / "published").glob("test_*.py"))
    assert all(f'.said("{figure}")' in tests for figure in paper), "each figure is claimed"


def test_the_heads_of_ioi():
    """All 26, in the seven classes of figure 2; and who reads whom, but for what would read what comes later."""
    paper, path = published("ioi"), circuit_path("ioi", "gpt2")
    assert path is not None
    circuit = load_circuit(path)
    assert {role: len(circuit[role]) for role in circuit} == {
        "name_mover": 3, "backup_name_mover": 8, "negative_name_mover": 2, "s_inhibition": 4, "induction": 4, "duplicate_token": 3,
        "previous_token": 2,
    }  # fmt: skip
    assert len(set(circuit.sites.pairs)) == 26
    along = [str(edge) for edge in paper.edges_of(circuit)]
    assert len(along) == 2 * 4 + 3 * 4 + 4 * 4 + 4 * 3 + 3
    assert {"2.2->5.5.k", "3.0->7.9.v", "6.9->8.6.v", "8.10->9.9.q", "10.0->logits"} <= set(along)
    (last,) = [one for one in paper.edges if one.receiver == "logits"]
    assert [str(edge) for edge in paper.edges_of(circuit, last)] == ["9.6->logits", "9.9->logits", "10.0->logits"]


def test_the_edges_of_the_docstring_circuit():
    """The released graph has 37, of which 13 lie within a head."""
    path = circuit_path("docstring", "attn-only-4l")
    assert path is not None
    circuit = load_circuit(path)
    assert len(circuit.edges) == 24
    assert {pair for role in circuit for pair in circuit[role].pairs} == {(0, 5), (1, 2), (1, 4), (2, 0), (3, 0), (3, 6)}


def test_own_data(own):
    paper = published(own())
    figure = paper["seen"]
    assert figure.bounds == (0.4, 0.6)
    assert str(figure) == "0.5 ± 0.1 attention"
    assert str(published(own("tolerance = 0.1", "tolerance = 0.1\none_sided = true"))["seen"]) == "0.5, above 0.4 attention"
    border = published(own("value = 0.5\ntolerance = 0.1", "above = 0.3"))["seen"]
    assert (border.bounds, border.value, str(border)) == ((0.3, math.inf), None, "above 0.3 attention")
    assert published(own('unit = "attention"', 'unit = "attention"\ntask = "induction"')).said("seen")["task"] == "induction"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("tolerance = 0.1", "", "lacks 'tolerance'"),
        ("tolerance = 0.1", "tolerance = 0.0", "seen has a tolerance of 0, which nothing could lie within"),
        ("value = 0.5", 'value = "high"', "value of seen is a number, not 'high'"),
        ("value = 0.5", "value = nan", "value of seen is a number"),
        ('where = "section 1"', "", "lacks 'where'"),
        ('where = "section 1"', "where = 1", "where of seen is text, not 1"),
        ("shape = [12, 12]", "", "lacks 'shape'"),
        ("shape = [12, 12]", "shape = 12", "shape is \\[layers, heads per layer\\]"),
        ('models = ["gpt2"]', 'models = ["gpt2"]\nyear = 2026', "unknown entry 'year'"),
        ('unit = "attention"', 'unit = "attention"\nsure = true', "seen has an unknown entry 'sure'"),
        ("[figures.seen]", "[figures.seen", "cannot be read"),
    ],
)
def test_what_is_wrong_with_a_file(own, old, new, message):
    with pytest.raises(CircuitError, match=rf"ours\.toml .*{message}"):
        published(own(old, new))


def test_unknown_names():
    with pytest.raises(CircuitError, match=r"nothing published as 'iol' is known; known: copy_suppression, .*\.toml file"):
        published("iol")
    with pytest.raises(CircuitError, match=r"ours\.toml cannot be read"):
        published("ours.toml")
    with pytest.raises(CircuitError, match=r"ioi has no figure 'probabilty'.*did you mean.*probability"):
        published("ioi")["probabilty"]
