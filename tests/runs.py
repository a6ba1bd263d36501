"""Runs on disk, for tests of what reads them: claims about given values, with evidence and samples as the plugin leaves them."""

import math
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np

from mechcheck.evidence.store import SCHEMA, schema, slug, write_json
from mechcheck.stats.estimates import Confidence, estimate_mean
from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.verdict import decide

VALIDATOR = jsonschema.Draft202012Validator(schema())

N, TEMPLATES = 48, 12
RUN = {
    "schema": SCHEMA, "complete": True, "created": "2026-01-01T00:00:00+00:00", "commit": "c" * 40, "dirty": False, "seed": 0,
    "profile": "ci", "confidence": 0.975, "versions": {"python": "3.11.2", "torch": "2.13.0"}, "device": "cpu",
    "argv": ["pytest", "claims"], "sentinels": [], "selection": {"paths": ["claims"], "models": [], "narrowed": None}, "baseline": None,
}  # fmt: skip
MODEL = {
    "name": "m", "revision": None, "weights_sha256": "a" * 64, "processing": "folded", "dtype": "float32", "device": "cpu", "n_params": 9,
}  # fmt: skip


def values(mean: float = 2.0, *, spread: float = 0.5, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """The same prompts' values in every run, moved to this mean; `noise` is what a run adds to each prompt."""
    common = np.linspace(-spread, spread, N)[np.random.default_rng(0).permutation(N)]
    return mean + common + noise * np.random.default_rng(seed + 1).normal(size=N)


def measurement(found: np.ndarray, first: int = 0) -> Measurement:
    """Values of prompts p<first>, p<first + 1>, ..., in templates by turns."""
    n = range(first, first + len(found))
    return Measurement(found, tuple(f"p{i}" for i in n), tuple(f"t{i % TEMPLATES}" for i in n), "effect", "logits")


OLD = measurement(values())
MOVED = measurement(values(1.7, noise=0.05))
"""By three times the margin."""
NOISY = measurement(values(2.0, noise=0.05))
"""By less than the margin."""


def claim(name: str, *measured: Measurement, threshold: float = 0.0, **changes: Any) -> dict[str, Any]:
    """A claim that each mean is above the threshold, and under "measured" what it was decided on."""
    expectations = []
    for i, m in enumerate(measured):
        estimate = estimate_mean(m, Confidence()).estimate
        expectations.append(
            {
                "label": f"effect {i} > {threshold:g}",
                "kind": "above",
                "role": "claim",
                "threshold": threshold,
                "region": [threshold, None],
                "margin": None,
                "unit": "logits",
                "estimate": vars(estimate),
                "p": None,
                "p_refuted": None,
                "p_adjusted": None,
                "control": None,
                "specificity": [],
                "by_template": {},
                "verdict": decide(estimate, (threshold, math.inf)),
            }
        )
    verdict = expectations[0]["verdict"] if expectations else "errored"
    sha = sha256(str([m.ids for m in measured]).encode()).hexdigest()
    base = {
        "id": name, "statement": f"{name} is so", "source": None, "task": "t", "kind": None, "nodeid": f"claims/test_{name[0]}.py::test_it",
        "params": {}, "expect": "supported", "verdict": verdict, "met": verdict == "supported", "reason": "", "command": "pytest",
        "model": MODEL, "circuit": {"source": "here", "roles": {"mover": "0.1"}, "criteria": {"met": None, "unmet": {}}},
        "prompts": {"ids_sha256": sha, "n": N, "templates": TEMPLATES, "examples": []},
        "expectations": expectations, "deciding": 0 if expectations else None, "p_adjusted": None, "decoys": None, "counterexamples": [],
        "figures": [], "drift": None, "duration_s": 0.1,
    }  # fmt: skip
    return base | changes | {"measured": measured}


def write_run(folder: Path, *claims: Mapping[str, Any], **run: Any) -> Path:
    """evidence.json and samples/ in the folder; returns the evidence's path."""
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    records = []
    for found in claims:
        records.append({key: value for key, value in found.items() if key != "measured"})
        arrays = {}
        for i, m in enumerate(found["measured"]):
            arrays |= {f"values_{i}": m.values, f"ids_{i}": np.array(m.ids), f"templates_{i}": np.array(m.templates)}
        if arrays:
            np.savez_compressed(folder / "samples" / f"{slug(found['id'])}.npz", **arrays)
    evidence = {"run": RUN | run, "claims": records}
    VALIDATOR.validate(evidence)
    write_json(folder / "evidence.json", evidence)
    return folder / "evidence.json"
