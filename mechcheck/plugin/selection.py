"""Which models each claim runs on."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mechcheck.evidence.dtypes import tagged
from mechcheck.plugin.settings import SETTINGS, Settings
from mechcheck.verdicts.claim import MARK, ClaimSpec

if TYPE_CHECKING:
    from collections.abc import Sequence


class ModelChoice(str):
    """A model as it was asked for, and the dtype it is to be in."""

    dtype: str

    def __new__(cls, name: str, dtype: str) -> "ModelChoice":
        made = super().__new__(cls, name)
        made.dtype = dtype
        return made


def claim_spec(item: pytest.Item) -> ClaimSpec | None:
    """What the item's `@claim` says; None for an ordinary test."""
    mark = item.get_closest_marker(MARK)
    return _spec_of(mark) if mark else None


def _spec_of(mark: pytest.Mark) -> ClaimSpec:
    if len(mark.args) == 1 and isinstance(mark.args[0], ClaimSpec):
        return mark.args[0]
    raise pytest.UsageError("use the decorator `@mechcheck.claim(...)`, not `@pytest.mark.claim`")


def claim_id(item: pytest.Item, spec: ClaimSpec) -> str:
    """The claim's own id, which does not change when its file moves: task/name[parameters]."""
    name = spec.id or "/".join(part for part in (spec.task, getattr(item, "originalname", None) or item.name) if part)
    callspec = getattr(item, "callspec", None)
    return f"{name}[{callspec.id}]" if callspec else name


def model_name(name_or_path: str) -> str:
    """How a model is called in ids and circuit files."""
    path = Path(name_or_path).expanduser()
    return path.resolve().name if path.is_dir() else name_or_path.partition("@")[0]


def place_of(name: str, given: "Sequence[str]") -> str:
    """Where a model comes from: the one of --mech-model that is called so, or as the last part of the hub id; else its own name."""
    return next((one for one in given if model_name(one) in (name, name.rpartition("/")[2])), name)


def default_models(spec: ClaimSpec, near: Path, given: Path | None) -> tuple[str, ...]:
    """The embedded models that a claim runs on when none is asked for: those that have a circuit for its task."""
    from mechcheck.circuits.files import models_with_circuit
    from mechcheck.models.loading import embedded_models

    known = embedded_models()
    if spec.task is not None:
        known = tuple(name for name in known if name in models_with_circuit(spec.task, near, given))
    elif not spec.models:
        known = known[:1]
    return tuple(name for name in known if not spec.models or name in spec.models)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each claim that uses `model` once per model; a model it cannot run on is a skipped test with the reason."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None or "model" not in metafunc.fixturenames:
        return
    settings = metafunc.config.stash[SETTINGS]
    here = _Place(_spec_of(mark), "circuit" in metafunc.fixturenames, metafunc.definition.path.parent, settings.circuits)
    names = settings.models or default_models(here.spec, here.near, here.given)
    params = [_param(name, _why_not(here, model_name(name)), settings, dtype) for name in names for dtype in settings.dtypes]
    metafunc.parametrize("model", params or [_no_model(here)], indirect=True)


class _Place(NamedTuple):
    """A claim, and where its circuits are looked for."""

    spec: ClaimSpec
    uses_circuit: bool
    near: Path
    given: Path | None


def _why_not(here: _Place, name: str) -> str | None:
    """Why a claim cannot run on a model, or None. Only a claim that uses the circuit needs one."""
    from mechcheck.circuits.files import circuit_path

    spec = here.spec
    if spec.models and spec.about(name) is None:
        return f"this claim is about {', '.join(spec.models)}"
    if here.uses_circuit and spec.task is not None and circuit_path(spec.task, name, here.near, here.given) is None:
        how = how_to_find(spec.task, here.near, name, here.given)
        return f"no circuit is recorded for {name} and task {spec.task!r}{_recorded(here)}{how}"
    return None


def how_to_find(task: str | None, near: Path, name: str, given: Path | None) -> str:
    """The commands that find a circuit for the model, where there is a search for the claims of this folder, or for their task."""
    from mechcheck.base.paths import data_dir
    from mechcheck.circuits.discover_scripts import searches

    shipped, folder = data_dir("claims"), given or "circuits"
    own = near.relative_to(shipped).as_posix() if near.is_relative_to(shipped) else None
    search = next((known for known in (own, task) if known in searches()), None)
    if search is None:
        return ""
    return f"; to find one: mechcheck discover {search} {name} --out {folder}, then pytest --mech-circuits {folder}"


def _no_model(here: _Place) -> "pytest.ParameterSet":
    spec = here.spec
    about = f" (it is about {', '.join(spec.models)})" if spec.models else ""
    recorded = _recorded(here) if spec.task else ""
    return pytest.param(
        "no-model",
        id="no-model",
        marks=pytest.mark.skip(reason=f"no embedded model fits this claim{about}{recorded}; choose one with --mech-model"),
    )


def _recorded(here: _Place) -> str:
    from mechcheck.circuits.files import models_with_circuit

    assert here.spec.task is not None
    names: Sequence[str] = models_with_circuit(here.spec.task, here.near, here.given)
    return f" (recorded for: {', '.join(names)})" if names else ""


def _param(name: str, why_not: str | None, settings: Settings, dtype: str) -> "pytest.ParameterSet":
    marks = [pytest.mark.skip(reason=why_not)] if why_not else []
    shown = model_name(name) if len(settings.dtypes) == 1 else tagged(model_name(name), dtype)
    return pytest.param(ModelChoice(name, dtype), id=shown, marks=marks)
