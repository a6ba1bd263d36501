"""Edges in circuit files: read, refused where the file is at odds with itself or with the model, and written so that they read back."""

import tomllib
from dataclasses import replace

import pytest
from tiny import random_prompts

from mechcheck.base.errors import CircuitError, MechcheckError, SiteError
from mechcheck.circuits.edge_tables import edge_lines
from mechcheck.circuits.evaluation import kept_edges
from mechcheck.circuits.files import check_circuit, load_circuit, write_circuit
from mechcheck.circuits.roles import Role
from mechcheck.notation.circuit import EdgeRecord, Stability, traced
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import Sites, heads

GOOD = '''
source = "a search"
weights_sha256 = "00"
[edges]
edges = """
0.2->1.1.q@END
1.1->logits input->0.2.v"""
method = "prune"
instead = "mean"
size = 3
of = 201
prompts = 96
gap = 0.25
[edges.scores]
"1.1->logits" = -2
"0.2->1.1.q@END" = 1.5
[edges.stability]
size = 3
resamples = 20
jaccard = 0.5
interval = [0.4, 0.6]
quantiles = [0.2, 0.5, 1]
[edges.stability.inclusion]
"1.1->logits" = 1
'''
STABILITY = Stability(3, 20, 0.5, (0.4, 0.6), (0.2, 0.5, 1.0), {"1.1->logits": 1.0})
ALONG = edges("0.2->1.1.q@END 1.1->logits input->0.2.v")


@pytest.fixture
def written(tmp_path):
    def write(text: str):
        path = tmp_path / "tiny.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_reading(written):
    """Edges stand beside roles or alone; what a file does not say is not made up."""
    circuit = load_circuit(written(GOOD))
    assert (dict(circuit), circuit.sites, circuit.edges) == ({}, Sites(), ALONG)
    record = EdgeRecord(
        "prune", "mean", of=201, gap=0.25, scores={"1.1->logits": -2.0, "0.2->1.1.q@END": 1.5}, stability=STABILITY, prompts=96
    )
    assert circuit.edge_record == record
    assert traced(circuit).edges == ALONG
    both = load_circuit(written('source = "x"\nshape = [2, 4]\n[edges]\nedges = "0.0-1->1.0.q"\n[roles]\nmover = "1.0"\n'))
    assert (both.edges, both["mover"], both.edge_record) == (edges("0.0->1.0.q 0.1->1.0.q"), heads("1.0"), EdgeRecord())
    assert "edges" not in circuit.notes
    nodes = load_circuit(written('source = "x"\nshape = [2, 4]\n[roles]\nmover = "1.0"\n'))
    assert (nodes.edges, nodes.edge_record) == (Sites(), None)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (("0.2->1.1.q@END\n", "0.2>1.1.q\n"), r"cannot read '0.2>1.1.q' as an edge; write edges like"),
        (("input->0.2.v", "1.0->0.2.v"), r"0.2.v reads nothing of 1.0: a receiver comes behind its senders"),
        (('method = "prune"', "method = 3"), r"method of \[edges\] is text, not 3"),
        (('method = "prune"', 'metod = "prune"'), r"no entry 'metod'; it has edges, method, .*; did you mean 'method'\?"),
        (('instead = "mean"', 'instead = "men"'), r"instead = 'men'; what cut edges carry is one of counterfactual, zero"),
        (("size = 3\nof", "size = 4\nof"), r"\[edges\] says that there are 4, and names 3"),
        (("prompts = 96", "prompts = 0"), r"prompts of \[edges\] is a number of 1 or more, not 0"),
        (("size = 3\nof", "size = true\nof"), r"size of \[edges\] is a number of 1 or more, not True"),
        (("of = 201", "of = 2"), r"\[edges\] names 3 edges out of 2"),
        (("gap = 0.25", "gap = nan"), r"gap of \[edges\]: a number is wanted, not nan"),
        (('"1.1->logits" = -2', '"1.0->logits" = -2'), r"\[edges.scores\] speaks of '1.0->logits', which is none of the circuit's edges"),
        (('"1.1->logits" = -2', '"1.1->logits" = "2"'), r"\[edges.scores\] 1.1->logits: a number is wanted, not '2'"),
        (('"1.1->logits" = -2', '"" = -2'), r"\[edges.scores\] speaks of '', which is none"),
        (("jaccard = 0.5\n", ""), r"\[edges.stability\] lacks 'jaccard'"),
        (("jaccard = 0.5", "jaccard = 1.5"), r"the numbers of \[edges.stability\] lie between 0 and 1, and 1.5 does not"),
        (("[0.4, 0.6]", "[0.4]"), "an interval of two numbers and three quantiles, not 1 and 3"),
        (("[0.4, 0.6]", "0.4"), r"interval of \[edges.stability\] is a list of numbers, not 0.4"),
        (('"1.1->logits" = 1\n', '"1.1->logits" = 2\n'), r"lie between 0 and 1, and 2 does not"),
    ],
)
def test_broken_tables(written, broken, message):
    assert GOOD.count(broken[0]) == 1
    with pytest.raises(CircuitError, match=rf"^tiny\.toml cannot be read: .*{message}"):
        load_circuit(written(GOOD.replace(*broken)))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('edges = "1.1->logits"', r"\[edges\] is a table, not '1.1->logits'"),
        ("[edges]\nsize = 1", r"\[edges\] lacks 'edges'"),
        ('[edges]\nedges = " "', "names no edge; leave the table out"),
        ('[edges]\nedges = "1.1->logits"\nscores = 1', r"\[edges.scores\] is a table of edges and their numbers, not 1"),
    ],
)
def test_what_is_no_table_of_edges(written, text, message):
    with pytest.raises(CircuitError, match=rf"^tiny\.toml cannot be read: .*{message}"):
        load_circuit(written(f'source = "x"\nweights_sha256 = "00"\n{text}\n'))


def test_files_read_back(tiny, tmp_path):
    """With all that is known of the edges, and with nothing; the file of a circuit without edges is as it was."""
    model, prompts, path = tiny("gpt2"), random_prompts(0, [6, 6]), tmp_path / "tiny.toml"
    of, roles = len(graph(model)), {"mover": Role(heads("1.0@END"), "strong", True, "it is")}
    told = {"method": "a search", "prompts": prompts, "split": "discover"}
    many = graph(model).edges | edges("0.1->1.0.k@B")
    scores = {str(edge): 1e-7 * number for number, edge in enumerate(many)}
    for along, record in (
        (ALONG, EdgeRecord("acdc", "zero", 'a "metric"', of, 0.9, 0.1, 0.05, {"input->0.2.v": -1e-9}, replace(STABILITY, size=4), 7)),
        (edges("mlp0->mlp1"), EdgeRecord()),
        (many, EdgeRecord("é", scores=scores)),
    ):
        write_circuit(path, model, roles, **told, edges=along, record=record)
        found = load_circuit(path)
        assert (found.edges, found.edge_record) == (along, record)
        assert dict(found) == {"mover": heads("1.0@END")}
        check_circuit(found, model)
        assert max(map(len, path.read_text().splitlines())) <= 140
    assert tomllib.loads(path.read_text())["edges"]["size"] == len(many)
    write_circuit(path, model, roles, **told)
    plain = path.read_text()
    write_circuit(path, model, roles, **told, edges=Sites())
    assert path.read_text() == plain
    assert "edges" not in plain


def test_inclusion_of_other_edges_is_not_written(tiny, tmp_path):
    """Of a stability the circuit's own edges are of interest; thousands of others may have been found once."""
    model, prompts, path = tiny("gpt2"), random_prompts(0, [6, 6]), tmp_path / "tiny.toml"
    stable = replace(STABILITY, inclusion={"1.1->logits": 1.0, "1.2->logits": 0.05})
    write_circuit(
        path, model, {}, method="x", prompts=prompts, split="discover", edges=edges("1.1->logits"), record=EdgeRecord(stability=stable)
    )
    assert load_circuit(path).edge_record == EdgeRecord(stability=STABILITY)


def test_a_line_for_each_receiver():
    """In the order in which a run comes to them."""
    along = edges("0.0->1.1.q 0.2->logits 0.1->1.1.q@END mlp0->1.0.v input->mlp0 0.0->1.1.k")
    lines = edge_lines(along, EdgeRecord())
    assert lines[2:9] == [
        'edges = """', "input->mlp0", "0.0->1.1.q 0.1->1.1.q@END", "0.0->1.1.k", "mlp0->1.0.v", "0.2->logits", '"""',
    ]  # fmt: skip


def test_edges_that_the_model_has_not(tiny, tmp_path):
    model, prompts = tiny("gpt2"), random_prompts(0, [6, 6])
    told = {"method": "x", "prompts": prompts, "split": "discover"}
    for along, record, message in (
        (edges("0.9->1.1.q"), None, "edge 0.9->1.1.q is no edge of the whole graph"),
        (edges("attn0->1.1.q"), None, "edge attn0->1.1.q is no edge of the whole graph"),
        (edges("0.0->1.1.q"), EdgeRecord(of=5), "were taken out of 5, and the graph of this model has"),
    ):
        with pytest.raises((SiteError, CircuitError), match=message):
            write_circuit(tmp_path / "tiny.toml", model, {}, **told, edges=along, record=record)
    with pytest.raises(MechcheckError, match=r"1.2->logits has a number and is none of the circuit's edges"):
        write_circuit(tmp_path / "tiny.toml", model, {}, **told, edges=edges("0.0->1.1.q"), record=EdgeRecord(scores={"1.2->logits": 1.0}))
    with pytest.raises(MechcheckError, match="the role mover names edges; a role names nodes"):
        write_circuit(tmp_path / "tiny.toml", model, {"mover": Role(edges("1.0->logits"), "", True, "")}, **told)
    assert not (tmp_path / "tiny.toml").exists()


def test_a_circuit_with_edges_is_judged_by_them(tiny, written):
    whole = graph(tiny("gpt2"))
    circuit = load_circuit(written('source = "x"\nshape = [2, 4]\n[edges]\nedges = "0.0->1.0.q 1.0->logits"\n[roles]\nmover = "1.0"\n'))
    assert whole.chosen(kept_edges(whole, circuit)) == circuit.edges
