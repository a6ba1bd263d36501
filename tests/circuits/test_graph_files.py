"""Circuits of edges as files: written and read again, as EAP-IG reads them, and what is no such file."""

import json
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from tiny import LAYOUTS, random_prompts

from mechcheck.base.errors import CircuitError, MechcheckError, SiteError
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.circuits.graph_files import read_graph, write_graph
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_written_is_read_again(tiny, name, tmp_path):
    scores = edge_scores(tiny(name), random_prompts(1, (7, 7)))
    kept = scores.graph.mask(scores.top(12))
    path = write_graph(tmp_path / "circuit.json", scores.graph, kept, scores.mean, d_model=24)
    found = read_graph(path, n_kv_heads=scores.graph.n_kv_heads)
    assert torch.equal(found.kept, kept)
    assert found.graph == scores.graph
    np.testing.assert_allclose(found.scores, scores.mean)
    again = write_graph(tmp_path / "again.json", found.graph, found.kept, found.scores, d_model=24)
    assert json.loads(again.read_text()) == json.loads(path.read_text())


def test_it_is_named_as_eap_ig_names_it(tiny, tmp_path):
    whole = graph(tiny("gpt2"))
    kept = whole.mask(edges("input->0.1.q 0.1->mlp0 mlp0->1.2.v 1.2->logits"))
    said = json.loads(write_graph(tmp_path / "c.json", whole, kept, d_model=24).read_text())
    assert said["cfg"] == {"n_layers": 2, "n_heads": 3, "parallel_attn_mlp": False, "d_model": 24}
    inside = [name for name, edge in said["edges"].items() if edge["in_graph"]]
    assert sorted(inside) == ["a0.h1->m0", "a1.h2->logits", "input->a0.h1<q>", "m0->a1.h2<v>"]
    assert sorted(name for name, node in said["nodes"].items() if node["in_graph"]) == ["a0.h1", "a1.h2", "input", "logits", "m0"]
    assert len(said["edges"]) == len(whole)


def test_grouped_keys_have_a_name_for_each_query(tiny, tmp_path):
    whole = graph(tiny("llama"))
    kept = whole.mask(edges("0.1->1.1.k"))
    path = write_graph(tmp_path / "c.json", whole, kept)
    said = json.loads(path.read_text())
    assert [name for name, edge in said["edges"].items() if edge["in_graph"]] == ["a0.h1->a1.h2<k>", "a0.h1->a1.h3<k>"]
    said["edges"]["a0.h1->a1.h2<k>"]["in_graph"] = False
    path.write_text(json.dumps(said))
    with pytest.raises(CircuitError, match="disagree"):
        read_graph(path, n_kv_heads=2)
    assert int(read_graph(path, n_kv_heads=4).kept.sum()) == 1


def test_a_file_of_ours_says_that_queries_are_grouped(tiny, tmp_path):
    whole = graph(tiny("llama"))
    found = read_graph(write_graph(tmp_path / "c.json", whole, edges("0.1->1.1.k@A")))
    assert found.graph == whole
    assert found.edges == edges("0.1->1.1.k@A")


@pytest.mark.parametrize("name", LAYOUTS)
def test_positions_stand_beside_their_edges(tiny, name, tmp_path):
    """One edge at two positions, one at one, one at every position, whatever else it names."""
    scores = edge_scores(tiny(name), random_prompts(1, (7, 7)))
    along = edges("0.1->1.1.k@A 0.1->1.1.k@B 1.0->logits@END input->0.1.q mlp0->logits mlp0->logits@A")
    found = read_graph(write_graph(tmp_path / "c.json", scores.graph, along, scores.mean), n_kv_heads=scores.graph.n_kv_heads)
    assert found.edges == edges("0.1->1.1.k@A 0.1->1.1.k@B 1.0->logits@END input->0.1.q mlp0->logits")
    assert torch.equal(found.kept, scores.graph.mask(along.at(None)))
    np.testing.assert_allclose(found.scores, scores.mean)
    again = write_graph(tmp_path / "again.json", found.graph, found.edges, found.scores)
    assert again.read_text() == (tmp_path / "c.json").read_text()
    root = ElementTree.parse(write_graph(tmp_path / "c.graphml", scores.graph, along)).getroot()
    drawn = [
        (edge.get("source"), edge.get("target"), {data.get("key"): data.text for data in edge.findall("{*}data")})
        for edge in root.findall(".//{*}edge")
    ]
    assert ("1.0", "logits", {"at": "END"}) in drawn
    assert ("mlp0", "logits", {}) in drawn
    group = range(2, 4) if name == "llama" else [1]
    assert [one for one in drawn if one[:2] == ("0.1", f"1.{group[-1]}")] == [
        ("0.1", f"1.{group[-1]}", {"input": "k", "at": at}) for at in "AB"
    ]
    dot = write_graph(tmp_path / "c.dot", scores.graph, along).read_text().splitlines()
    for head in group:
        assert f'  "0.1" -> "1.{head}" [label="k@B"];' in dot
    assert '  "1.0" -> "logits" [label="@END"];' in dot
    assert '  "mlp0" -> "logits";' in dot


def test_graphs_for_other_tools(tiny, tmp_path):
    scores = edge_scores(tiny("llama"), random_prompts(1, (7, 7)))
    kept = scores.graph.mask(edges("input->0.1.q 0.1->1.1.k 1.2->logits"))
    root = ElementTree.parse(write_graph(tmp_path / "c.graphml", scores.graph, kept, scores.mean)).getroot()
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    drawn = [(edge.get("source"), edge.get("target")) for edge in root.findall(".//g:edge", space)]
    assert drawn == [("input", "0.1"), ("0.1", "1.2"), ("0.1", "1.3"), ("1.2", "logits")]
    values = [float(data.text) for data in root.findall(".//g:data[@key='score']", space)]
    assert values[0] == pytest.approx(scores["input->0.1.q"].mean)
    dot = write_graph(tmp_path / "c.dot", scores.graph, kept).read_text()
    assert '  "0.1" -> "1.3" [label="k"];' in dot
    assert '  "1.2" -> "logits";' in dot


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no circuit as EAP-IG"),
        ("[]", "no circuit as EAP-IG"),
        ('{"cfg": {"n_layers": 2, "n_heads": 3}}', "no circuit as EAP-IG"),
        ('{"cfg": {"n_layers": 2, "n_heads": 3}, "edges": {"a": 1}}', "no circuit as EAP-IG"),
        ('{"cfg": {"n_layers": 2, "n_heads": 3}, "edges": {"m1->m0": {"in_graph": true}}}', "'m1->m0' is no edge of a model of 2 layers"),
        (
            '{"cfg": {"n_layers": 2, "n_heads": 3}, "edges": {"m0->m1": {"in_graph": true, "at": ["a b"]}}}',
            r"edges\['m0->m1'\]\.at\[0\]: 'a b' is none",
        ),
        ('{"cfg": {"n_layers": 2, "n_heads": 3}, "edges": {"m0->m1": {"in_graph": true, "at": "END"}}}', "a list is expected, not 'END'"),
        ('{"cfg": {"n_layers": 2, "n_heads": 3}, "edges": {"m0->m1": {"in_graph": true, "at": 3}}}', "no circuit as EAP-IG"),
        (
            '{"cfg": {"n_layers": 100000000, "n_heads": 3}, "edges": {}}',
            "cfg.n_layers: a number of at most 1000 is expected, not 100000000",
        ),
    ],
)
def test_what_is_no_such_file_is_told(tmp_path, text, why):
    (tmp_path / "c.json").write_text(text)
    with pytest.raises(CircuitError, match=why):
        read_graph(tmp_path / "c.json")


def test_other_endings_and_missing_files_are_told(tiny, tmp_path):
    whole = graph(tiny("gpt2"))
    with pytest.raises(CircuitError, match=r"choose an ending of \.json, \.graphml, \.dot"):
        write_graph(tmp_path / "c.png", whole, whole.real)
    with pytest.raises(CircuitError, match="cannot read"):
        read_graph(tmp_path / "none.json")
    with pytest.raises(CircuitError, match="receivers and senders"):
        write_graph(tmp_path / "c.dot", whole, whole.real[1:])
    with pytest.raises(CircuitError, match="array of scores is of a graph of"):
        write_graph(tmp_path / "c.dot", whole, whole.real, np.zeros((2, 2)))
    with pytest.raises(SiteError, match="no edge of the whole graph"):
        write_graph(tmp_path / "c.dot", whole, edges("0.1->7.1.q"))
    (tmp_path / "file").touch()
    with pytest.raises(MechcheckError, match=r"cannot write .*file/c\.dot: "):
        write_graph(tmp_path / "file" / "c.dot", whole, whole.real)
    assert write_graph(tmp_path / "new" / "folder" / "c.dot", whole, whole.real).is_file()
