"""What a run pays beside its claims: which packages are imported when, and what the garbage collector goes over."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ("torch", "scipy.special", "scipy.stats", "transformers", "transformer_lens", "datasets", "pandas", "hypothesis")
CLAIM = """
    import sys
    from mechcheck import claim, run

    @claim("The model does the task", task="ioi", models=["names-gpt2-seed1"])
    def test_behaviour(model, prompts, check):
        check.above(run(model, prompts), 1.0)
"""
LOOK = f"""
    import gc, sys
    import pytest

    def pytest_unconfigure():
        print("loaded:", [name for name in {HEAVY} if name in sys.modules], "frozen:", gc.get_freeze_count() > 0, gc.isenabled())
"""


def loaded(result: pytest.RunResult) -> str:
    return next(line for line in result.outlines if line.startswith("loaded:"))


def collected(before: str = "pass") -> tuple[list[str], list[str]]:
    """The shipped claims as pytest lists them in a process of its own, and which of the heavy packages that has imported."""
    code = f"import sys, pytest; {before}; pytest.main(sys.argv[1:]); print([name for name in {HEAVY} if name in sys.modules])"
    command = [sys.executable, "-c", code, "claims", "--collect-only", "-q", "-p", "no:randomly", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    *_, heavy = lines = done.stdout.splitlines()
    return [line for line in lines if "::" in line], ast.literal_eval(heavy)


def test_collecting_the_claims_imports_nothing_heavy_and_lists_the_same():
    """Names stand in for what is not imported; without them torch is, and the same claims are listed."""
    names, heavy = collected()
    assert heavy == []
    right, heavy = collected("import mechcheck.base.standin as standin; standin.list_only = lambda on: None")
    assert heavy == ["torch"]
    assert names == right
    assert len(names) > 600


def test_a_claim_imports_nothing_that_it_does_not_need(pytester):
    """Its model brings TransformerLens, and that transformers, datasets and pandas; Hypothesis and scipy.stats nobody needs."""
    pytester.makeconftest(LOOK)
    pytester.makepyfile(CLAIM)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-q")
    result.assert_outcomes(passed=1)
    line = loaded(result)
    assert "'transformer_lens'" in line
    assert "hypothesis" not in line
    assert "scipy.stats" not in line
    assert line.endswith("frozen: True True")


@pytest.mark.parametrize("what", ["no model", "skipped", "ordinary", "collected"])
def test_nothing_is_imported_ahead_where_no_claim_wants_a_model(pytester, what):
    pytester.makeconftest(LOOK)
    tests = {
        "no model": "from mechcheck import claim\n@claim('It is so', decoy={'x': 1.0})\ndef test_it(check, x=0.0): check.below(x, 0.5)",
        "skipped": "from mechcheck import claim\n@claim('It is so', models=['none-of-these'])\ndef test_it(model, check): ...",
        "ordinary": "def test_it(): ...",
        "collected": CLAIM,
    }
    pytester.makepyfile(tests[what])
    result = pytester.runpytest_subprocess("-p", "no:randomly", "-q", *(["--collect-only"] if what == "collected" else []))
    assert "transformer_lens" not in loaded(result)
    assert loaded(result).endswith("frozen: False True")


@pytest.mark.parametrize("processes", [(), ("-n1",)])
def test_hypothesis_reports_where_a_test_has_used_it(pytester, processes):
    pytester.makepyfile("""
        from hypothesis import given, settings, strategies

        @settings(print_blob=True, database=None)
        @given(strategies.integers())
        def test_small(n):
            assert n < 100
    """)
    result = pytester.runpytest_subprocess("-p", "no:randomly", "--hypothesis-show-statistics", *processes)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*Hypothesis Statistics*", "*test_small:*"])
