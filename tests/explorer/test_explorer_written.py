"""Whatever is done on the page, the claim that it writes does the same."""

import ast
import json
import os
import subprocess
import sys

import pytest

import mechcheck as m
from mechcheck.explorer.saving import save

CHOSEN = "circuit['chosen']"
DONE = {
    "permute": ({"do": "permute", "heads": "0.3 1.1", "seed": 3}, "Permute(circuit['chosen'], 3)"),
    "sparsify": ({"do": "sparsify", "heads": "0.3 1.1", "share": 0.5}, "Sparsify(circuit['chosen'], 0."),
    "noise": ({"do": "noise", "heads": "0.3", "at": ["END"], "seed": 2}, "Noise(circuit[ROLE], 1.0, 2)"),
    "knock out of a role": ({"do": "knockout", "heads": "0.3@END", "keys": "S2"}, "KnockOut(patterns(circuit[ROLE].places), 'S2')"),
    "knock out of patterns": (
        {"do": "knockout", "of": "patterns", "heads": "0.3@END", "keys": "S2", "only": True}, f"KnockOut({CHOSEN}, 'S2', only=True)",
    ),
    "the answer's direction": ({"do": "steer", "heads": "0.3 1.1", "at": ["END"], "strength": -2}, f"steered(model, prompts, {CHOSEN})"),
    "the answer's in the stream": ({"do": "steer", "of": "resid_post", "heads": "0"}, f"steered(model, prompts, {CHOSEN})"),
    "the answer's on an edge": ({"do": "steer", "of": "edges", "heads": "0.3->1.3.q@END"}, f"steered(model, prompts, {CHOSEN})"),
    "the counterfactual's direction": (
        {"do": "steer", "of": "queries", "heads": "1.3@END 1.2", "direction": "counterfactual", "strength": 1.5},
        f"steered(model, prompts, {CHOSEN})",
    ),
    "edges": ({"do": "patch", "of": "edges", "heads": "0.3->1.3.q@END"}, "Patch(circuit['chosen'])"),
    "layers": ({"do": "zero", "of": "attn_outs", "heads": "0@END"}, "Ablate(circuit['chosen'], 'zero')"),
    "values": ({"do": "scale", "of": "values", "heads": "0.3", "factor": 0}, "Scale(circuit['chosen'], 0.0)"),
}  # fmt: skip


class Check:
    """Keeps what is decided about."""

    def below(self, changed, threshold):
        self.value, self.threshold = float(changed.values[0]), threshold


def ran(source: str, model, prompts, circuit) -> Check:
    """The claim's own function, and what it needs of the file, without pytest around it."""
    tree = ast.parse(source)
    for one in tree.body:
        if isinstance(one, ast.FunctionDef):
            one.decorator_list = []
    known = {}
    exec(compile(tree, "made", "exec"), known)
    check = Check()
    given = known["circuit_for"]()(model) if "circuit_for" in known else circuit
    known["test_flips"](model, prompts, given, check)
    return check


@pytest.mark.parametrize(("given", "call"), DONE.values(), ids=DONE)
def test_the_claim_gives_the_page_s_number_on_the_page_s_prompt(bench, wanted, prompts, given, call):
    asked = wanted | given
    found = bench.claim(asked)
    assert found["problems"] == []
    assert f"run(model, prompts, {call}" in ast.unparse(ast.parse(found["source"]))
    check = ran(found["source"], bench.model, prompts, m.Circuit({"s_inhibition": m.heads("0.3@END")}))
    (numbers,) = (one["values"] for one in bench.predict(asked)["numbers"] if one["name"] == "logit difference")
    assert check.value == pytest.approx(numbers[1], abs=1e-6)
    assert check.threshold == -1
    assert ('kind="necessity"' in found["source"]) == (asked["do"] not in ("steer", "scale", "noise"))


@pytest.mark.parametrize(
    ("given", "where"),
    [
        ({"do": "knockout", "keys": "t2", "positions": {"IO": 11, "S1": 13, "S2": 15, "t2": 2}}, "keys"),
        ({"do": "knockout", "keys": ""}, "keys"),
        ({"of": "mlps", "heads": "0", "do": "steer", "foil": ""}, "direction"),
        ({"of": "mlps", "heads": ""}, "heads"),
        ({"of": "patterns", "do": "noise"}, "do"),
    ],
)
def test_what_no_fresh_prompt_has_is_told_at_its_field(bench, wanted, given, where):
    found = bench.claim(wanted | given)
    assert found["source"] == ""
    assert where in [one["where"] for one in found["problems"]]


@pytest.mark.parametrize(
    ("given", "change"),
    [
        ({"do": "knockout", "heads": "0.3@END", "keys": "S2"}, lambda model, prompts: m.KnockOut(m.patterns("0.3@END"), "S2")),
        (
            {"do": "steer", "heads": "0.3@END", "strength": -3},
            lambda model, prompts: m.Steer(
                (model.W_U[:, prompts.answers] - model.W_U[:, prompts.foils]).T @ model.W_O[0, 3].T, m.heads("0.3@END"), -3.0
            ),
        ),
    ],
    ids=["knock out", "steer"],
)  # fmt: skip
def test_pytest_measures_it_on_fresh_prompts(bench, wanted, given, change, tmp_path, warm):
    source = bench.claim(wanted | given | {"threshold": "2"})["source"]
    save(tmp_path, "test_flips.py", source, False)
    options = ["-q", "-c", os.devnull, f"--rootdir={tmp_path}", "--mech-report=rep", "--mech-profile=smoke"]
    subprocess.run([sys.executable, "-m", "pytest", "test_flips.py", *options], cwd=tmp_path, check=False, capture_output=True)
    (claim,) = json.loads((tmp_path / "rep" / "evidence.json").read_text())["claims"]
    drawn = m.task_prompts("ioi", bench.model, n=96, seed=1)
    measured = m.run(bench.model, drawn, change(bench.model, drawn))
    assert claim["expectations"][0]["estimate"]["value"] == pytest.approx(measured.mean, abs=1e-6)
    assert claim["verdict"] == "supported"
    assert claim["decoys"]["rejected"] == claim["decoys"]["n"]
