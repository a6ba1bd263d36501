"""Choosing heads by stated criteria, and circuit files that read back as they were written."""

import math

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.discovery import Role, choose_heads, write_circuit
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.models.loading import provenance
from mechcheck.notation.sites import attn_outs, heads, mlps, neurons, resid, resid_post

SCORES = {"direct": np.array([[0.1, 0.9], [0.5, 0.7]]), "attention": np.array([[0.2, 0.1], [0.8, 0.6]])}


def choose(meets, **options) -> Role:
    return choose_heads(SCORES, np.array(meets), criterion="strong", by="direct", **{"candidates": 2, **options})


def test_heads_that_meet_the_criterion():
    role = choose(SCORES["attention"] > 0.5, at="END", candidates=1)
    assert (role.sites, role.met, role.criterion) == (heads("1.0@END 1.1@END"), True, "strong")
    assert role.measured == "1.0: direct 0.500, attention 0.800; 1.1: direct 0.700, attention 0.600"


def test_the_nearest_candidates_where_none_does():
    role = choose(SCORES["attention"] > 2)
    assert (role.sites, role.met) == (heads("0.1 1.1"), False)
    assert role.measured.startswith("0.1: direct 0.900")


def test_candidates_are_among_the_allowed():
    last = np.array([[False, False], [True, True]])
    assert choose(np.zeros((2, 2), bool), among=last, candidates=1).sites == heads("1.1")
    assert choose(np.zeros((2, 2), bool), among=last, candidates=3).sites == heads("1.0-1")
    with pytest.raises(MechcheckError, match=r"no head is left to choose from by 'direct' \(strong\)"):
        choose(np.zeros((2, 2), bool), among=np.zeros((2, 2), bool))


def test_a_score_that_is_nan_is_no_candidate():
    scores = {"direct": np.array([[0.1, math.nan]])}
    assert choose_heads(scores, np.zeros((1, 2), bool), criterion="", by="direct", candidates=1).sites == heads("0.0")


@pytest.mark.parametrize("sites", [heads("0.1@END 1.2"), mlps("0-1"), resid("1@B"), resid_post("0@B"), neurons("0.3"), attn_outs("1@A")])
def test_files_read_back(tiny, tmp_path, sites):
    model, prompts = tiny("gpt2"), random_prompts(0, [6, 6])
    roles = {
        "found": Role(sites, 'quotes " and \\ and\nlines', True, "1.2: été ✓"),
        "candidate": Role(heads("1.0"), "strong", False, "none"),
    }
    path = tmp_path / "circuits" / "tiny.toml"
    write_circuit(path, model, roles, method="a search", prompts=prompts, split="discover", found={"layer": 1, "share": 0.25})
    circuit = load_circuit(path)
    assert dict(circuit) == {"found": sites, "candidate": heads("1.0")}
    assert (circuit.source, circuit.weights_sha256) == ("a search", provenance(model).weights_sha256)
    assert circuit.notes["found"] == {"layer": 1, "share": 0.25}
    assert circuit.notes["found_on"] == {"split": "discover", "prompts": 2, "prompts_sha256": prompts.sha256}
    assert circuit.notes["processing"] == "folded"
    check_circuit(circuit, model)


def test_the_reasons_are_in_the_file(tiny, tmp_path):
    import tomllib

    path = tmp_path / "tiny.toml"
    role = Role(heads("1.0"), 'quotes " and \\ and\nlines', False, "1.0: été ✓")
    write_circuit(path, tiny("gpt2"), {"movers": role}, method="by hand", prompts=random_prompts(0, [6, 6]), split="discover")
    written = tomllib.loads(path.read_text(encoding="utf-8"))["roles"]["movers"]
    assert written == {"heads": "1.0", "met": False, "criterion": role.criterion, "measured": role.measured}
