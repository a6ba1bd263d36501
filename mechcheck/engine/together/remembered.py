"""What runs gave, remembered while a claim is run over a grid of methods: cells that differ in the metric alone run it once."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, is_dataclass

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import Metric
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

Values = Float[np.ndarray, "variant prompt"]
MOST = 20_000
"""Rows of values that are kept: a grid of a claim and its decoys has a few hundred."""


class _Unlike(Exception):
    """Something that cannot be told to be the same again."""


@dataclass
class _Runs:
    """Of one claim."""

    metrics: tuple[Metric, ...]
    """Which all are read whenever one of them is."""
    values: dict[Hashable, np.ndarray] = field(default_factory=dict)
    """Model, prompts, interventions and metric -> a value for each prompt."""
    held: list[object] = field(default_factory=list)
    """What is known by its identity, so that nothing else gets that."""


_current: _Runs | None = None


@contextmanager
def shared_runs(metrics: Sequence[object] = ()) -> Iterator[None]:
    """Within this context no run is repeated whose model, prompts, interventions and metric are known.

    A run that one of `metrics` reads is read by the others as well. Where one of them cannot read it, it is read by the one alone.
    Functions in place of a `Metric`, and interventions that hold tensors, may be others by the next time: they are run again.
    """
    global _current
    before, _current = _current, _Runs(tuple(metric for metric in metrics if isinstance(metric, Metric)))
    try:
        yield
    finally:
        _current = before


def measured(
    served: Callable[[], object | None] | None, prompts: PromptSet, variants: Sequence[Sequence[Intervention]],
    metrics: Sequence[Metric], given: Sequence[object],
    run: Callable[[list[Metric]], list[Values]],
) -> tuple[list[Values], bool]:  # fmt: skip
    """What `run(metrics)` gives, from memory where it is there; and whether nothing had to be run.

    Args:
        served: gives something that is another as soon as the model's weights are, or None where nobody knows of such a thing.
        prompts, variants, metrics: what is run, and read.
        given: the metrics as they were asked for: functions among them are not remembered.
        run: runs all variants and reads them by these metrics.
    """
    runs, asked = _current, list(metrics)
    model = None if runs is None or served is None else served()
    if runs is None or model is None or not all(isinstance(one, Metric) for one in given):
        return run(asked), False
    try:
        keys = [_key(list(variant)) for variant in variants]
    except _Unlike:
        return run(asked), False
    wanted = {metric: [(model, prompts, key, metric) for key in keys] for metric in metrics}
    if all(key in runs.values for row in wanted.values() for key in row):
        return [np.stack([runs.values[key] for key in wanted[metric]]) for metric in metrics], True
    if set(metrics) & set(runs.metrics):
        asked += [metric for metric in runs.metrics if metric not in metrics]
    try:
        found = run(asked)
    except MechcheckError:  # a metric that is not meant for these prompts
        if len(asked) == len(metrics):
            raise
        asked = list(metrics)
        found = run(asked)
    if len(runs.values) < MOST:
        runs.held += [model, prompts]
        for metric, values in zip(asked, found, strict=True):
            for key, row in zip(keys, values, strict=True):
                runs.values[model, prompts, key, metric] = row.copy()
    return found[: len(metrics)], False


def _key(value: object) -> Hashable:
    """What is the same where the value says the same."""
    if value is None or isinstance(value, str | int | float | bool | PromptSet | Site):
        return _hashable(value)
    if isinstance(value, Sites):
        return tuple(_hashable(site) for site in value)
    if isinstance(value, list | tuple):
        return tuple(map(_key, value))
    if is_dataclass(value) and type(value).__module__.startswith("mechcheck.notation."):
        return (type(value), *(_key(getattr(value, one.name)) for one in fields(value)))
    raise _Unlike


def _hashable(value: object) -> Hashable:
    try:
        hash(value)
    except TypeError:
        raise _Unlike from None
    return value
