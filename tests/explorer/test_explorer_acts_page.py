"""What is done to what, and how attention is looked at, in a real browser."""

import json

import pytest
from axe import violations
from browser import Browser
from steps import needs_browser

import mechcheck as m

pytestmark = needs_browser

CAPTION = "document.querySelectorAll('.next caption')[1]?.textContent"
DIFFERENCE = "document.querySelector('#numbers [data-name=\"logit difference\"] dd').textContent"
SETTINGS = "[...document.getElementById('settings').children].filter((l) => !l.hidden).map((l) => l.querySelector('input, select').id)"
CELLS = "[...document.querySelectorAll('.cell')].filter((c) => c.checkVisibility()).map((c) => c.dataset.head)"
MAPS = "document.querySelectorAll('#maps svg').length > 0"
LOOK = "new URLSearchParams(new URLSearchParams(location.hash.slice(1)).get('look') ?? '').toString()"


def click(browser: Browser, selector: str) -> None:
    """With the mouse, where it is on the page."""
    x, y = browser.evaluate(
        f"(() => {{ const n = document.querySelector({json.dumps(selector)}); n.scrollIntoView({{block: 'center'}});"
        "const r = n.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()"
    )
    for kind in ("mousePressed", "mouseReleased"):
        browser.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, clickCount=1, button="left")


def choose(browser: Browser, name: str, value: str) -> None:
    """Set a field as a reader does who leaves it afterwards."""
    browser.evaluate(
        f"(() => {{ const f = document.getElementById('{name}'); f.value = {json.dumps(value)};"
        "f.dispatchEvent(new Event('input', {bubbles: true})); f.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def test_an_edge_of_attention_is_knocked_out_with_clicks_and_undone(opened):
    browser = opened()
    before = browser.evaluate(DIFFERENCE)
    click(browser, "[data-head='0.3']")
    browser.until("document.getElementById('heads').value === '0.3'")
    click(browser, "#do label:has([value=knockout])")
    # It begins with an edge from the end to a named token.
    browser.until(f"{CAPTION} === 'knock out attention of 0.3 from END to IO'")
    assert browser.evaluate(SETTINGS) == ["keys", "only"]
    choose(browser, "keys", "S2")
    browser.until(f"{CAPTION} === 'knock out attention of 0.3 from END to S2'")
    moved = browser.evaluate(DIFFERENCE)
    assert moved.startswith(f"{before} → ")
    assert abs(float(before) - float(moved.split(" → ")[1])) > 5
    # A token without a name is given one.
    other = browser.evaluate("[...document.getElementById('keys').options].find((o) => o.textContent.includes('church')).value")
    choose(browser, "keys", other)
    browser.until(f"{CAPTION} === 'knock out attention of 0.3 from END to t9'")
    assert browser.evaluate("document.querySelector('#tokens [data-at=\"9\"]').textContent") == "churcht9"
    click(browser, "#only")
    browser.until(f"{CAPTION} === 'knock out attention of 0.3 from END to all but t9'")
    for _ in range(2):
        browser.evaluate("history.back()")
        browser.evaluate("new Promise((done) => setTimeout(done, 100))")
    browser.until(f"{CAPTION} === 'knock out attention of 0.3 from END to S2'")
    assert browser.evaluate(DIFFERENCE) == moved
    assert browser.evaluate("document.getElementById('keys').value") == "S2"
    assert browser.problems() == []


@pytest.mark.parametrize(
    ("state", "settings", "caption"),
    [
        ("do=zero&heads=0.3", [], "zero 0.3"),
        ("do=scale&heads=0.3&factor=3", ["factor"], "scale 0.3 by 3"),
        (
            "do=steer&of=resid_post&heads=1&at=END&strength=-2",
            ["direction", "strength"],
            "steer resid_post 1 at END towards the answer × -2",
        ),
        ("do=steer&heads=0.3@END&direction=counterfactual", ["direction", "strength"], "steer 0.3@END towards the counterfactual × 1"),
        ("do=sparsify&of=keys&heads=0.3&share=0.25", ["share"], "sparsify keys 0.3, share 0.25"),
        ("do=noise&of=mlps&heads=0&deviations=2&seed=4", ["deviations", "seed"], "noise mlps 0 of 2 deviations, seed 4"),
        ("do=permute&heads=0.3&seed=-1.5", ["seed"], "permute 0.3, seed 0"),
        ("do=patch&of=edges&heads=0.3->1.3.q@END", [], "patch edges 0.3->1.3.q@END"),
        (
            "do=knockout&of=patterns&heads=0.3&at=END&keys=S2&only=true",
            ["keys", "only"],
            "knock out attention of 0.3 from END to all but S2",
        ),
    ],
)
def test_a_link_opens_it_and_settings_stand_where_they_apply(opened, asker, body, state, settings, caption):
    browser = opened(f"task=ioi&{state}")
    browser.until(f"{CAPTION} === {json.dumps(caption)}")
    assert browser.evaluate(SETTINGS) == settings
    given = dict(one.split("=", 1) for one in state.split("&"))
    asked = {
        name: float(value) if name in ("factor", "strength", "share", "deviations", "seed") else value for name, value in given.items()
    }
    # A seed that is none becomes one.
    asked |= {"at": [given["at"]] if "at" in given else [], "only": "only" in given, "seed": max(0, asked.get("seed", 0))}
    (values,) = (one["values"] for one in asker.ask("predict", body | asked).json["numbers"] if one["name"] == "logit difference")
    assert float(browser.evaluate(DIFFERENCE).split(" → ")[1].replace("−", "-")) == pytest.approx(values[1], abs=0.006)
    assert browser.evaluate("[...document.querySelectorAll('.problem')].every((p) => p.hidden)")


def test_layers_have_a_column_and_edges_a_field(opened):
    browser = opened("task=ioi&heads=0.3&do=patch&at=END")
    choose(browser, "of", "queries")
    browser.until(f"{CAPTION} === 'patch queries 0.3 at END'")
    assert len(browser.evaluate(CELLS)) == 8
    choose(browser, "of", "attn_outs")
    browser.until("document.getElementById('heads').value === ''")
    assert browser.evaluate(CELLS) == ["0", "1"]
    browser.evaluate("document.querySelector('#layers .cell').focus()")
    browser.press("ArrowDown")
    browser.press("Enter")
    browser.until(f"{CAPTION} === 'patch attn_outs 1 at END'")
    assert browser.evaluate("document.activeElement.dataset.head") == "1"
    browser.evaluate("document.getElementById('each').click()")
    browser.until("document.querySelectorAll('#layers .cell i').length === 2")
    assert browser.evaluate("document.querySelector('#layers .cell').ariaLabel").startswith("layer 0: −")
    choose(browser, "of", "edges")
    browser.until("document.getElementById('each-row').hidden")
    assert browser.evaluate(CELLS) == []
    choose(browser, "heads", "1.0->0.3.q")
    assert "reads nothing" in browser.until("document.getElementById('of-heads').textContent")
    choose(browser, "heads", "0.3->1.3.q")
    browser.until(f"{CAPTION} === 'patch edges 0.3->1.3.q at END'")
    browser.evaluate("(() => { const r = document.getElementById('role'); r.value = '0.3@END'; r.dispatchEvent(new Event('change')); })()")
    browser.until(f"{CAPTION} === 'patch 0.3@END at END'")
    assert browser.evaluate("document.getElementById('of').value") == "heads"
    assert browser.problems() == []


def test_maps_show_value_weighted_attention_and_stay_as_they_are_looked_at(opened, bench, prompts):
    browser = opened("task=ioi&heads=0.3@END&do=zero&shown=1.0 1.3")
    browser.until(MAPS)
    assert browser.evaluate("[...document.querySelectorAll('#maps .head-button span')].map((s) => s.textContent)") == ["1.0", "1.3", "mean"]
    assert browser.evaluate(LOOK) == ""
    browser.evaluate("document.querySelectorAll('#maps .head-button')[1].click()")
    browser.evaluate("document.querySelectorAll('#maps .head-button')[0].click()")
    browser.evaluate("document.querySelectorAll('#maps button.tok')[19].click()")
    browser.evaluate(
        "(() => { const t = document.querySelector('#maps input[type=range]'); t.value = 0.2; t.dispatchEvent(new Event('input')); })()"
    )
    browser.evaluate(
        "(() => { const s = document.querySelector('#maps .prompts select'); s.value = 1; s.dispatchEvent(new Event('input')); })()"
    )
    assert browser.evaluate(LOOK) == "prompt=1&heads=1.3&hide=0.2&token=19"
    # What is read out is what the library measures under the same change.
    change = m.Ablate(m.heads("0.3@END"))
    raw = m.attention(bench.model, prompts, "1.3", change)[0, 0]
    weighted = m.value_weighted_attention(bench.model, prompts, "1.3", interventions=change)[0, 0]
    for column in (0, 11, 15):
        browser.evaluate(
            f"(() => {{ const r = document.querySelector('#maps image').getBoundingClientRect(); const at = (i) => (i + 0.5) / 20;"
            f"document.querySelector('#maps svg').dispatchEvent(new MouseEvent('mousemove', "
            f"{{ clientX: r.x + r.width * at({column}), clientY: r.y + r.height * at(19) }})); }})()"
        )
        read = browser.evaluate("document.querySelector('#maps .readout').textContent").partition(": ")[2].split(" · ")
        assert [part.rpartition(" ")[0] for part in read] == ["attention", "value-weighted attention"]
        for part, values in zip(read, (raw, weighted), strict=True):
            assert float(part.split()[-1]) == pytest.approx(float(values[19, column]), abs=float(values.max()) / 510 + 5e-4)
    assert float(weighted[19].max()) > 2 * float(raw[19].max())
    # Another change leaves it as it is looked at, and is one step that is undone; a link opens it so.
    shown = "[...document.querySelectorAll('#maps .tok[aria-pressed=true]')].map((b) => b.textContent).join()"
    steps = browser.evaluate("history.state.depth")
    browser.evaluate("document.querySelector('#maps figure').dataset.old = 1")
    browser.evaluate("document.querySelector('#do input[value=patch]').click()")
    browser.until("document.querySelector('#maps figure')?.dataset.old === undefined")
    assert browser.evaluate("history.state.depth") == steps + 1
    for _ in range(2):
        browser.until(MAPS)
        assert browser.evaluate(LOOK) == "prompt=1&heads=1.3&hide=0.2&token=19"
        assert browser.evaluate("document.querySelector('#maps .which').textContent") == "head 1.3 on after"
        assert browser.evaluate("document.querySelector('#maps input[type=range]').value") == "0.2"
        assert browser.evaluate(shown) == "to"
        opened(browser.evaluate("location.hash.slice(1)"))
    assert browser.problems() == []


def test_a_token_stays_marked_before_and_after(opened):
    browser = opened("task=ioi&heads=0.3@END 1.3&do=patch&look=token%3D15%26lines%3D1")
    browser.until(MAPS)
    pressed = "[...document.querySelectorAll('#maps .tok')].findIndex((b) => b.ariaPressed === 'true')"
    assert browser.evaluate(pressed) == 15
    assert browser.evaluate("document.querySelector('#maps .choice input:checked').parentElement.textContent") == "lines"
    browser.evaluate(
        "(() => { const s = document.querySelector('#maps .prompts select'); s.value = 1; s.dispatchEvent(new Event('input')); })()"
    )
    assert browser.evaluate(pressed) == 15
    browser.evaluate("document.querySelectorAll('#maps .tok')[15].click()")
    assert browser.evaluate(LOOK) == "prompt=1&lines=1"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1400, 390])
@pytest.mark.parametrize("state", ["heads=0.3&do=knockout&at=END&keys=S2", "of=resid_post&heads=1@NO&do=steer&at=END&each=1&shown=0.3 9.9"])
def test_axe_finds_nothing_and_nothing_reaches_beyond_the_page(opened, axe, state, dark, width):
    browser = opened(f"task=ioi&{state}", dark=dark)
    browser.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
    browser.until(f"{MAPS} || !document.getElementById('of-shown').hidden || !document.getElementById('of-heads').hidden")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    browser.evaluate(f"(() => {{ {axe}\n; }})()")
    assert (found := violations(browser, "html", dark=dark)) == [], json.dumps(found, indent=1)
