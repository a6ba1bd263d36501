"""The memory that loading a model with the default processing takes, and the fast runner with it, beside the size of its weights.

    python benchmarks/loading.py [--layers 18] [--layout GPT-2]

Each case in a process of its own: the most memory that was resident since the imports, files that are mapped included, as a part of the
weights in the dtype asked for. "all at once" is TransformerLens' own processing of the same directory, as mechcheck loaded models before.
Shapes of about a gigabyte in float32 with random weights, in the temporary directory.
"""

import argparse
import json
import platform
import resource
from concurrent.futures import ProcessPoolExecutor
from importlib import metadata
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from comparison.shapes import directory

from mechcheck.base.peak import forget_peak, peak, resident

if TYPE_CHECKING:
    from transformers import PretrainedConfig

RESULT = Path(__file__).parent / "results" / "loading.json"
LAYOUTS = ("GPT-2", "Llama", "GPT-NeoX")
_IDS = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0, "vocab_size": 16000, "initializer_range": 0.04}
_WIDTH, _HEADS = 1024, 16


class Case(NamedTuple):
    """One way to load one model."""

    layout: str
    layers: int
    dtype: str
    processing: str
    at_once: bool
    """By TransformerLens' own processing."""


def config(layout: str, layers: int, dtype: str) -> "PretrainedConfig":
    """A configuration of that layout, to be stored in that dtype."""
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    if layout == "GPT-2":
        return GPT2Config(n_layer=layers, n_head=_HEADS, n_embd=_WIDTH, n_positions=1024, dtype=dtype, **_IDS)
    shape = {
        "num_hidden_layers": layers,
        "num_attention_heads": _HEADS,
        "hidden_size": _WIDTH,
        "max_position_embeddings": 2048,
        "dtype": dtype,
    }
    if layout == "GPT-NeoX":
        return GPTNeoXConfig(**shape, intermediate_size=4 * _WIDTH, **_IDS)
    return LlamaConfig(**shape, num_key_value_heads=_HEADS, intermediate_size=2752, tie_word_embeddings=False, **_IDS)


def measure(case: Case) -> dict[str, float]:
    """Bytes of the weights, the most that was resident beside what the imports take, and CPU seconds."""
    import torch

    from mechcheck import load_model
    from mechcheck.engine.arithmetic.model import arithmetic
    from mechcheck.models.booting import boot

    torch.set_num_threads(1)
    path = directory(config(case.layout, case.layers, case.dtype))
    load_model("names-gpt2-seed4")  # whatever is imported late
    forget_peak()
    before, began = resident(), resource.getrusage(resource.RUSAGE_SELF)
    if case.at_once:
        model = boot(path, path.name, "cpu", getattr(torch, case.dtype))
        model.enable_compatibility_mode(disable_warnings=True)
    else:
        model = load_model(path, dtype=case.dtype, processing=case.processing)
        arithmetic(model)
    ended = resource.getrusage(resource.RUSAGE_SELF)
    # As stored: compatibility mode unties an unembedding, and keeps what queries, keys and values were cut out of.
    stored = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    most = _bytes(peak()) - _bytes(before)
    seconds = ended.ru_utime + ended.ru_stime - began.ru_utime - began.ru_stime
    return {"weights": stored, "most": most, "ratio": round(most / stored, 2), "cpu_seconds": round(seconds, 1)}


def _bytes(found: int | None) -> int:
    if found is None:
        raise SystemExit("this system does not say how much memory a process takes; run it on Linux")
    return found


def main() -> None:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=18)
    parser.add_argument("--layout", action="append", choices=LAYOUTS, help="measured anew, beside the rows that are there (default: all)")
    parser.add_argument("--results", type=Path, default=RESULT)
    asked = parser.parse_args()
    cases = [
        Case(layout, asked.layers, dtype, "folded", at_once)
        for layout in LAYOUTS
        for dtype in ("float32", "bfloat16")
        for at_once in (True, False)
    ]
    cases += [Case("Llama", asked.layers, dtype, "raw", at_once=False) for dtype in ("float32", "bfloat16")]
    cases = [case for case in cases if case.layout in (asked.layout or LAYOUTS)]
    versions = {name: metadata.version(name) for name in ("torch", "transformer-lens", "transformers")}
    versions["python"] = platform.python_version()
    told = {"unit": "most resident memory since the imports, bytes", "layers": asked.layers, "versions": versions}
    rows = [row for row in _saved(asked.results) if row["layout"] not in (asked.layout or LAYOUTS)]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as fresh:
        for case in cases:
            fresh.submit(directory, config(case.layout, asked.layers, case.dtype)).result()
            found = fresh.submit(measure, case).result()
            rows.append(case._asdict() | found)
            how = "all at once" if case.at_once else "a layer at a time" if case.processing == "folded" else "raw"
            print(f"{case.layout:9s} {case.dtype:9s} {how:18s} {found['ratio']:5.2f} x weights {found['cpu_seconds']:5.1f} s", flush=True)
            asked.results.write_text(json.dumps(told | {"rows": rows}, indent=2) + "\n", encoding="utf-8")


def _saved(results: Path) -> list[dict[str, Any]]:
    return json.loads(results.read_text(encoding="utf-8"))["rows"] if results.is_file() else []


if __name__ == "__main__":
    main()
