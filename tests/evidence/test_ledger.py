"""The ledger: lines that are only ever added, by whom and to what end they may be, and what they say of a claim."""

import json
import multiprocessing
import os
import stat

import pytest
from runs import MOVED, OLD, RUN, VALIDATOR, claim

from mechcheck.evidence import ledger
from mechcheck.evidence.ledger import LEDGER, MOVES, append, remember
from mechcheck.evidence.store import evidence_of

LINES = 40


def records(*claims):
    return [{key: value for key, value in found.items() if key != "measured"} for found in claims]


@pytest.fixture
def again(tmp_path):
    """again(id, *claims, **run): one more run, whose claims come back with their tries."""

    def run(name, *claims, **changes):
        about, found = RUN | {"id": name} | changes, records(*claims)
        run.problem = remember(tmp_path, about, found)
        VALIDATOR.validate({"run": about | {"ledger_problem": run.problem}, "claims": found})
        return {one["id"]: one["tries"] for one in found}

    return run


def lines(folder):
    return [json.loads(line) for line in (folder / LEDGER).read_text(encoding="ascii").splitlines()]


def test_a_line_for_each_claim_that_was_tried(again, tmp_path):
    again("r1", claim("é [a]", OLD, MOVED), claim("b"), claim("c") | {"verdict": "skipped", "met": None}, seed=7)
    first, second = lines(tmp_path)
    estimate = claim("é [a]", OLD)["expectations"][0]["estimate"]
    assert first == {
        "claim": "é [a]", "run": "r1", "created": RUN["created"], "seed": 7, "profile": "ci", "commit": "c" * 40, "dirty": False,
        "verdict": "supported", "met": True,
        "sampling": None,
        "deciding": {"label": "effect 0 > 0", "region": [0.0, None], **{k: estimate[k] for k in ("value", "low", "high", "n")}, "p": None},
        "regions": [[0.0, None], [0.0, None]],
    }  # fmt: skip
    assert (second["claim"], second["verdict"], second["deciding"], second["regions"]) == ("b", "errored", None, [])


def test_tries_are_counted_by_claim(again):
    assert again("r1", claim("a", OLD), claim("b", OLD), seed=2)["a"] == {
        "n": 1, "first": RUN["created"], "last": RUN["created"], "seeds": [2], "commits": 1, "verdicts": {"supported": 1},
        "moved": 0, "moves": [],
    }  # fmt: skip
    again("r2", claim("a", OLD) | {"verdict": "inconclusive", "met": False}, seed=0, created="2026-01-02T00:00:00+00:00")
    last = again("r3", claim("a", OLD), claim("b"), seed=2, commit=None, created="2026-01-03T00:00:00+00:00")
    assert last["a"] == {
        "n": 3, "first": RUN["created"], "last": "2026-01-03T00:00:00+00:00", "seeds": [0, 2], "commits": 1,
        "verdicts": {"supported": 2, "inconclusive": 1}, "moved": 0, "moves": [],
    }  # fmt: skip
    assert last["b"]["verdicts"] == {"supported": 1, "errored": 1}
    skipped = claim("a") | {"verdict": "skipped", "met": None}
    assert again("r4", skipped, claim("never") | skipped | {"id": "never"}) == {"a": last["a"], "never": None}


def test_what_is_demanded_is_followed_from_try_to_try(again):
    thresholds = {"r1": 0.5, "r2": 0.5, "r3": 0.4, "r4": 0.5}
    for day, (name, threshold) in enumerate(thresholds.items(), start=1):
        found = again(name, claim("a", OLD, threshold=threshold), created=f"2026-01-0{day}T00:00:00+00:00")["a"]
    assert found["moved"] == 2
    assert found["moves"] == [
        {"created": "2026-01-03T00:00:00+00:00", "check": 0, "before": [0.5, None], "after": [0.4, None]},
        {"created": "2026-01-04T00:00:00+00:00", "check": 0, "before": [0.4, None], "after": [0.5, None]},
    ]
    more = again("r5", claim("a", OLD, MOVED, threshold=0.5), created="2026-01-05T00:00:00+00:00")["a"]
    assert (more["moved"], more["moves"][-1]["check"], more["moves"][-1]["before"], more["moves"][-1]["after"]) == (3, 1, None, [0.5, None])


def test_an_error_demands_nothing(again):
    """It may have come before the last check, or before the first."""
    again("r1", claim("a", OLD, MOVED))
    again("r2", claim("a"))
    again("r3", claim("a", OLD) | {"verdict": "errored", "met": False})
    assert again("r4", claim("a", OLD, MOVED))["a"]["moved"] == 0


def test_only_the_latest_moves_are_listed(again):
    for i in range(MOVES + 3):
        found = again(f"r{i}", claim("a", OLD, threshold=i / 100))["a"]
    assert found["moved"] == MOVES + 2
    assert [move["after"][0] for move in found["moves"]] == [i / 100 for i in range(3, MOVES + 3)]


def test_a_torn_line_is_passed_over_and_ended(again, tmp_path):
    """A run was killed while it wrote: what it had not finished is lost, and nothing else is."""
    again("r1", claim("a", OLD))
    path = tmp_path / LEDGER
    whole = path.read_bytes()
    for torn in (whole + whole[:-1][: len(whole) // 2], whole + b'{"claim": "a", "ru', whole + b"\xff\xfe", whole + b"[]\n12\nnull\n{}\n"):
        path.write_bytes(torn)
        assert again("r2", claim("a", OLD))["a"]["n"] == 2
        assert path.read_bytes().startswith(torn)
        assert path.read_bytes().splitlines()[-1] == whole.rstrip().replace(b'"r1"', b'"r2"')


def test_lines_that_came_twice_or_in_another_order_are_one_try(again, tmp_path):
    """Ledgers of two machines, put together one behind the other, may share their beginning."""
    days = {f"r{i}": (f"2026-01-0{i}T00:00:00+00:00", i / 10) for i in (1, 2, 3)}
    for name, (created, threshold) in days.items():
        again(name, claim("a", OLD, threshold=threshold), created=created)
    path = tmp_path / LEDGER
    kept = path.read_text().splitlines()
    other_keys = json.dumps(dict(reversed(json.loads(kept[1]).items())))
    path.write_text("\n".join([kept[2], other_keys, *kept]) + "\n")
    found = again("r4", claim("a", OLD, threshold=0.3), created="2026-01-04T00:00:00+00:00")["a"]
    assert (found["n"], found["moved"]) == (4, 2)
    assert [move["created"][9] for move in found["moves"]] == ["2", "3"]


def _write(path, who, start):
    start.wait(30)
    for i in range(LINES):
        append(path, [{"claim": f"{who}", "run": f"{i}", "rest": "x" * 3000}] * 3)


def test_two_runs_at_once(tmp_path):
    """Each run's lines stay whole and together."""
    path, context = tmp_path / LEDGER, multiprocessing.get_context("fork")
    start = context.Event()
    writers = [context.Process(target=_write, args=(path, who, start)) for who in range(4)]
    for writer in writers:
        writer.start()
    start.set()
    for writer in writers:
        writer.join(30)
        assert writer.exitcode == 0
    found = [(line["claim"], line["run"]) for line in lines(tmp_path)]
    assert found[::3] == found[1::3] == found[2::3]
    assert sorted(found[::3]) == sorted((str(who), str(i)) for who in range(4) for i in range(LINES))


def test_a_write_that_takes_a_part_is_gone_on_with(tmp_path, monkeypatch):
    honest = os.write
    monkeypatch.setattr(ledger.os, "write", lambda handle, data: honest(handle, data[:7]))
    append(tmp_path / LEDGER, [{"claim": "a" * 50}])
    assert lines(tmp_path) == [{"claim": "a" * 50}]


def test_where_it_cannot_be_written_the_run_is_not_lost(again, tmp_path, monkeypatch):
    again("r1", claim("a", OLD))
    honest = os.open

    def read_only(path, flags, *mode):
        if flags & os.O_APPEND:
            raise PermissionError(13, "Permission denied", str(path))
        return honest(path, flags, *mode)

    monkeypatch.setattr(ledger.os, "open", read_only)
    assert again("r2", claim("a", OLD))["a"]["n"] == 2  # what can be read still counts, as does this run
    assert again.problem == (
        f"the tries of this run are not remembered: {tmp_path / LEDGER} cannot be written (Permission denied); "
        "make it writable, or choose another folder with --mech-report"
    )
    assert len(lines(tmp_path)) == 1


def test_a_folder_in_its_place(again, tmp_path):
    (tmp_path / LEDGER).mkdir()
    assert again("r1", claim("a", OLD))["a"]["n"] == 1
    assert "cannot be written" in again.problem


def test_written_for_everyone_to_read(again, tmp_path):
    before = os.umask(0)
    os.umask(before)
    again("r1", claim("a", OLD))
    assert stat.S_IMODE((tmp_path / LEDGER).stat().st_mode) == 0o666 & ~before


def test_nothing_tried_leaves_no_file(again, tmp_path):
    again("r1", claim("a") | {"verdict": "skipped", "met": None})
    assert not (tmp_path / LEDGER).exists()


def test_other_claims_cost_next_to_nothing(again, tmp_path, monkeypatch):
    """Of a long ledger only the lines of this run's claims are parsed."""
    append(tmp_path / LEDGER, [{"claim": f"c{i % 1000}", "run": f"r{i // 1000}"} for i in range(100_000)])
    again("r", claim("c7 ", OLD))
    parsed, honest = [], json.loads
    monkeypatch.setattr(ledger.json, "loads", lambda line: parsed.append(line) or honest(line))
    assert again("r2", claim("c7 ", OLD))["c7 "]["n"] == 2
    assert len(parsed) == 2  # the claim's own two


def test_merging_a_run_adds_to_the_ledger_and_takes_nothing_away(tmp_path):
    for name in ("r1", "r2"):
        evidence = evidence_of(RUN | {"id": name}, records(claim("a", OLD)), [], tmp_path)
    assert [line["run"] for line in lines(tmp_path)] == ["r1", "r2"]
    assert evidence["claims"][0]["tries"]["n"] == 2
    assert evidence["run"]["ledger_problem"] is None
    VALIDATOR.validate(evidence)
