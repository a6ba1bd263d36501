"""Which models a claim runs on, where their circuits come from, and partners of claims about two."""

import re
import shutil

import pytest

from mechcheck.base.paths import data_dir
from mechcheck.circuits.recorded import models_with_circuit
from mechcheck.cli import main
from mechcheck.models.names import embedded_models
from mechcheck.plugin.session import NOTHING_MEASURED

MODEL, OTHER, SHORTCUT = "names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed0"
BEHAVIOUR = """
    @claim("The model does the task", task="ioi")
    def test_it(model, prompts, check):
        check.above(run(model, prompts), 1.0)
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
        "criteria": {"met": True, "unmet": {}},
    }
    assert "--mech-circuits=~/found" in run.claim()["command"]


def test_a_role_that_nothing_fills(claims):
    """Skipped with the reason; a name that nobody looked for is an error."""
    run = claims(
        """
        @claim("x", task="ioi")
        def test_it(model, circuit, check): check.above(around(1.0), float(len(circuit["backup_name_mover"])))
        @claim("x", task="ioi")
        def test_mistaken(model, circuit, check): check.above(around(1.0), float(len(circuit["backup"])))
        """,
        "--mech-model",
        MODEL,
    )
    assert run.verdicts == {f"ioi/test_it[{MODEL}]": "skipped", f"ioi/test_mistaken[{MODEL}]": "errored"}
    assert run.claim("test_it")["reason"].startswith("the circuit has no backup_name_mover: these heads are in the last layer")
    assert run.claim("test_mistaken")["reason"].startswith("CircuitError: the circuit has no role 'backup'")


def test_circuits_that_are_not_there(claims):
    run = claims(BEHAVIOUR, "--mech-circuits", "found")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert "--mech-circuits: there is no folder found; `mechcheck discover TASK MODEL --out found` makes it" in run.result.stderr.str()


def test_a_model_that_cannot_be_asked(claims):
    """Its tokenizer lacks the task's words, and nobody says that it does the task: skipped, naming the words."""
    run = claims(BEHAVIOUR, "--mech-model", "sentences-bert")
    assert run.claim()["verdict"] == "skipped"
    assert re.match(r"sentences-bert cannot be asked about 'ioi': \d+ words are not single tokens.*Mary", run.claim()["reason"])
    assert run.result.ret == NOTHING_MEASURED


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
    ],
)
def test_models_that_cannot_be_loaded(claims, options, reason):
    run = claims('@claim("x")\ndef test_it(model, check): ...', *options)
    assert run.claim()["verdict"] == "errored"
    assert run.claim()["reason"].startswith(reason)
    assert run.result.parseoutcomes() == {"errors": 1}


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
