"""Claims leave nothing behind: a process stays flat, and any order, subset and number of processes gives the same."""

import sys
from pathlib import Path

import pytest

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import orders  # noqa: E402
import places  # noqa: E402
from flat import flat  # noqa: E402


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="open files and a process's own memory are counted as on Linux")
def test_a_process_stays_flat():
    """The models, their twins and their prompts come first, and grow to what is kept of them."""
    rows = flat(claims=80, every=10)
    assert [row["claims"] for row in rows] == list(range(10, 90, 10))
    later = rows[-3:]
    assert {row["files"] for row in rows} == {rows[0]["files"]}
    assert later[-1]["threads"] <= later[0]["threads"]
    assert later[-1]["mib"] - later[0]["mib"] < 8
    assert later[-1]["objects"] - later[0]["objects"] < 200 * 20  # a claim's record and report, which pytest keeps


def test_what_was_measured_is_let_go(pytester, warm):
    """Its record and its report stay until the run ends; the values of each prompt, and those of decoys, are on disk."""
    pytester.makeconftest("""
        import gc

        def pytest_sessionfinish():
            from mechcheck.stats.measurement import Measurement

            gc.collect()
            print("alive:", sum(type(one) is Measurement for one in gc.get_objects()))
    """)
    pytester.makepyfile("""
        from mechcheck import claim, run

        @claim("The model does the task", task="ioi", models=["names-gpt2-seed1"])
        def test_behaviour(model, prompts, check):
            check.above(run(model, prompts), 1.0)
    """)
    result = pytester.runpytest_subprocess("-q", "-s", "-p", "no:randomly", "--mech-profile=smoke")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*alive: 0"])


def test_three_orders_give_the_same(warm):
    rows = list(orders.orders(3, ["claims/compiled/test_compiled_attention.py"]))
    assert rows[0]["claims"] > 3
    assert [row["differ"] for row in rows] == [[]] * 4
    assert any("-k" in row["options"] for row in rows)


def test_two_places_give_the_same_and_what_differs_is_told(monkeypatch, warm):
    claims = ["claims/compiled/test_compiled_attention.py"]
    first, second = places.places(["one", "local"], claims)
    assert first["claims"] == second["claims"] > 3
    assert first["differ"] == second["differ"] == []
    answers = iter([{"a": 1, "b": 2}, {"a": 1, "b": 3, "c": 4}])
    monkeypatch.setattr(places, "run", lambda *given: (next(answers), 0.1))
    assert [row["differ"] for row in places.places(["one", "two"], claims)] == [[], ["b", "c"]]
    monkeypatch.setattr(places.importlib.util, "find_spec", lambda name: None)
    assert [row["not_run"] for row in places.places(["ray", "slurm"], claims)] == ["ray is not installed", "submitit is not installed"]
