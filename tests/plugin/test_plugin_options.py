"""The --mech-* options, which models a claim runs on, and what the fixtures ask for."""

import re
import shutil

import pytest

from mechcheck._circuit import models_with_circuit
from mechcheck._models import embedded_models
from mechcheck._paths import data_dir
from mechcheck.cli import main

MODEL, OTHER, SHORTCUT = "names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed0"
BEHAVIOUR = """
    @claim("The model does the task", task="ioi")
    def test_it(model, prompts, check):
        check.above(run(model, prompts), 1.0)
"""
SYNTHETIC = """
    @claim("it is so", decoy={"mean": -1.0})
    def test_it(check, mean=1.0):
        check.above(around(mean), 0)
"""


def test_models_can_be_repeated(claims):
    run = claims(BEHAVIOUR, "--mech-model", MODEL, "--mech-model", OTHER)
    assert set(run.verdicts) == {f"ioi/test_it[{MODEL}]", f"ioi/test_it[{OTHER}]"}
    assert {c["model"]["name"] for c in run.evidence["claims"]} == {MODEL, OTHER}
    assert {s["model"] for s in run.evidence["run"]["sentinels"]} == {MODEL, OTHER}


def test_all_embedded_models_with_a_circuit_by_default(claims):
    fitting = set(embedded_models()) & set(models_with_circuit("ioi"))
    assert {MODEL, OTHER, SHORTCUT} <= fitting
    run = claims(BEHAVIOUR, "--collect-only", "-q")
    assert {line for line in run.result.outlines if "::" in line} == {f"test_claims.py::test_it[{name}]" for name in fitting}


def test_a_directory_with_a_circuit_beside_the_claim(claims, pytester):
    """Somebody's own copy of a model, called something else."""
    directory = pytester.path / "models" / "mine"
    shutil.copytree(data_dir("fixtures") / "models" / MODEL, directory)
    circuits = pytester.mkdir("circuits")
    shutil.copy(data_dir("claims") / "ioi" / "circuits" / f"{MODEL}.toml", circuits / "mine.toml")
    run = claims(
        """
        @claim("They attend to S2", task="ioi")
        def test_it(model, prompts, circuit, check):
            check.above(attention_to(model, prompts, circuit["s_inhibition"], "END", "S2"), 0.3)
        """,
        "--mech-model",
        str(directory),
    )
    claim = run.claim()
    assert (claim["id"], claim["verdict"], claim["model"]["name"]) == ("ioi/test_it[mine]", "supported", "mine")
    assert claim["circuit"]["roles"]["s_inhibition"] == "0.3@END"


def test_a_circuit_for_other_weights(claims, pytester):
    circuits = pytester.mkdir("circuits")
    shutil.copy(data_dir("claims") / "ioi" / "circuits" / f"{OTHER}.toml", circuits / f"{MODEL}.toml")
    run = claims('@claim("x", task="ioi")\n    def test_it(model, prompts, circuit, check): ...'.replace("    ", ""), "--mech-model", MODEL)
    claim = run.claim()
    assert claim["verdict"] == "errored"
    assert f"CircuitError: the circuit was recorded for other weights than {MODEL} has now (recorded " in claim["reason"]
    assert "find it again, or load that model" in claim["reason"]


ATTENDS = """
    @claim("They attend to S2", task="ioi")
    def test_it(model, prompts, circuit, check):
        check.above(attention_to(model, prompts, circuit["s_inhibition"], "END", "S2"), 0.3)
"""


@pytest.fixture
def mine(pytester):
    """A copy of an embedded model in a directory of its own."""
    shutil.copytree(data_dir("fixtures") / "models" / MODEL, pytester.path / "mine")
    return str(pytester.path / "mine")


def test_a_model_without_a_circuit(claims, mine):
    """Only what uses the circuit needs one."""
    run = claims(ATTENDS + BEHAVIOUR.replace("test_it", "test_behaviour"), "--mech-model", mine)
    assert run.verdicts == {"ioi/test_it[mine]": "skipped", "ioi/test_behaviour[mine]": "supported"}
    assert run.claim("test_it")["reason"] == (
        f"no circuit is recorded for mine and task 'ioi' (recorded for: {', '.join(models_with_circuit('ioi'))}); "
        "to find one: mechcheck discover ioi mine --out circuits, then pytest --mech-circuits circuits"
    )
    assert run.result.ret == 0


def test_circuits_that_were_found_here(claims, mine, pytester):
    assert main(["discover", "ioi", mine, "--out", "found"]) == 0
    run = claims(ATTENDS, "--mech-model", mine, "--mech-circuits", "found")
    assert run.verdicts == {"ioi/test_it[mine]": "supported"}
    assert run.claim()["circuit"] == {
        "source": "claims/ioi/discover.py",
        "roles": {"name_mover": "1.0@END 1.2@END", "s_inhibition": "0.3@END"},
    }
    assert f"--mech-circuits={pytester.path / 'found'}" in run.claim()["command"]


def test_circuits_that_are_not_there(claims):
    run = claims(BEHAVIOUR, "--mech-circuits", "found")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--mech-circuits: there is no folder found; `mechcheck discover TASK MODEL --out found` makes it" in run.result.stderr.str()


def test_a_model_that_cannot_be_asked(claims):
    """Its tokenizer lacks the task's words, and nobody says that it does the task: skipped, naming the words."""
    run = claims(BEHAVIOUR, "--mech-model", "sentences-bert")
    assert run.claim()["verdict"] == "skipped"
    assert re.match(r"sentences-bert cannot be asked about 'ioi': \d+ words are not single tokens.*Mary", run.claim()["reason"])
    assert run.result.ret == 0


def test_a_model_that_should_be_able_to_be_asked(claims, pytester):
    """A circuit is recorded for it."""
    shutil.copy(data_dir("claims") / "ioi" / "circuits" / f"{MODEL}.toml", pytester.mkdir("circuits") / "sentences-bert.toml")
    run = claims(BEHAVIOUR, "--mech-model", "sentences-bert")
    assert run.claim()["verdict"] == "errored"
    assert "words are not single tokens for this tokenizer" in run.claim()["reason"]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (
            ("--mech-model", "gpt5"),
            f"ModelError: cannot load 'gpt5': it is no embedded model ({', '.join(embedded_models())}), no directory, and it is not in ",
        ),
        (("--mech-model", "./nowhere"), "ModelError: no model directory at './nowhere'; embedded models: "),
    ],
)
def test_models_that_cannot_be_loaded(claims, options, reason):
    run = claims('@claim("x")\ndef test_it(model, check): ...', *options)
    assert run.claim()["verdict"] == "errored"
    assert run.claim()["reason"].startswith(reason)
    assert run.result.parseoutcomes() == {"errors": 1}


def test_dtype(claims):
    asserted = BEHAVIOUR + "        assert next(model.parameters()).dtype.itemsize == 8\n"
    run = claims(asserted, "--mech-dtype", "float64", "--mech-model", MODEL)
    assert (run.claim()["verdict"], run.claim()["model"]["dtype"]) == ("supported", "float64")
    assert "--mech-dtype=float64" in run.claim()["command"]


def test_seed(claims):
    first, again, other = (claims(BEHAVIOUR, "--mech-model", MODEL, f"--mech-seed={seed}") for seed in (0, 0, 1))
    assert first.claim()["expectations"] == again.claim()["expectations"]
    assert first.claim()["prompts"] == again.claim()["prompts"]
    assert first.claim()["prompts"]["ids_sha256"] != other.claim()["prompts"]["ids_sha256"]
    assert (other.evidence["run"]["seed"], other.claim()["verdict"]) == (1, "supported")
    synthetic = [claims(SYNTHETIC, f"--mech-seed={seed}").claim()["expectations"][0]["estimate"] for seed in (0, 1)]
    assert (synthetic[0]["low"], synthetic[0]["high"]) != (synthetic[1]["low"], synthetic[1]["high"])


def test_profiles(claims):
    found = {}
    for profile in ("smoke", "ci"):
        claim = claims(BEHAVIOUR, "--mech-model", MODEL, f"--mech-profile={profile}").claim()
        found[profile] = (claim["prompts"]["n"], claim["expectations"][0]["estimate"]["method"].split(", ")[1])
    assert found == {"smoke": (96, "1000 resamples"), "ci": (240, "2000 resamples")}


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--mech-decoys=0", "--mech-decoys must be at least 1: a claim that was never shown able to fail is no evidence"),
        ("--mech-decoys=-1", "--mech-decoys must be at least 1"),
        ("--mech-profile=quick", "invalid choice: 'quick'"),
        ("--mech-seed=x", "invalid int value: 'x'"),
    ],
)
def test_options_that_are_refused(claims, option, message):
    run = claims(SYNTHETIC, option)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in run.result.stderr.str()
    assert run.evidence is None


def test_report_directory(claims, pytester):
    claims(SYNTHETIC, "--mech-report=some/where")
    assert sorted(p.name for p in (pytester.path / "some" / "where").iterdir()) == ["evidence.json", "index.html", "samples"]
    assert not (pytester.path / "reports").exists()


def test_models_that_a_claim_is_not_about(claims):
    source = (
        '@claim("x", models=["names-gpt2-seed4"], task="ioi")\ndef test_it(model, prompts, check): check.above(run(model, prompts), 1.0)'
    )
    assert claims(source).verdicts == {f"ioi/test_it[{OTHER}]": "supported"}
    run = claims(source, "--mech-model", MODEL)
    assert (run.claim()["verdict"], run.claim()["reason"]) == ("skipped", f"this claim is about {OTHER}")
    run = claims(source.replace(OTHER, "gpt2"))
    assert run.claim()["verdict"] == "skipped"
    assert "no embedded model fits this claim" in run.claim()["reason"]


def test_own_prompts(claims):
    """A `prompts` fixture of the user's own takes the place of the task's."""
    run = claims(
        """
        @pytest.fixture
        def prompts(model):
            return ioi_prompts(model, n=16, seed=5, orders=["ABBA"])

        @claim("The model does the task", task="ioi")
        def test_it(model, prompts, check):
            check.above(run(model, prompts), 1.0)

        @claim("The shortcut fails", task="ioi", decoy={"model": "names-gpt2-seed0"})
        def test_other_model(model, prompts, check):
            check.above(run(model, prompts), 1.0)
        """,
        "--mech-model",
        MODEL,
    )
    assert (run.claim("test_it")["verdict"], run.claim("test_it")["prompts"]["n"]) == ("supported", 16)
    assert "a contrast on another model needs prompts for it" in run.claim("other_model")["reason"]


def test_own_task(claims, pytester):
    pytester.makeconftest("""
        import mechcheck
        from mechcheck import ioi_prompts

        @mechcheck.task("abba only")
        def abba_only(model, *, n, seed, split, order="ABBA"):
            return ioi_prompts(model, n=n, seed=seed, split=split, orders=[order])
    """)
    circuits = pytester.mkdir("circuits")
    shutil.copy(data_dir("claims") / "ioi" / "circuits" / f"{MODEL}.toml", circuits / f"{MODEL}.toml")
    run = claims("""
        @claim("It does one order", task="abba only")
        def test_abba(model, prompts, check):
            check.above(run(model, prompts), 1.0)

        @claim("And the other", task="abba only", prompts={"order": "BABA"})
        def test_baba(model, prompts, check):
            check.above(run(model, prompts), 1.0)

        @claim("Nobody makes its prompts", task="no such task")
        def test_unknown(model, prompts, check): ...
    """)
    assert [run.claim(f"test_{order}")["verdict"] for order in ("abba", "baba")] == ["supported"] * 2
    assert {e["template"][:4] for e in run.claim("test_abba")["prompts"]["examples"]} == {"ABBA"}
    assert {e["template"][:4] for e in run.claim("test_baba")["prompts"]["examples"]} == {"BABA"}
    assert set(run.verdicts) >= {f"abba only/test_abba[{MODEL}]", f"abba only/test_baba[{MODEL}]"}
    (unknown,) = [c for c in run.evidence["claims"] if "unknown" in c["id"]]
    assert unknown["verdict"] == "errored"
    assert unknown["reason"].startswith("PromptError: no prompts are known for task 'no such task'")


def test_two_claims_of_one_id(claims):
    run = claims("""
        @claim("a", id="same", decoy={"mean": -1.0})
        def test_a(check, mean=1.0): ...

        @claim("b", id="same", decoy={"mean": -1.0})
        def test_b(check, mean=1.0): ...
    """)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "two claims are called 'same': test_claims.py::test_a and test_claims.py::test_b; give one @claim(..., id=...)" in (
        run.result.stderr.str()
    )
    assert run.evidence is None


@pytest.mark.parametrize("misuse", ["@pytest.mark.claim", '@pytest.mark.claim("a statement")'])
def test_the_mark_alone_is_refused(claims, misuse):
    run = claims(f"{misuse}\ndef test_it(check): ...")
    assert run.result.ret != 0
    assert "use the decorator `@mechcheck.claim(...)`, not `@pytest.mark.claim`" in run.output + run.result.stderr.str()
    assert run.evidence is None


def test_fixtures_are_for_claims(claims):
    run = claims("""
        def test_check(check): ...
        def test_prompts(prompts): ...
        def test_circuit(circuit): ...
        def test_model(model):
            assert model.cfg.n_layers > 0

        @claim("no task")
        def test_no_task(model, prompts, check): ...
    """)
    assert run.result.parseoutcomes() == {"errors": 4, "passed": 1}
    for message in (
        "the `check` fixture is for claims: decorate the test with @claim(...)",
        'the `prompts` fixture needs @claim(..., task="...")',
        'the `circuit` fixture needs @claim(..., task="...")',
    ):
        assert message in run.output
    assert set(run.verdicts) == {f"test_no_task[{embedded_models()[0]}]"}


TWO = """
    @claim("Two models agree", models={"names-gpt2-seed1": "lab/partner"}, decoy={"sign": -1})
    def test_two(model, partner, check, sign=1):
        assert provenance(partner(model)).name == "partner"
        check.above(around(sign), 0.5)
"""


def test_the_partner_of_a_claim_about_two_models(claims, pytester):
    """It is the directory that was given under the last part of its name; the claim is about that model's partner, and not about it."""
    shutil.copytree(data_dir("fixtures") / "models" / OTHER, pytester.path / "partner")
    run = claims(TWO, "--mech-model", MODEL, "--mech-model", str(pytester.path / "partner"))
    assert run.verdicts == {f"test_two[{MODEL}]": "supported", "test_two[partner]": "skipped"}


def test_a_partner_that_is_not_there(claims):
    run = claims(TWO, "--mech-model", MODEL)
    assert run.claim()["verdict"] == "skipped"
    assert run.claim()["reason"] == (
        f"{MODEL} is compared with lab/partner, which is not on this machine: fetch it (mechcheck prefetch lab/partner), "
        "or give the directory that it is in as well (--mech-model path/to/partner)"
    )


@pytest.mark.parametrize(
    ("about", "message"),
    [
        ("", "the `partner` fixture needs @claim(..., models={model: other})"),
        (', models={"gpt2": "lab/x"}', "no embedded model fits this claim"),
    ],
)
def test_a_claim_that_names_no_partner(claims, about, message):
    run = claims(f'@claim("x"{about})\ndef test_it(model, partner, check): partner(model)')
    assert message in run.claim()["reason"]
