"""`mechcheck watch`: what is saved is run again, with the verdicts and numbers of pytest."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from watched import DONE, READY, watching

pytestmark = pytest.mark.skipif(not hasattr(os, "fork") or sys.platform == "darwin", reason="there is no copy of a process here")

CLAIM = """
from mechcheck import Ablate, claim, run
from helper import LEAST

@claim("The model does the task", task="ioi", models=["names-gpt2-seed1"])
def test_behaviour(model, prompts, check):
    check.above(run(model, prompts), LEAST)
"""
CIRCUITS = """
from mechcheck import Ablate, claim, run

@claim("S-inhibition heads matter", task="ioi", models=["names-gpt2-seed1", "names-gpt2-seed4"])
def test_heads(model, prompts, circuit, check):
    check.below(run(model, prompts, Ablate(circuit["s_inhibition"], "resample")) - run(model, prompts), -0.5)
"""
SHIPPED = Path(__file__).resolve().parents[3] / "claims" / "ioi" / "circuits"
OPTIONS = ("claims", "--mech-profile=smoke", "-p", "no:randomly")


@pytest.fixture
def folder(tmp_path):
    """Two files of claims, a helper that one of them imports, and circuits beside them."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    claims = tmp_path / "claims"
    (claims / "circuits").mkdir(parents=True)
    (claims / "helper.py").write_text("LEAST = 1.0\n")
    (claims / "test_behaviour.py").write_text(CLAIM)
    (claims / "test_circuits.py").write_text(CIRCUITS)
    for seed in (1, 4):
        name = f"names-gpt2-seed{seed}.toml"
        (claims / "circuits" / name).write_text((SHIPPED / name).read_text())
    return tmp_path


def rename_over(path: Path, text: str) -> None:
    """Save as many editors do: another file, put in the place of the old one."""
    other = path.with_name(f".{path.name}.swp")
    other.write_text(text)
    os.replace(other, path)


def evidence(folder: Path) -> dict:
    """Of each claim what says how it came out; how long it took is another time another."""
    claims = json.loads((folder / "reports" / "evidence.json").read_text())["claims"]
    return {claim["nodeid"]: {name: claim[name] for name in ("verdict", "expectations", "decoys", "prompts", "model")} for claim in claims}


def test_what_is_saved_is_run_again(folder, shell):
    """A claim, a circuit, a helper, a file more and one less; what is broken is said, and mended."""
    claims = folder / "claims"
    with watching(folder, *OPTIONS) as watched:
        watched.until(READY)
        watched.quiet(4)  # models are loaded meanwhile
        (claims / "test_behaviour.py").write_text(CLAIM + "# edited\n")
        began = time.monotonic()
        said = watched.until(DONE)
        print("edit to verdict:", time.monotonic() - began)
        assert "1 claim: 1 supported" in said
        assert evidence(folder).keys() == {"claims/test_behaviour.py::test_behaviour[names-gpt2-seed1]"}

        circuit = claims / "circuits" / "names-gpt2-seed4.toml"
        rename_over(circuit, circuit.read_text() + "\n# edited\n")
        assert "1 claim: 1 supported" in watched.until(DONE)
        assert evidence(folder).keys() == {"claims/test_circuits.py::test_heads[names-gpt2-seed4]"}
        watched_evidence = evidence(folder)

        (claims / "helper.py").write_text("LEAST = 1000.0\n")
        said = watched.until(DONE)
        assert "1 claim: 1 refuted" in said
        assert "test_heads" not in said

        (claims / "helper.py").write_text("LEAST = 1.0 +\n")
        assert "SyntaxError" in watched.until(DONE)
        (claims / "helper.py").write_text("LEAST = 1.0\n")
        assert "1 claim: 1 supported" in watched.until(DONE)

        (claims / "test_more.py").write_text("def test_more(): ...\n")
        assert "1 passed" in watched.until(DONE)
        (claims / "test_more.py").unlink()
        assert "no claim is made of it" in watched.until("test_more.py: no claim.*")

        circuit.unlink()
        assert "names-gpt2-seed1" in watched.until(DONE)  # the file runs on the models that are left
        watched.interrupt()
        watched.until("-- bye")
        assert watched.ended() == 0

    circuit.write_text((SHIPPED / circuit.name).read_text())
    node = "claims/test_circuits.py::test_heads[names-gpt2-seed4]"
    with shell.for_python():
        subprocess.run([sys.executable, "-m", "pytest", node, *OPTIONS[1:]], cwd=folder, capture_output=True, check=True)
    assert evidence(folder) == watched_evidence


def test_keys(folder):
    with watching(folder, *OPTIONS, terminal=True) as watched:
        assert "a: all  f: failed  o: one, by its name  q: quit" in watched.until(READY) + watched.quiet(0.5)
        watched.press("a")
        assert "3 claims: 3 supported" in watched.until(DONE)
        watched.press("f")
        watched.until("nothing has failed")
        (folder / "claims" / "helper.py").write_text("LEAST = 1000.0\n")
        assert "1 refuted" in watched.until(DONE)
        watched.press("f")
        assert "1 claim: 1 refuted" in watched.until(DONE)
        watched.press("otest_heads[names-gpt2-seed1\n")
        assert "1 claim: 1 supported" in watched.until(DONE)
        watched.press("q")
        watched.until("-- bye")
        assert watched.ended() == 0


@pytest.mark.parametrize("terminal", [True, False])
def test_interrupting_a_run_stops_it_and_once_more_quits(folder, terminal):
    slow = folder / "claims" / "test_slow.py"
    slow.write_text("def test_slow(): ...\n")
    with watching(folder, "claims/test_slow.py", terminal=terminal) as watched:
        watched.until(READY)
        slow.write_text("import time\n\ndef test_slow():\n    print('begun', flush=True)\n    time.sleep(1000)\n")
        watched.until(r"-- claims/test_slow.py: .*\n")
        watched.quiet(3)
        watched.interrupt()
        assert "KeyboardInterrupt" in watched.until(DONE)
        slow.write_text("def test_slow(): ...\n")
        assert "1 passed" in watched.until(DONE)
        watched.interrupt()
        assert watched.ended() == 0


def test_threads_of_torch_do_not_hold_up_a_copy(folder):
    """With as many threads as there are cores, and regions in parallel before and in every run."""
    threads = folder / "claims" / "test_threads.py"
    body = """
        import torch

        def test_threads():
            torch.set_num_threads(4)
            x = torch.randn(1500, 1500, requires_grad=True)
            assert torch.isfinite((x @ x).relu().sum())
            (x * x).sum().backward()
    """
    threads.write_text(re.sub(r"^        ", "", body, flags=re.MULTILINE))
    free = {"OMP_NUM_THREADS": None, "MKL_NUM_THREADS": None, "OPENBLAS_NUM_THREADS": None}
    with watching(folder, "claims", "--mech-threads=4", "--mech-profile=smoke", environment=free) as watched:
        watched.until(READY)
        watched.quiet(3)
        for turn in range(3):
            threads.write_text(threads.read_text() + f"# {turn}\n")
            assert "1 passed" in watched.until(DONE)
        (folder / "claims" / "test_behaviour.py").write_text(CLAIM + "# edited\n")
        assert "1 claim: 1 supported" in watched.until(DONE)


def test_claims_that_cannot_be_collected_at_first(folder):
    (folder / "claims" / "test_behaviour.py").write_text("from nowhere import nothing\n")
    with watching(folder, *OPTIONS) as watched:
        said = watched.until(READY)
        assert "ModuleNotFoundError" in said
        (folder / "claims" / "test_behaviour.py").write_text(CLAIM)
        assert "1 claim: 1 supported" in watched.until(DONE)


def test_nothing_to_watch(tmp_path):
    with watching(tmp_path, "no_such_folder") as watched:
        assert watched.ended() == 2
        assert "no_such_folder" in watched.quiet(0.2)


@pytest.mark.parametrize("terminal", [True, False])
def test_where_no_process_can_be_copied_each_run_is_a_fresh_one(folder, terminal, shell):
    """It is said, and whatever else a watch does is done: some imports of everything, so some 6 s of CPU each."""
    cannot = ("-c", "import os; del os.fork; from mechcheck.cli import main; raise SystemExit(main())")
    file = folder / "claims" / "test_behaviour.py"
    with watching(folder, "claims/test_behaviour.py", *OPTIONS[1:], terminal=terminal, program=cannot) as watched:
        assert "-- this system cannot copy a process, so every run loads everything anew" in watched.until(READY)
        (folder / "claims" / "helper.py").write_text("LEAST = 1000.0\n")
        assert "1 claim: 1 refuted" in watched.until(DONE)
        (folder / "claims" / "helper.py").write_text("LEAST = 1.0\n")
        assert "1 claim: 1 supported" in watched.until(DONE)
        found = evidence(folder)
        file.write_text("import time\n\ndef test_slow():\n    print('begun', flush=True)\n    time.sleep(1000)\n")
        watched.until(r"-- claims/test_behaviour.py: .*\n")
        watched.quiet(8)
        watched.interrupt()
        assert "KeyboardInterrupt" in watched.until(DONE)
        if terminal:
            watched.press("q")
        else:
            watched.interrupt()
        watched.until("-- bye")
        assert watched.ended() == 0

    file.write_text(CLAIM)
    with shell.for_python():
        command = [sys.executable, "-m", "pytest", "claims/test_behaviour.py", *OPTIONS[1:]]
        subprocess.run(command, cwd=folder, capture_output=True, check=True)
    assert evidence(folder) == found
