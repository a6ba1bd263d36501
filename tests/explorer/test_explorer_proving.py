"""A claim of the page is saved where it may be, run, stopped, and judged."""

import asyncio
import json
import os
import shlex
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest

import mechcheck as m
from mechcheck.base.errors import MechcheckError
from mechcheck.explorer.bodies import Problem
from mechcheck.explorer.proving import Prover
from mechcheck.explorer.saving import Exists, folder_to_save_to, save
from mechcheck.explorer.workbench import Workbench
from mechcheck.models.loading import load_model


def test_a_file_is_saved_and_none_is_lost(tmp_path):
    inside, outside = tmp_path / "in", tmp_path / "outside.py"
    inside.mkdir()
    outside.write_text("mine")
    folder = folder_to_save_to(str(inside))
    assert save(folder, "test_a.py", "é\n", False).read_bytes() == "é\n".encode()
    save(folder, "test_a.py", "é\n", False)  # the same again is no loss
    with pytest.raises(Exists, match="already"):
        save(folder, "test_a.py", "two\n", False)
    assert (inside / "test_a.py").read_text() == "é\n"
    save(folder, "test_a.py", "two\n", True)
    assert (inside / "test_a.py").read_text() == "two\n"
    for name, target in (("test_link.py", outside), ("test_dangling.py", tmp_path / "new.py")):
        (inside / name).symlink_to(target)
        with pytest.raises(Problem, match="no file"):
            save(folder, name, "theirs", True)
    (inside / "test_folder.py").mkdir()
    for name in ("test_folder.py", "../test_b.py", "/tmp/test_b.py", "test_b.py/../../x", "conftest.py", "", "test_\u202e.py"):
        with pytest.raises(Problem):
            save(folder, name, "theirs", True)
    assert outside.read_text() == "mine"
    assert sorted(one.name for one in tmp_path.iterdir()) == ["in", "outside.py"]
    assert sorted(one.name for one in inside.iterdir()) == ["test_a.py", "test_dangling.py", "test_folder.py", "test_link.py"]
    with pytest.raises(MechcheckError, match="no such folder"):
        folder_to_save_to(str(outside))


def test_the_server_saves_what_it_shows(saving, wanted, asker):
    own, folder, _ = saving
    source = own.ask("claim", wanted).json["source"]
    assert own.ask("save", wanted | {"replace": False}).json == {
        "saved": str(folder / "test_flips.py"), "exists": False, "source": source, "problems": [],
    }  # fmt: skip
    assert (folder / "test_flips.py").read_text() == source
    other = wanted | {"threshold": "-2"}
    found = own.ask("save", other | {"replace": False}).json
    assert (found["exists"], found["problems"][0]["where"]) == (True, "file")
    assert own.ask("save", other | {"replace": True}).json["problems"] == []
    assert "THRESHOLD = -2.0" in (folder / "test_flips.py").read_text()
    assert own.ask("save", other | {"replace": False, "statement": ""}).json["problems"][0]["where"] == "statement"
    assert "--save-to" in asker.ask("save", wanted | {"replace": False}).json["problems"][0]["said"]


def running_pytests() -> list[str]:
    """Folders of claims that some process of this machine runs in."""
    found = []
    for one in os.listdir("/proc"):
        try:
            if b"test_slow.py" in Path(f"/proc/{one}/cmdline").read_bytes().split(b"\0"):
                found.append(one)
        except OSError:
            continue
    return found


SLOW = "import time\n\ndef test_slow():\n    time.sleep(60)\n"


@pytest.fixture
def endless(saving, monkeypatch):
    """A server whose claims take a minute: what asks it, and itself."""
    own, _, server = saving
    monkeypatch.setattr(server.workbench, "claim", lambda body: {"source": SLOW, "fresh": 1, "problems": [], "here": 0.0, "beside": {}})
    return own, server


def until(condition, seconds: float = 10) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.02)


@pytest.mark.skipif(not os.path.isdir("/proc"), reason="processes are looked for in /proc")
@pytest.mark.parametrize("how", ["the page goes", "the server ends"])
def test_nothing_runs_on_when_nobody_waits(endless, wanted, how):
    own, server = endless
    asked = json.dumps(wanted | {"file": "test_slow.py"}).encode()
    page = HTTPConnection("127.0.0.1", own.port, timeout=20)
    page.request("POST", "/api/prove", asked, own.own)
    until(lambda: len(running_pytests()) == 1)
    second = own.ask("prove", wanted | {"file": "test_slow.py"})
    assert (second.status, second.json["problems"][0]["where"]) == (422, "run")
    if how == "the page goes":
        page.close()
    else:
        server.stop()
    until(lambda: not running_pytests())
    page.close()


def test_what_is_changed_after_a_look_is_measured_on_other_prompts(saving, wanted, monkeypatch):
    own, _, server = saving

    async def prove(self, name, text, given_up, beside):
        return {"printed": "a\u202eb"}

    monkeypatch.setattr(Prover, "prove", prove)
    first, second = wanted, wanted | {"threshold": "-2"}
    assert [own.ask("claim", one).json["fresh"] for one in (first, second)] == [1, 1]
    found = own.ask("prove", first).json
    assert found["printed"] == "a\\u202eb"
    assert "FRESH = 1 " in found["source"]
    assert [own.ask("claim", one).json["fresh"] for one in (first, second)] == [1, 2]
    assert "FRESH = 2 " in own.ask("save", second | {"replace": False}).json["source"]
    own.ask("prove", second)
    assert own.ask("claim", wanted | {"statement": "third"}).json["fresh"] == 3
    assert sorted(server.workbench.measured) == [1, 2]


def test_a_file_that_pytest_cannot_read_is_no_verdict():
    async def never():
        return False

    found = asyncio.run(Prover("names-gpt2-seed4", "cpu").prove("test_x.py", "def (", never))
    assert (found["verdict"], found["checks"]) == ("errored", [])
    assert "SyntaxError" in found["printed"]
    assert shlex.split(found["command"])[:2] == ["pytest", "test_x.py"]


@pytest.mark.parametrize(
    ("name", "task", "heads", "do"), [("names-gpt2-seed4", "greater_than", "1.0", "zero"), ("sentences-bert", "agreement", "1.3", "mean")]
)
def test_heads_of_a_model_without_a_circuit_and_of_one_that_fills_gaps(name, task, heads, do):
    """Each a run of pytest."""
    model = load_model(name)
    bench = Workbench(model)
    shown = bench.example({"task": task, "row": 0})
    asked = {"task": task, "heads": heads, "do": do, "at": [], "factor": 2, "statement": "s", "expects": "below", "threshold": "-50"}
    made = bench.claim(shown | asked | {"file": "test_s.py"})["source"]

    async def never():
        return False

    found = asyncio.run(Prover(name, "cpu").prove("test_s.py", made, never))
    fresh = m.task_prompts(task, model, n=240, seed=1)
    left = [i for i, one in enumerate(fresh.ids) if one not in bench.drawn(task).ids]
    expected = m.run(model, fresh[left], m.Ablate(m.heads(heads), do)).mean
    assert len(left) == 240  # the page shows prompts of the other split
    assert (found["verdict"], found["prompts"]) == ("refuted", len(left))
    assert found["checks"][0]["estimate"].startswith(f"{expected:+.3f} [")
