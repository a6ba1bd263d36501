"""Words that name nothing are errors when claims are collected, and name the nearest that does."""

import pytest

MODEL = "names-gpt2-seed4"

SLIPS = {
    "task": (
        '@claim("x", task="ioii")\ndef test_it(model, prompts, check): ...',
        "no prompts are known for task 'ioii'; known: *did you mean 'ioi'?",
    ),
    "task with prompts of one's own": (
        '@pytest.fixture\ndef prompts(model): ...\n@claim("x", task="inductoin")\ndef test_it(model, prompts, check): ...',
        "unknown task 'inductoin'; did you mean 'induction'?",
    ),
    "model": (
        '@claim("x", models=["names-gpt2-sed4"])\ndef test_it(model, check): ...',
        "unknown model 'names-gpt2-sed4'; did you mean 'names-gpt2-seed4'?",
    ),
    "model of a decoy": (
        '@claim("x", decoy={"model": "names-gpt2-sed4"})\ndef test_it(model, check): ...',
        "unknown model 'names-gpt2-sed4'; did you mean 'names-gpt2-seed4'?",
    ),
    "model of a positive control": (
        '@claim("x", expect="refuted", positive_control={"model": "compiled-ioy"})\ndef test_it(model, check): ...',
        "unknown model 'compiled-ioy'; did you mean 'compiled-ioi'?",
    ),
    "partner": (
        '@claim("x", models={"names-gpt2-seed4": "names-neox-seed22"})\ndef test_it(model, check): ...',
        "unknown model 'names-neox-seed22'; did you mean 'names-neox-seed2'?",
    ),
    "parameter in expect": (
        '@claim("x", expect={"zreo": "refuted"})\n@pytest.mark.parametrize("method", ["zero", "mean"])\ndef test_it(method, check): ...',
        "expect: 'zreo' is no value of a parameter of this test, and no model that it is about; did you mean 'zero'?",
    ),
    "part of a key of expect": (
        '@claim("x", task="ioi", expect={("names-gpt2-seed0", "meen"): "refuted"})\n'
        '@pytest.mark.parametrize("method", ["zero", "mean"])\ndef test_it(model, prompts, method, check): ...',
        "expect: 'meen' is no value *; did you mean 'mean'? If there is such a model, choose it with --mech-model or name it in models=.",
    ),
    "model in expect": (
        '@claim("x", task="ioi", expect={"names-gpt2-sed0": "refuted"})\ndef test_it(model, prompts, check): ...',
        "expect: 'names-gpt2-sed0' is no value *; did you mean 'names-gpt2-seed0'? If there is *",
    ),
    "any word in expect, where the models are named": (
        '@claim("x", models=["gpt2"], expect={"distilgpt": "refuted"})\ndef test_it(model, check): ...',
        "expect: 'distilgpt' is no value of a parameter of this test, and no model that it is about",
    ),
    "argument of a decoy": (
        '@claim("x", decoy={"median": -1.0})\ndef test_it(check, mean=1.0): ...',
        "the contrast changes median, which the test does not take; did you mean 'mean'?",
    ),
    "argument of a positive control": (
        '@claim("x", expect="refuted", positive_control={"thresold": -1.0})\ndef test_it(check, threshold=1.0): ...',
        "the contrast changes thresold, which the test does not take; did you mean 'threshold'?",
    ),
    "role of a decoy": (
        '@claim("x", task="ioi", decoy={"circuit": {"s_inhibtion": "0.1"}})\ndef test_it(model, prompts, circuit, check): ...',
        "the contrast changes the role 's_inhibtion', which the circuit does not have; did you mean 's_inhibition'?",
    ),
}


@pytest.mark.parametrize("name", SLIPS)
def test_a_slip_is_told_when_the_claim_is_collected(claims, pytester, name):
    source, message = SLIPS[name]
    pytester.makepyfile(test_claims=f"import pytest\nfrom mechcheck import *\n\n{source}\n")
    run = claims.again()
    assert run.result.ret == pytest.ExitCode.INTERRUPTED
    assert run.evidence is None
    run.result.stdout.fnmatch_lines([f"test_claims.py::test_it: {message}"])
    assert "Traceback" not in run.output


def test_a_slip_is_told_by_every_process(claims):
    source, message = SLIPS["argument of a decoy"]
    run = claims(source, "-n2")
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED  # as xdist ends where a file cannot be collected
    assert message in run.output


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("names-gpt2-sed4", "unknown model 'names-gpt2-sed4'; did you mean 'names-gpt2-seed4'?"),
        ("compiled-io", "unknown model 'compiled-io'; did you mean 'compiled-ioi'?"),
        ("./nowhere", "there is no directory ./nowhere"),
        ("./my-modle", "there is no directory ./my-modle; did you mean my-model?"),
    ],
)
def test_models_that_cannot_be_meant(claims, pytester, name, message):
    pytester.mkdir("my-model")
    run = claims('@claim("x")\ndef test_it(model, check): ...', "--mech-model", name)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--mech-model: {message}\n" in run.result.stderr.str()


def test_what_may_be_meant_is_collected(claims):
    """Models that are elsewhere, directories, parameters of fixtures, values of contrasts, tasks and circuits of one's own."""
    run = claims(
        """
        @pytest.fixture(params=["hot", "cold"])
        def water(request):
            return request.param

        @pytest.fixture
        def prompts(): ...

        @claim("a", models=["gpt2", "lab/names"], expect={"gpt2": "refuted", "names": "refuted", "lab/names": "refuted"})
        def test_named(model, check): ...

        @claim("b", task="ioi", expect={"distilgpt2": "refuted", "lab/other": "refuted", "names-gpt2-seed0": "refuted"})
        def test_any(model, prompts, check): ...

        @claim("c", expect={"cold": "refuted", "1": "refuted", ("hot", "2"): "refuted"}, positive_control={"k": 2})
        @pytest.mark.parametrize("k", [1])
        def test_parameters(water, k, check): ...

        @claim("d", task="my own task")
        def test_task(model, prompts, check): ...

        @claim("e", task="ioi", decoy={"circuit": {"anything": "0.1"}})
        def test_circuit(model, prompts, circuit, check): ...

        @pytest.fixture
        def circuit(): ...
        """,
        "--collect-only",
        "-q",
    )
    assert run.result.ret == 0
    assert "error" not in run.output


def test_a_selected_test_has_the_parameters_of_all(claims):
    """One test of a claim, as the command in its record asks for it, knows the values of its others."""
    run = claims(
        """
        @claim("a", expect={"-1.0": "refuted"}, positive_control={"mean": 1.0}, decoy={"mean": -1.0})
        @pytest.mark.parametrize("mean", [1.0, -1.0])
        def test_it(check, mean):
            check.above(around(mean), 0)
        """,
        "test_claims.py::test_it[1.0]",
    )
    assert run.verdicts == {"test_it[1.0]": "supported"}


def test_the_role_that_a_claim_asks_its_circuit_for(claims):
    run = claims('@claim("x", task="ioi")\ndef test_it(model, circuit, check): circuit["s_inhibtion"]', "--mech-model", MODEL)
    assert run.claim()["reason"] == (
        "CircuitError: the circuit has no role 's_inhibtion'; its roles are name_mover, s_inhibition; did you mean 's_inhibition'?"
    )
