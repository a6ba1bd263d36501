"""mechcheck discover --method, circuit show, eval and diff: what they print is what the functions say, and bad input is told in a line."""

import json
import re
from typing import get_args
from xml.etree import ElementTree

import pytest

from mechcheck.base.paths import data_dir
from mechcheck.circuits.comparison import compare_circuits
from mechcheck.circuits.discovery import Discovery, discover_edges
from mechcheck.circuits.edge_scores import Instead
from mechcheck.circuits.evaluation import Cut, faithfulness, faithfulness_curve
from mechcheck.circuits.files import load_circuit, write_circuit
from mechcheck.circuits.graph_files import read_graph
from mechcheck.cli import main
from mechcheck.cli.circuit_text import said
from mechcheck.cli.circuits import INSTEAD, METHODS
from mechcheck.drawing.numbers import estimate_text, short
from mechcheck.models.loading import load_model
from mechcheck.notation.circuit import EdgeRecord
from mechcheck.notation.edges import edges
from mechcheck.notation.metrics import kl_divergence
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.tasks.ioi import ioi_prompts

MODEL = "names-gpt2-seed1"
SHIPPED = data_dir("claims") / "ioi" / "circuits" / f"{MODEL}.toml"
SEARCH = """
from mechcheck import Found, Role, heads, ioi_prompts

def find(model):
    return Found({"mover": Role(heads("1.0"), "the first", True, "")}, ioi_prompts(model, n=32, seed=0, split="discover"))
"""


@pytest.fixture(scope="module")
def model():
    return load_model(MODEL)


@pytest.fixture(scope="module")
def discovered(tmp_path_factory):
    """The circuit that the command wrote, found by a score, with its JSON beside it; and one found by a search."""
    folder = tmp_path_factory.mktemp("movers")
    script = folder / "discover.py"
    script.write_text(SEARCH)
    for name, told in (("eap", ["--faithful", "0.8"]), ("information-flow", ["--size", "40", "--resamples", "3"])):
        assert main(["discover", str(script), MODEL, "--method", name, *told, "--n", "24", "-o", str(folder / name)]) == 0
    return {name: folder / name / folder.name / f"{MODEL}.toml" for name in ("eap", "information-flow")}


def lines(capsys, *command) -> list[str]:
    """What a command prints, without repeated white space."""
    assert main(list(map(str, command))) == 0
    return [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]


def test_choices_are_those_of_the_functions():
    assert get_args(Discovery) == METHODS
    assert set(get_args(Instead)) == set(INSTEAD)


def test_discover_writes_edges_beside_the_roles(discovered, model, capsys):
    prompts = ioi_prompts(model, n=32, seed=0, split="discover")
    cut = Cut(model, prompts[:24])
    for name, told in (("eap", {"faithful": 0.8}), ("information-flow", {"size": 40, "resamples": 3})):
        wanted, circuit = discover_edges(cut, name, **told), load_circuit(discovered[name])
        assert (circuit.edges, circuit.edge_record.method) == (wanted.edges, name)
        assert circuit.edge_record.stability.jaccard == wanted.record.stability.jaccard
        assert circuit.edge_record.prompts == 24
        assert str(circuit["mover"]) == "1.0"
        assert circuit.notes["found_on"]["prompts_sha256"] == prompts.sha256
        file = read_graph(discovered[name].with_suffix(".json"))
        assert file.graph.chosen(file.kept) == wanted.edges
    shown = lines(capsys, "circuit", "show", discovered["eap"], "--model", MODEL)
    record = load_circuit(discovered["eap"]).edge_record
    assert f"{len(load_circuit(discovered['eap']).edges)} edges of {len(cut.graph)}, eap" in shown
    assert f"stability: {record.stability}" in shown
    assert "mover (met): 1.0" in shown
    assert "found on 32 prompts of the split 'discover'" in shown
    assert any(line.startswith("on the 24 prompts that the search saw (logit difference, counterfactual ablation)") for line in shown)
    assert shown[-1] == f"fits {MODEL}, whose graph has {len(cut.graph)} edges"


def test_without_a_method_no_edges_are_searched_for(tmp_path, capsys):
    script = tmp_path / "discover.py"
    script.write_text(SEARCH)
    assert len(lines(capsys, "discover", script, MODEL, "-o", tmp_path)) == 3
    path = tmp_path / tmp_path.name / f"{MODEL}.toml"
    assert "[edges]" not in path.read_text()
    assert not path.with_suffix(".json").exists()


def test_show_writes_for_other_tools(discovered, tmp_path, capsys):
    circuit, json_file = load_circuit(discovered["eap"]), discovered["eap"].with_suffix(".json")
    for source in (discovered["eap"], json_file):
        for ending in (".json", ".graphml", ".dot"):
            out = tmp_path / f"out{ending}"
            assert lines(capsys, "circuit", "show", source, "--to", out)[-1] == str(out)
        found = read_graph(tmp_path / "out.json")
        assert found.graph.chosen(found.kept) == circuit.edges
        assert len(ElementTree.parse(tmp_path / "out.graphml").findall(".//{*}edge")) == len(circuit.edges)
        assert (tmp_path / "out.dot").read_text().count("->") == len(circuit.edges)
    # Heads' edges, from the model's graph.
    lines(capsys, "circuit", "show", SHIPPED, "--model", MODEL, "--to", tmp_path / "heads.json")
    assert json.loads((tmp_path / "heads.json").read_text())["nodes"]["m0"]["in_graph"]


def test_positions_are_written_beside_their_edges(model, tmp_path, capsys):
    path, prompts, along = tmp_path / "placed.toml", ioi_prompts(model, n=8, seed=0, split="discover"), edges("1.0->logits@END")
    record = EdgeRecord(scores={"1.0->logits@END": 2.0})
    write_circuit(str(path), model, {}, method="x", prompts=prompts, split="discover", edges=along, record=record)
    shown = lines(capsys, "circuit", "show", path, "--model", MODEL, "--to", tmp_path / "out.json")
    assert "logits 1.0@END (2)" in shown
    assert shown[-1].startswith("edges act at named positions here")
    said = json.loads((tmp_path / "out.json").read_text())["edges"]["a1.h0->logits"]
    assert said == {"score": 2.0, "in_graph": True, "at": ["END"]}
    assert "logits 1.0@END (2)" in lines(capsys, "circuit", "show", tmp_path / "out.json", "--model", MODEL)


def test_a_json_beside_its_toml_knows_what_that_knows(discovered, capsys):
    """The weights, and the prompts of the search."""
    beside = str(discovered["eap"].with_suffix(".json"))
    told = ["--task", "ioi", "--n", "8", "--split", "discover"]
    assert main(["circuit", "eval", beside, "--model", MODEL, *told]) == 2
    assert "8 of 8 prompts were seen" in capsys.readouterr().err
    assert main(["circuit", "show", beside, "--model", "names-gpt2-seed4"]) == 2
    assert "was recorded for other weights" in capsys.readouterr().err


def test_where_nothing_can_be_written_nothing_is_searched(tmp_path, capsys):
    script = tmp_path / "discover.py"
    script.write_text("def find(model):\n    raise AssertionError")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        assert main(["discover", str(script), MODEL, "--method", "eap", "-o", str(out)]) == 2
        assert f"cannot write to {out}: {tmp_path / 'file'} is no folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("why", "status", "says"),
    [
        ("KeyboardInterrupt", 130, "mechcheck: interrupted"),
        ("mechcheck.base.errors.NonFiniteError('no number')", 2, "mechcheck: no number"),
        ("OSError(28, 'No space left on device')", 2, "No space left on device"),
    ],
)
def test_what_ends_a_search_is_told_in_a_line(tmp_path, capsys, why, status, says):
    script = tmp_path / "discover.py"
    script.write_text(f"import mechcheck.base.errors\ndef find(model):\n    raise {why}")
    assert main(["discover", str(script), MODEL, "-o", str(tmp_path)]) == status
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line


def test_eval_prints_what_the_functions_say(discovered, model, capsys):
    circuit, prompts = load_circuit(discovered["eap"]), ioi_prompts(model, n=16, seed=2)
    told = ["--model", MODEL, "--task", "ioi", "--n", "16", "--seed", "2"]
    shown = lines(capsys, "circuit", "eval", discovered["eap"], *told, "--instead", "zero", "--tests")
    share = faithfulness(model, prompts, circuit, instead="zero")
    assert any(line.startswith(f"faithfulness {said(estimate_mean(share, Confidence()).estimate)}") for line in shown)
    file = read_graph(discovered["eap"].with_suffix(".json"))
    scored = discover_edges(Cut(model, ioi_prompts(model, n=32, seed=0, split="discover")[:24]), "eap", size=5, resamples=0)
    curve = faithfulness_curve(model, prompts, scored.scores, instead="zero", seed=2)
    cmd = " ".join(estimate_text(curve.cmd, *curve.cmd_interval))
    assert any(line.startswith(f"CMD {cmd}") for line in shown)
    assert len([line for line in shown if re.match(r"[\d.]+% \d+ ", line)]) == len(curve.shares)
    for begins in ("completeness: circuit and model differ most", "minimality:", "worst prompt: circuit", "equivalence:", "sufficiency:"):
        assert any(line.startswith(begins) for line in shown), begins
    kept = Cut(model, prompts, "zero").values([file.kept])[0].mean()
    assert any(line.startswith(f"circuit {short(kept)}, whole model") for line in shown)
    from_json = lines(capsys, "circuit", "eval", discovered["eap"].with_suffix(".json"), *told, "--instead", "zero")
    assert from_json[1:3] == shown[1:3]


def test_eval_of_heads_and_by_another_metric(model, capsys):
    shown = lines(capsys, "circuit", "eval", SHIPPED, "--model", MODEL, "--task", "ioi", "--n", "8", "--metric", "kl_divergence")
    share = faithfulness(model, ioi_prompts(model, n=8, seed=0), load_circuit(SHIPPED), metric=kl_divergence)
    assert any(line.startswith(f"faithfulness {said(estimate_mean(share, Confidence()).estimate)}") for line in shown)
    assert "CMD: not all edges have scores in this file, so that it proposes no circuits of other sizes" in shown


def test_prompts_that_the_search_saw_are_refused(discovered, capsys):
    command = ["circuit", "eval", str(discovered["eap"]), "--model", MODEL, "--task", "ioi", "--n", "4", "--split", "discover"]
    assert main(command) == 2
    assert "4 of 4 prompts were seen when this circuit was searched for" in capsys.readouterr().err
    assert main([*command, "--seen"]) == 0
    both = [str(path) for path in discovered.values()]
    assert main(["circuit", "diff", *both, *command[3:]]) == 2
    assert "were seen when this circuit was searched for" in capsys.readouterr().err


def test_diff(discovered, model, capsys):
    a, b = (load_circuit(path) for path in discovered.values())
    shown = lines(capsys, "circuit", "diff", *discovered.values(), "--model", MODEL, "--task", "ioi", "--n", "16")
    found = compare_circuits(model, ioi_prompts(model, n=16, seed=0), a, b)
    assert f"overlap (Jaccard): nodes {found.overlap.nodes:.2f}, edges {found.overlap.edges:.2f}" in shown
    assert f"at equal size: {found.how}" in shown
    assert found.how.endswith(f"cut down from {max(found.sizes)} to {min(found.sizes)} parts by its scores")
    assert any(f"a less b, paired by prompt {said(found.ahead)}" in line for line in shown)
    worst = found.disagreements[0]
    assert any(line.startswith(f"{worst.part} {worst.of} ") for line in shown)
    # Files without scores are cut down on discovery prompts; circuits without a model are compared by what they name.
    heads = lines(capsys, "circuit", "diff", SHIPPED, discovered["eap"], "--model", MODEL, "--task", "ioi", "--n", "8")
    assert any("greedily, on 8 prompts of their own" in line for line in heads)


def test_published_lists_are_compared_by_what_they_name(tmp_path, monkeypatch, capsys):
    """Shipped circuits, from anywhere."""
    monkeypatch.chdir(tmp_path)
    shown = lines(capsys, "circuit", "diff", "claims/greater_than/circuits/gpt2.toml", "claims/greater_than/proposals/acdc-gpt2.toml")
    assert shown[2:] == [
        "overlap (Jaccard): nodes 0.47",
        "both (9): head 5.5 6.9 7.10 8.11 9.1 mlp 8 9 10 11",
        "a alone (2): 5.1 8.8",
        "b alone (8): head 0.1 0.3 0.5 6.1 mlp 0 1 2 3",
    ]


GOOD = 'source = "x"\nweights_sha256 = "00"\n[edges]\nedges = "{}"\n'
SHAPED = 'source = "x"\nshape = [2, 4]\n[edges]\nedges = "{}"\n'


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["show", "claims/nowhere.toml"], "nowhere.toml cannot be read: .*No such file"),
        (["show", "nowhere.toml"], "nowhere.toml cannot be read: .*No such file"),
        (["show", "nowhere.json"], "cannot read .*nowhere.json: .*No such file"),
        (["show", "circuit.txt"], r"circuit.txt is no circuit: give a .toml, or a .json as EAP-IG and MIB write it"),
        (["show", "binary.toml"], "binary.toml cannot be read"),
        (["show", "list.json"], "list.json is no circuit as EAP-IG and MIB write it"),
        (["show", "empty.json"], "empty.json has no edge and no site"),
        (["show", "nobody.toml"], "nobody.toml has no edge and no site"),
        (["show", "other.toml", "--model", MODEL], "was recorded for other weights than names-gpt2-seed1 has now"),
        (["show", "beyond.toml", "--model", MODEL], "edge 0.7->1.1.q is no edge of the whole graph"),
        (["show", "other.toml", "--to", "out.dot"], "name the model, --model NAME"),
        (["show", "larger.json", "--model", MODEL], "is a circuit of a model of 5 layers with 2 heads, whose graph has"),
        (["show", "fitting.toml", "--model", MODEL, "--to", "out.svg"], "cannot write a circuit as out.svg"),
        (["show", "fitting.toml", "--model", "no-such-model"], "no-such-model"),
        (["eval", "fitting.toml", "--model", MODEL, "--task", "io"], "no prompts are known for task 'io'.*did you mean 'ioi'"),
        (["eval", "fitting.toml", "--model", MODEL, "--task", "negation"], "no mask token, so no word can be masked"),
        (
            ["eval", "fitting.toml", "--model", MODEL, "--task", "ioi", "--metric", "logit_dif"],
            "no metric is called 'logit_dif'.*'logit_diff'",
        ),
        (["eval", "placed.toml", "--model", MODEL, "--task", "ioi"], "no position 'NOWHERE'; these prompts have"),
        (["diff", "fitting.toml", "fitting.toml", "--model", MODEL], "give --model and --task, or neither"),
    ],
)
def test_bad_input_is_told_in_a_line(tmp_path, monkeypatch, capsys, command, message):
    """With exit status 2, and no traceback."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circuit.txt").write_text("")
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "list.json").write_text("[1, 2]")
    graph = {"cfg": {"n_layers": 5, "n_heads": 2}, "nodes": {}, "edges": {"input->logits": {"in_graph": False}}}
    (tmp_path / "empty.json").write_text(json.dumps(graph))
    (tmp_path / "larger.json").write_text(json.dumps(graph | {"edges": {"input->logits": {"in_graph": True}}}))
    (tmp_path / "nobody.toml").write_text('source = "x"\nshape = [2, 4]\n[roles]\n')
    (tmp_path / "other.toml").write_text(GOOD.format("0.0->logits"))
    (tmp_path / "beyond.toml").write_text(SHAPED.format("0.7->1.1.q"))
    (tmp_path / "fitting.toml").write_text(SHAPED.format("0.0->logits 0.1->logits"))
    (tmp_path / "placed.toml").write_text(SHAPED.format("0.0->logits@NOWHERE"))
    assert main(["circuit", *command]) == 2
    error = capsys.readouterr().err
    assert error.startswith("mechcheck: ")
    assert re.search(message, error), error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (["--size", "5"], "--size is about edges: name the search for them, --method prune"),
        (["--method", "eap", "--n", "64"], "--n 64: the search has 32 prompts"),
        (["--method", "eap", "--size", "5000"], "so there is no circuit of 5000"),
        (["--method", "eap", "--metric", "x"], "no metric is called 'x'"),
    ],
)
def test_what_discover_cannot_do(tmp_path, capsys, told, message):
    script = tmp_path / "discover.py"
    script.write_text(SEARCH)
    assert main(["discover", str(script), MODEL, "-o", str(tmp_path), *told]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.rglob("*.toml"))
