"""Which models of the hub a selection of claims needs, told by collecting it."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.models.names import directory_of, model_name, place_of
from mechcheck.plugin.cases import claim_spec
from mechcheck.plugin.settings import SETTINGS


class _Collected:
    """The claims that pytest would run."""

    def __init__(self) -> None:
        self.items: list[pytest.Item] = []

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self.items = session.items


def hub_models(arguments: Sequence[str]) -> list[str]:
    """Names of models that are neither embedded nor directories, of the claims that these arguments of pytest select.

    They are those the claims run on, their partners, and those that decoys and positive controls name; a skipped claim needs none.

    Raises:
        MechcheckError: pytest could not collect the claims, or there are none.
    """
    from mechcheck.models.names import embedded_models

    collected = _Collected()
    status = pytest.main([*arguments, "--collect-only", "-qq", "--disable-warnings", "-p", "no:cacheprovider"], plugins=[collected])
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED):
        raise MechcheckError(f"the claims cannot be collected (pytest ended with {int(status)})")
    claims = [item for item in collected.items if claim_spec(item) is not None]
    if not claims:
        raise MechcheckError(f"no claims are selected by {' '.join(arguments)}")
    named = dict.fromkeys(name for item in claims for name in _models_of(item))
    return [name for name in named if name not in embedded_models() and directory_of(name) is None]


def _models_of(item: pytest.Item) -> Iterator[str]:
    if item.get_closest_marker("skip") is not None:
        return
    spec = claim_spec(item)
    assert spec is not None
    callspec: Any = getattr(item, "callspec", None)
    own = callspec.params.get("model") if callspec else None
    named = [own]
    if isinstance(own, str) and (about := spec.about(model_name(own))) in spec.partners:
        named.append(place_of(spec.partners[str(about)], item.config.stash[SETTINGS].models))
    contrasts = [changes for changes in (*spec.decoys, spec.positive_control) if not isinstance(changes, str | None)]
    named += [changes.get("model") for changes in contrasts]
    yield from (str(name) for name in named if isinstance(name, str))
