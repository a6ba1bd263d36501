"""Claims do not depend on each other: any order, subset or number of processes, models as they were found, other tests untouched."""

import subprocess
import sys

import pytest

MODEL = "names-gpt2-seed1"
THREE_MODELS = [f"--mech-model=names-gpt2-seed{seed}" for seed in (0, 1, 4)]
MIXED = """
    @claim("The model does the task", task="ioi")
    def test_behaviour(model, prompts, check):
        check.above(run(model, prompts), 1.0)
        check.rate(run(model, prompts) > 0, above=0.8)

    @pytest.mark.parametrize("method", ["zero", "resample"])
    @claim("S-inhibition heads matter", task="ioi", expect={"names-gpt2-seed0": "refuted"})
    def test_ablation(model, prompts, circuit, check, method):
        clean = run(model, prompts)
        check.above((clean - run(model, prompts, Ablate(circuit["s_inhibition"], method))) / clean, 0.75)

    @claim("They matter more than others", task="ioi", models=["names-gpt2-seed1", "names-gpt2-seed4"])
    def test_random(model, prompts, circuit, check):
        clean = run(model, prompts)
        check.beats_random(lambda sites: clean - run(model, prompts, Ablate(sites, "mean")), circuit["s_inhibition"], n=3)

    @claim("Random numbers are drawn", decoy={"mean": -1.0})
    def test_global_state(check, mean=1.0):
        import random
        np.random.rand(3), random.random()
        check.above(around(mean), 0)
"""


def essence(run) -> dict[str, dict]:
    """What must not depend on how the claims were run."""
    fields = ("verdict", "met", "reason", "decoys", "prompts", "circuit")
    return {
        c["id"]: {f: c[f] for f in fields} | {"expectations": [e | {"p_adjusted": None} for e in c["expectations"]]}
        for c in run.evidence["claims"]
    }


@pytest.fixture(scope="module")
def known() -> dict[str, dict]:
    """What `straight` has found, for the next test that asks for it."""
    return {}


@pytest.fixture
def straight(claims, known) -> dict[str, dict]:
    """The claims run once, in the order of the file."""
    if not known:
        known |= essence(claims(MIXED, *THREE_MODELS))
    return known


def test_any_order_gives_the_same(claims, straight):
    assert len([c for c in straight.values() if c["verdict"] != "skipped"]) == 3 + 6 + 2 + 1
    for seed in (1, 2):
        assert essence(claims(MIXED, *THREE_MODELS, f"--randomly-seed={seed}")) == straight


def test_a_subset_gives_the_same(claims, straight):
    found = essence(claims(MIXED, *THREE_MODELS, "-k", "test_random or (test_ablation and zero)"))
    assert len([c for c in found.values() if c["verdict"] != "skipped"]) == 2 + 3
    assert found == {name: straight[name] for name in found}


def test_two_processes_give_the_same(claims, straight):
    run = claims(MIXED, *THREE_MODELS, "-n2")
    assert essence(run) == straight
    assert len(run.evidence["run"]["sentinels"]) == 3 * 4
    assert run.evidence["run"]["complete"] is True


MEDDLERS = {
    "adds a hook": "model.blocks[0].hook_resid_pre.add_hook(lambda x, hook: x * 0)",
    "adds a hook of PyTorch's": "model.base_model.h[0].register_forward_hook(lambda m, a, out: (out[0] * 0, *out[1:]))",
    "changes a weight": "next(model.parameters()).mul_(3.0)",
    "changes a weight and crashes": "next(model.parameters()).mul_(3.0); raise KeyError('crash')",
    "adds a hook and asserts": "model.blocks[0].hook_resid_pre.add_hook(lambda x, hook: x * 0); assert False",
    "changes a weight and skips": "next(model.parameters()).mul_(3.0); pytest.skip('enough')",
}


@pytest.mark.parametrize("meddling", MEDDLERS.values(), ids=MEDDLERS)
def test_the_next_claim_gets_the_model_as_it_was(claims, meddling):
    run = claims(
        f"""
        @claim("before", task="ioi")
        def test_1(model, prompts, check):
            check.above(run(model, prompts), 1.0)

        @claim("meddles", task="ioi")
        def test_2(model, prompts, check):
            check.above(run(model, prompts), 1.0)
            import torch
            with torch.no_grad():
                {meddling}

        @claim("after", task="ioi")
        def test_3(model, prompts, check):
            check.above(run(model, prompts), 1.0)
        """,
        "--mech-model",
        MODEL,
    )
    before, meddler, after = (run.claim(f"test_{i}") for i in (1, 2, 3))
    assert before["verdict"] == after["verdict"] == "supported"
    assert before["expectations"][0]["estimate"]["value"] == after["expectations"][0]["estimate"]["value"]
    assert before["model"] == after["model"]
    if "skip" in meddling:
        assert meddler["verdict"] == "skipped"
    else:
        assert (meddler["verdict"], meddler["met"]) == ("errored", False)
    if "raise" not in meddling and "assert" not in meddling and "skip" not in meddling:
        said = (
            "1 hooks were left on the model" if "hook" in meddling else "the model's weights were changed; models are shared and read-only"
        )
        assert meddler["reason"].startswith(f"HookError: {said}")


CONTRASTS = {
    "random sites": ('task="ioi"', 0.75, "mul_(3.0)", "its contrast (s_inhibition "),
    "a twin": ('task="ioi", decoy="reinitialised"', 0.75, "mul_(3.0); assert False", "its contrast (weights drawn with seed 0)"),
    "a positive control": (
        'task="ioi", expect="refuted", positive_control={"least": 0.75}',
        5.0,
        "mul_(3.0)",
        "its contrast (least: 0.75)",
    ),
}


@pytest.mark.parametrize("contrast", CONTRASTS)
def test_a_contrast_that_changes_its_model_is_an_error(claims, contrast):
    """As it is in the claim's own run: nothing that came after the change could be believed."""
    arguments, least, change, said = CONTRASTS[contrast]
    run = claims(
        f"""
        import torch

        def share_lost(model, prompts, circuit):
            clean = run(model, prompts)
            return (clean - run(model, prompts, Ablate(circuit["s_inhibition"], "mean"))) / clean

        @claim("before", task="ioi", id="before")
        def test_1(model, prompts, circuit, check):
            check.above(share_lost(model, prompts, circuit), 0.75)

        @claim("meddles", {arguments}, id="meddler")
        @pytest.mark.parametrize("least", [{least}])
        def test_2(model, prompts, circuit, check, least):
            check.above(share_lost(model, prompts, circuit), least)
            if not check.draws:
                with torch.no_grad():
                    next(model.parameters()).{change}

        @claim("after", task="ioi", id="after")
        def test_3(model, prompts, circuit, check):
            check.above(share_lost(model, prompts, circuit), 0.75)
        """,
        "--mech-model",
        MODEL,
    )
    before, meddler, after = (run.claim(name) for name in ("before", "meddler", "after"))
    assert (meddler["verdict"], meddler["met"]) == ("errored", False)
    assert meddler["reason"].startswith(f"HookError: {said}")
    assert meddler["reason"].endswith("changed the model: the model's weights were changed; models are shared and read-only: change a copy")
    assert before["verdict"] == after["verdict"] == "supported"
    assert before["expectations"][0]["estimate"]["value"] == after["expectations"][0]["estimate"]["value"]
    assert after["decoys"]["supported"] == 0


def test_a_contrast_that_crashes_and_changes_its_model_says_that_it_crashed(claims):
    run = claims(
        """
        import torch

        @claim("meddles", task="ioi", decoy={"least": 5.0}, id="meddler")
        @pytest.mark.parametrize("least", [1.0])
        def test_1(model, prompts, check, least):
            check.above(run(model, prompts), least)
            if not check.draws:
                with torch.no_grad():
                    next(model.parameters()).mul_(3.0)
                raise KeyError("crash")

        @claim("after", task="ioi", id="after")
        def test_2(model, prompts, check):
            check.above(run(model, prompts), 1.0)
        """,
        "--mech-model",
        MODEL,
    )
    assert run.claim("meddler")["reason"].startswith("ClaimError: the test crashed on its contrast (least: 5.0): KeyError")
    assert run.claim("after")["verdict"] == "supported"


def test_a_broken_instrument_is_an_error(claims, pytester):
    """A model on which interventions do not work makes every claim about it errored, and the sentinel says why."""
    pytester.makeconftest("""
        import pytest
        from mechcheck.conformance import sentinels as _sentinels

        @pytest.fixture(autouse=True)
        def numb(monkeypatch):
            honest = _sentinels.logits_at_end
            monkeypatch.setattr(_sentinels, "logits_at_end", lambda model, prompts, interventions=(): honest(model, prompts))
    """)
    run = claims(MIXED, "-k", "test_behaviour", "--mech-model", MODEL)
    assert run.claim()["verdict"] == "errored"
    assert run.claim()["reason"].startswith(
        "HookError: the instrument does not work on this model: patching everything gives the other run"
    )
    failed = {s["name"] for s in run.evidence["run"]["sentinels"] if not s["passed"]}
    assert failed == {"patching everything gives the other run", "ablating a layer's heads changes something"}


@pytest.mark.parametrize("options", [(), ("--collect-only",), ("-n1",)], ids=["run", "collect", "xdist"])
def test_other_tests_pay_nothing(pytester, options):
    """No torch is imported and nothing is written where there are no claims."""
    pytester.makeconftest("""
        import sys

        def pytest_sessionfinish(session):
            assert "mechcheck.plugin" in sys.modules
            assert "torch" not in sys.modules
            assert "transformer_lens" not in sys.modules
    """)
    pytester.makepyfile("def test_plain(): ...")
    result = pytester.runpytest_subprocess(*options, "-p", "no:randomly")
    assert result.ret == 0, result.stdout.str() + result.stderr.str()
    assert not (pytester.path / "reports").exists()


def test_collecting_claims_imports_no_torch_for_their_decorator(pytester):
    pytester.makepyfile("""
        import sys
        from mechcheck import claim

        @claim("it is so", decoy={"x": 1})
        def test_it(check, x=0): ...

        assert "torch" not in sys.modules
    """)
    assert pytester.runpytest_subprocess("--collect-only", "-q", "-p", "no:randomly").ret == 0


def test_the_plugin_loads_nothing_heavy():
    """Every run of pytest in an environment with mechcheck loads it, whatever is tested there."""
    heavy = {"torch", "transformer_lens", "transformers", "numpy", "scipy", "hypothesis", "jinja2"}
    code = f"import sys, mechcheck.plugin; print(sorted({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
