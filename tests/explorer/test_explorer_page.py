"""The explorer in a real browser, over http: what a reader does with it, and who can read it."""

import json
from pathlib import Path
from urllib.parse import quote

import pytest
from axe import violations
from browser import Browser
from steps import needs_browser

pytestmark = needs_browser

NUMBERS = (
    "Object.fromEntries([...document.querySelectorAll('#numbers > div')].map((d) => [d.dataset.name, d.querySelector('dd').textContent]))"
)
LIKELIEST = "[...document.querySelectorAll('.next')].map((t) => t.tBodies[0].rows[0].cells[0].textContent)"
CHOSEN = "[...document.querySelectorAll('.cell[aria-pressed=true]')].map((c) => c.dataset.head)"
CAPTION = "document.querySelectorAll('.next caption')[1]?.textContent"
MAPS = "document.querySelectorAll('#maps figure.attention').length"


def choose(browser: Browser, name: str, value: str) -> None:
    """Set a field as a reader does who leaves it afterwards."""
    browser.evaluate(
        f"(() => {{ const f = document.getElementById('{name}'); f.focus(); f.value = {json.dumps(value)};"
        "f.dispatchEvent(new Event('input', {bubbles: true})); f.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def do(browser: Browser, kind: str) -> None:
    browser.evaluate(f"document.querySelector('#do input[value={kind}]').click()")


def shown(browser: Browser, where: str) -> str:
    return browser.until(f"document.getElementById('of-{where}').textContent")


def test_the_s_inhibition_heads_patched_by_role_flip_the_prediction(opened, link):
    browser = opened()
    assert browser.evaluate(LIKELIEST) == ["Lucy answer"]
    browser.evaluate("(() => { const r = document.getElementById('role'); r.value = '0.3@END'; r.dispatchEvent(new Event('change')); })()")
    browser.until(f"{CHOSEN}.join() === '0.3'")
    do(browser, "patch")
    browser.until(f"{CAPTION} === 'patch 0.3@END'")
    assert browser.evaluate(LIKELIEST) == ["Lucy answer", "Seth foil"]
    found = browser.evaluate(NUMBERS)
    before, after = found["logit difference"].split(" → ")
    assert float(before) > 5
    assert after.startswith("−")
    assert found["rank of the answer"] == "0 → 115"
    assert browser.evaluate("document.getElementById('spoken').textContent").split("; ")[1].endswith("0.999")
    assert browser.problems() == []
    # Nothing but the page itself was asked.
    assert {url.split("?")[0].split("#")[0].rsplit("/", 1)[0] for url in browser.requests()} <= {
        link.split("/?")[0],
        f"{link.split('/?')[0]}/api",
    }


def test_the_address_opens_it_again_and_back_goes_back(opened, link):
    browser = opened()
    choose(browser, "heads", "0.3@END")
    do(browser, "patch")
    browser.until(f"{CAPTION} === 'patch 0.3@END'")
    numbers, address = browser.evaluate(NUMBERS), browser.evaluate("location.hash")
    assert browser.evaluate("document.querySelectorAll('#tried li').length") == 2
    do(browser, "zero")
    browser.until(f"{CAPTION} === 'zero 0.3@END'")
    assert browser.evaluate(NUMBERS) != numbers
    browser.evaluate("document.getElementById('undo').click()")
    browser.until(f"{CAPTION} === 'patch 0.3@END'")
    assert browser.evaluate(NUMBERS) == numbers
    browser.evaluate("history.go(-2)")
    browser.until("document.querySelectorAll('.next').length === 1 && !document.getElementById('heads').value")
    assert browser.evaluate("document.getElementById('undo').disabled")
    opened(address.removeprefix("#"))
    browser.until(f"{CAPTION} === 'patch 0.3@END'")
    assert browser.evaluate(NUMBERS) == numbers
    assert browser.evaluate("document.getElementById('references').value.split('\\n').length") == 5


def test_what_was_tried_can_be_gone_back_to(opened):
    browser = opened("task=ioi&heads=0.3&do=zero")
    do(browser, "patch")
    browser.until(f"{CAPTION} === 'patch 0.3'")
    assert browser.evaluate("[...document.querySelectorAll('#tried button')].map((b) => b.textContent)") == ["patch 0.3", "zero 0.3"]
    browser.evaluate("(() => { const b = document.querySelectorAll('#tried button')[1]; b.focus(); b.click(); })()")
    browser.until(f"{CAPTION} === 'zero 0.3'")
    assert browser.evaluate("document.querySelector('#do :checked').value") == "zero"
    assert browser.evaluate("document.activeElement.textContent") == "zero 0.3"


def test_heads_are_chosen_by_drag_and_by_click(opened):
    browser = opened()
    corner = "((h) => { const r = document.querySelector(`[data-head='${h}']`).getBoundingClientRect(); return [r.x + 9, r.y + 9]; })"
    (x, y), (to_x, to_y) = (browser.evaluate(f"{corner}('{head}')") for head in ("0.1", "0.3"))
    pointer = {"button": "left", "buttons": 1}
    browser.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, clickCount=1, **pointer)
    for step in range(1, 9):
        browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + (to_x - x) * step / 8, y=to_y, **pointer)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=to_x, y=to_y, clickCount=1, button="left")
    assert browser.evaluate(CHOSEN) == ["0.1", "0.2", "0.3"]
    assert browser.evaluate("document.getElementById('heads').value") == "0.1 0.2 0.3"
    x, y = browser.evaluate(f"{corner}('0.2')")
    browser.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, clickCount=1, **pointer)
    browser.call("Input.dispatchMouseEvent", type="mouseReleased", x=x, y=y, clickCount=1, button="left")
    assert browser.evaluate("document.getElementById('heads').value") == "0.1 0.3"


def test_each_head_shows_what_it_does_alone(opened):
    browser = opened("task=ioi&do=patch&at=END")
    assert browser.evaluate("document.querySelectorAll('.cell i').length") == 0
    browser.evaluate("document.getElementById('each').click()")
    browser.until("document.querySelectorAll('.cell i').length === 8")
    widths = browser.evaluate(
        "[...document.querySelectorAll('#grid .cell')].map((c) => [c.dataset.head, parseFloat(c.querySelector('i').style.width)])"
    )
    assert [head for head, width in widths if width == 100] == ["0.3"]
    assert browser.evaluate("document.querySelector('[data-head=\"0.3\"]').ariaLabel").startswith("head 0.3: −30.")
    # Choosing heads leaves them; doing nothing takes them away.
    choose(browser, "heads", "0.3")
    browser.until(f"{CAPTION} === 'patch 0.3 at END'")
    assert browser.evaluate("document.querySelectorAll('.cell i').length") == 8
    do(browser, "none")
    browser.until("document.querySelectorAll('.cell i').length === 0")
    assert browser.problems() == []


def test_a_finger_taps(opened):
    browser = opened()
    browser.call("Emulation.setTouchEmulationEnabled", enabled=True)
    try:
        for chosen in (["0.2"], []):
            x, y = browser.evaluate(
                "(() => { const r = document.querySelector(`[data-head='0.2']`).getBoundingClientRect(); return [r.x + 9, r.y + 9]; })()"
            )
            browser.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
            browser.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            browser.until(f"{CHOSEN}.join() === '{''.join(chosen)}'")
            browser.until(f"document.getElementById('heads').value === '{''.join(chosen)}'")
    finally:
        browser.call("Emulation.setTouchEmulationEnabled", enabled=False)


def test_the_keyboard_is_enough(opened):
    browser = opened()
    browser.evaluate("document.querySelector('.cell').focus()")
    browser.press("ArrowRight")
    browser.press("ArrowDown")
    browser.press("Enter")
    browser.until(f"{CHOSEN}.join() === '1.1'")
    assert browser.evaluate("document.activeElement.dataset.head") == "1.1"
    # On to the kinds, which are one stop; an arrow goes to the next.
    browser.until(f"{MAPS} === 1")
    for _ in range(8):
        browser.press("Tab")
        if browser.evaluate("document.activeElement.name") == "do":
            break
    browser.press("ArrowRight")
    browser.until(f"{CAPTION} === 'zero 1.1'")
    assert browser.evaluate("document.activeElement.value") == "zero"
    # A token is named.
    browser.evaluate("document.querySelector('#tokens [data-at=\"2\"]').focus()")
    browser.press("Enter")
    assert browser.evaluate("document.activeElement.id") == "naming-name"
    for key in "comma":
        browser.press(key)
    browser.press("Enter")
    browser.until("document.querySelector('#tokens [data-at=\"2\"]').textContent.endsWith('comma')")
    assert browser.evaluate("document.activeElement.dataset.at") == "2"
    assert browser.evaluate("[...document.querySelectorAll('#at input')].map((i) => i.value)") == ["IO", "S1", "S2", "comma", "END"]
    assert browser.problems() == []


def test_a_typed_prompt_with_its_counterfactual_answer_and_foil(opened):
    browser = opened()
    choose(browser, "task", "")
    choose(browser, "text", "When Mary and John went to the park , John gave a ring to")
    browser.until("document.querySelectorAll('#tokens .tok').length === 15")
    assert "20 tokens and the prompt 15" in shown(browser, "counterfactual")
    assert browser.evaluate("document.getElementById('counterfactual').getAttribute('aria-invalid')") == "true"
    choose(browser, "counterfactual", "When Mary and John went to the park , Mary gave a ring to")
    browser.until("document.querySelectorAll('#other-tokens .differs').length === 1")
    assert browser.evaluate("document.querySelector('#other-tokens .differs').textContent") == "Mary_2"
    assert browser.evaluate("document.querySelector('#tokens .differs bdi').textContent") == "John_2"
    choose(browser, "answer", "Mar")
    assert "vocabulary" in shown(browser, "answer")
    browser.until("[...document.getElementById('answer-words').children].some((o) => o.value === 'Mary')")
    choose(browser, "answer", "Mary")
    choose(browser, "foil", "John")
    browser.until("document.getElementById('of-answer').hidden")
    browser.until(f"{LIKELIEST}[0] === 'Mary answer'")
    choose(browser, "heads", "0.3@END")
    do(browser, "patch")
    browser.until(f"{LIKELIEST}[1] === 'John foil'")
    tried = browser.evaluate("document.getElementById('tried').textContent")
    choose(browser, "heads", "0.3@NOWHERE")
    assert "NOWHERE" in shown(browser, "heads")
    assert browser.evaluate("document.getElementById('tried').textContent") == tried
    choose(browser, "text", "When Zanzibar")
    assert "Zanzibar" in shown(browser, "text")
    assert browser.evaluate("document.querySelectorAll('.next, .tok, #numbers > div').length") == 0


def test_two_tabs_do_not_disturb_each_other(opened, link, asker, body):
    browser = opened("task=ioi&heads=0.3@END&do=patch")
    browser.until(f"{CAPTION} === 'patch 0.3@END'")
    numbers = browser.evaluate(NUMBERS)
    assert asker.ask("predict", body | {"text": "Mary and John", "counterfactual": "", "heads": "0.0", "do": "zero"}).status == 200
    do(browser, "zero")
    do(browser, "patch")
    browser.until(f"{CAPTION} === 'patch 0.3@END'")
    assert browser.evaluate(NUMBERS) == numbers


def test_a_hostile_prompt_is_text(opened):
    evil = "<img src=x onerror=window.ran=1>"
    browser = opened("task=ioi")
    choose(browser, "answer", evil)
    assert "<img" in shown(browser, "answer")
    choose(browser, "heads", evil)
    assert "<img" in shown(browser, "heads")
    browser.open(
        browser.evaluate("location.href").split("#")[0], f"text={quote(evil)}&do={quote(evil)}&heads={quote(evil)}&at={quote(evil)}"
    )
    assert "<img" in browser.until("document.getElementById('of-page').textContent + document.getElementById('of-text').textContent")
    assert browser.evaluate("[window.ran ?? 0, document.querySelectorAll('img').length]") == [0, 0]


def test_attention_before_and_after(opened):
    browser = opened("task=ioi&heads=0.3@END 1.0@END&do=patch")
    browser.until(f"{MAPS} === 1")
    options = browser.evaluate("[...document.querySelector('#maps .prompts select').options].map((o) => o.textContent.split(':')[0])")
    assert options == ["before", "after"]
    assert browser.evaluate("[...document.querySelectorAll('#maps .head-button span')].map((s) => s.textContent)") == ["0.3", "1.0", "mean"]
    # What is looked at stays looked at.
    look = "(() => { const s = document.querySelector('#maps .prompts select'); s.value = 1; s.dispatchEvent(new Event('input')); })()"
    browser.evaluate(look)
    drawn = browser.evaluate("document.querySelector('#maps figure').dataset.mark = 'old'")
    do(browser, "zero")
    browser.until(f"document.querySelector('#maps figure')?.dataset.mark !== '{drawn}'")
    assert browser.evaluate("document.querySelector('#maps .which').textContent") == "head 0.3 on after"
    browser.evaluate("document.getElementById('clear').click()")
    browser.until(f"{MAPS} === 0")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
def test_axe_finds_nothing_and_nothing_reaches_beyond_the_page(opened, axe, dark, width):
    browser = opened("task=ioi&heads=0.3@END&do=patch&each=1", dark=dark)
    browser.until("document.querySelectorAll('.cell i').length === 8")
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.until(f"{MAPS} === 1")
    browser.evaluate("document.querySelector('#tokens button').click()")
    choose(browser, "foil", "Zanzibar")
    shown(browser, "foil")
    browser.until("document.querySelectorAll('#maps svg').length > 0")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    assert (found := violations(browser, "html", dark=dark)) == [], json.dumps(found, indent=1)


def test_it_says_when_the_server_is_gone(opened):
    browser = opened()
    browser.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    choose(browser, "heads", "0.1")
    assert "still running" in shown(browser, "page")
    browser.call("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    choose(browser, "heads", "0.2")
    browser.until("document.getElementById('of-page').hidden")


def test_the_picture_of_it_is_there_and_small():
    """If it no longer looks like the page: python docs/explorer_picture.py."""
    root = Path(__file__).resolve().parents[2]
    picture = (root / "docs" / "explorer.png").read_bytes()
    assert "](docs/explorer.png)" in (root / "README.md").read_text(encoding="utf-8")
    assert "](../explorer.png)" in (root / "docs" / "guides" / "explorer.md").read_text(encoding="utf-8")
    assert picture.startswith(b"\x89PNG")
    assert int.from_bytes(picture[16:20]) == 1280
    assert len(picture) < 200_000


def test_a_prompt_that_cannot_be_read_leaves_no_numbers_of_another(opened):
    page = opened("task=ioi&heads=0.3@END&do=patch&each=1")
    page.until("document.querySelectorAll('.cell i').length === 8")
    choose(page, "text", "zzzz")
    page.until("document.querySelectorAll('.next').length === 0")
    page.until("document.querySelectorAll('.cell i').length === 0")
