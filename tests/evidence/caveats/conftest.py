"""Prompts, and what the caveats of runs on a tiny model are about."""

import pytest
from test_used import ROWS, named

from mechcheck.engine.run import sweep_metrics
from mechcheck.evidence.used import Used
from mechcheck.notation.metrics import logit_diff


@pytest.fixture
def prompts():
    """Prompts with a counterfactual that is as long."""
    return named(ROWS, counterfactual=named([[1, 20, 6, 7, 8], [1, 21, 6, 7, 8], [1, 22, 10, 7, 8, 9]]))


@pytest.fixture
def about(tiny):
    """about((prompts, changes, *metrics), ...): what the caveats of such runs are about; this model's probabilities are near 0 anyway,
    and three prompts are few."""

    def of(*runs):
        seen = Used()
        with seen.watching():
            for prompts, changes, *metrics in runs:
                sweep_metrics(tiny("gpt2"), prompts, [changes], metrics or [logit_diff])
        return [one["about"] for one in seen.record()["caveats"] if one["about"] not in ("saturated_metric", "few_references")]

    return of
