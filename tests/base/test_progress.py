"""Bars of long sweeps: none where nobody looks, none when asked to be quiet."""

import sys

import pytest

from mechcheck.base import progress as _progress
from mechcheck.base.progress import be_quiet, heard, heard_by, progress


class Terminal:
    """What a bar is written to."""

    encoding = "utf-8"

    def __init__(self, is_terminal):
        self.text, self.is_terminal = "", is_terminal

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return self.is_terminal


@pytest.mark.parametrize(("is_terminal", "quiet", "shown"), [(True, False, True), (True, True, False), (False, False, False)])
def test_a_bar_is_shown_to_those_who_look(monkeypatch, is_terminal, quiet, shown):
    stream = Terminal(is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(_progress, "_PATIENCE", 0.0)
    be_quiet(quiet)
    try:
        with progress(3, "sweep") as bar:
            for _ in range(3):
                bar.update()
    finally:
        be_quiet(False)
    assert ("sweep" in stream.text) == shown


def test_a_short_sweep_shows_none(monkeypatch):
    stream = Terminal(True)
    monkeypatch.setattr(sys, "stderr", stream)
    with progress(3, "sweep") as bar:
        bar.update(3)
    assert "sweep" not in stream.text


def test_somebody_else_is_told_how_far_it_is_and_can_end_it():
    told = []
    with heard_by(lambda *given: told.append(given)), progress(5, "sweep") as bar:
        assert heard()
        bar.update(2)
        bar.update()
    assert told == [(2, 5, "sweep"), (3, 5, "sweep")]
    assert not heard()

    def end(*given):
        raise StopIteration(given)

    with heard_by(end), pytest.raises(StopIteration, match="1, 5"), progress(5, "sweep") as bar:
        bar.update()
    with progress(5, "sweep") as bar:
        bar.update()  # nobody is told any more
    assert len(told) == 2
