"""What is read from files: circuits, graphs, evidence with its samples."""

import contextlib
import io
import json
import os
import shutil
import sys
import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

import mechcheck as m
from fuzzing.mutate import WORDS, Rng, changed, garbled, odd_path
from fuzzing.texts import model
from mechcheck.base.paths import data_dir
from mechcheck.circuits.graph_files import read_graph
from mechcheck.cli import main

ROOT = Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests"))

import made_evidence  # noqa: E402
import runs  # noqa: E402


def put(folder: Path, name: str, data: bytes, rng: Rng) -> Path:
    """A file with this content; or, seldom, something else under a path with this ending."""
    if rng.random() < 0.03:
        return odd_path(folder, rng, Path(name).suffix)
    path = folder / name
    path.write_bytes(data)
    return path


def json_of(value: Any) -> bytes:
    """As Python writes it, NaN and halves of characters included."""
    return json.dumps(value, default=str).encode()


def command(*arguments: str | Path) -> str:
    """The command line, whose words are read by nobody."""
    with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")), contextlib.redirect_stderr(io.StringIO()):
        status = main([str(one) for one in arguments])
    assert status in (0, 1, 2), status
    return "refused" if status == 2 else "taken"


@cache
def circuit_files() -> list[str]:
    """Shipped circuits."""
    return [path.read_text(encoding="utf-8") for path in sorted(data_dir("claims").glob("*/circuits/*.toml"))]


@cache
def toml_tables() -> list[dict[str, Any]]:
    """The same, read."""
    import tomllib

    return [tomllib.loads(text) for text in circuit_files()]


def toml(value: Any, path: tuple[str, ...] = ()) -> str:
    """Tables as TOML; values as JSON has them, which is nearly the same."""
    if not isinstance(value, dict):
        return json.dumps(value, default=str)
    lines = [f"[{'.'.join(map(json.dumps, path))}]"] if path else []
    lines += [f"{json.dumps(key)} = {json.dumps(one, default=str)}" for key, one in value.items() if not isinstance(one, dict)]
    lines += [toml(one, (*path, key)) for key, one in value.items() if isinstance(one, dict)]
    return "\n".join(lines)


def circuit(rng: Rng, folder: Path) -> str | None:
    """A circuit in TOML, read, checked against a model, and shown."""
    if rng.random() < 0.5:
        data = toml(changed(rng.choice(toml_tables()), rng)).encode("utf-8", "surrogatepass")
    else:
        data = garbled(rng.choice(circuit_files()).encode(), rng)
    path = put(folder, "c.toml", data, rng)
    match rng.randrange(4):
        case 0:
            return command("circuit", "show", path)
        case 1:
            return command(
                "circuit",
                "show",
                path,
                "--model",
                "names-gpt2-seed0",
                "--to",
                folder / f"out.{rng.choice(('json', 'dot', 'graphml', 'x'))}",
            )
        case 2:
            m.load_circuit(str(path))
        case _:
            from mechcheck.circuits.files import check_circuit

            check_circuit(m.load_circuit(path), model())


@cache
def graph_json() -> dict[str, Any]:
    """A small circuit of edges as EAP-IG writes it."""
    names = ["input->a0.h0<q>", "input->m0", "a0.h0->m0", "m0->logits", "input->a1.h1<v>", "a0.h1->logits"]
    edges = {name: {"in_graph": i % 2 == 0, "score": i / 3} for i, name in enumerate(names)}
    nodes = {name: {"in_graph": True} for name in ("input", "a0.h0", "m0", "logits")}
    return {"cfg": {"n_layers": 2, "n_heads": 4, "parallel_attn_mlp": False, "d_model": 64}, "nodes": nodes, "edges": edges}


def graph(rng: Rng, folder: Path) -> str | None:
    """A circuit in JSON; and the other forms that are written and never read."""
    data = json_of(changed(graph_json(), rng)) if rng.random() < 0.7 else garbled(json_of(graph_json()), rng)
    path = put(folder, f"g.{rng.choice(('json', 'json', 'json', 'graphml', 'dot', ''))}", data, rng)
    if rng.random() < 0.5:
        read_graph(path, n_kv_heads=rng.choice((None, 4, 2, 1)))
    elif rng.random() < 0.5:
        return command("circuit", "diff", path, put(folder, "h.json", json_of(graph_json()), rng))
    else:
        return command("circuit", "show", path, "--to", folder / rng.choice(("o.json", "o.graphml", "o.dot")))


@cache
def evidence() -> dict[str, Any]:
    """A few claims with figures of many kinds."""
    claims = [*made_evidence.rich_claims()[:12], made_evidence.hostile_claim()]
    for claim in claims:
        claim["figures"] = claim["figures"][:2]
    claims[0]["figures"] = [
        {"kind": "bars", "title": "b", "data": {"labels": ["a"], "values": [1.0], "low": [0.5], "high": None, "unit": "",
        "threshold": 0.2}},
        {"kind": "table", "title": "t", "data": {"columns": ["a", "b"], "rows": [["x", 1.0], [None, True]]}},
        {"kind": "lens", "title": "l", "data": {"tokens": ["a"], "layers": ["0"], "p_answer": [[0.5]], "p_foil": None,
        "top": [[[{"token": "a", "p": 0.1}]]]}},
        {"kind": "search", "title": "s", "data": {"steps": [{"site": "0.1", "score": 1.0}], "score_label": "s", "start": 0.0, "goal": None,
         "details": [{"label": "d", "cells": [1]}]}},
        {"kind": "attention", "title": "a", "data": {"tokens": ["a", "b"], "patterns": [{"head": "0.0", "low": 0.0, "high": 1.0,
        "values": "AAAAAA=="}],
         "weighted": None}},
        {"kind": "circuit", "title": "c", "data": {"nodes": [{"label": "0.1", "layer": 0, "role": "r"}, {"label": "1.1", "layer": 1,
        "role": "r"}],
         "edges": [{"source": "0.1", "target": "1.1", "weight": 1.0, "reads": "q"}], "unit": "u"}},
    ]  # fmt: skip
    return made_evidence.evidence(claims)


def report(rng: Rng, folder: Path) -> str | None:
    """Evidence as a page, and as a table."""
    base = {"run": evidence()["run"], "claims": rng.sample(evidence()["claims"], 2) if rng.random() < 0.5 else evidence()["claims"][:1]}
    data = json_of(changed(base, rng)) if rng.random() < 0.8 else garbled(json_of(base), rng)
    path = put(folder, "evidence.json", data, rng)
    if rng.random() < 0.4:
        return command("report", path, "-o", folder / "page.html" if rng.random() < 0.95 else odd_path(folder, rng))
    else:
        return command("summary", path, *rng.choice(((), ("--match", "é"), ("--model", "x"))))


@cache
def two_runs() -> Path:
    """An earlier and a later run, with their samples, and a change that was accepted."""
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for name, found in (("old", runs.OLD), ("new", runs.MOVED)):
        runs.write_run(folder / name, runs.claim("a", found), runs.claim("b", found, runs.NOISY))
    return folder


def compare(rng: Rng, folder: Path) -> str | None:
    """Two runs, of which something is odd: evidence, samples, or what was accepted."""
    shutil.copytree(two_runs(), folder, dirs_exist_ok=True)
    side = folder / rng.choice(("old", "new"))
    match rng.randrange(4):
        case 0 | 1:
            path, whole = side / "evidence.json", json.loads((side / "evidence.json").read_text(encoding="utf-8"))
            data = json_of(changed(whole, rng)) if rng.random() < 0.85 else garbled(json_of(whole), rng)
        case 2:
            path = rng.choice(sorted((side / "samples").iterdir()))
            data = odd_samples(path, rng)
        case _:
            path, changes = side.parent / "old" / "accepted.json", {"label": "effect 0 > 0", "threshold": 0.0, "region": [0.0, None],
                "value": 2.0,
                                                                    "margin": 0.1}  # fmt: skip
            entry = {"id": "a", "statement": "a is so", "why": "w", "on": "2026-01-01", "verdict": "supported", "expectations": [changes]}
            whole = {"schema": "mechcheck.accepted/1", "accepted": [entry]}
            data = json_of(changed(whole, rng)) if rng.random() < 0.8 else garbled(json_of(whole), rng)
    path.unlink(missing_ok=True)
    if rng.random() < 0.04:
        os.mkfifo(path)
    else:
        path.write_bytes(data)
    old, new = folder / "old" / "evidence.json", folder / "new" / "evidence.json"
    match rng.randrange(4):
        case 0:
            return command(
                "accept", rng.choice(("a", "b", "c")), "--why", rng.choice(("w", *WORDS[:50])), "--evidence", new, "--baseline", old
            )
        case 1:
            return command("compare", old, new, "--page", folder / "page.html")
        case 2:
            return command("compare", old, new, "--json", "--rename", rng.choice(("m=n", "m", "=", "x=y", *WORDS[:50])))
        case _:
            return command("compare", old, new)


def odd_samples(path: Path, rng: Rng) -> bytes:
    """An npz in which something is odd: bytes, shapes, kinds, sizes, pickles."""
    whole = path.read_bytes()
    if rng.random() < 0.4:
        return garbled(whole, rng)
    with np.load(path) as stored:
        arrays: dict[str, Any] = dict(stored)
    name = rng.choice(sorted(arrays))
    row = arrays[name]
    made = (
        lambda: row[:-1], lambda: row[:, None], lambda: np.array(row.tolist(), dtype=object), lambda: np.zeros(1 << 22),
        lambda: row.astype("U"),
        lambda: np.array(7), lambda: np.zeros((0,)), lambda: np.full(len(row), np.nan), lambda: np.arange(len(row)) * 1j, lambda: row[::-1],
        lambda: np.array(["a"] * len(row)), lambda: np.array([{"a": 1}], dtype=object), lambda: np.zeros(len(row), dtype="M8[s]"),
    )  # fmt: skip
    arrays[name] = rng.choice(made)()
    if rng.random() < 0.2:
        del arrays[name]
    out = io.BytesIO()
    np.savez_compressed(out, **arrays)
    if rng.random() < 0.2:  # a header that promises more than there is, and a member that unpacks to very much
        header = (
            b"\x93NUMPY\x01\x00v\x00"
            + f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({10 ** rng.randrange(6, 15)},), }}".ljust(117).encode()
            + b"\n"
        )
        with zipfile.ZipFile(out, "a", zipfile.ZIP_DEFLATED) as more:
            more.writestr(f"{name}.npy", header + bytes(rng.choice((0, 8, 1 << 24))))
    return out.getvalue()
