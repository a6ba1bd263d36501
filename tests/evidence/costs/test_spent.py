"""What claims took: measured around what they run, told by claim and by model, and printed by a command."""

import json

import made_evidence
import pytest
import torch
from tiny import random_prompts

from mechcheck import cli
from mechcheck.engine.run import run, sweep
from mechcheck.engine.untouched_cache import forget_runs
from mechcheck.evidence.costs.spent import Spent, cost_lines, cost_table
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.sites import heads


def took(forwards, peak=2**20, **changes):
    cost = {"forwards": forwards, "flops": forwards * 10**9, "cpu_s": forwards / 10, "peak_bytes": peak}
    return made_evidence.claim(duration_s=float(forwards), cost=cost, **changes)


CLAIMS = [
    took(3, id="a", model=made_evidence.model() | {"name": "m"}),
    took(5, id="b", peak=None, model=made_evidence.model() | {"name": "m"}),
    took(7, id="c", peak=3 * 2**20, model=None),
    made_evidence.claim(id="never run"),
]


def test_what_is_run_is_measured(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, (7, 7, 9, 9))
    run(model, prompts)
    forget_runs()
    spent = Spent()
    sweep(model, prompts, [Ablate(heads("0.1"), "zero"), Ablate(heads("1.0"), "zero"), []])
    taken = torch.ones(64 * 2**20 // 4)
    cost = spent.record()["cost"]
    sweep(model, prompts, [[]])
    assert cost["forwards"] == 4 * 3
    assert cost["flops"] > 2 * 4 * 9 * sum(one.numel() for name, one in model.named_parameters() if name.endswith("mlp.in.weight"))
    assert cost["cpu_s"] > 0
    assert cost["peak_bytes"] > taken.nbytes
    assert spent.record()["cost"]["forwards"] == 12


def test_by_claim_the_dearest_first():
    lines = cost_lines(CLAIMS)
    assert [(line.what, line.model, line.forwards, line.peak_bytes) for line in lines] == [
        ("c", "", 7, 3 * 2**20),
        ("b", "m", 5, None),
        ("a", "m", 3, 2**20),
    ]


def test_by_model():
    lines = cost_lines(CLAIMS, "model")
    assert [(line.what, line.claims, line.forwards, line.seconds, line.cpu_s, line.peak_bytes) for line in lines] == [
        ("m", 2, 8, 8.0, 0.8, 2**20),
        ("", 1, 7, 7.0, 0.7, 3 * 2**20),
    ]


def test_the_table():
    rows = cost_table(cost_lines(CLAIMS)).splitlines()
    assert rows[0] == "|  | claims | forward passes | GFLOP | seconds | of the processor | most memory, MiB |"
    assert rows[2] == "| c | 1 | 7 | 7 | 7.00 | 0.70 | 3 |"
    assert rows[3].endswith(" – |")
    assert rows[-1] == "| all | 3 | 15 | 15 | 15.00 | 1.50 | 3 |"


@pytest.fixture
def written(tmp_path):
    """written(claims): evidence with them."""

    def made(claims):
        path = tmp_path / "evidence.json"
        path.write_text(json.dumps(made_evidence.evidence(claims)), encoding="utf-8")
        return str(path)

    return made


def test_the_command(written, capsys):
    file = written(CLAIMS)
    assert cli.main(["cost", file]) == 0
    assert capsys.readouterr().out.strip() == cost_table(cost_lines(CLAIMS))
    assert cli.main(["cost", "--by", "model", "--json", file]) == 0
    assert [one["what"] for one in json.loads(capsys.readouterr().out)] == ["m", ""]


def test_evidence_that_does_not_say(written, capsys):
    assert cli.main(["cost", written([made_evidence.claim()])]) == 2
    assert "does not say what its claims took" in capsys.readouterr().err
