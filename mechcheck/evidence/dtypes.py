"""One claim in several dtypes: whether it is decided alike."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

DTYPE_NAMES = ("float32", "float64", "bfloat16", "float16")


def tagged(name: str, dtype: str) -> str:
    """How a model is called in test ids when a run takes several dtypes."""
    return f"{name}:{dtype}"


def untagged(text: str) -> str:
    """Ids without the dtypes in them."""
    for dtype in DTYPE_NAMES:
        text = text.replace(f":{dtype}", "")
    return text


def mark_dtypes(claims: Sequence[dict[str, Any]]) -> None:
    """Give each claim that was run in several dtypes its verdicts in all of them, as `by_dtype`."""
    groups: dict[str, dict[str, dict[str, Any]]] = defaultdict(dict)
    for claim in claims:
        if claim["id"] != untagged(claim["id"]) and claim["model"] is not None:
            groups[untagged(claim["id"])][claim["model"]["dtype"]] = claim
    for found in groups.values():
        verdicts = {dtype: claim["verdict"] for dtype, claim in found.items()}
        for claim in found.values():
            claim["by_dtype"] = verdicts


def decided_differently(claims: Sequence[dict[str, Any]]) -> dict[str, dict[str, str]]:
    """Claim's id without dtype -> dtype -> verdict, for the claims whose verdict depends on the dtype."""
    marked = {untagged(claim["id"]): claim["by_dtype"] for claim in claims if claim.get("by_dtype")}
    return {name: verdicts for name, verdicts in marked.items() if len(set(verdicts.values())) > 1}
