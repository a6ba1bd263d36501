"""The value of every prompt behind every check of a claim: what it was decided on, what that was made of, and what its decoys gave."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.base.outgoing import outgoing
from mechcheck.evidence.samples.arrays import packed_arrays, read_arrays
from mechcheck.stats.measurement import Measurement
from mechcheck.stats.operands import Operand

if TYPE_CHECKING:
    from mechcheck.verdicts.contrast import Beside

Json = dict[str, Any]


class Sample(NamedTuple):
    """Behind one check."""

    measured: Measurement
    decoys: Mapping[str, Float[np.ndarray, " prompt"]]
    """Label -> what a decoy, or a positive control, gave on the same prompts, as `effects` has it."""


def packed_values(samples: Sequence[Measurement], beside: "Sequence[Beside]" = ()) -> bytes:
    """As a file. What a measurement was made of, and decoys' values, have the precision of the models: float32.

    Args:
        samples: a measurement for each check.
        beside: for each check, what its decoys gave; none where nothing was run beside the claim.
    """
    arrays: dict[str, Any] = {}
    for i, measured in enumerate(samples):
        arrays |= {
            f"values_{i}": measured.values, f"ids_{i}": _texts(measured.ids), f"templates_{i}": _texts(measured.templates),
            f"measured_{i}": _texts((measured.name,)),
        }  # fmt: skip
        if measured.denominator is not None:
            arrays[f"denominator_{i}"] = measured.denominator
        if measured.operands:
            names, units, values, signs = zip(*measured.operands, strict=True)
            arrays |= {f"operands_{i}": _table(values), f"operand_names_{i}": _texts(names), f"operand_units_{i}": _texts(units)}
            arrays[f"operand_signs_{i}"] = np.array(signs)
        if i < len(beside) and (decoys := _alike(measured, beside[i])):
            arrays |= {f"decoys_{i}": _table(decoys.values()), f"decoy_labels_{i}": _texts(tuple(decoys))}
    return packed_arrays(arrays)


def _alike(measured: Measurement, beside: "Beside") -> dict[str, Float[np.ndarray, " prompt"]]:
    """What was measured on the same prompts."""
    same = {label: effects(other) for label, other in beside.items() if other.ids == measured.ids}
    return {label: values for label, values in same.items() if not np.isnan(values).all()}


def effects(measured: Measurement) -> Float[np.ndarray, " prompt"]:
    """The value of each prompt; of a ratio of means, which has none for a single one, what each adds to it, to first order.

    Their mean is what was measured. NaN where a ratio is of nothing.
    """
    try:
        return measured.values if measured.denominator is None else measured.linearised().values
    except MechcheckError:
        return np.full(len(measured), np.nan)


def _texts(texts: Sequence[str]) -> np.ndarray:
    return np.array(outgoing(list(texts)), dtype=np.str_)


def _table(rows: Any) -> Float[np.ndarray, "row prompt"]:
    with np.errstate(over="ignore"):  # what no float32 is becomes infinite
        return np.array([*rows], dtype=np.float32)


def read_values(path: Path, expectations: Sequence[Json]) -> list[Sample]:
    """What `packed_values` wrote for a claim's checks, in their order.

    Raises:
        MechcheckError: it is not there, not readable, or not what the evidence was made from.
    """
    try:
        stored = read_arrays(path)
        found = [_sample(stored, i) for i in range(len(expectations))]
    except FileNotFoundError:
        raise MechcheckError(f"its samples are not beside the evidence (no {path})") from None
    except Exception as error:  # as many kinds as files can be damaged in
        raise MechcheckError(f"its samples cannot be read ({path}: {type(error).__name__}: {error})") from error
    for sample, expectation in zip(found, expectations, strict=True):
        if differs := _difference(sample.measured, expectation):
            raise MechcheckError(
                f"its samples are of another run than the evidence: {expectation['label']} was estimated as {differs} ({path})"
            )
    return found


def _difference(measured: Measurement, expectation: Json) -> str:
    """What the evidence says, and what the samples do, where that is not the same."""
    estimate, by_template = expectation["estimate"], expectation["by_template"]
    if estimate["value"] is not None and not _alike_as_float(measured.mean, estimate["value"]):
        return f"{estimate['value']:.6g}, the samples' mean is {measured.mean:.6g}"
    # Other prompts may have the same mean, as those of yes and no often do, but hardly in each template.
    whole = sum(one["n"] for one in by_template.values()) == estimate["n"]  # else names were shortened until two were the same
    for template, (mean, n) in measured.by_template.items():
        told = by_template.get(template)
        if told and (whole if told["n"] != n else not _alike_as_float(mean, told["value"])):
            return f"{told['value']:.6g} on {told['n']} prompts of {template}, the samples' mean is {mean:.6g} on {n}"
    return ""


def _alike_as_float(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)


def _sample(stored: Mapping[str, np.ndarray], i: int) -> Sample:
    ids, templates = (tuple(stored[f"{name}_{i}"].tolist()) for name in ("ids", "templates"))
    named = stored.get(f"measured_{i}")
    measured = Measurement(
        stored[f"values_{i}"], ids, templates,
        name="" if named is None else outgoing(str(named[0])),
        denominator=_as_many(stored.get(f"denominator_{i}"), len(ids)),
        operands=_operands(stored, i),
    )  # fmt: skip
    labels = stored.get(f"decoy_labels_{i}", np.array([]))
    rows = stored.get(f"decoys_{i}", np.empty((0, len(ids))))
    return Sample(measured, dict(zip(map(outgoing, labels.tolist()), _as_many(rows, len(ids)), strict=True)))


def _operands(stored: Mapping[str, np.ndarray], i: int) -> tuple[Operand, ...]:
    if f"operands_{i}" not in stored:
        return ()
    names, units, signs = (stored[f"operand_{what}_{i}"].tolist() for what in ("names", "units", "signs"))
    rows = zip(names, units, stored[f"operands_{i}"], signs, strict=True)
    return tuple(Operand(outgoing(name), outgoing(unit), values, sign) for name, unit, values, sign in rows)


def _as_many(array: Any, n: int) -> Any:
    """The array, once it is known to be of so many prompts."""
    if array is not None and array.shape[-1] != n:
        raise ValueError(f"{array.shape[-1]} values for {n} prompts")
    return array
