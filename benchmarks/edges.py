"""Edge scores beside those of EAP-IG's authors: the same numbers, and how long both take, in alternating runs on one thread.

Their code is not part of this project, and needs a TransformerLens of before version 4:

    git clone https://github.com/hannamw/EAP-IG DIR
    pip install --no-deps --target OTHER transformer_lens==2.16.1 better-abc fancy-einsum beartype typeguard
    OMP_NUM_THREADS=1 python benchmarks/edges.py --authors DIR/src --transformer-lens OTHER --save
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

import mechcheck as m
from mechcheck.base.paths import data_dir
from mechcheck.circuits.edge_scores import EdgeScores, Method
from mechcheck.circuits.graph_files import names_of

RESULTS = Path(__file__).resolve().parent / "results" / "edges.cpu.md"
MODEL = "names-gpt2-seed0"
METHODS: tuple[Method, ...] = ("exact", "eap", "eap-ig-inputs", "eap-ig-activations")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--authors", type=Path, required=True, help="their src folder")
    parser.add_argument("--transformer-lens", type=Path, required=True, help="where an older TransformerLens was installed to")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--save", action="store_true")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    model = m.load_model(MODEL, processing="raw")
    prompts = m.ioi_prompts(model, n=96, seed=1)
    length = int(prompts.lengths.mode().values)
    prompts = prompts[[row for row, n in enumerate(prompts.lengths.tolist()) if n == length]]
    ours: dict[str, list[float]] = {method: [] for method in METHODS}
    theirs: dict[str, list[float]] = {method: [] for method in METHODS}
    scores: dict[str, EdgeScores] = {}
    found: dict = {}
    for _ in range(chosen.rounds):
        for method in METHODS:
            started = time.perf_counter()
            scores[method] = m.edge_scores(model, prompts, method, sample=2)
            ours[method].append(time.perf_counter() - started)
        found = by_the_authors(prompts, length, chosen.authors, chosen.transformer_lens)
        for method in METHODS:
            theirs[method].append(found[method]["seconds"])
    lines = [
        f"{MODEL}: {len(prompts)} prompts of {length} tokens, {len(scores['exact'].graph)} edges, counterfactual, logit difference; "
        f"medians of {chosen.rounds} alternating rounds, one thread. EAP-IG with 5 points. Ours include exact values of 2 edges.",
        "",
        "| method | largest score | largest gap | rank correlation | seconds, theirs | ours | ratio |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for method in METHODS:
        own = scores[method].mean
        names = dict(names_of(scores[method].graph))
        pairs = np.array([(own[at], found[method]["scores"][name]) for name, at in names.items()])
        gap, size = np.abs(pairs[:, 0] - pairs[:, 1]).max(), np.abs(pairs[:, 1]).max()
        slow, fast = np.median(theirs[method]), np.median(ours[method])
        correlation = spearmanr(pairs.round(6)).statistic
        lines.append(f"| {method} | {size:.3f} | {gap:.1e} | {correlation:.6f} | {slow:.3f} | {fast:.3f} | {slow / fast:.1f} |")
    text = "\n".join(lines) + "\n"
    print(text)
    if chosen.save:
        RESULTS.write_text(f"# Edge scores beside the authors'\n\n{text}", encoding="utf-8")


def by_the_authors(prompts: m.PromptSet, length: int, authors: Path, transformer_lens: Path) -> dict:
    """Their scores and seconds, from a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "given.npz", Path(folder) / "found.json"
        assert prompts.counterfactual is not None
        np.savez(
            given, clean=prompts.tokens[:, :length], other=prompts.counterfactual.tokens[:, :length], answers=prompts.answers,
            foils=prompts.foils, methods=np.array(METHODS),
        )  # fmt: skip
        path = os.pathsep.join([str(transformer_lens), str(authors)])
        child = Path(__file__).parent / "eap_ig" / "theirs.py"
        subprocess.run(
            [sys.executable, str(child), str(data_dir("fixtures") / "models" / MODEL), str(given), str(out)],
            check=True, env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return json.loads(out.read_text())


if __name__ == "__main__":
    main()
