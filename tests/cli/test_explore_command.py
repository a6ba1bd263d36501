"""`mechcheck explore`: one line, a link that opens, and what is said where its extra is not installed."""

import os
import signal
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit
from urllib.request import urlopen

import pytest

from mechcheck.cli import exploring, main


def test_it_prints_a_link_and_ends_when_it_is_interrupted():
    command = [sys.executable, "-m", "mechcheck.cli", "explore", "names-gpt2-seed4", "--task", "ioi"]
    running = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    link = running.stdout.readline().strip()
    parts = urlsplit(link)
    assert parts.hostname == "127.0.0.1"
    assert len(parse_qs(parts.query)["token"][0]) >= 32
    assert parts.fragment == "task=ioi"
    with urlopen(link) as page:
        assert b"names-gpt2-seed4" in page.read()
    running.send_signal(signal.SIGINT)
    rest, errors = running.communicate(timeout=20)
    assert (running.returncode, rest, errors) == (0, "", "")


def test_without_its_extra_it_says_how_to_get_it(monkeypatch, capsys):
    monkeypatch.setattr(exploring, "_NEEDED", ("no_such_package",))
    assert main(["explore"]) == 2
    told = capsys.readouterr().err
    assert told == "mechcheck: the explorer needs starlette and uvicorn: pip install 'mechcheck[explore]'\n"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--task", "iou"], "did you mean 'ioi'"),
        (["--prompt", "Mary", "--task", "ioi"], "not allowed with"),
        (["--save-to", "no/such"], "no such folder"),
    ],
)
def test_what_it_cannot_open_with_is_an_error(given, told, capsys):
    try:
        status = main(["explore", *given])
    except SystemExit as stopped:
        status = stopped.code
    assert status == 2
    assert told in capsys.readouterr().err


def test_nothing_else_imports_the_server():
    told = "import sys, mechcheck.cli, mechcheck.plugin; print([m for m in ('starlette', 'uvicorn', 'torch') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
