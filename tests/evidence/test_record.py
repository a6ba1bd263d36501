"""The record of a claim is what the schema says, for every ending."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import strategies as st
from runs import RUN, VALIDATOR
from tiny import random_prompts

from mechcheck.evidence.record import EXAMPLES, NOT_MEASURED, describe_arguments, record_of
from mechcheck.evidence.used import Used
from mechcheck.notation.circuit import Circuit, traced, untraced
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.case import Case, Conditions
from mechcheck.verdicts.check import Check
from mechcheck.verdicts.claim import ClaimSpec
from mechcheck.verdicts.contrast import Contrast
from mechcheck.verdicts.outcome import Outcome, decide_claim, skipped
from mechcheck.verdicts.specificity import Specificity, Tally
from mechcheck.verdicts.trial import Rerun, Result

CASE = Case(
    "t/it[m-3]", ClaimSpec("it is so", task="t", kind="necessity", expect={"m": "refuted"}),
    Conditions((), "cpu", ("float32",), 0, "ci", 240, 4, 1), Path(), "m", {"k": 3}, "test_it.py::test_it[m-3]", "pytest it",
)  # fmt: skip


def decided() -> Outcome:
    ids = tuple(f"p{i}" for i in range(24))
    effect = Measurement(np.linspace(-2, -1, 24), ids, tuple(f"t{i % 8}" for i in range(24)), "effect", "logits")
    check = Check()
    check.above(effect, 0.0)
    check.between(effect, -3.0, 0.0)
    check.for_all(st.integers(0, 9), lambda x: x < 5, label="small")
    twin = Rerun("weights drawn with seed 0", "supported", (Result("effect > 0", "supported", effect + 2.5),), "nothing else")
    found = Specificity("re-initialised weights", Tally(1, 4, 0), None, check.expectations[0].estimate, -0.5)
    return decide_claim(check, "refuted").against(Contrast("re-initialised weights", (twin,), None, "some", ((), (found,), ())))


@pytest.mark.parametrize(
    "outcome", [Outcome(), skipped("no model"), decided(), decided().errored(KeyError("crash"))], ids=lambda o: o.verdict
)
def test_it_fits_the_schema(outcome):
    record = record_of(CASE, outcome, NOT_MEASURED, 0.123456)
    VALIDATOR.validate({"run": RUN, "claims": [record]})
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
    assert (record["decoys"]["n"], record["decoys"]["supported"], record["decoys"]["caveat"]) == (1, 1, "some")
    assert run == {"label": "weights drawn with seed 0", "verdict": "supported", "values": {"effect > 0": 1.0}, "note": "nothing else"}
    told = record["expectations"][1]["specificity"]
    assert [e["specificity"] for e in record["expectations"]] == [[], told, []]
    assert (told[0]["decision"], told[0]["satisfied"], told[0]["failed"], told[0]["separating"]) == ("cannot_tell", 1, 4, -0.5)
    assert told[0]["contrast"]["value"] == pytest.approx(-1.5)


def test_what_is_not_a_number_is_null():
    twin = Rerun("other", "inconclusive", (Result("share", "undefined", Measurement([1.0], ("p",), ("t",), denominator=np.zeros(1))),))
    record = record_of(CASE, replace(decided(), contrast=Contrast("k", (twin,), None)))
    assert record["decoys"]["runs"][0]["values"] == {"share": None}
    assert record["expectations"][0]["region"] == [0.0, None]


def test_spans_beside_single_positions():
    """Of a name that stands for several tokens all are told, and it is not among the single ones."""
    prompts = PromptSet.from_tokens([[1, 5, 6, 7], [1, 8]], pad=0, positions={"A": [2, 1], "SUBJECT": [[1, 2], [0, 1]], "LAST": [[3], [1]]})
    found = describe_arguments({"prompts": prompts})["prompts"]["examples"]
    assert [one["positions"] for one in found] == [{"A": 2, "END": 3}, {"A": 1, "END": 1}]
    assert [one["spans"] for one in found] == [{"SUBJECT": [1, 2], "LAST": [3]}, {"SUBJECT": [0, 1], "LAST": [1]}]
    VALIDATOR.validate({"run": RUN, "claims": [record_of(CASE, Outcome(), describe_arguments({"prompts": prompts}))]})
    for one in found:
        del one["spans"]  # as evidence of before has it
    earlier = {**NOT_MEASURED, "prompts": {**describe_arguments({"prompts": prompts})["prompts"], "examples": found}}
    record = record_of(CASE, Outcome(), earlier)
    VALIDATOR.validate({"run": RUN, "claims": [{k: v for k, v in record.items() if k not in ("interventions", "caveats")}]})


def test_what_it_was_measured_on(tiny):
    prompts = random_prompts(3, [7, 9, 8] * 4)
    circuit = Circuit({"mover": heads("0.1@END")}, source="here")
    found = describe_arguments({"model": tiny("gpt2", "float32"), "prompts": prompts, "circuit": circuit, "k": 3})
    assert found["model"]["name"] == "gpt2"
    assert "directory" not in found["model"], "a path of this machine is nobody's business"
    assert found["circuit"] == {"source": "here", "roles": {"mover": "0.1@END"}, "criteria": {"met": None, "unmet": {}}}
    assert (found["prompts"]["n"], found["prompts"]["lengths"], len(found["prompts"]["examples"])) == (12, [7, 9], EXAMPLES)
    assert (found["prompts"]["left_out"], found["prompts"]["unaligned"]) == ({}, {"counterfactual": 0, "reference": 0})
    VALIDATOR.validate({"run": RUN, "claims": [record_of(CASE, Outcome(), found)]})
    shorter = replace(
        prompts, counterfactual=random_prompts(4, [7, 8, 8] * 4), reference=prompts, left_out={"'isn't' (3 tokens) for 'is' (1)": 5}
    )
    found = describe_arguments({"model": tiny("gpt2", "float32"), "prompts": shorter})
    assert found["prompts"]["left_out"] == {"'isn't' (3 tokens) for 'is' (1)": 5}
    assert found["prompts"]["unaligned"] == {"counterfactual": 4, "reference": 0}
    VALIDATOR.validate({"run": RUN, "claims": [record_of(CASE, Outcome(), found)]})
    assert describe_arguments({"prompts": "of the user's own kind"}) == NOT_MEASURED


def test_a_circuit_of_edges(tiny):
    """The record says which circuit was evaluated, and how; looking at its edges for the record is no use of them by the claim."""
    model, prompts = tiny("gpt2", "float32"), random_prompts(0, (7, 7, 9, 9))
    circuit = traced(Circuit({}, source="here", edges=edges("input->0.1.qkv 0.1->1.0.v 1.0->logits")))
    subject = describe_arguments({"model": model, "prompts": prompts, "circuit": circuit})
    assert not circuit.used
    assert edges(subject["circuit"]["edges"]) == untraced(circuit).edges
    check, used = Check(model=model), Used()
    with used.watching():
        check.faithful(circuit.edges, prompts, instead="mean")
        check.beats_random_circuits(circuit.edges, prompts, n=5, instead="mean")
    record = record_of(CASE, decide_claim(check, "supported"), NOT_MEASURED | subject | used.record())
    VALIDATOR.validate({"run": RUN, "claims": [record]})
    faithful, beats = record["expectations"]
    assert (faithful["kind"], faithful["margin"], faithful["threshold"]) == ("faithful", 0.2, [0.8, 1.2])
    assert faithful["evaluated"] == beats["evaluated"]
    told = faithful["evaluated"]
    assert (told["parts"], told["size"], told["of"], told["instead"]) == ("edges", 5, len(graph(model)), "mean")
    assert set(told["worst"]) == {"id", "circuit", "model"}
    assert (beats["kind"], beats["control"]["n"]) == ("beats_random_circuits", 5)
    assert beats["p"] > 0
    (done,) = record["interventions"]
    assert (done["intervention"], done["method"], sum(done["sites"].values())) == ("Ablate", "mean", len(graph(model)))
    assert "edge" in done["text"]
