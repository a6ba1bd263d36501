"""Made-up evidence for the page: builders of single parts, and a rich run with every verdict; all of it fits the schema."""

import json
import math
import random
from pathlib import Path
from typing import Any

import jsonschema

SCHEMA = Path(__file__).parents[1] / "mechcheck" / "evidence.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text(encoding="utf-8")))


def estimate(value: float | None, low: float | None, high: float | None, **changes: Any) -> dict:
    """An estimate with its interval."""
    about = {"level": 0.95, "n": 400, "clusters": 20, "method": "t interval", "valid": True, "caveat": None}
    return {"value": value, "low": low, "high": high} | about | changes


def expectation(value: float = 1.25, low: float = 0.98, high: float | None = 1.49, **changes: Any) -> dict:
    """An expectation, above 0 unless told otherwise."""
    default = {
        "label": "logit difference above 0",
        "kind": "above",
        "role": "claim",
        "threshold": 0.0,
        "margin": None,
        "unit": "logits",
        "estimate": estimate(value, low, high),
        "p": 0.00023,
        "p_refuted": 0.99977,
        "p_adjusted": 0.0012,
        "control": None,
        "specificity": [],
        "by_template": {},
        "verdict": "supported",
    }
    made = default | changes
    return {"region": region_of(made["kind"], made["threshold"], made["margin"])} | made


def region_of(kind: str, threshold: Any, margin: float | None) -> list[float | None]:
    """What an expectation of this kind claims, upwards where both directions exist."""
    if isinstance(threshold, list):
        return list(threshold)
    if kind == "equivalent":
        return [threshold - (margin or 0), threshold + (margin or 0)]
    return [None, threshold] if kind == "below" else [threshold, None]


def model(name: str = "names-gpt2-s0") -> dict:
    """A model's provenance."""
    return {
        "name": name,
        "revision": None,
        "weights_sha256": "ab" * 32,
        "processing": "folded",
        "dtype": "float32",
        "device": "cpu",
        "n_params": 80512,
    }


def claim(id: str = "ioi/s_inhibition", **changes: Any) -> dict:
    """A supported claim of necessity about task "ioi"."""
    nodeid = f"claims/ioi/test_ioi.py::test_it[{id}]"
    default = {
        "id": id,
        "statement": "Ablating the S-inhibition heads lowers the logit difference",
        "source": "Wang et al. 2022, arXiv:2211.00593",
        "task": "ioi",
        "kind": "necessity",
        "nodeid": nodeid,
        "params": {},
        "expect": "supported",
        "verdict": "supported",
        "met": True,
        "reason": "all 1 expectations hold",
        "command": f'pytest "{nodeid}" --mech-seed 0',
        "model": model(),
        "circuit": {
            "source": "found on one half of the prompts, arXiv:2304.14997",
            "roles": {"s_inhibition": "0.3@END", "name_mover": "1.0 1.2@END"},
            "criteria": {"met": True, "unmet": {}},
        },
        "prompts": {
            "ids_sha256": "cd" * 32,
            "n": 400,
            "templates": 20,
            "examples": [
                {
                    "id": "f00dfeed1234",
                    "template": "when-went-gave",
                    "tokens": ["When", " Mary", " and", " John", " went", ",", " John", " gave", " to"],
                    "positions": {"IO": 1, "S1": 3, "S2": 6, "END": 8},
                    "answer": " Mary",
                    "foil": " John",
                }
            ],
        },
        "expectations": [expectation()],
        "decoys": None,
        "counterexamples": [],
        "figures": [],
        "drift": None,
        "duration_s": 0.42,
    }
    made = default | changes
    own = [i for i, e in enumerate(made["expectations"]) if e["verdict"] == made["verdict"]]
    return {"p_adjusted": None, "deciding": next(iter([*own, *range(len(made["expectations"]))]), None)} | made


def counterexample(tokens: list[str], **changes: Any) -> dict:
    """One prompt that breaks the expectation, whose first token is the answer and has position IO."""
    prompt = {"id": "f00d", "template": "t", "tokens": tokens, "positions": {"IO": 0}, "answer": tokens[0], "foil": None}
    default = {
        "expectation": expectation()["label"], "example": " ".join(tokens), "tried": 37, "shrunk": True,
        "measured": "logit difference", "unit": "logits", "values": [-0.5], "n_prompts": 1, "prompts": [prompt],
    }  # fmt: skip
    return default | changes


def evidence(claims: list[dict], **run: Any) -> dict:
    """A complete run that holds the claims."""
    default = {
        "schema": "mechcheck.evidence/2",
        "complete": True,
        "created": "2026-11-21T02:14:30+00:00",
        "commit": "a3cdf6409b1c2d3e4f5061728394a5b6c7d8e9f0",
        "dirty": False,
        "seed": 0,
        "profile": "ci",
        "confidence": 0.975,
        "versions": {"python": "3.11.2", "torch": "2.13.0", "transformer_lens": "4.3.0", "mechcheck": "0.1.0"},
        "device": "cpu",
        "argv": ["pytest", "claims", "-n2"],
        "sentinels": [{"model": "names-gpt2-s0", "name": "self patch", "passed": True, "detail": "largest change 0"}],
    }
    result = {"run": default | run, "claims": claims}
    VALIDATOR.validate(result)
    # As it will be read: from JSON, so that nothing here is shared or not serialisable.
    return json.loads(json.dumps(result, allow_nan=False))


def heatmap(
    n_rows: int, n_cols: int, *, title: str = "Patching effect by head", signed: bool = True, seed: int = 0, **changes: Any
) -> dict:
    """A heatmap with a bump in it."""
    draw = random.Random(seed)

    def value(r: int, c: int) -> float:
        bump = math.exp(-((r / n_rows - 0.6) ** 2 + (c / n_cols - 0.7) ** 2) * 12)
        return bump + draw.gauss(0, 0.12) if signed else abs(bump + draw.gauss(0, 0.03))

    data = {
        "values": [[value(r, c) for c in range(n_cols)] for r in range(n_rows)],
        "rows": [str(r) for r in range(n_rows)],
        "cols": [str(c) for c in range(n_cols)],
        "row_label": "layer",
        "col_label": "head",
        "unit": "logits",
    }
    return {"kind": "heatmap", "title": title, "data": data | changes}


def lines() -> dict:
    """Three series, one of them with a hole."""
    xs = [0.0, 0.5, 1.0, 2.0, 4.0, 8.0]
    series = [
        {"label": "name direction", "y": [6.1, 3.0, -0.4, -3.5, -5.2, -5.9]},
        {"label": "random direction", "y": [6.1, 6.0, 5.8, None, 4.9, 3.1]},
        {"label": "other name", "y": [6.1, 5.9, 5.2, 4.4, 3.3, 2.0]},
    ]
    data = {"x": xs, "series": series, "x_label": "steering strength", "y_label": "logit difference (logits)"}
    return {"kind": "lines", "title": "Steering", "data": data}


def hostile_claim() -> dict:
    """A claim whose every text tries to break out of the page or to turn it around."""
    script, rtl = "<script>alert(1)</script>", "\u202eevil\u05e9\u05dc\u05d5\u05dd"
    result = claim(
        id=f"hostile/{script}[\U0001f600]",
        statement=f"{script} & \"quotes\" 'single' {rtl} \U0001f600 שלום",
        source="<img src=https://evil.example/x.png> arXiv:2211.00593",
        task="neg & co",
        kind=None,
        params={"method<b>": "</style><b>"},
        reason=f"]]> {{{{ 7 * 7 }}}} --> {script}\x00",
        model=model("модель <i>&</i>"),
        expectations=[expectation(label=script)],
        counterexamples=[counterexample(["a", script, "\n", ""], expectation=script, measured=script, unit=rtl)],
        drift={
            "status": "incomparable",
            "reason": script,
            "verdict_before": None,
            "p_adjusted": None,
            "changed": [{"what": script, "before": rtl, "after": script}],
            "expectations": [],
            "accepted": {"why": script, "on": "2026-01-01"},
        },
    )
    result["prompts"]["examples"][0] |= {
        "tokens": [script, "\n", "שלום", "😀", "</span>"],
        "positions": {"<b>": 1, "far": 99},
        "answer": script,
        "foil": None,
    }
    result["figures"] = [heatmap(2, 2, title=script, rows=["<b>r", "שלום"], cols=["\U0001f600", script], unit="<u>")]
    result["expectations"][0] |= {"label": script, "unit": "<sup>", "by_template": {script: {"value": 1.0, "n": 3}}}
    return result


def _controls(draw: random.Random, n: int, centre: float) -> dict:
    return {
        "kind": "random heads of the same layers",
        "n": n,
        "values": [draw.gauss(centre, 0.3) for _ in range(n)],
        "labels": [f"0.{i % 4} 1.{i % 3}" for i in range(n)],
    }


def _decoys(draw: random.Random, n: int, supported: int, label: str) -> dict:
    runs = [
        {
            "label": f"random sites {i}: 0.{i % 4}@END",
            "verdict": "supported" if i < supported else "refuted",
            "values": {label: draw.gauss(0.1, 0.2)},
        }
        for i in range(n)
    ]
    return {"kind": "random sites", "n": n, "supported": supported, "rejected": n - supported, "caveat": None, "runs": runs}


def rich_claims() -> list[dict]:
    """Claims of all verdicts over several models and tasks, with controls, decoys and figures of every size."""
    draw = random.Random(7)
    label = "logit difference above 0"
    tokens = ["When", "Mary", "and", "John", "went", "to", "the", "store", ",", "John", "gave", "a", "drink", "to"]
    full = claim(decoys=_decoys(draw, 8, 0, label))
    full["expectations"] = [
        expectation(
            control=_controls(draw, 60, 0.1),
            by_template={
                f"template {i}: {{A}} and {{B}} went to the {{place}}": {"value": draw.gauss(1.2, 0.4), "n": 20} for i in range(6)
            },
        ),
        expectation(0.91, 0.86, 0.95, label="attention END to S2", kind="between", threshold=[0.8, 1.0], unit="", p=None, p_adjusted=None),
    ]
    full["figures"] = [
        heatmap(2, 4),
        heatmap(12, 12, seed=3),
        heatmap(
            14, 14, title="Attention 0.3", signed=False, rows=tokens, cols=tokens, row_label="from", col_label="to", unit="probability"
        ),
        heatmap(48, 64, title="Head to neuron", row_label="head", col_label="neuron", signed=True),
        lines(),
    ]
    full["figures"][0]["data"]["values"][0][1] = None
    twin = model("names-neox-s0")
    result = [full]
    for i, (kind, met) in enumerate([("behaviour", True), ("structure", True), ("sufficiency", False), ("generalisation", True)]):
        verdict = "supported" if met else "inconclusive"
        e = expectation(0.4 + i / 3, 0.2 + i / 3 if met else -0.2, 0.7 + i / 2, verdict=verdict)
        result.append(
            claim(
                f"ioi/{kind}", kind=kind, statement=f"A claim of {kind} about indirect objects", verdict=verdict, met=met, expectations=[e]
            )
        )
    below = expectation(3.1, 2.2, 4.05, label="ablated difference below 0", kind="below", verdict="refuted")
    flip = "Ablating S-inhibition makes IOI prefer the subject"
    why = "ablated difference below 0: 3.10 logits, 95% interval [2.20, 4.05], is wholly above 0"
    unmeasured = {"expectations": [], "circuit": None, "prompts": None}
    same = expectation(0.004, -0.012, 0.021, kind="equivalent", margin=0.05, label="change of agreement accuracy", unit="")
    result += [
        claim("ioi/flip[zero]", statement=flip, params={"method": "zero"}, verdict="refuted", met=False, reason=why,
              expectations=[below]),
        claim("ioi/flip[mean]", statement=flip, params={"method": "mean"}, expect="refuted", verdict="refuted", met=True,
              reason="refuted, as the claim expects", expectations=[below], decoys=_decoys(draw, 3, 1, below["label"]), model=twin),
        claim("ioi/flip[patch]", statement="Patching never flips the answer", params={"method": "patch"}, expect="refuted",
              verdict="supported", met=False, reason="supported, but expected refuted", model=twin),
        claim("ind/vacuous", task="induction", kind="specificity", statement="Induction heads attend to something",
              verdict="vacuous", met=False, reason="3 of 8 decoys satisfy the claim too", decoys=_decoys(draw, 8, 3, label), model=twin),
        claim("ind/nothing", task="induction", kind="necessity", statement="Ablating them takes away half of the preference",
              verdict="not_applicable", met=False, reason="there is something to lose: refuted; share lost: undefined", model=twin,
              expectations=[
                  expectation(-0.2, -0.5, 0.1, label="there is something to lose", role="precondition", verdict="refuted"),
                  expectation(label="share lost", unit="share", verdict="undefined", estimate=estimate(None, None, None)),
              ], deciding=0),
        claim("ind/errored", task="induction", statement="The QK circuit matches", verdict="errored", met=False, model=twin,
              reason="ValueError: unknown head 12.3 (the model has layers 0-1)\n  in capture()", **unmeasured),
        claim("neg/skipped", task="negation", kind="structure", statement="Negation is attended to", verdict="skipped", met=None,
              reason="no circuit is recorded for negation on names-gpt2-s0", model=None, **unmeasured),
        claim("ind/equivalent", task="induction", kind="specificity", statement="Unrelated tasks are left alone",
              model=model("gpt2"), expectations=[same]),
        hostile_claim(),
    ]  # fmt: skip
    return result
