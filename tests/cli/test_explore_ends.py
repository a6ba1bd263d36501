"""Ctrl-C of `mechcheck explore`, while a claim from its page is run: nothing of it stays."""

import json
import os
import signal
import subprocess
import sys
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are looked for in /proc")
def test_an_interrupted_server_leaves_no_pytest_behind(tmp_path):
    """Some seconds: the command loads a model, and starts pytest."""
    command = [sys.executable, "-m", "mechcheck.cli", "explore", "names-gpt2-seed4", "--save-to", str(tmp_path)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    parts = urlsplit(server.stdout.readline().strip())
    own = {"Origin": f"http://{parts.netloc}", "Authorization": f"Bearer {parse_qs(parts.query)['token'][0]}"}

    def ask(what: str, body: dict) -> HTTPConnection:
        asked = HTTPConnection(parts.netloc, timeout=20)
        asked.request("POST", f"/api/{what}", json.dumps(body), own)
        return asked

    shown = json.load(ask("example", {"task": "ioi", "row": 0}).getresponse())
    del shown["alike"]  # how many references there are, which is not the prompt's
    claim = {"statement": "x", "expects": "below", "threshold": "-1", "file": "test_x.py", "task": "ioi"}
    waiting = ask("prove", shown | claim | {"do": "patch", "heads": "0.3@END", "at": [], "factor": 2})
    children = [Path(one) / "children" for one in Path(f"/proc/{server.pid}/task").iterdir()]
    limit = time.monotonic() + 20
    while not (found := [pid for one in children if one.exists() for pid in one.read_text().split()]):
        assert time.monotonic() < limit
        children = [Path(one) / "children" for one in Path(f"/proc/{server.pid}/task").iterdir()]
    server.send_signal(signal.SIGINT)
    rest, errors = server.communicate(timeout=20)
    waiting.close()
    assert (server.returncode, rest, errors) == (0, "", "")
    assert not Path(f"/proc/{found[0]}").exists()
