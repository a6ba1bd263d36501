"""What leaves the page and comes back: links, sessions as files, pictures; in a real browser."""

import base64
import json
from xml.etree import ElementTree

import pytest
from axe import violations
from browser import Browser
from steps import needs_browser

from mechcheck.base.errors import MechcheckError
from mechcheck.explorer.bodies import LIMITS, Problem
from mechcheck.explorer.server import Server
from mechcheck.explorer.sessions import FORMAT, read_session, session_file
from mechcheck.models.loading import load_model, provenance

PATCHED = "task=ioi&heads=0.3@END&do=patch"
NUMBERS = "document.getElementById('numbers').textContent"
SAID = "document.getElementById('sharing-said').textContent"
# What is downloaded is kept in the page.
KEEP = """(() => { window.kept = []; URL.createObjectURL = (blob) => { window.kept.push(blob); return 'data:,'; };
HTMLAnchorElement.prototype.click = function () { window.named = this.download; }; })()"""

BYTES = "window.kept[1].arrayBuffer().then((b) => btoa(Array.from(new Uint8Array(b), (x) => String.fromCharCode(x)).join('')))"


@pytest.fixture
def opened(browser: Browser, link: str):
    """Open the page with a state, and wait until it has predicted."""

    def go(state: str = PATCHED, *, dark: bool = False) -> Browser:
        browser.call("Emulation.clearDeviceMetricsOverride")
        browser.open(link, state, dark=dark)
        browser.until("document.querySelectorAll('.next').length > 0")
        return browser

    return go


def session_of(browser: Browser) -> dict:
    """What the page would save."""
    browser.evaluate(KEEP)
    browser.evaluate("document.getElementById('save-session').click()")
    return json.loads(browser.evaluate("window.kept[0].text()"))


@pytest.fixture
def session(bench) -> dict:
    """One that fits."""
    found = provenance(bench.model)
    return {
        "format": FORMAT, "model": {"name": found.name, "weights_sha256": found.weights_sha256}, "address": "#task=ioi", "tried": [],
        "measured": [], "claim": {},
    }  # fmt: skip


def drop(browser: Browser, text: str) -> None:
    """Drop a file on the page."""
    browser.evaluate(
        f"(() => {{ const data = new DataTransfer(); data.items.add(new File([{json.dumps(text)}], 's.json'));"
        "for (const type of ['dragover', 'drop']) document.body.dispatchEvent("
        "new DragEvent(type, { dataTransfer: data, bubbles: true, cancelable: true })); })()"
    )


@needs_browser
def test_a_session_opens_again_with_its_numbers(opened, tmp_path, bench):
    browser = opened()
    browser.evaluate("document.querySelector('#do input[value=zero]').click()")
    browser.until("document.querySelectorAll('#tried li').length === 2")
    for name, value in (("statement", "0.3 says who"), ("measure", "probability"), ("threshold", "0.5"), ("circuit", "source = 1")):
        browser.evaluate(f"document.getElementById('{name}').value = {json.dumps(value)}")
    numbers, tried = browser.evaluate(NUMBERS), browser.evaluate("document.getElementById('tried').textContent")
    saved = session_of(browser)
    assert browser.evaluate("window.named") == "names-gpt2-seed4-session.json"
    assert read_session(json.dumps(saved)) == saved
    found = provenance(bench.model)
    assert saved["model"] == {"name": "names-gpt2-seed4", "weights_sha256": found.weights_sha256}
    assert browser.evaluate("new URLSearchParams(location.search).get('token')") not in json.dumps(saved)
    # By the file input of another page.
    (tmp_path / "s.json").write_text(json.dumps(saved))
    opened("text=Mary and John")
    field = browser.call("Runtime.evaluate", expression="document.getElementById('session')")["result"]["objectId"]
    browser.call("DOM.setFileInputFiles", files=[str(tmp_path / "s.json")], objectId=field)
    browser.until(f"{SAID} === 'opened; it has the numbers that it was saved with'")
    assert browser.evaluate(NUMBERS) == numbers
    assert browser.evaluate("document.getElementById('tried').textContent") == tried
    fields = ("statement", "measure", "threshold", "circuit")
    assert [browser.evaluate(f"document.getElementById('{name}').value") for name in fields] == [
        "0.3 says who", "probability", "0.5", "source = 1",
    ]  # fmt: skip
    # Dropped, with a number that is not measured here.
    saved["measured"][0]["values"][1] = 1.5
    drop(browser, json.dumps(saved))
    browser.until(f"{SAID}.startsWith('opened; saved with other numbers: logit difference 13.44 → 1.500, here 13.44 → ')")
    browser.evaluate("history.back()")
    browser.until(f"{NUMBERS} !== ''")
    assert browser.problems() == []


@needs_browser
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "no session"),
        ('{"format": 1}', "format: "),
        ("x" * (LIMITS["session"] + 1), "larger than a session"),
    ],
    ids=["garbage", "another", "too big"],
)
def test_what_is_no_session_is_refused_and_the_page_stays(opened, text, told):
    browser = opened()
    numbers = browser.evaluate(NUMBERS)
    drop(browser, text)
    assert told in browser.until("document.getElementById('of-session').textContent")
    assert browser.evaluate("document.getElementById('session').getAttribute('aria-invalid')") == "true"
    assert browser.evaluate("document.getElementById('s-share').open")
    assert browser.evaluate(NUMBERS) == numbers


@needs_browser
def test_texts_of_a_session_are_texts(opened, session):
    evil = "<img src=x onerror=window.ran=1>"
    browser = opened()
    tried = {"said": evil, "address": "#do=" + "%3Cimg%20onerror=1%3E", "text": evil, "came": evil}
    drop(browser, json.dumps(session | {"tried": [tried], "claim": {"statement": evil, "file": evil}}))
    browser.until(f"{SAID}.startsWith('opened')")
    browser.until("document.querySelectorAll('#tried li').length >= 1")
    assert evil in browser.evaluate("document.getElementById('tried').textContent")
    assert browser.evaluate("[window.ran ?? 0, document.querySelectorAll('img').length]") == [0, 0]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"model": {"name": "other", "weights_sha256": "0" * 64}}, "of 'other', and this is names-gpt2-seed4"),
        ({"model": {"name": "names-gpt2-seed4", "weights_sha256": "0" * 64}}, "other weights than names-gpt2-seed4 has here"),
        ({"model": {"name": "names-gpt2-seed4", "weights_sha256": "x"}}, "is none of what it may be"),
        ({"format": "mechcheck explorer session 9"}, "format"),
        ({"address": "javascript:alert(1)"}, "address"),
        ({"more": 1}, "'more', which is not known"),
        ({"tried": [{"said": "s"}]}, "it lacks"),
        ({"measured": [{"name": "n", "unit": "", "values": ["1"]}]}, "measured[0].values[0]"),
        ({"tried": [{"said": "s", "address": "#", "text": "", "came": ""}] * 101}, "101 members"),
    ],
)
def test_a_session_has_a_schema(asker, session, changed, told):
    assert asker.ask("session", {"text": json.dumps(session)}).json == session
    found = asker.ask("session", {"text": json.dumps(session | changed)})
    assert (found.status, found.json["problems"][0]["where"]) == (422, "session")
    assert told in found.json["problems"][0]["said"]


def test_a_session_has_a_size(asker):
    found = asker.ask("session", {"text": "x" * LIMITS["session"]})
    assert (found.status, found.json["problems"][0]["where"]) == (413, "session")
    with pytest.raises(Problem, match="larger than a session"):
        read_session("é" * (LIMITS["session"] - 1))


def test_a_session_is_opened_from_the_command_line(session, tmp_path):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(session))
    text, name = session_file(str(path))
    assert (json.loads(text), name) == (session, "names-gpt2-seed4")
    assert Server(load_model(name), session=text).workbench.opening({}) == session
    assert Server(load_model(name)).workbench.opening({}) == {}
    with pytest.raises(Problem, match="and this is years-gpt2-seed0"):
        Server(load_model("years-gpt2-seed0"), session=text)
    path.write_text("{}")
    for given, told in ((path, "no session"), (tmp_path / "none.json", "cannot be read"), (tmp_path, "cannot be read")):
        with pytest.raises(MechcheckError, match=told):
            session_file(str(given))


@needs_browser
def test_the_page_begins_with_the_session_of_the_command_line(browser, saving, session):
    own, _, server = saving
    server.workbench.begins = session | {"address": f"#{PATCHED}"}
    browser.open(own.link, "session")
    browser.until("document.querySelectorAll('.next').length === 2")
    assert browser.evaluate("document.getElementById('heads').value") == "0.3@END"
    assert "heads=0.3" in browser.evaluate("location.hash")
    # Without one, or where there is one no more, it is an empty page.
    server.workbench.begins = None
    browser.open(own.link, "session")
    browser.until("location.hash !== '#session'")
    assert browser.evaluate("document.getElementById('text').value") == ""
    assert browser.problems() == []


@needs_browser
def test_a_link_keeps_the_token_to_itself(opened):
    browser = opened()
    browser.evaluate("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    token = browser.evaluate("new URLSearchParams(location.search).get('token')")
    browser.evaluate("document.getElementById('copy-link').click()")
    assert "without the token" in browser.until(SAID)
    copied = browser.evaluate("window.copied")
    assert copied.startswith("http://127.0.0.1:")
    assert token not in copied
    assert "heads=0.3%40END" in copied
    browser.evaluate("document.getElementById('with-token').click()")
    browser.evaluate("document.getElementById('copy-link').click()")
    assert "with the token" in browser.until(f"{SAID}.includes('with the') && {SAID}")
    assert browser.evaluate("window.copied === location.href")
    assert token in browser.evaluate("window.copied")


@needs_browser
@pytest.mark.parametrize(("name", "texts"), [("prediction", ["Lucy", "0.988", "difference"]), ("all-heads", ["layer", "−29.26"])])
def test_prediction_and_heads_are_saved_as_pictures(opened, name, texts):
    browser = opened(f"{PATCHED}&each=1", dark=True)
    browser.until("document.querySelectorAll('.cell i').length === 8")
    browser.evaluate(KEEP)
    buttons = f"[...document.querySelectorAll('#{name} > .save button')]"
    assert browser.evaluate(f"{buttons}.map((b) => b.textContent)") == ["SVG", "PNG"]
    browser.evaluate(f"{buttons}[0].click()")
    drawn = ElementTree.fromstring(browser.evaluate("window.kept[0].text()"))
    words = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    for text in ("names-gpt2-seed4,", "0.3@END", *texts):
        assert text in words
    assert "SVG" not in words
    fills = {one.get("fill") for one in drawn.iter("{http://www.w3.org/2000/svg}rect")}
    assert "rgb(255, 255, 255)" in fills  # paper, whatever the page looks like
    assert "rgb(192, 79, 0)" in fills  # bars of the foil, and of what falls
    browser.evaluate(f"{buttons}[1].click()")
    browser.until("window.kept.length === 2")
    png = base64.b64decode(browser.evaluate(BYTES))
    assert png.startswith(b"\x89PNG")
    assert int.from_bytes(png[16:20]) == 2 * int(drawn.get("width"))
    assert browser.problems() == []


@needs_browser
def test_every_figure_of_the_page_can_be_saved(opened):
    browser = opened()
    browser.until("document.querySelectorAll('#maps figure').length > 0")
    own = "[...document.querySelectorAll('figure')].filter((f) => !f.parentElement.closest('figure'))"
    assert browser.evaluate(f"{own}.length") >= 3
    assert browser.evaluate(f"{own}.filter((f) => f.querySelectorAll(':scope > .save').length !== 1).map((f) => f.outerHTML)") == []


@needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing_in_what_is_shared(opened, axe, dark, width):
    browser = opened("text=When Mary and John went to&answer=the park&foil=the shop", dark=dark)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.evaluate("for (const one of document.querySelectorAll('details')) one.open = true")
    drop(browser, "{")
    browser.until("document.getElementById('of-session').textContent")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    assert (found := violations(browser, "html", dark=dark)) == [], json.dumps(found, indent=1)
