"""Evaluation results as the Hugging Face Hub keeps them in a model's repository: `.eval_results/*.yaml`, a file for each model."""

from collections.abc import Sequence

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.deciding import deciding_check
from mechcheck.evidence.formats.told import Json, told
from mechcheck.evidence.grids.models import models_of

_TOLD = ("supported", "refuted", "inconclusive", "method_dependent")
"""Verdicts that rest on a number."""


def eval_results(evidence: Json, model: str | None, dataset: str, source: str | None = None) -> list[Json]:
    """One model's decided claims, each with the estimate that decided it, as `huggingface_hub.EvalResultEntry` writes them.

    What is claimed of several models at once is a result of none of them.

    Args:
        evidence: a run.
        model: which of its models; None where there is but one.
        dataset: the benchmark's dataset on the hub, which the format asks for; the claims' tests are the names of its tasks.
        source: an address of the evidence.

    Raises:
        MechcheckError: no such model, several and none named, or none of its claims was decided by a number.
    """
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    run, chosen = evidence["run"], _of_model(evidence["claims"], model)
    version = run["versions"].get("mechcheck", "of an unknown version")
    found = []
    for claim in chosen:
        check = deciding_check(claim)
        if check is None or check["estimate"]["value"] is None or claim["verdict"] not in _TOLD:
            continue
        notes = f"{claim['statement']} | {told(claim)} {check['unit']} | mechcheck {version}, profile {run['profile']}, seed {run['seed']}"
        entry = EvalResultEntry(
            dataset_id=dataset, task_id=_task(claim), value=check["estimate"]["value"], date=run["created"], source_url=source,
            source_name=None if source is None else "mechcheck evidence", notes=notes,
        )  # fmt: skip
        found.append(entry)
    if not found:
        raise MechcheckError("none of these claims was decided by a number, so there is no result to write")
    written: list[Json] = eval_result_entries_to_yaml(found)
    return written


def _task(claim: Json) -> str:
    """What a claim is called without its model, which the results of many models share."""
    parameters = "-".join(claim["params"].values())
    return claim["id"].partition("[")[0] + (f"[{parameters}]" if parameters else "")


def _of_model(claims: Sequence[Json], model: str | None) -> list[Json]:
    names = sorted({name for claim in claims if len(of := models_of(claim)) == 1 for name in of})
    if model is None and len(names) == 1:
        (model,) = names
    if model not in names:
        asked = "name one with --model" if model is None else f"{model!r} is none of them"
        raise MechcheckError(f"results belong to one model's repository; the models of this run: {', '.join(names) or 'none'}: {asked}")
    return [claim for claim in claims if models_of(claim) == [model]]
