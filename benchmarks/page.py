"""How large is the page of many claims with every prompt, and how fast does a browser open it and a claim on it?"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from mechcheck.evidence.samples.shown import prompts_of
from mechcheck.evidence.samples.texts import packed_texts
from mechcheck.evidence.samples.values import packed_values
from mechcheck.evidence.store import slug, texts_file
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.report import anchor, write_report
from mechcheck.stats.measurement import Measurement

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT / "tests"))

import made_evidence  # noqa: E402
from browser import CHROMIUM, Browser  # noqa: E402

RESULTS = Path(__file__).parent / "results"
MODELS, TEMPLATES, LENGTH, DECOYS = 10, 48, 18, 3


def prompts_for(n: int, rng: np.random.Generator) -> PromptSet:
    """Prompts with named positions."""
    decode = {token: f"word{token}" for token in range(300)}
    rows = rng.integers(0, 300, (n, LENGTH))
    rows[:, 0] = np.arange(n) % 300  # so that no two are the same
    positions = {"IO": [4] * n, "S1": [6] * n, "S2": [12] * n}
    names = [f"ABBA: then , {{A}} and {{B}} went to the {{place}} and {{S}} gave {i} to" for i in range(TEMPLATES)]
    return PromptSet.from_tokens(
        rows.tolist(), answers=rows[:, 4].tolist(), foils=(rows[:, 4] + 1).tolist(), positions=positions, decode=decode,
        templates=[names[i % TEMPLATES] for i in range(n)],
    )  # fmt: skip


def claims_of(n: int, prompts: PromptSet, rng: np.random.Generator) -> Iterator[tuple[dict[str, Any], Measurement, dict[str, Measurement]]]:
    """So many claims that an intervention lowers a value, on models by turns, each with what it measured and what its decoys did."""
    untouched = [measured(prompts, rng.normal(8, 3, len(prompts)), "logit difference", "untouched") for _ in range(MODELS)]
    for i in range(n):
        clean = untouched[i % MODELS]
        lost, *others = (
            clean - measured(prompts, clean.values - rng.normal(2, 1, len(prompts)), clean.name, "mean ablation") for _ in range(4)
        )
        beside = {f"random heads {k}": other - 2.0 for k, other in enumerate(others[:DECOYS])}
        forest = {name: {"value": value, "n": many} for name, (value, many) in lost.by_template.items()}
        expectation = made_evidence.expectation(lost.mean, lost.mean - 0.1, lost.mean + 0.1, by_template=forest)
        runs = [
            {"label": label, "verdict": "refuted", "values": {expectation["label"]: m.mean}, "note": None} for label, m in beside.items()
        ]
        decoys = {"kind": "random heads", "n": DECOYS, "supported": 0, "rejected": DECOYS, "caveat": None, "runs": runs}
        model = made_evidence.model(f"model {i % MODELS}")
        yield made_evidence.claim(f"ioi/claim-{i}", expectations=[expectation], decoys=decoys, model=model), lost, beside


def measured(prompts: PromptSet, values: np.ndarray, name: str, under: str) -> Measurement:
    """A value for each prompt."""
    return Measurement(values, prompts.ids, prompts.templates, name, "logits", under=under)


def write_run(folder: Path, n_claims: int, n_prompts: int) -> dict[str, Any]:
    """Evidence and samples, as a run leaves them."""
    rng, samples = np.random.default_rng(0), folder / "samples"
    samples.mkdir()
    prompts, claims = prompts_for(n_prompts, rng), []
    digest, content = packed_texts(prompts)
    (samples / texts_file(digest)).write_bytes(content)
    for claim, lost, beside in claims_of(n_claims, prompts, rng):
        claim["prompts"]["n"] = n_prompts
        claim["texts"] = [digest]
        (samples / f"{slug(claim['id'])}.npz").write_bytes(packed_values([lost], [beside]))
        claims.append(claim)
    return made_evidence.evidence(claims)


def opening(page: Path, claim: str) -> dict[str, float]:
    """Seconds until the page is there, until a claim on it shows its prompts, and until these are in another order."""
    with Browser() as browser:
        start = time.perf_counter()
        browser.open(page)
        loaded = time.perf_counter()
        place = f"document.getElementById({json.dumps(anchor(claim))}).closest('details')"
        browser.evaluate(
            f"(async () => {{ const c = {place}; c.open = true; "
            "while (!c.dataset.ready) await new Promise((done) => setTimeout(done, 1)); c.offsetHeight; })()"
        )
        opened = time.perf_counter()
        browser.evaluate(f"(() => {{ const c = {place}; c.querySelectorAll('.tools button')[1].click(); c.offsetHeight; }})()")
        return {"page_s": loaded - start, "claim_s": opened - loaded, "sorted_s": time.perf_counter() - opened}


def measure(n_claims: int, n_prompts: int) -> dict[str, float]:
    """Sizes in bytes and times in seconds of one page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        evidence = write_run(folder, n_claims, n_prompts)
        start = time.perf_counter()
        prompts = prompts_of(evidence, folder)
        read = time.perf_counter()
        page = folder / "index.html"
        write_report(evidence, page, prompts)
        sizes = {"claims": n_claims, "prompts": n_prompts, "page_bytes": page.stat().st_size}
        sizes["samples_bytes"] = sum(path.stat().st_size for path in (folder / "samples").iterdir())
        times = {"read_s": read - start, "draw_s": time.perf_counter() - read}
        if CHROMIUM is not None:
            times |= opening(page, evidence["claims"][n_claims // 2]["id"])
        return sizes | {name: round(seconds, 3) for name, seconds in times.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--claims", type=int, default=500)
    parser.add_argument("--prompts", type=int, default=240)
    parser.add_argument("--save", action="store_true", help="write results/page.json")
    chosen = parser.parse_args()
    found = measure(chosen.claims, chosen.prompts)
    print(json.dumps(found, indent=1))
    if chosen.save:
        (RESULTS / "page.json").write_text(json.dumps({"python": platform.python_version()} | found, indent=1) + "\n")
