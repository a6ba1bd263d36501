"""Claims without pytest: made-up values, a case, and a body that is run again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mechcheck.stats.measurement import Measurement
from mechcheck.verdicts.case import Case, Conditions
from mechcheck.verdicts.claim import ClaimSpec
from mechcheck.verdicts.guard import Guard
from mechcheck.verdicts.trial import Trial


@pytest.fixture
def around() -> Callable[[float], Measurement]:
    """around(mean): 24 prompts of 8 templates."""
    prompts = range(24)
    ids, templates = tuple(f"p{i}" for i in prompts), tuple(f"t{i % 8}" for i in prompts)
    return lambda mean: Measurement(mean + np.linspace(-0.5, 0.5, 24)[::-1], ids, templates, "effect", "logits")


@pytest.fixture
def case(tmp_path: Path) -> Callable[..., Case]:
    """case(spec's fields): a claim under small conditions; `params` and `decoys_wanted` are the case's."""

    def make(params: dict[str, Any] | None = None, decoys_wanted: int = 2, **spec: Any) -> Case:
        conditions = Conditions((), "cpu", ("float32",), 0, "smoke", 96, decoys_wanted, 1)
        return Case("it", ClaimSpec("it is so", **spec), conditions, tmp_path, params=params or {})

    return make


@pytest.fixture
def trial(case: Callable[..., Case]) -> Callable[..., Trial]:
    """trial(body, arguments, the case's options): as the plugin would have it after the claim's own run."""

    def make(body: Callable, arguments: dict[str, Any], prompts_for: Any = None, **options: Any) -> Trial:
        own = case(**options)
        return Trial(own, body, {"check": own.check(), **arguments}, Guard(), prompts_for)

    return make
