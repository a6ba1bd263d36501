"""What makes a claim's prompts and circuit for another model, and prompts of the user's own."""

import pytest

OWN = r"""
    from mechcheck import ioi_prompts, provenance

    @pytest.fixture
    def make_prompts():
        def made(model, *, n, seed, split):
            print(f"\nasked for {n} {seed} {split} {provenance(model).name}")
            return ioi_prompts(model, n=n // 2, seed=seed + 1, split=split)
        return made
"""


def test_the_run_says_how_many_prompts_which_and_for_whom(claims):
    """Also for a contrast on another model."""
    run = claims(
        OWN
        + """
    @claim("It does the task", models=["names-gpt2-seed1"], decoy={"model": "names-gpt2-seed0"})
    def test_it(model, prompts, check):
        check.above(run(model, prompts), -100.0)
    """,
        "--mech-model=names-gpt2-seed1",
        "--mech-seed=5",
        "-s",
    )
    assert run.claim()["prompts"]["n"] == 48
    assert run.claim()["verdict"] == "vacuous", "its decoy was run, on prompts of its own"
    assert [line for line in run.output.splitlines() if line.startswith("asked")] == [
        "asked for 96 5 verify names-gpt2-seed1",
        "asked for 96 5 verify names-gpt2-seed0",
    ]


def test_prompts_and_circuit_for_a_model_of_ones_choice(claims):
    run = claims(
        """
    @claim("Another model has a circuit too", task="ioi", models=["names-gpt2-seed1"], decoy={"other": "names-gpt2-seed0"})
    def test_it(model, prompts, prompts_for, circuit_for, check, other="names-gpt2-seed4"):
        own = load_model(other, offline=True)
        assert prompts_for(model) is prompts
        changed = run(own, prompts_for(own), Patch(circuit_for(own)["s_inhibition"]))
        check.rate(changed < 0, above=0.75)
    """
    )
    assert run.claim()["verdict"] == "supported"
    assert run.claim()["decoys"]["runs"][0]["verdict"] == "refuted"


def test_they_say_what_they_need(claims):
    run = claims(
        """
    @claim("no task")
    def test_prompts(model, make_prompts, check): ...

    @claim("no task")
    def test_circuit(model, circuit_for, check): ...

    @claim("none recorded", task="gendered_pronoun")
    def test_recorded(model, circuit_for, check):
        circuit_for(model)
    """,
        "--mech-model=names-gpt2-seed1",
    )
    reasons = {claim["id"].partition("[")[0].rpartition("/")[2]: claim["reason"] for claim in run.evidence["claims"]}
    assert "define a `make_prompts` or `prompts` fixture of your own" in reasons["test_prompts"]
    assert "the `circuit` fixture needs @claim(..., task=" in reasons["test_circuit"]
    assert "no circuit is recorded for names-gpt2-seed1 and task 'gendered_pronoun'; to find one: " in reasons["test_recorded"]


WRAPPED = {
    "as an argument": "def prompts(prompts): return prompts[:48]",
    "when it runs": "def prompts(request, model): return request.getfixturevalue('prompts_for')(model)[:48]",
}


@pytest.mark.parametrize("wrapped", WRAPPED.values(), ids=WRAPPED)
def test_prompts_that_are_made_of_ours(claims, wrapped):
    """A contrast on another model gets ours."""
    run = claims(
        f"""
    @pytest.fixture
    {wrapped}

    @claim("It does the task", task="ioi", decoy={{"model": "names-gpt2-seed0"}})
    def test_it(model, prompts, check):
        check.above(run(model, prompts), -100.0)
    """,
        "--mech-model=names-gpt2-seed1",
    )
    assert (run.claim()["prompts"]["n"], run.claim()["verdict"]) == (48, "vacuous")


def test_an_own_circuit_for_is_that_of_a_contrast_too(claims):
    run = claims(
        """
    from dataclasses import replace

    @pytest.fixture
    def circuit_for(circuit_for):
        return lambda model: replace(circuit_for(model), source="mine of " + provenance(model).name)

    @claim("It has a circuit", task="ioi", decoy={"model": "names-gpt2-seed0"})
    def test_it(model, prompts, circuit, check):
        print(f"\\n{circuit.source}")
        check.above(run(model, prompts), -100.0)
    """,
        "--mech-model=names-gpt2-seed1",
        "-s",
    )
    assert run.claim()["circuit"]["source"] == "mine of names-gpt2-seed1"
    assert [line for line in run.output.splitlines() if line.startswith("mine")] == ["mine of names-gpt2-seed1", "mine of names-gpt2-seed0"]


def test_an_own_circuit_for_needs_no_recorded_circuit(claims):
    run = claims(
        """
    @pytest.fixture
    def circuit_for():
        return lambda model: Circuit({"chosen": heads("0.1@END")})

    @claim("It has heads", task="ioi")
    def test_it(model, prompts, circuit, check):
        check.above(run(model, prompts, Ablate(circuit["chosen"], "zero")), -100.0)
    """,
        "--mech-model=years-gpt2-seed0",
    )
    assert (run.claim()["verdict"], run.claim()["circuit"]["roles"]) == ("vacuous", {"chosen": "0.1@END"})


def test_a_contrast_whose_prompts_are_skipped_does_not_let_the_claim_go(claims):
    """It has been measured."""
    run = claims(
        """
    @pytest.fixture
    def make_prompts(model):
        def made(asked, **how):
            return ioi_prompts(asked, **how) if asked is model else pytest.skip("not for this one")
        return made

    @claim("It does the task", decoy={"model": "names-gpt2-seed0"})
    def test_it(model, prompts, check):
        check.above(run(model, prompts), 1.0)
    """,
        "--mech-model=names-gpt2-seed1",
    )
    assert (run.claim()["verdict"], len(run.claim()["expectations"])) == ("errored", 1)
    assert run.claim()["reason"] == "ClaimError: making the prompts of its contrast on names-gpt2-seed0 was skipped: not for this one"


def test_random_weights_have_no_circuit(claims):
    run = claims(
        """
    @claim("It has a circuit", task="ioi")
    def test_it(model, prompts, circuit_for, check):
        check.above(run(model, prompts, Ablate(circuit_for(model)["s_inhibition"], "zero")), -100.0)
    """,
        "--mech-model=names-gpt2-seed1",
    )
    assert "names-gpt2-seed1#reinitialised-0 has random weights, and no circuit: name another decoy" in run.claim()["reason"]


def test_a_claim_that_checks_nothing_sees_none_of_our_code(claims):
    run = claims(
        """
    @claim("nothing is checked")
    def test_it(check): ...
    """
    )
    assert "ClaimError: this claim checked nothing: use the `check` fixture" in run.output
    assert "def decide_claim" not in run.output
    assert "verdicts/outcome.py" not in run.output
