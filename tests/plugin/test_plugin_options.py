"""The --mech-* options, and what the fixtures ask for."""

import shutil

import pytest

from mechcheck.base.paths import data_dir
from mechcheck.models.names import embedded_models
from mechcheck.tasks.registry import GENERATORS

MODEL = "names-gpt2-seed1"
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


def test_profiles(claims):
    found = {}
    for profile in ("smoke", "ci"):
        claim = claims(BEHAVIOUR, "--mech-model", MODEL, f"--mech-profile={profile}").claim()
        found[profile] = claim["prompts"]["n"]
    assert found == {"smoke": 96, "ci": 240}


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
    assert sorted(p.name for p in (pytester.path / "some" / "where").iterdir()) == [
        "evidence.json",
        "index.html",
        "ledger.jsonl",
        "samples",
    ]
    assert not (pytester.path / "reports").exists()


@pytest.mark.parametrize("where", ["/proc/mech", "a_file", "a_file/below"])
@pytest.mark.parametrize("body", [SYNTHETIC, "def test_no_claim(): pass"])
@pytest.mark.parametrize("more", [[], ["-n2"]])
def test_a_report_that_cannot_be_written(claims, pytester, where, body, more):
    """Said in one line before anything runs."""
    (pytester.path / "a_file").write_text("")
    run = claims(body, f"--mech-report={where}", *more)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    said = run.result.stderr.str() + run.result.stdout.str()
    assert f"--mech-report: nothing can be written to {pytester.path / where if not where.startswith('/') else where} (" in said
    assert "Traceback" not in said
    assert "INTERNALERROR" not in said


def test_where_nothing_is_claimed_no_report_is_needed(pytester):
    (pytester.path / "reports").write_text("in the way")
    plain = pytester.makepyfile(test_nothing_claimed="def test_no_claim(): pass")
    assert pytester.runpytest(plain).ret == pytest.ExitCode.OK
    claim = pytester.makepyfile(
        test_something_claimed="from mechcheck import claim\n\n@claim('x')\ndef test_it(check): check.above([1.0], 0)"
    )
    run = pytester.runpytest(claim)
    assert run.ret == pytest.ExitCode.USAGE_ERROR
    assert "nothing can be written to" in run.stderr.str() + run.stdout.str()


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


def test_own_task(claims, pytester, monkeypatch):
    monkeypatch.setitem(GENERATORS, "abba only", None)  # what the run registers is not there for other tests
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
    """)
    assert [run.claim(f"test_{order}")["verdict"] for order in ("abba", "baba")] == ["supported"] * 2
    assert {e["template"][:4] for e in run.claim("test_abba")["prompts"]["examples"]} == {"ABBA"}
    assert {e["template"][:4] for e in run.claim("test_baba")["prompts"]["examples"]} == {"BABA"}
    assert set(run.verdicts) >= {f"abba only/test_abba[{MODEL}]", f"abba only/test_baba[{MODEL}]"}


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


def test_two_claims_of_one_node_id(pytester):
    """Files outside of the root directory: pytest leaves their folders out of what it calls their tests."""
    files = [pytester.mkdir(name) / f"test_claims_{name}.py" for name in ("one", "two")]
    for path in files:
        path.write_text(
            f"from mechcheck import claim\n\n@claim('a', id={path.stem!r}, decoy={{'mean': -1.0}})\ndef test_it(check, mean=1.0): ...\n"
        )
    inner = pytester.mkdir("inner")
    result = pytester.runpytest(f"--rootdir={inner}", *files)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = result.stderr.str()
    assert "pytest calls two claims '" in said
    assert all(str(path) in said for path in files)
    assert "name a folder that both are in with --rootdir" in said
    assert pytester.runpytest(f"--rootdir={pytester.path}", *files, "--collect-only").ret == 0


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
