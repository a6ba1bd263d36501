"""The ledger over several runs of pytest: other seeds, moved thresholds, two processes, runs that were cut off or cannot write."""

import json

import pytest
from synthetic import HEADER  # noqa: F401  (read by the fixture `claims`)

from mechcheck.evidence.ledger import LEDGER

SOURCE = """
    @claim("one", decoy={"mean": -1.0})
    def test_one(check, mean=1.0):
        check.above(around(mean, SEED), LOW)

    @claim("other", decoy={"mean": -1.0})
    def test_other(check, mean=1.0):
        check.requires(around(mean, SEED), above=0.5)
        check.below(around(mean, SEED), 2.0)
        check.above(around(mean, SEED), 0.0)

    @claim("never")
    def test_never(check):
        pytest.skip("no GPU")
"""
PROCESSES = pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["one", "two"])


def source(seed=0, low=0.5) -> str:
    return SOURCE.replace("SEED", str(seed)).replace("LOW", str(low))


def lines(run) -> list[dict]:
    return [json.loads(line) for line in (run.report / LEDGER).read_text().splitlines()]


@PROCESSES
def test_tries_add_up_over_runs(claims, processes):
    for seed, low in ((3, 0.5), (0, 0.5), (1, 1.0)):
        claims(source(seed, low), f"--mech-seed={seed}")
    run = claims(source(1, 0.4), "--mech-seed=1", *processes)
    tries = {c["id"]: c["tries"] for c in run.evidence["claims"]}
    assert tries["test_never"] is None
    assert {key: tries["test_one"][key] for key in ("n", "seeds", "verdicts", "moved")} == {
        "n": 4, "seeds": [0, 1, 3], "verdicts": {"supported": 3, "inconclusive": 1}, "moved": 2,
    }  # fmt: skip
    assert [(move["check"], move["before"], move["after"]) for move in tries["test_one"]["moves"]] == [
        (0, [0.5, None], [1.0, None]),
        (0, [1.0, None], [0.4, None]),
    ]
    assert (tries["test_other"]["n"], tries["test_other"]["moved"]) == (4, 0)
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert "4 times with seeds 0, 1, 3; supported 3, inconclusive 1" in page
    assert "the threshold was moved twice: &gt; 0.5 → &gt; 1; &gt; 1 → &gt; 0.4" in page
    assert "4 times with seeds 0, 1, 3; supported 4" in page


@PROCESSES
def test_each_run_adds_its_lines_and_leaves_the_others(claims, processes):
    before = (claims(source()).report / LEDGER).read_bytes()
    run = claims(source(seed=1), *processes)
    assert (run.report / LEDGER).read_bytes().startswith(before)
    assert [(line["claim"], line["verdict"]) for line in lines(run)] == [("test_one", "supported"), ("test_other", "supported")] * 2
    assert {line["run"] for line in lines(run)[2:]} == {run.evidence["run"]["id"]}
    assert len({line["run"] for line in lines(run)}) == 2
    own = run.claim("other")["expectations"][2]
    assert run.claim("other")["deciding"] == 1
    assert lines(run)[3]["regions"] == [[0.5, None], [None, 2.0], [0.0, None]]
    assert lines(run)[3]["deciding"]["label"] == "effect < 2"
    assert lines(run)[3]["deciding"]["value"] == own["estimate"]["value"]


def test_a_part_of_the_claims_is_a_try_of_that_part(claims):
    claims(source())
    run = claims(source(), "-k", "test_one")
    assert {c["id"]: c["tries"]["n"] for c in run.evidence["claims"]} == {"test_one": 2}
    assert claims(source()).claim("other")["tries"]["n"] == 2


def test_an_interrupted_run_is_remembered(claims):
    """Looking at the first results and stopping there is a try too."""
    stopped = source().replace("check.below(around(mean, 0), 2.0)", "raise KeyboardInterrupt")
    claims(stopped)
    run = claims(source())
    assert run.claim("other")["tries"]["verdicts"] == {"supported": 1, "errored": 1}
    assert run.claim("one")["tries"]["n"] == 2


def test_a_torn_line_of_a_killed_run(claims):
    report = claims(source()).report
    with (report / LEDGER).open("ab") as ledger:
        ledger.write(b'{"claim": "test_one", "run": "dead", "crea')
    run = claims(source())
    assert run.claim("one")["tries"]["n"] == 2
    assert len((report / LEDGER).read_text().splitlines()) == 5


@PROCESSES
def test_a_ledger_that_cannot_be_written_costs_no_run(claims, pytester, processes):
    (pytester.path / "reports" / LEDGER).mkdir(parents=True)
    run = claims(source(), *processes)
    assert run.result.ret == pytest.ExitCode.OK
    assert run.verdicts == {"test_one": "supported", "test_other": "supported", "test_never": "skipped"}
    problem = run.evidence["run"]["ledger_problem"]
    assert "the tries of this run are not remembered" in problem
    assert "--mech-report" in problem
    assert problem[:60] in run.output.replace("\n", "")
    assert problem in (run.report / "index.html").read_text(encoding="utf-8")
    assert run.claim("one")["tries"]["n"] == 1


def test_runs_of_other_tests_leave_it_alone(claims, pytester):
    run = claims(source())
    before = (run.report / LEDGER).read_bytes()
    pytester.makepyfile(test_claims="def test_it():\n    pass\n")
    claims.again("--collect-only")
    claims.again()
    assert (run.report / LEDGER).read_bytes() == before
