"""What a page shows of single prompts, as plain data: of each check the values, what they were made of, and what decoys gave."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.samples.texts import joined, read_texts
from mechcheck.evidence.samples.values import Sample, effects, read_values
from mechcheck.evidence.store import SAMPLES, slug

Json = dict[str, Any]


def prompts_of(evidence: Json, folder: Path) -> Json:
    """Every prompt of every claim, as far as it is kept beside the evidence; what cannot be read is told, claim by claim.

    Args:
        evidence: of a run, as it was let in.
        folder: where it lies.

    Returns:
        `folder`; `claims`: id -> `file`, seen from the folder, `texts` (a key of the following, or None), `checks`, and `problems`;
        `texts`: the sets of prompts, by their hashes.
    """
    named = evidence["run"].get("samples", SAMPLES)
    texts: dict[str, Json | str] = {}
    claims = {}
    for claim in evidence["claims"]:
        if claim["expectations"]:
            claims[claim["id"]] = _claim(claim, folder, f"{named}/{slug(claim['id'])}.npz", texts)
    return {"folder": folder, "claims": claims, "texts": {key: one for key, one in texts.items() if not isinstance(one, str)}}


def _claim(claim: Json, folder: Path, file: str, texts: dict[str, Json | str]) -> Json:
    key, problems = " ".join(claim.get("texts", [])), []
    if key and key not in texts:
        try:
            texts[key] = joined([read_texts(folder / os.path.dirname(file), digest) for digest in claim["texts"]])._asdict()
        except MechcheckError as error:
            texts[key] = str(error)
    known = texts.get(key)
    if isinstance(known, str):
        problems.append(known)
    try:
        checks = [_check(sample) for sample in read_values(folder / file, claim["expectations"])]
    except MechcheckError as error:
        checks = []
        problems.append(str(error).replace(str(folder / file), file))  # wherever the folder may be
    return {"file": file, "texts": key if isinstance(known, dict) else None, "checks": checks, "problems": problems}


def _check(sample: Sample) -> Json:
    measured = sample.measured
    operands = [{**one._asdict(), "values": one.values.tolist()} for one in measured.operands]
    if measured.denominator is not None and not operands:
        parts = (("above the line", measured.values, 1), ("below the line", measured.denominator, 0))
        operands = [{"name": name, "unit": "", "values": values.tolist(), "sign": sign} for name, values, sign in parts]
    decoys = [*sample.decoys.values()]
    return {
        "ids": list(measured.ids),
        "templates": list(measured.templates),
        "name": measured.name,
        "values": effects(measured).tolist(),
        "ratio": measured.denominator is not None,
        "operands": operands,
        "decoys": {"n": len(decoys), "values": np.mean(decoys, axis=0).tolist()} if decoys else None,
    }
