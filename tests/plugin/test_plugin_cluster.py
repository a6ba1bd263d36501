"""`--mech-cluster local`: as in one process, whatever happens."""

import xml.etree.ElementTree as ElementTree

import pytest
from lost import HEADER as HEADER
from lost import N, litter, thirteen

pytestmark = pytest.mark.usefixtures("warm")  # workers are started as Python is
assert "def around" in HEADER  # below which `claims` puts each source
ON_TWO = ("--mech-cluster=local", "--mech-workers=2")
MIXED = """
@pytest.mark.parametrize("mean", [1.0, -1.0, 0.0])
@claim("it is so", decoy={"mean": -2.0})
def test_it(check, mean):
    check.above(around(mean), 0)

@claim("it fails")
def test_fails(check):
    raise LookupError("no such thing")

@claim("it is skipped")
def test_skipped(check):
    pytest.skip("not today")

def test_plain(request):
    import warnings
    warnings.warn("a plain test warns", UserWarning)
    assert 1 == 2
"""
_OF_A_RUN = ("duration_s", "tries", "cost")


def records(run):
    """What the evidence says of claims, but for how long they took and how often they were tried."""
    assert run.evidence is not None
    return [{name: value for name, value in claim.items() if name not in _OF_A_RUN} for claim in run.evidence["claims"]]


def cases_of(path):
    """Name -> what JUnit XML says of it, but for times."""
    return {
        case.get("name"): sorted((child.tag, child.get("message", "")) for child in case)
        for case in ElementTree.parse(path).iter("testcase")
    }


def test_evidence_reports_and_status_are_those_of_one_process(claims, pytester):
    alone = claims(MIXED, "--junitxml=alone.xml")
    spread = claims.again(*ON_TWO, "--junitxml=spread.xml", "--html=spread.html")
    assert records(spread) == records(alone)
    assert spread.evidence["run"]["complete"] is True
    assert spread.result.ret == alone.result.ret == 1
    assert spread.result.parseoutcomes() == alone.result.parseoutcomes() | {"warnings": alone.result.parseoutcomes().get("warnings", 1)}
    assert cases_of(pytester.path / "spread.xml") == cases_of(pytester.path / "alone.xml")
    assert "a plain test warns" in spread.output
    assert "no such thing" in spread.output
    assert "no such thing" in (pytester.path / "spread.html").read_text(encoding="utf-8")
    assert litter(spread.report) == []


def test_last_failed_and_keywords_choose_as_they_do_in_one_process(claims):
    first = claims(MIXED, *ON_TWO)
    assert first.result.parseoutcomes()["failed"] == 3
    again = claims.again(*ON_TWO, "--lf")
    assert again.result.parseoutcomes()["failed"] == 3
    assert sorted(again.verdicts.values()) == ["errored", "refuted"]
    some = claims.again(*ON_TWO, "-k", "test_it and not -1.0")
    assert sorted(some.verdicts.values()) == ["inconclusive", "supported"]


def test_one_failure_is_enough_where_that_was_asked_for(claims):
    found = claims(MIXED.replace("check.above", "time.sleep(mean > 0); check.above"), *ON_TWO, "-x", "-k", "test_it")
    assert found.result.ret == 1
    assert found.evidence["run"]["complete"] is False
    assert found.evidence["run"]["undecided"]
    assert found.result.parseoutcomes()["failed"] == 1
    assert "stopping after 1 failures" in found.output


def test_a_lost_worker_costs_no_claim_and_is_on_record(claims):
    fault = "(pytest.skip.Exception if os.path.exists('seen') else open('seen', 'w').close() or os.kill(os.getpid(), signal.SIGKILL))"
    found = claims(thirteen(fault), *ON_TWO)
    assert found.result.ret == 0
    assert list(found.verdicts.values()) == ["supported"] * N
    assert found.evidence["run"]["complete"] is True
    (problem,) = found.evidence["run"]["problems"]
    assert "test_it[6]: the worker that ran it was lost (process" in problem
    assert "was lost" in found.output


def test_a_claim_that_ends_every_worker_is_errored_and_the_others_are_decided(claims):
    found = claims(thirteen("os.kill(os.getpid(), signal.SIGKILL)"), *ON_TWO)
    assert found.result.ret == 1
    assert sorted(found.verdicts.values()) == ["errored"] + ["supported"] * (N - 1)
    assert found.evidence["run"]["complete"] is True
    assert len(found.evidence["run"]["problems"]) == 3
    assert found.claim("[6]")["reason"] == "the process ended before this claim was decided"
    assert "3 workers were lost over it" in found.output


@pytest.mark.parametrize(("fault", "status"), [("raise KeyboardInterrupt", 2), ("pytest.exit('enough', 7)", 7)])
def test_a_claim_that_ends_the_run_ends_it(claims, fault, status):
    found = claims(thirteen(fault, at=3), *ON_TWO)
    assert found.result.ret == status
    assert found.evidence["run"]["complete"] is False
    assert any("[3]" in name for name in found.evidence["run"]["undecided"])
    assert [name for name, verdict in found.verdicts.items() if verdict == "errored" and "[3]" in name]


def test_fixtures_of_a_module_are_made_once_for_claims_in_a_row_and_torn_down(claims, pytester):
    found = claims(
        """
    @pytest.fixture(scope="session", autouse=True)
    def whole():
        yield
        open("ended", "a").write("session ")

    @pytest.fixture(scope="module")
    def made():
        open("made", "a").write("x")
        yield
        open("ended", "a").write("module ")

    @pytest.mark.parametrize("i", range(4))
    @claim("it is so", decoy={"mean": -1.0})
    def test_it(check, i, made, mean=1.0):
        check.above(around(mean), 0)
    """,
        "--mech-cluster=local",
        "--mech-workers=1",
    )
    assert found.result.ret == 0
    assert (pytester.path / "made").read_text() == "x"
    assert (pytester.path / "ended").read_text() == "module session "


def test_a_worker_that_collects_something_else_is_an_error(claims):
    found = claims(
        """
import os
@pytest.mark.parametrize("i", ["here"] if "MECHCHECK_WORKER" not in os.environ else ["there"])
@claim("it is so", decoy={"mean": -1.0})
def test_it(check, i, mean=1.0):
    check.above(around(mean), 0)
""",
        *ON_TWO,
    )
    assert found.result.ret == 4
    found.result.stderr.fnmatch_lines(["*has not collected*test_it?here?*are the files there the same*"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--mech-cluster=moon",), "*no place 'moon'*"),
        (("--mech-cluster=local", "--mech-workers=0"), "*at least one*"),
        (("--mech-cluster=local", "--pdb"), "*leave out --mech-cluster*"),
        (("--mech-cluster=local", "--mech-resources=fast"), "*'fast' is no NAME=VALUE*"),
        (("--mech-cluster=local", "--mech-resources=fast=very"), "*no number*"),
        (("--mech-cluster=slurm",), "*how many jobs*"),
        (("--mech-cluster=local", "-n2"), "*leave one out*"),
    ],
)
def test_what_does_not_go_together_is_refused(claims, options, message):
    found = claims(MIXED, *options)
    assert found.result.ret == 4
    found.result.stderr.fnmatch_lines([message])


def test_claims_of_a_model_stay_with_a_worker(claims, pytester):
    """Two models on two workers: one takes the other's model only when its own has no claims left, so that three loadings are the most."""
    source = """
import os
import pytest
from mechcheck import claim, provenance, run

@pytest.mark.parametrize("k", range(3))
@claim("it answers", task="ioi", kind="behaviour")
def test_it(model, prompts, check, k):
    with open("seen", "a") as file:
        file.write(f"{provenance(model).name} {os.environ.get('MECHCHECK_WORKER')}\\n")
    check.above(run(model, prompts), 0)
"""
    models = ("--mech-model=names-gpt2-seed0", "--mech-model=names-gpt2-seed4", "--mech-decoys=1")
    alone = claims(source, *models)
    (pytester.path / "seen").unlink()
    spread = claims.again(*models, *ON_TWO)
    assert records(spread) == records(alone)
    met = {tuple(line.split()) for line in (pytester.path / "seen").read_text().splitlines()}
    workers = {name: {worker for model, worker in met if model.startswith(name)} for name in ("names-gpt2-seed0", "names-gpt2-seed4")}
    assert sum(map(len, workers.values())) <= 3, met
    assert set.union(*workers.values()) == {"1", "2"}


ENDING = """
@claim("it is told in the middle that its job will be ended soon", decoy={"mean": -1.0})
def test_told(check, mean=1.0):
    os.kill(os.getpid(), signal.SIGUSR2)
    time.sleep(0.1)
    check.above(around(mean), 0)

@pytest.mark.parametrize("i", range(3))
@claim("another", decoy={"mean": -1.0})
def test_other(check, i, mean=1.0):
    check.above(around(mean), 0)
"""


def test_a_job_that_will_be_ended_decides_its_claim_first(claims):
    pytest.importorskip("submitit", reason="pip install 'mechcheck[slurm]'")
    found = claims(ENDING, "--mech-cluster=slurm:local", "--mech-workers=1")
    assert [claim["verdict"] for claim in found.evidence["claims"]] == ["supported"] * 4
    assert found.evidence["run"]["complete"] is True
    assert "lost" not in found.output


def test_what_breaks_pytest_itself_in_a_worker_costs_the_others_nothing(claims, pytester):
    """As a plugin's hook that raises does, which ends a run without a cluster."""
    pytester.makeconftest(
        "def pytest_runtest_logstart(nodeid):\n    if 'test_it[-1.0]' in nodeid and is_worker: raise LookupError('a hook broke')\n"
    )
    conftest = pytester.path / "conftest.py"
    conftest.write_text("import os\nis_worker = 'MECHCHECK_WORKER' in os.environ\n" + conftest.read_text())
    found = claims(MIXED, *ON_TWO, "-k", "test_it")
    assert sorted(found.verdicts.values()) == ["errored", "inconclusive", "supported"]
    (broken,) = [claim for claim in found.evidence["claims"] if claim["verdict"] == "errored"]
    assert "the worker could not run it: LookupError: a hook broke" in broken["reason"]
