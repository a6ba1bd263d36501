"""All-head patching on a large model in 16 bits on a CPU: its time beside that of its products alone, its memory beside the weights.

    python benchmarks/large_sweep.py [--layers 16] [--prompts 8] [--width 16] [--save]

A Llama of random weights, as wide as the one of a billion parameters (2048, 32 heads, 8 of keys and values, MLPs of 8192). Each head is
patched at END. The floor is the time of as many operations in products of the same matrices alone, with as many rows as are fastest, by
the processor's clock, so that others on the machine count for less. Memory is the most that was resident, less what was before loading.
"""

import argparse
import json
import os
import platform
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparison.shapes import directory, prompt_pairs

from mechcheck.base.peak import forget_peak, peak, resident

if TYPE_CHECKING:
    import torch
    from transformers import PretrainedConfig

RESULT = Path(__file__).parent / "results" / "large_sweep.json"
WIDTH, HEADS, KV_HEADS, MLP, VOCABULARY = 2048, 32, 8, 8192, 32000


def config(layers: int) -> "PretrainedConfig":
    """That shape, in bfloat16."""
    from transformers import LlamaConfig

    return LlamaConfig(
        num_hidden_layers=layers, num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, hidden_size=WIDTH, intermediate_size=MLP,
        vocab_size=VOCABULARY, max_position_embeddings=2048, tie_word_embeddings=False, initializer_range=0.02, dtype="bfloat16",
        bos_token_id=1, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip


def cpu_seconds(act: Callable[[], Any]) -> float:
    """Of this process."""
    began = time.process_time()
    act()
    return time.process_time() - began


def rate(weights: "list[torch.Tensor]", rows: int) -> float:
    """Operations a second of these products with so many rows: the better of two, after one to warm up."""
    import torch

    inputs = [torch.randn(rows, weight.shape[0], dtype=weight.dtype) for weight in weights]
    operations = sum(2 * rows * weight.numel() for weight in weights)
    seconds = [cpu_seconds(lambda: [x @ weight for x, weight in zip(inputs, weights, strict=True)]) for _ in range(3)]
    return operations / min(seconds[1:])


def measure(layers: int, n: int, width: int) -> dict[str, Any]:
    """Load, sweep, and multiply."""
    import torch

    from mechcheck import head_patching, load_model
    from mechcheck.base.errors import SelfCheckWarning
    from mechcheck.engine.arithmetic.model import arithmetic
    from mechcheck.engine.arithmetic.work import counting

    warnings.simplefilter("error", SelfCheckWarning)  # what plain hooks take is not what is asked
    torch.set_num_threads(1)
    path = directory(config(layers))
    load_model("names-gpt2-seed4")  # whatever is imported late
    forget_peak()
    before = resident() or 0
    model = load_model(path, dtype="bfloat16")
    known = arithmetic(model)
    loaded = (peak() or 0) - before
    prompts = prompt_pairs(VOCABULARY, n, width, first_change=width // 2)
    forget_peak()
    began = time.perf_counter()
    with counting() as work:
        seconds = cpu_seconds(lambda: head_patching(model, prompts, positions="END"))
    wall = time.perf_counter() - began
    swept = (peak() or 0) - before
    products = [product.weight for product in known.layers[0].products]
    floor = work.operations / max(rate(products, rows) for rows in (128, 512))
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return {
        "parameters": weights // 2, "layers": layers, "prompts": n, "tokens": width, "variants": layers * HEADS,
        "gflop": round(work.operations / 1e9, 1), "cpu_s": round(seconds, 1), "wall_s": round(wall, 1), "floor_cpu_s": round(floor, 1),
        "of_floor": round(seconds / floor, 2), "weights": weights, "most_while_loading": loaded, "most_while_sweeping": swept,
        "beside_weights_gb": round((swept - weights) / 1e9, 2),
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--width", type=int, default=16, help="tokens of each prompt")
    parser.add_argument("--save", action="store_true", help="write a row of results/large_sweep.json")
    asked = parser.parse_args()
    versions = {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    found = measure(asked.layers, asked.prompts, asked.width) | {"load": round(os.getloadavg()[0], 1), "versions": versions}
    print(json.dumps(found, indent=1))
    if asked.save:
        rows = json.loads(RESULT.read_text(encoding="utf-8")) if RESULT.is_file() else []
        case = ("layers", "prompts", "tokens")
        rows = [row for row in rows if [row[name] for name in case] != [found[name] for name in case]] + [found]
        RESULT.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
