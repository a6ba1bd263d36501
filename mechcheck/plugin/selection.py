"""Which models each claim runs on."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from mechcheck.evidence.dtypes import tagged
from mechcheck.models.names import model_name
from mechcheck.plugin.cases import spec_of
from mechcheck.plugin.settings import SETTINGS
from mechcheck.verdicts.claim import MARK, ClaimSpec
from mechcheck.verdicts.supplies import default_models, how_to_find

if TYPE_CHECKING:
    from collections.abc import Sequence


_OURS = "mechcheck.plugin.fixtures"


class ModelChoice(str):
    """A model as it was asked for, and the dtype it is to be in."""

    dtype: str

    def __new__(cls, name: str, dtype: str) -> "ModelChoice":
        made = super().__new__(cls, name)
        made.dtype = dtype
        return made


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each claim that uses `model` once per model; a model it cannot run on is a skipped test with the reason."""
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None or "model" not in metafunc.fixturenames or _is_own(metafunc, "model"):  # it alone says how often the claim runs
        return
    settings, over = metafunc.config.stash[SETTINGS], spec_of(mark).over
    if over is not None and "models" in over.axes:  # it names its models itself
        return
    dtypes = settings.dtypes[:1] if over is not None and "dtype" in over.axes else settings.dtypes
    recorded = "circuit" in metafunc.fixturenames and not _is_own(metafunc, "circuit_for")
    here = _Place(spec_of(mark), recorded, metafunc.definition.path.parent, settings.circuits)
    names = settings.models or default_models(here.spec, here.near, here.given)
    params = [_param(name, _why_not(here, model_name(name)), dtypes, dtype) for name in names for dtype in dtypes]
    metafunc.parametrize("model", params or [_no_model(here)], indirect=True)


def _is_own(metafunc: pytest.Metafunc, name: str) -> bool:
    """Whether a fixture of this name is the user's own, and not made from ours."""
    known = metafunc.definition._fixtureinfo.name2fixturedefs.get(name, ())
    return bool(known) and known[-1].func.__module__ != _OURS and name not in known[-1].argnames


class _Place(NamedTuple):
    """A claim, and where its circuits are looked for."""

    spec: ClaimSpec
    needs_record: bool
    """Whether it uses the circuit that is recorded, and not one of its own."""
    near: Path
    given: Path | None


def _why_not(here: _Place, name: str) -> str | None:
    """Why a claim cannot run on a model, or None. Only a claim that uses a recorded circuit needs one."""
    from mechcheck.circuits.recorded import circuit_path

    spec = here.spec
    if spec.models and spec.about(name) is None:
        return f"this claim is about {', '.join(spec.models)}"
    if here.needs_record and spec.task is not None and circuit_path(spec.task, name, here.near, here.given) is None:
        how = how_to_find(spec.task, here.near, name, here.given)
        return f"no circuit is recorded for {name} and task {spec.task!r}{_recorded(here)}{how}"
    return None


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
    from mechcheck.circuits.recorded import models_with_circuit

    assert here.spec.task is not None
    names: Sequence[str] = models_with_circuit(here.spec.task, here.near, here.given)
    return f" (recorded for: {', '.join(names)})" if names else ""


def _param(name: str, why_not: str | None, dtypes: "Sequence[str]", dtype: str) -> "pytest.ParameterSet":
    marks = [pytest.mark.skip(reason=why_not)] if why_not else []
    shown = model_name(name) if len(dtypes) == 1 else tagged(model_name(name), dtype)
    return pytest.param(ModelChoice(name, dtype), id=shown, marks=marks)
