"""Who is answered: the page of the link alone; and what is sent is looked at before it is used."""

import json
import socket
import threading
import time

import pytest
from asking import Asker

from mechcheck.explorer.bodies import LIMIT, SCHEMAS, Problem, read_body
from mechcheck.explorer.server import Server
from mechcheck.models.loading import load_model


def test_the_page_comes_with_the_token(asker):
    found = asker.send("GET", f"/?token={asker.token}", {"Host": asker.own["Host"]})
    assert found.status == 200
    assert "names-gpt2-seed4" in found.text
    assert "default-src &#39;none&#39;" in found.text
    assert "connect-src &#39;self&#39;" in found.text
    expected = {
        "referrer-policy": "no-referrer", "cache-control": "no-store", "x-content-type-options": "nosniff",
        "content-security-policy": "frame-ancestors 'none'", "cross-origin-resource-policy": "same-origin",
    }  # fmt: skip
    assert {name: found.headers[name] for name in expected} == expected
    assert asker.token not in found.text


@pytest.mark.parametrize("query", ["", "?token=", "?token=wrong", "?token={token}x", "?token={token}&token=other", "?other={token}"])
def test_no_page_without_the_token(asker, query):
    found = asker.send("GET", "/" + query.format(token=asker.token), {"Host": asker.own["Host"]})
    assert found.status == 403
    assert "<" not in found.text
    assert found.headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize(
    "changed",
    [
        {"Authorization": "Bearer wrong"},
        {"Authorization": ""},
        {"Host": "evil.example"},
        {"Host": "localhost:{port}"},
        {"Host": "127.0.0.1"},
        {"Origin": "https://evil.example"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
        {"Origin": None},
        {"Host": None},
    ],
)
def test_nobody_else_asks(asker, changed):
    headers = {name: value for name, value in (asker.own | changed).items() if value is not None}
    headers = {name: value.format(port=asker.port) for name, value in headers.items()}
    found = asker.send("POST", "/api/complete", headers, b'{"start": "Ma"}')
    # A request without a Host is none for the server below ours either.
    assert found.status in ({400, 403} if "Host" not in headers else {403})
    assert "words" not in found.text
    assert asker.send("POST", "/api/complete", asker.own, b'{"start": "Ma"}').status == 200


def test_a_token_in_the_address_is_none_for_a_question(asker):
    headers = {name: value for name, value in asker.own.items() if name != "Authorization"}
    assert asker.send("POST", f"/api/complete?token={asker.token}", headers, b'{"start": "Ma"}').status == 403


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"{", "no JSON"),
        (b"\xff", "no JSON"),
        (b"[" * 60000, "no JSON"),
        (b"[]", "a table is expected"),
        (b"{}", "it lacks start"),
        (b'{"start": 1}', "start: text is expected, not 1"),
        (b'{"start": "a", "more": 1}', "an entry 'more'"),
    ],
)
def test_what_is_sent_is_looked_at(asker, raw, told):
    found = asker.send("POST", "/api/complete", asker.own, raw)
    assert found.status == 422
    assert told in found.json["problems"][0]["said"]


def test_a_body_has_a_limit(asker):
    assert asker.ask("complete", {"start": "x" * (LIMIT - 30)}).status == 200
    assert asker.ask("complete", {"start": "x" * LIMIT}).status == 413


def test_other_addresses_are_not_there(asker):
    assert asker.ask("about", {}).status == 404
    assert asker.send("GET", f"/api/predict?token={asker.token}", asker.own).status == 405
    assert asker.send("GET", f"/../pyproject.toml?token={asker.token}", asker.own).status == 404


def test_every_schema_is_of_known_words(body):
    for asked in ("predict", "attention", "effects"):
        assert read_body(asked, json.dumps(body).encode()) == body
        with pytest.raises(Problem, match="one of none, zero"):
            read_body(asked, json.dumps(body | {"do": "explode"}).encode())
        with pytest.raises(Problem, match="factor: a number is expected"):
            read_body(asked, json.dumps(body | {"factor": float("nan")}).encode())
    assert set(SCHEMAS) == {
        "predict",
        "attention",
        "effects",
        "complete",
        "example",
        "claim",
        "save",
        "prove",
        "session",
        "opening",
        "study",
    }


@pytest.fixture
def slow(monkeypatch):
    """A server whose completions wait until they are let go: (its asker, what is inside, how many were inside at a time, let them go)."""
    server = Server(load_model("names-gpt2-seed4"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    inside, seen, release = [], [], threading.Event()

    def complete(body):
        inside.append(body["start"])
        seen.append((body["start"], len(inside)))
        release.wait(10)
        inside.remove(body["start"])
        return {"words": [body["start"]]}

    monkeypatch.setattr(server.workbench, "complete", complete)
    yield Asker(server.link), inside, seen, release
    release.set()
    server.stop()
    thread.join(10)


def test_the_model_is_asked_one_thing_at_a_time_and_the_page_does_not_wait(slow):
    asker, inside, seen, release = slow
    answers: list = []
    asking = [threading.Thread(target=lambda n=n: answers.append(asker.ask("complete", {"start": str(n)}).json)) for n in range(3)]
    for one in asking:
        one.start()
    while not inside:
        time.sleep(0.01)
    time.sleep(0.1)
    assert asker.send("GET", f"/?token={asker.token}", {"Host": asker.own["Host"]}).status == 200
    release.set()
    for one in asking:
        one.join(10)
    assert sorted(one["words"][0] for one in answers) == ["0", "1", "2"]
    assert [many for _, many in seen] == [1, 1, 1]


def test_what_nobody_waits_for_any_more_is_not_computed(slow):
    asker, inside, seen, release = slow
    first = threading.Thread(target=lambda: asker.ask("complete", {"start": "first"}))
    first.start()
    while not inside:
        time.sleep(0.01)
    body = b'{"start": "given up"}'
    head = "".join(f"{name}: {value}\r\n" for name, value in {**asker.own, "Content-Length": len(body)}.items())
    with socket.create_connection(("127.0.0.1", asker.port)) as given_up:
        given_up.sendall(f"POST /api/complete HTTP/1.1\r\n{head}\r\n".encode() + body)
        time.sleep(0.1)
    time.sleep(0.1)
    release.set()
    first.join(10)
    assert asker.ask("complete", {"start": "last"}).json == {"words": ["last"]}
    assert [start for start, _ in seen] == ["first", "last"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [({"factor": 10**400}, 422), ({"factor": 2.0}, 200), ({"at": ["\ud800"]}, 200), ({"text": "\ud800"}, 422)],
)
def test_odd_json_has_an_answer(asker, body, changes, status):
    found = asker.ask("predict", body | {"do": "zero", "heads": "0.3"} | changes)
    assert found.status == status
    assert found.json["problems"] or status == 200


def test_a_whole_number_is_one_however_it_is_written(asker):
    one, other = (asker.send("POST", "/api/example", asker.own, b'{"task": "ioi", "row": %b}' % row).json for row in (b"1", b"1.0"))
    assert one == other
