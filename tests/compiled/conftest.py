"""Compiled models for the tests: built in a folder of their own, kept for the session."""

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from mechcheck import load_model, task_prompts
from mechcheck.base.cache import CACHE_VARIABLE
from mechcheck.compiled import known_circuit, task_of


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests see what the sources at hand build, and leave the user's cache alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def compiled() -> Callable:
    """compiled(name, n=72, split="verify"): model, prompts of its task, and its circuit."""

    @cache
    def load(name: str, n: int = 72, split: str = "verify"):
        model = load_model(name)
        return model, task_prompts(task_of(name), model, n=n, seed=0, split=split), known_circuit(name)

    return load
