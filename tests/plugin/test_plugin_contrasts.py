"""Decoys and positive controls: what says nothing is vacuous, what is wrong is never supported."""

import json

import pytest

MODEL, SHORTCUT = "names-gpt2-seed1", "names-gpt2-seed0"
ON_SEED1 = ("--mech-model", MODEL)


def test_a_trivial_claim_is_vacuous(claims):
    run = claims(
        """
        @claim("Logits exist", task="ioi")
        def test_of_a_circuit(model, prompts, circuit, check):
            run(model, prompts, Ablate(circuit["s_inhibition"], "zero"))
            check.above(run(model, prompts, metric=probability), -1.0)

        @claim("Probabilities are positive", task="ioi")
        def test_of_a_model(model, prompts, check):
            check.above(run(model, prompts, metric=probability), 0.0)

        @claim("The circuit is named and not used", task="ioi")
        def test_unused(model, prompts, circuit, check):
            check.above(run(model, prompts), 0.0)
        """,
        *ON_SEED1,
    )
    assert run.verdicts == dict.fromkeys((f"ioi/test_{n}[{MODEL}]" for n in ("of_a_circuit", "of_a_model", "unused")), "vacuous")
    circuit, model = run.claim("of_a_circuit"), run.claim("of_a_model")
    assert circuit["decoys"]["kind"] == "random sites of the same kinds, layers and number"
    assert circuit["decoys"]["n"] == circuit["decoys"]["supported"] > 0
    kind = "random sites of the same kinds, layers and number"
    assert circuit["reason"].startswith("vacuous: ")
    assert f" alternatives satisfy it ({kind}), so it says nothing about this circuit" in circuit["reason"]
    assert (model["decoys"]["kind"], model["decoys"]["n"], model["decoys"]["supported"]) == ("re-initialised weights", 5, 5)
    assert "so it says nothing about this model" in model["reason"]
    assert run.result.parseoutcomes() == {"failed": 3}


WRONG = """
    @claim("Ablating the S-inhibition heads takes away most of the preference", task="ioi")
    def test_true(model, prompts, circuit, check):
        clean = run(model, prompts)
        check.above((clean - run(model, prompts, Ablate(circuit["s_inhibition"], "mean"))) / clean, 0.75)

    @pytest.mark.parametrize("head", [0, 1, 2])
    @claim("Ablating other heads of the layer does", task="ioi", decoy="reinitialised")
    def test_random_heads(model, prompts, check, head):
        clean = run(model, prompts)
        check.above((clean - run(model, prompts, Ablate(heads(f"0.{head}@END"), "mean"))) / clean, 0.75)

    @claim("Ablating the S-inhibition heads strengthens the preference", task="ioi")
    def test_opposite(model, prompts, circuit, check):
        check.below(run(model, prompts) - run(model, prompts, Ablate(circuit["s_inhibition"], "mean")), 0.0)

    @claim("Ablating the S-inhibition heads takes away twice the preference", task="ioi")
    def test_out_of_reach(model, prompts, circuit, check):
        clean = run(model, prompts)
        check.above((clean - run(model, prompts, Ablate(circuit["s_inhibition"], "mean"))) / clean, 2.0)

    @claim("The model always answers S", task="ioi")
    def test_wrong_behaviour(model, prompts, check):
        check.rate(run(model, prompts) < 0, above=0.9)
"""


def test_what_is_wrong_is_not_supported(claims):
    run = claims(WRONG, *ON_SEED1)
    assert run.claim("test_true")["verdict"] == "supported"
    assert [run.claim(f"heads[{MODEL}-{head}]")["verdict"] for head in (0, 1, 2)] == ["refuted"] * 3
    assert run.claim("opposite")["verdict"] == "refuted"
    assert run.claim("out_of_reach")["verdict"] == "refuted"
    assert run.claim("wrong_behaviour")["verdict"] == "refuted"


def test_decoys_are_recorded(claims):
    found = claims(WRONG, *ON_SEED1, "-k", "test_true", "--mech-decoys=3").claim()["decoys"]
    assert (found["n"], found["supported"], len(found["runs"])) == (3, 0, 3)
    assert {r["label"] for r in found["runs"]} == {f"s_inhibition 0.{h}@END" for h in (0, 1, 2)}
    for decoy in found["runs"]:
        assert decoy["verdict"] == "refuted"
        (value,) = decoy["values"].values()
        assert value < 0.75


def test_a_mapping_replaces_arguments(claims):
    run = claims(
        """
        @claim("The second subject matters", task="ioi", decoy={"circuit": {"s_inhibition": "0.1@END"}})
        def test_other_sites(model, prompts, circuit, check):
            check.below(run(model, prompts, Patch(circuit["s_inhibition"])), 0.0)

        @claim("It is attended to", task="ioi", decoy={"model": "names-gpt2-seed0"})
        def test_other_model(model, prompts, circuit, check):
            check.above(attention_to(model, prompts, circuit["s_inhibition"], "END", "S2"), 0.3)

        @claim("Not the first one", task="ioi", decoy={"key": "S1"})
        def test_other_parameter(model, prompts, circuit, check, key="S2"):
            check.above(attention_to(model, prompts, circuit["s_inhibition"], "END", key), 0.3)
        """,
        *ON_SEED1,
    )
    assert set(run.verdicts.values()) == {"supported"}
    for name, label in {
        "other_sites": "circuit: s_inhibition: 0.1@END",
        "other_model": f"model: {SHORTCUT}",
        "other_parameter": "key: S1",
    }.items():
        decoys = run.claim(name)["decoys"]
        assert (decoys["kind"], [r["label"] for r in decoys["runs"]]) == ("named by the claim", [label])
        assert decoys["runs"][0]["verdict"] == "refuted"


def test_positive_control_on_another_model(claims):
    run = claims(
        """
        @claim("S-inhibition heads attend to S2", task="ioi", expect={"names-gpt2-seed0": "refuted"})
        def test_attention(model, prompts, circuit, check):
            check.above(attention_to(model, prompts, circuit["s_inhibition"], "END", "S2"), 0.3)

        @claim("They attend to S2 even after a flip", task="ioi", expect="refuted", positive_control={"threshold": -100.0})
        def test_parameter(model, prompts, circuit, check, threshold=100.0):
            check.above(run(model, prompts), threshold)

        @claim("Nothing can show this", task="ioi", expect="refuted", positive_control={"threshold": 200.0})
        def test_hopeless(model, prompts, circuit, check, threshold=100.0):
            check.above(run(model, prompts), threshold)
        """,
        "--mech-model",
        SHORTCUT,
    )
    attention = run.claim("attention")
    assert (attention["verdict"], attention["met"], attention["model"]["name"]) == ("refuted", True, SHORTCUT)
    assert attention["decoys"]["kind"] == "positive control"
    control = attention["decoys"]["runs"][-1]
    assert control["verdict"] == "supported"
    assert control["label"].startswith("model: ")
    assert control["label"] != f"model: {SHORTCUT}"
    assert run.claim("parameter")["decoys"]["runs"][0]["label"] == "threshold: -100.0"
    hopeless = run.claim("hopeless")
    assert (hopeless["verdict"], hopeless["met"]) == ("vacuous", False)
    assert "tried: threshold: 200.0" in hopeless["reason"]


def test_parameters_with_a_positive_control_among_them(claims):
    """A method that is expected to fail is shown able to succeed by the one that does."""
    run = claims("""
        @pytest.mark.parametrize("mean", [-1.0, 1.0], ids=["low", "high"])
        @claim("it is high", expect={"-1.0": "refuted"}, positive_control={"mean": 1.0}, decoy={"mean": -1.0})
        def test_it(check, mean):
            check.above(around(mean), 0)
    """)
    assert {c["id"]: (c["verdict"], c["met"], c["decoys"]["kind"]) for c in run.evidence["claims"]} == {
        "test_it[low]": ("refuted", True, "positive control"),
        "test_it[high]": ("supported", True, "named by the claim"),
    }


def test_random_sites_need_a_circuit(claims):
    run = claims(
        """
        @claim("The model does the task", task="ioi", decoy="random_sites")
        def test_it(model, prompts, check):
            check.above(run(model, prompts), 0.0)
        """,
        *ON_SEED1,
    )
    assert run.claim()["reason"] == 'ClaimError: decoy="random_sites" needs the claim to use the `circuit` fixture'


@pytest.mark.parametrize("explicit", [False, True])
def test_too_few_sites_outside(claims, explicit):
    """A circuit that takes up the whole model leaves no random heads: the re-initialised twin steps in, unless heads were asked for."""
    decoy = ', decoy="random_sites"' if explicit else ""
    run = claims(
        f"""
        @pytest.fixture
        def circuit():
            return Circuit({{"everything": heads("0.0-3 1.0-3")}})

        @claim("Ablating everything matters", task="ioi"{decoy})
        def test_it(model, prompts, circuit, check):
            check.above(run(model, prompts) - run(model, prompts, Ablate(circuit["everything"], "zero")), 1.0)
        """,
        *ON_SEED1,
    )
    claim = run.claim()
    if explicit:
        assert claim["verdict"] == "errored"
        assert claim["reason"].startswith("NoControlError: only 0 head sites lie outside the circuit, 4 are needed")
    else:
        assert (claim["verdict"], claim["decoys"]["kind"]) == (
            "supported",
            "re-initialised weights, as too few sites lie outside the circuit",
        )


def test_a_claim_without_a_circuit_is_contrasted_with_its_twin(claims):
    run = claims(
        """
        @claim("The model does the task", task="ioi")
        def test_it(model, prompts, check):
            check.above(run(model, prompts), 1.0)
        """,
        *ON_SEED1,
    )
    decoys = run.claim()["decoys"]
    assert [r["label"] for r in decoys["runs"]] == [f"weights drawn with seed {i}" for i in range(5)]
    values = [next(iter(r["values"].values())) for r in decoys["runs"]]
    assert values[0] != values[1]
    assert all(abs(value) < 1 for value in values), json.dumps(values)


@pytest.mark.parametrize(("limit", "verdict"), [(0.5, "supported"), (-0.5, "vacuous")])
def test_several_decoys(claims, limit, verdict):
    """Each kind must be rejected: one that satisfies the claim is not outvoted by others that do not."""
    run = claims(
        f"""
        @claim("it is high", decoy=[{{"mean": -9.0}}, {{"mean": -8.0}}, {{"mean": 0.0}}])
        def test_it(check, mean=1.0):
            check.above(around(mean), {limit})
        """
    )
    claim = run.claim()
    assert claim["verdict"] == verdict
    assert claim["decoys"]["kind"] == "named by the claim"
    assert [r["label"] for r in claim["decoys"]["runs"]] == ["mean: -9.0", "mean: -8.0", "mean: 0.0"]
    if verdict == "vacuous":
        assert claim["reason"].startswith("vacuous: the only alternative satisfies it (named by the claim)")
