"""What makes a claim's prompts and circuit for another model, and prompts of the user's own."""

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
