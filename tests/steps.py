"""What a reader does with the page in a browser, and figures to do it with."""

import json
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, Browser

from mechcheck.measures.figures.charts import Bars, Lines, Table, head_heatmap
from mechcheck.measures.figures.compared import Compared
from mechcheck.measures.figures.model import AttentionView, CircuitGraph, LensGrid, SearchTrace
from mechcheck.report import anchor

Json = dict[str, Any]
TOKENS = ["<s>", " When", " Mary", " and", " John", " went", " to", " the", " store", ",", " John", " gave", " it", " to"]

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def every_figure() -> list[Json]:
    """A figure of each kind."""
    rng = np.random.default_rng(0)
    n = len(TOKENS)
    patterns = {}
    for head in ("0.0", "0.1", "1.0", "1.1"):
        scores = np.tril(np.exp(2 * rng.normal(size=(n, n))))
        patterns[head] = scores / scores.sum(1, keepdims=True)
    weighted = {head: pattern * rng.gamma(2, size=n) for head, pattern in patterns.items()}
    p = rng.random((3, n))
    top = [[[(" Mary", 0.5), ("John", 0.25)] for _ in TOKENS] for _ in range(3)]
    bands = {"name": ([0.0, 1.0, 2.0], [1.0, 2.0, 3.0]), "random": ([0.5] * 3, [0.75] * 3)}
    nodes = [("0.1", 0, "S-inhibition"), ("1.0", 1, "name mover"), ("logits", 2, "")]
    figures = [
        head_heatmap("Direct effect", np.array([[0.5, -0.25], [1.0, 0.0]]), "logits"),
        AttentionView("Attention", TOKENS, patterns, weighted),
        LensGrid("Lens", TOKENS, ["0", "1", "2"], p, 1 - p, top),
        Lines("Steering", [0, 1, 2], {"name": [0.5, 1.5, 2.5]}, "scale", "logit difference", bands),
        CircuitGraph("Circuit", nodes, [("0.1", "1.0", 2.0), ("1.0", "logits", -1.0)]),
        SearchTrace("Search", [("0.1", 0.5), ("1.0", 0.1)], "p(answer)", start=0.9, goal=0.2),
        Table("Calibration", ["detector", "precision"], [["variance", 0.8], ["always yes", None]]),
        Bars("Ranking", ["0.1", "1.0"], [2.0, -1.0], [1.0, -2.0], [3.0, 0.0], "logits", 1.0),
    ]  # fmt: skip
    return [figure.data() for figure in figures]


def compared_figures() -> list[Json]:
    """What is compared, one beside the other or one at a time; a search that tells what changed; inputs apart, and an edge of no worth."""
    rng = np.random.default_rng(1)
    heats = {
        name: head_heatmap("unseen", np.array(values), "logits") for name, values in (("clean", [[0.5, 0.25]]), ("ablated", [[-2.0, 1.0]]))
    }
    views, grids = {}, {}
    for name, tokens in (("prompt 0", TOKENS), ("prompt 1", TOKENS[:3])):
        n = len(tokens)
        scores = [np.tril(rng.random((n, n))) + np.eye(n) for _ in range(2)]
        patterns = {f"0.{i}": each / each.sum(1, keepdims=True) for i, each in enumerate(scores)}
        views[name] = AttentionView("unseen", tokens, patterns, patterns)
    for name, p in (("clean", 0.75), ("corrupted", 0.125)):
        top = [[[(f" {name}", p)] for _ in TOKENS]]
        grids[name] = LensGrid("unseen", TOKENS, ["out"], np.full((1, len(TOKENS)), p), np.full((1, len(TOKENS)), 1 - p), top)
    steps = [("0.1", 0.5), ("0.0 1.0", 0.875), ("1.0", 0.75)]
    changes = [(["0.1"], []), (["0.0", "1.0"], ["0.1"]), ([], ["0.0"])]
    nodes = [("0.1", 0, "S-inhibition"), ("1.0", 1, "name mover"), ("logits", 2, "")]
    edges = [("0.1", "1.0", 2.0, "q"), ("0.1", "1.0", 1.0, "k"), ("1.0", "logits", -1.0), ("0.1", "logits", 1e-8)]
    figures = [
        Compared("Heads compared", heats), Compared("Prompts", views), Compared("Runs", grids),
        SearchTrace("Search of sets", steps, "p(answer)", start=0.0, changes=changes), CircuitGraph("Inputs", nodes, edges, "logits"),
    ]  # fmt: skip
    return [figure.data() for figure in figures]


def opened(browser: Browser, claim_id: str) -> None:
    """Open a claim and wait until its figures are drawn."""
    drawn = f"""(async () => {{
      const claim = document.getElementById({json.dumps(anchor(claim_id))}).closest("details");
      claim.open = true;
      while (!claim.dataset.ready) await new Promise((resolve) => setTimeout(resolve, 5));
      return true;
    }})()"""
    assert browser.evaluate(drawn)


def fill_in(browser: Browser, field: str, value: str) -> None:
    """Set a field's value as a reader would."""
    browser.evaluate(
        f"""(() => {{ const field = document.querySelector({json.dumps(field)}); field.value = {json.dumps(value)};
        field.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"""
    )


def shown(browser: Browser) -> list[str]:
    """The ids of the claims that are listed, in their order."""
    return browser.evaluate("[...document.querySelectorAll('details.claim:not([hidden]) .body')].map((body) => body.id)")
