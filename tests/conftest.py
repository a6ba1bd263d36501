"""Fixtures of the engine's tests: tiny random models, loaded as any user's model is."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest
from tiny import LAYOUTS, MORE_LAYOUTS, save_model
from warm import Shell

from mechcheck.models.loading import forget_models, load_model


@pytest.fixture(scope="session")
def model_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Layout -> Hugging Face directory of a tiny random model with a word-level tokenizer."""
    root = tmp_path_factory.mktemp("models")
    layouts = (*LAYOUTS, *MORE_LAYOUTS)
    for layout in layouts:
        save_model(layout, root / layout)
    return {layout: root / layout for layout in layouts}


@pytest.fixture(scope="session")
def tiny(model_dirs: dict[str, Path]) -> Callable:
    """tiny(layout, dtype="float64", processing="folded"): a tiny model, kept for the session."""

    @cache
    def load(layout: str, dtype: str = "float64", processing: str = "folded"):
        return load_model(model_dirs[layout], dtype=dtype, processing=processing)

    return load


@pytest.fixture(scope="session")
def hugging_face(model_dirs: dict[str, Path]) -> Callable:
    """hugging_face(layout): the same model in float64 without TransformerLens, kept for the session."""
    import torch
    from transformers import AutoModelForCausalLM

    @cache
    def load(layout: str):
        return AutoModelForCausalLM.from_pretrained(model_dirs[layout], dtype=torch.float64, attn_implementation="eager").eval()

    return load


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    """Each layout in turn."""
    return request.param


@pytest.fixture
def own_model(model_dirs):
    """A model that a test may change."""
    forget_models()
    yield load_model(model_dirs["gpt2"], dtype="float64")
    forget_models()


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A user's shell without a network, in which commands need not wait for imports."""
    running = Shell(
        tmp_path_factory.mktemp("shell"), HF_HUB_OFFLINE="1",
        PYTEST_ADDOPTS="-p no:randomly -p no:cacheprovider",
    )  # fmt: skip
    yield running
    running.close()


@pytest.fixture
def warm(shell: Shell) -> Iterator[None]:
    """What a test starts with `sys.executable` begins with its imports behind it, in a process of its own all the same."""
    with shell.for_python():
        yield
