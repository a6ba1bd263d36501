"""Claims of a baseline that a run has no record of: missing where the run asked for them, else not judged, and the reason said."""

from mechcheck.evidence.runs import Json, RunRecord


def missing_claims(before: RunRecord, after: RunRecord) -> tuple[list[Json], Json | None]:
    """The claims that the new run asked for and did not measure; and how many more are not there, and why they are not missing.

    Args:
        before: the baseline.
        after: a run. Its `selection` says what it asked for: paths, models (all where none is named), and what narrowed it.

    Returns:
        The baseline's records of the missing claims, and `not_judged` as the evidence schema has it: {n, why}, or None.
    """
    gone = [claim for name, claim in before.claims.items() if name not in after.claims and claim["verdict"] != "skipped"]
    selection = after.run.get("selection")
    missing: list[Json] = []
    if not after.run["complete"]:
        why = "the run was interrupted"
    elif selection is None:
        why = "the run does not say which claims it asked for"
    elif selection["narrowed"]:
        why = f"only a part of the claims was run ({selection['narrowed']})"
    else:
        missing = [claim for claim in gone if _asked_for(selection, claim)]
        why = "they lie outside of the paths and models of this run"
    left = len(gone) - len(missing)
    return missing, {"n": left, "why": why} if left else None


def _asked_for(selection: Json, claim: Json) -> bool:
    if selection["models"] and claim["model"] and claim["model"]["name"] not in selection["models"]:
        return False
    return any(_lies_in(claim["nodeid"], path) for path in selection["paths"])


def _lies_in(nodeid: str, path: str) -> bool:
    if path in (".", ""):
        return not nodeid.startswith("../")
    return nodeid == path or any(nodeid.startswith(path + mark) for mark in ("/", "::", "["))
