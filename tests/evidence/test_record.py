"""The record of a claim is what the schema says, for every ending."""

from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import strategies as st
from runs import RUN
from tiny import random_prompts

from mechcheck.evidence.record import EXAMPLES, NOT_MEASURED, describe_arguments, record_of
from mechcheck.evidence.store import schema
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.sites import heads
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.case import Case, Conditions
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.claim import ClaimSpec
from mechcheck.verdicts.contrast import Contrast
from mechcheck.verdicts.outcome import Outcome, decide_claim, skipped
from mechcheck.verdicts.trial import Rerun

CASE = Case(
    "t/it[m-3]", ClaimSpec("it is so", task="t", kind="necessity", expect={"m": "refuted"}),
    Conditions((), "cpu", ("float32",), 0, "ci", 240, 2000, 4, 1), Path(), "m", {"k": 3}, "test_it.py::test_it[m-3]", "pytest it",
)  # fmt: skip


def decided() -> Outcome:
    ids = tuple(f"p{i}" for i in range(24))
    effect = Measurement(np.linspace(-2, -1, 24), ids, tuple(f"t{i % 8}" for i in range(24)), "effect", "logits")
    check = Check()
    check.above(effect, 0.0)
    check.between(effect, -3.0, 0.0)
    check.for_all(st.integers(0, 9), lambda x: x < 5, label="small")
    twin = Rerun("weights drawn with seed 0", "supported", {"effect > 0": 1.0})
    return decide_claim(check, "refuted").against(Contrast("re-initialised weights", (twin,), None))


@pytest.mark.parametrize(
    "outcome", [Outcome(), skipped("no model"), decided(), decided().errored(KeyError("crash"))], ids=lambda o: o.verdict
)
def test_it_fits_the_schema(outcome):
    record = record_of(CASE, outcome, NOT_MEASURED, 0.123456)
    jsonschema.validate({"run": RUN, "claims": [record]}, schema())
    assert (record["id"], record["nodeid"], record["command"], record["params"]) == ("t/it[m-3]", CASE.nodeid, "pytest it", {"k": "3"})
    assert (record["expect"], record["kind"], record["task"], record["duration_s"]) == ("refuted", "necessity", "t", 0.1235)
    assert (record["verdict"], record["met"], record["reason"]) == (outcome.verdict, outcome.met, outcome.reason)


def test_what_was_decided_is_what_is_recorded():
    record = record_of(CASE, decided())
    assert [(e["kind"], e["threshold"], e["verdict"]) for e in record["expectations"]] == [
        ("above", 0.0, "refuted"), ("between", [-3.0, 0.0], "supported"), ("for_all", 0.5, "refuted"),
    ]  # fmt: skip
    assert record["expectations"][0]["estimate"]["value"] == pytest.approx(-1.5)
    assert record["expectations"][0]["by_template"]["t0"]["n"] == 3
    assert [(c["expectation"], c["example"]) for c in record["counterexamples"]] == [("small", "5")]
    (run,) = record["decoys"]["runs"]
    assert (record["decoys"]["n"], record["decoys"]["supported"], run["values"]) == (1, 1, {"effect > 0": 1.0})


def test_what_it_was_measured_on(tiny):
    prompts = random_prompts(3, [7, 9, 8] * 4)
    circuit = Circuit({"mover": heads("0.1@END")}, source="here")
    found = describe_arguments({"model": tiny("gpt2", "float32"), "prompts": prompts, "circuit": circuit, "k": 3})
    assert found["model"]["name"] == "gpt2"
    assert "directory" not in found["model"], "a path of this machine is nobody's business"
    assert found["circuit"] == {"source": "here", "roles": {"mover": "0.1@END"}, "criteria": {"met": None, "unmet": {}}}
    assert (found["prompts"]["n"], found["prompts"]["lengths"], len(found["prompts"]["examples"])) == (12, [7, 9], EXAMPLES)
    jsonschema.validate({"run": RUN, "claims": [record_of(CASE, Outcome(), found)]}, schema())
    assert describe_arguments({"prompts": "of the user's own kind"}) == NOT_MEASURED
