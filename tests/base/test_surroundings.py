"""Random numbers start from a seed, and what a process has is as it was afterwards."""

import contextlib
import os
import random
import sys
import warnings

import numpy as np
import pytest
import torch

from mechcheck.base.surroundings import own_surroundings


def draws() -> tuple[float, ...]:
    return random.random(), float(np.random.rand()), float(torch.rand(1))  # noqa: NPY002


def test_the_same_seed_gives_the_same_numbers_and_nobody_else_is_disturbed():
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    alone = draws()
    random.seed(1), np.random.seed(1), torch.manual_seed(1)  # noqa: NPY002
    with own_surroundings(7):
        first = draws()
    assert draws() == alone
    with own_surroundings(7):
        assert draws() == first
    with own_surroundings(2**32 - 1):
        assert draws() != first


@pytest.mark.parametrize("error", [None, KeyError, KeyboardInterrupt])
def test_everything_is_put_back(tmp_path, monkeypatch, error):
    monkeypatch.setenv("MECHCHECK_TOLD", "before")
    monkeypatch.setenv("MECHCHECK_TAKEN", "before")
    before = dict(os.environ), list(sys.path), os.getcwd(), list(warnings.filters)

    def change() -> None:
        with own_surroundings(0):
            os.environ["MECHCHECK_TOLD"] = "after"
            os.environ["MECHCHECK_NEW"] = "after"
            del os.environ["MECHCHECK_TAKEN"]
            sys.path.insert(0, "/nowhere")
            os.chdir(tmp_path)
            warnings.simplefilter("error")
            if error:
                raise error

    with pytest.raises(error) if error else contextlib.nullcontext():
        change()
    assert (dict(os.environ), list(sys.path), os.getcwd(), list(warnings.filters)) == before


def test_a_folder_that_is_gone(tmp_path, monkeypatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    with own_surroundings(0):
        os.chdir("/")
        gone.rmdir()
    assert os.getcwd() == "/"
    gone.mkdir()
    os.chdir(gone)
    gone.rmdir()
    with own_surroundings(0):
        os.chdir("/")
    os.chdir(tmp_path)
