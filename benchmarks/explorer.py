"""How long a reader of the explorer waits in Chromium: for the first page, and from a click on a head to the new prediction and maps."""

import argparse
import json
import platform
import statistics
import sys
import time
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlencode

import torch
from comparison.shapes import directory, gpt2

from mechcheck.explorer.server import Server
from mechcheck.models.loading import load_model

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

from browser import CHROMIUM, Browser  # noqa: E402

WARM = 4
RESULTS = Path(__file__).parent / "results"
MODELS = ("names-gpt2-seed4", "years-gpt2-seed0", "sentences-bert", "compiled-ioi")
LARGE = "GPT-2 small's shape"
"""Random weights of 12 layers, 12 heads and a width of 768, on a prompt of 15 words."""
# A click, then the first frame in which numbers, and then maps, are new; a head is put in or out that was not there, or was.
CLICK = """(async (number) => {
  const changed = (id) => new Promise((done) => {
    const seen = new MutationObserver(() => { seen.disconnect(); requestAnimationFrame(() => done(performance.now())); });
    seen.observe(document.getElementById(id), { childList: true });
  });
  const cells = [...document.querySelectorAll('#grid .cell')];
  const [numbers, maps] = [changed('numbers'), changed('maps')];
  const start = performance.now();
  cells[(number + 1) % cells.length].click();
  return [await numbers - start, await maps - start];
})"""


def measure(name: str, kind: str, clicks: int) -> dict[str, Any]:
    """Milliseconds on one model under one kind of change, without the first clicks, which warm up."""
    model = load_model(directory(gpt2()) if name == LARGE else name)
    with Browser() as browser:
        start = time.perf_counter()
        server = Server(model)
        thread = Thread(target=server.run, daemon=True)
        thread.start()
        prompt = _words() if name == LARGE else {"task": server.workbench.first_task()}
        browser.open(server.link, urlencode({**prompt, "do": kind, "heads": "0.0", "keys": "END"}))
        browser.until("document.querySelectorAll('.next').length > 1")
        first = 1000 * (time.perf_counter() - start)
        browser.until("document.querySelectorAll('#maps figure').length > 0")
        found = [browser.evaluate(f"{CLICK}({number})") for number in range(WARM + clicks)][WARM:]
    server.stop()
    thread.join()
    prediction, attention = zip(*found, strict=True)
    row = {"model": name, "do": kind, "clicks": clicks, "first_page_ms": round(first, 1)}
    return row | _spread("prediction_ms", prediction) | _spread("attention_ms", attention)


def _words() -> dict[str, str]:
    """A prompt, with a counterfactual, for a model without a task: its words are w3, w4, ..."""
    text = [f"w{number}" for number in range(100, 115)]
    return {"text": " ".join(text), "counterfactual": " ".join([*text[:10], *text[:5]]), "answer": "w7", "foil": "w8"}


def _spread(what: str, times: tuple[float, ...]) -> dict[str, float]:
    named = {what: statistics.median(times), f"{what}_fastest": min(times), f"{what}_slowest": max(times)}
    return {name: round(time, 1) for name, time in named.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", action="append", help=f"repeatable (default: {', '.join(MODELS)}, {LARGE})")
    parser.add_argument("--do", action="append", help="what a click does, repeatable (default: zero)")
    parser.add_argument("--clicks", type=int, default=40)
    parser.add_argument("--save", action="store_true", help="write results/explorer.json")
    chosen = parser.parse_args()
    if CHROMIUM is None:
        raise SystemExit("no Chromium on this machine")
    torch.set_num_threads(1)
    rows = [measure(name, kind, chosen.clicks) for name in chosen.model or (*MODELS, LARGE) for kind in chosen.do or ["zero"]]
    print(json.dumps(rows, indent=1))
    if chosen.save:
        (RESULTS / "explorer.json").write_text(
            json.dumps({"python": platform.python_version(), "threads": 1, "rows": rows}, indent=1) + "\n"
        )
