"""What was found on prompts is not confirmed by them."""

from types import SimpleNamespace

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.circuits.edge_search import ID
from mechcheck.engine.watch import Ran, tell
from mechcheck.evidence.caveats.found import About
from mechcheck.evidence.caveats.jointly import Subject
from mechcheck.evidence.used import Used
from mechcheck.notation.circuit import Circuit, traced
from mechcheck.notation.sites import heads
from mechcheck.stats.measurement import Measurement

RUN = random_prompts(0, (7,) * 8)
OTHERS = random_prompts(1, (7,) * 8)


def said(found_on, *sets, used=True, fitted=()):
    """What is said of a claim that is decided on these prompts, with a circuit whose file says this; others it ran alone."""
    circuit = traced(Circuit({"movers": heads("0.1")}, notes={"found_on": found_on} if found_on else {}))
    if used:
        circuit["movers"]
    seen = Used()
    with seen.watching():
        for prompts in (*sets, *fitted):
            tell(Ran(prompts, [[]]))
    samples = [Measurement(np.ones(len(prompts)), prompts.ids, prompts.templates, "x", "logits") for prompts in sets]
    caveats = seen.record(About.of(None, [{"circuit": circuit}], samples=samples))["caveats"]
    return [one["text"] for one in caveats if one["about"] == "seen_prompts"]


def ids(prompts):
    return " ".join(name[:ID] for name in prompts.ids)


def test_prompts_that_the_file_lists():
    (found,) = said({"split": "discover", "ids": f"\n{ids(RUN[:2])}\n{ids(OTHERS)}\n"}, RUN)
    assert found.startswith("2 of 8 prompts (25%) are among those that the circuit was found on, split 'discover': ")
    assert said({"ids": ids(OTHERS)}, RUN) == []
    (found,) = said({"ids": ids(RUN)}, RUN, OTHERS)
    assert found.startswith("8 of 16 prompts (50%)")


def test_prompts_of_which_the_file_has_a_hash_alone():
    assert len(said({"prompts_sha256": RUN.sha256}, RUN)) == 1
    assert said({"prompts_sha256": RUN.sha256}, RUN[:4]) == [], "nobody can tell"


def test_what_is_only_fitted_on_them_decides_nothing():
    assert said({"ids": ids(RUN)}, OTHERS, fitted=[RUN]) == []
    assert said({"prompts_sha256": RUN.sha256}, OTHERS, fitted=[RUN]) == []


@pytest.mark.parametrize("found_on", [None, "the discovery half", {}, {"split": "discover"}])
def test_a_file_that_does_not_say(found_on):
    assert said(found_on, RUN) == []


def test_a_claim_that_asked_for_no_part_of_the_circuit():
    assert said({"ids": ids(RUN)}, RUN, used=False) == []


def test_a_circuit_was_found_on_the_prompts_of_its_own_model():
    """Of a claim over two models: prompts that the one's circuit was found on are no others' than the one's."""
    circuit = Circuit({"movers": heads("0.1")}, notes={"found_on": {"ids": ids(RUN)}})
    subjects = [Subject(SimpleNamespace(), circuit, {}), Subject(SimpleNamespace(), Circuit({"movers": heads("0.1")}), {})]
    samples = [Measurement(np.ones(len(prompts)), prompts.ids, prompts.templates, "x", "logits") for prompts in (OTHERS, RUN)]
    for cells, n in (((0, 1), 0), ((1, 0), 1)):
        expectations = [SimpleNamespace(cell=cell, region=(0.0, 1.0), role="claim") for cell in cells]
        about = About(subjects=subjects, expectations=expectations, samples=samples)
        told = [one for one in Used().record(about)["caveats"] if one["about"] == "seen_prompts"]
        assert len(told) == n
        assert all(one["text"].startswith("8 of 8 prompts") for one in told)
