"""A study runs while the page goes on: it is told of as it runs, others have the model in between, and it stops when nobody waits."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from threading import Thread
from types import MappingProxyType

import pytest
from asking import Asker
from studying import begun, events

import mechcheck.explorer.server as serving
from mechcheck.engine.watch import watched_by
from mechcheck.explorer.server import Server
from mechcheck.explorer.studies.streaming import MOST
from mechcheck.explorer.studies.work import STUDIES
from mechcheck.models.loading import load_model

LONG = {"method": "prune", "prompts": 48}
"""Of a discovery: it takes far longer than what is asked in between."""


@pytest.fixture
def serve():
    """Start a server: (its asker, itself). Made anew, as some of these tests end it, and others count what it does."""
    started = []

    def start() -> tuple[Asker, Server, Thread]:
        server = Server(load_model("names-gpt2-seed4"))
        thread = Thread(target=server.run, daemon=True)
        thread.start()
        started.append((server, thread))
        return Asker(server.link), server, thread

    yield start
    for server, thread in started:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()


def until(true: Callable[[], object], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_trace_grows_and_ends(asker, body):
    with begun(asker, body | {"do": "zero"}, "generic") as answer:
        assert answer.status == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["cache-control"] == "no-store"
        found = list(events(answer))
    named = [name for name, _ in found if name != "progress"]
    assert named == ["trace"] * 4 + ["end"]
    assert [data["step"] for name, data in found if name == "trace"] == [1, 2, 3, 4]
    assert found[-1][1]["heads"] == "0.1 0.3 1.0"
    assert found[-1][1]["problems"] == []


def test_what_does_not_fit_ends_it_with_a_problem_of_the_study(asker, body):
    with begun(asker, body | {"counterfactual": ""}, "patching") as answer:
        ((name, data),) = events(answer)
    assert name == "end"
    assert [one["where"] for one in data["problems"]] == ["study"]
    assert "counterfactual" in data["problems"][0]["said"]
    with begun(asker, body, "patching", size=0) as answer:
        assert answer.status == 422
    assert asker.send("POST", "/api/study", asker.own | {"Authorization": "Bearer wrong"}, b"{}").status == 403


def test_others_are_answered_while_it_runs_and_it_stops_when_nobody_waits(serve, body):
    asker, _, _ = serve()
    asker.ask("predict", body)
    runs = []
    with watched_by(lambda ran: runs.append(ran.prompts)):
        with begun(asker, body, "discovery", **LONG) as answer:
            told = events(answer)
            next(told)
            until(lambda: len(runs) > 2)
            for head in ("0.1", "0.2", "0.3"):
                found = asker.ask("predict", body | {"heads": head, "do": "patch"}).json
                assert len(found["tables"]) == 2
            before = len(runs)
            until(lambda: len(runs) > before)  # it goes on
            assert {next(told)[0] for _ in range(3)} == {"progress"}
        time.sleep(1.0)
        stopped = len(runs)
        time.sleep(1.0)
        assert len(runs) == stopped
        # And it holds nothing that the next one needs.
        with begun(asker, body, "patching") as answer:
            assert [name for name, _ in events(answer)][-1] == "end"


def test_its_numbers_do_not_depend_on_who_asks_in_between(serve, body):
    asker, _, _ = serve()
    alone, beside = [], []
    for found, asks in ((alone, False), (beside, True)):
        with begun(asker, body, "discovery", prompts=8) as answer:
            told = events(answer)
            found.append(next(told))
            if asks:
                for layer in range(2):
                    asker.ask("effects", body | {"heads": f"{layer}.1", "do": "patch"})
                    asker.ask("attention", body | {"heads": f"{layer}.1", "do": "zero"})
            found.extend(told)
    assert alone[-1] == beside[-1]


def test_what_is_not_finite_has_no_word_in_json(serve, body, monkeypatch):
    found = {"numbers": {"KL": float("inf"), "p": [0.5, float("nan")]}, "said": "text with\na line\u2028break"}
    monkeypatch.setattr(serving, "STUDIES", MappingProxyType({**STUDIES, "lens": lambda bench, asked, turn: found}))
    asker, _, _ = serve()
    with begun(asker, body, "lens") as answer:
        ((name, data),) = events(answer)
    assert (name, data["numbers"]) == ("end", {"KL": None, "p": [0.5, None]})
    assert data["said"] == found["said"]


def test_only_so_many_run_at_a_time(serve, body, monkeypatch):
    def endless(bench, asked, turn):
        turn.part(0, 1, "nothing")
        while True:
            time.sleep(0.01)
            turn.pause()

    monkeypatch.setattr(serving, "STUDIES", MappingProxyType({**STUDIES, "lens": endless}))
    asker, _, _ = serve()
    with ExitStack() as stack:
        for _ in range(MOST):
            assert next(events(stack.enter_context(begun(asker, body, "lens"))))[0] == "progress"
        refused = stack.enter_context(begun(asker, body, "lens"))
        assert refused.status == 422
        assert f"{MOST} studies run already" in refused.read().decode()
        assert asker.ask("predict", body).status == 200
    until(lambda: _accepted(asker, body))


def _accepted(asker: Asker, body) -> bool:
    with begun(asker, body, "generic", size=1) as answer:
        return answer.status == 200


def test_the_server_ends_while_one_runs(serve, body):
    asker, server, thread = serve()
    with begun(asker, body, "discovery", **LONG) as answer:
        assert next(events(answer))[0] == "progress"
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
        assert "end" not in [name for name, _ in events(answer)]


def test_two_discoveries_at_once_do_not_wait_for_each_other_for_ever(serve, body):
    """What one computes when it gives the model away keeps nobody else from computing the same of a circuit of their own."""
    asker, _, _ = serve()
    settings = {"method": "eap", "prompts": 240}
    with begun(asker, body, "discovery", **settings) as one, begun(asker, body, "discovery", **settings) as other:
        ends = [list(events(answer))[-1] for answer in (one, other)]
    assert [name for name, _ in ends] == ["end", "end"]
    assert ends[0][1]["heads"] == ends[1][1]["heads"]
    assert asker.ask("predict", body).status == 200
