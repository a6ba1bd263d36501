"""Whether a model fits into memory is told from its files, before it is loaded."""

from types import SimpleNamespace

import pytest
from safetensors.torch import load

from mechcheck.base.errors import ModelError
from mechcheck.base.paths import data_dir
from mechcheck.cli import main
from mechcheck.models import loading, room
from mechcheck.models.room import KEPT, WHILE_LOADED, check_room

NAME = "names-gpt2-seed4"


@pytest.fixture
def free(monkeypatch):
    """Leave so many bytes free."""
    return lambda size: monkeypatch.setattr(room.psutil, "virtual_memory", lambda: SimpleNamespace(available=size))


@pytest.fixture
def weights() -> int:
    """Bytes of the model's weights in float32."""
    stored = load((data_dir("fixtures") / "models" / NAME / "model.safetensors").read_bytes())
    return 4 * sum(one.numel() for one in stored.values())


def test_what_is_needed_is_compared_with_what_is_free(free, weights):
    free(int(WHILE_LOADED * weights * 1.05))
    assert check_room(NAME) is None
    free(int(WHILE_LOADED * weights * 0.9))
    assert "while it is loaded it takes about" in check_room(NAME)
    free(int(KEPT * weights * 0.9))
    with pytest.raises(ModelError, match=rf"{NAME} has weights of .* in float32 and takes .* or more; this machine has .* free: choose"):
        check_room(NAME)
    # What is no model is for loading to say.
    assert check_room("./no/such/model") is None


def test_the_explorer_says_it_before_it_loads(free, monkeypatch, capsys):
    def never(*_, **__):
        raise AssertionError("it was loaded")

    monkeypatch.setattr(loading, "load_model", never)
    free(1000)
    assert main(["explore", NAME]) == 2
    assert "choose a smaller model" in capsys.readouterr().err
