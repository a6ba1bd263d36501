"""The most memory since it was asked to be forgotten."""

import sys

import pytest
import torch

from mechcheck.base import peak as module
from mechcheck.base.peak import forget_peak, peak, resident

_TAKEN = 96 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says it")
def test_what_is_taken_and_given_back():
    forget_peak()
    before = resident()
    held = torch.ones(_TAKEN // 4)
    del held
    assert peak() - before > 0.9 * _TAKEN
    forget_peak()
    assert peak() - resident() < 0.1 * _TAKEN


def test_a_system_that_does_not_say(monkeypatch):
    def none(*_, **__):
        raise OSError

    monkeypatch.setattr(module.Path, "read_text", none)
    monkeypatch.setattr(module.Path, "write_text", none)
    forget_peak()
    assert peak() is resident() is None
