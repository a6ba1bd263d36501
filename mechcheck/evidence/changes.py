"""What changed around the claims of two runs: weights, dtypes, circuits, prompts, controls, versions. Listed, and judged by nobody."""

from collections.abc import Iterable, Iterator
from typing import Any

from mechcheck.evidence.runs import Json

_PROVENANCE = ("name", "revision", "weights_sha256", "processing", "dtype", "device")
_RUN = ("commit", "dirty", "seed", "profile", "confidence", "device")


def changes_around_claim(earlier: Json, claim: Json) -> Iterator[Json]:
    """What the claim was measured on, or with, that is not as it was: {what, before, after}, as the evidence schema has them."""
    yield from _changes("expected verdict", earlier["expect"], claim["expect"])
    old, new = earlier["model"] or {}, claim["model"] or {}
    for key in _PROVENANCE:
        yield from _changes(key, old.get(key), new.get(key))
    old, new = (_others(side) for side in (earlier, claim))
    for name in sorted({*old, *new}):
        yield from _changes(f"weights_sha256 of {name}", old.get(name), new.get(name))
    old, new = ((side["circuit"] or {"roles": {}})["roles"] for side in (earlier, claim))
    for role in sorted({*old, *new}):
        yield from _changes(f"circuit: {role}", old.get(role), new.get(role))
    yield from _changes("prompts", *(_prompts(side["prompts"]) for side in (earlier, claim)))
    for a, b in zip(earlier["expectations"], claim["expectations"], strict=False):
        if a["control"] and b["control"]:
            yield from _changes(f"controls of {b['label']}", *("; ".join(side["control"]["labels"]) for side in (a, b)))
    old, new = ({found["expectation"]: found["example"] for found in side["counterexamples"]} for side in (earlier, claim))
    for label in sorted({*old, *new}):
        yield from _changes(f"counterexample of {label}", old.get(label), new.get(label))


def changes_around_run(earlier: Json, run: Json) -> Iterator[Json]:
    """What the whole run was made with that is not as it was: commit, seed, versions of packages."""
    for key in _RUN:
        yield from _changes(key, earlier[key], run[key])
    for package in sorted({*earlier["versions"], *run["versions"]}):
        yield from _changes(package, earlier["versions"].get(package), run["versions"].get(package))


def _others(claim: Json) -> Json:
    """The models that it ran besides its own."""
    return {f"{model['name']} in {model['dtype']}": model["weights_sha256"] for model in claim.get("models", ())}


def _prompts(prompts: Json | None) -> str | None:
    return None if prompts is None else f"{prompts['n']} prompts, sha256 {prompts['ids_sha256']}"


def _changes(what: str, before: Any, after: Any) -> Iterable[Json]:
    return [] if before == after else [{"what": what, "before": _text(before), "after": _text(after)}]


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
