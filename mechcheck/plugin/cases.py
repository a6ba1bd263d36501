"""From a pytest item to the case that it stands for."""

import shlex
from collections.abc import Mapping
from typing import Any

import pytest

from mechcheck.models.names import model_name
from mechcheck.plugin.settings import SETTINGS, Settings
from mechcheck.verdicts.case import Case
from mechcheck.verdicts.claim import MARK, ClaimSpec

_CASE = pytest.StashKey[Case | None]()


def case_of(item: pytest.Item) -> Case | None:
    """What the item is to measure; None for an ordinary test."""
    if _CASE not in item.stash:
        item.stash[_CASE] = _case(item)
    return item.stash[_CASE]


def first_values(item: pytest.Item) -> Mapping[str, Any]:
    """Axis -> its value in the first cell of the claim's grid, which its fixtures put it into; none without a grid."""
    spec = claim_spec(item)
    return {} if spec is None or spec.over is None else spec.over.cells[0].values


def claim_spec(item: pytest.Item) -> ClaimSpec | None:
    """What the item's `@claim` says; None for an ordinary test."""
    mark = item.get_closest_marker(MARK)
    return spec_of(mark) if mark else None


def spec_of(mark: pytest.Mark) -> ClaimSpec:
    """What `@claim` left in its mark."""
    if len(mark.args) == 1 and isinstance(mark.args[0], ClaimSpec):
        return mark.args[0]
    raise pytest.UsageError("use the decorator `@mechcheck.claim(...)`, not `@pytest.mark.claim`")


def claim_id(item: pytest.Item, spec: ClaimSpec) -> str:
    """The claim's own id, which does not change when its file moves: task/name[parameters]."""
    name = spec.id or "/".join(part for part in (spec.task, getattr(item, "originalname", None) or item.name) if part)
    callspec = getattr(item, "callspec", None)
    return f"{name}[{callspec.id}]" if callspec else name


def _case(item: pytest.Item) -> Case | None:
    spec = claim_spec(item)
    if spec is None:
        return None
    settings, callspec = item.config.stash[SETTINGS], getattr(item, "callspec", None)
    params = dict(callspec.params) if callspec else {}
    model = params.pop("model", None)
    return Case(
        id=claim_id(item, spec),
        spec=spec,
        conditions=settings,
        near=item.path.parent,
        model=model_name(model) if isinstance(model, str) else None,
        params=params,
        nodeid=item.nodeid,
        line=None if item.location[1] is None else item.location[1] + 1,
        command=_command(item.nodeid, settings),
    )


def _command(nodeid: str, settings: Settings) -> str:
    words = ["pytest", nodeid, f"--mech-profile={settings.profile}", f"--mech-seed={settings.seed}"]
    words += [f"--mech-budget={settings.budget}"] if settings.budget is not None else []
    words += [f"--mech-strict={','.join(sorted(settings.strict))}"] if settings.strict else []
    words += [f"--mech-model={name}" for name in settings.models]
    if settings.circuits is not None:
        words.append(f"--mech-circuits={settings.circuits}")
    if settings.device != "cpu" or settings.dtypes != ("float32",):
        words += [f"--mech-device={settings.device}", f"--mech-dtype={','.join(settings.dtypes)}"]
    return shlex.join(words)
