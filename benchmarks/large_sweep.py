"""All-head patching on a large model in 16 bits on a CPU: its time beside that of its products alone, its memory beside the weights.

    python benchmarks/large_sweep.py [--layers 16] [--prompts 8] [--width 16] [--save]

A Llama of random weights, as wide as the one of a billion parameters (2048, 32 heads, 8 of keys and values, MLPs of 8192). Each head is
patched at END. The floor is the time of as many operations in products of the same matrices alone, with as many rows as are fastest, by
the processor's clock; they are timed again and again between the batches of the sweep, so that what others do on the machine slows both
alike. Memory is the most that was resident, less what was before loading. Weights have the spread of transformers' `initializer_range`:
with twice that, attention scores are so large that transformers' own two ways to compute attention in bfloat16 differ by 17% of what a
head writes, and the fast runner's check against plain hooks, which allows 10%, says so.
"""

import argparse
import json
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comparison.shapes import directory, prompt_pairs

from mechcheck.base.peak import forget_peak, peak, resident
from mechcheck.base.progress import Bar

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


class Beside:
    """The rate of a layer's products, timed beside a sweep: before it, between its batches, and after it."""

    def __init__(self, weights: "list[torch.Tensor]"):
        import torch

        self._inputs = {rows: [torch.randn(rows, weight.shape[0], dtype=weight.dtype) for weight in weights] for rows in (128, 512)}
        self._weights = weights
        self.rates: dict[int, list[float]] = {rows: [] for rows in self._inputs}
        """Rows -> operations a second, each time."""
        self.seconds = 0.0
        """That these products took."""

    def time(self) -> None:
        """Once to warm up, and three times more."""
        began = time.process_time()
        for rows, inputs in self._inputs.items():
            operations = sum(2 * rows * weight.numel() for weight in self._weights)
            seconds = [
                cpu_seconds(lambda inputs=inputs: [x @ weight for x, weight in zip(inputs, self._weights, strict=True)]) for _ in range(4)
            ]
            self.rates[rows] += [operations / taken for taken in seconds[1:]]
        self.seconds += time.process_time() - began

    def best(self) -> float:
        """Of the numbers of rows the one that is fastest in the median."""
        return max(statistics.median(rates) for rates in self.rates.values())


@contextmanager
def told(beside: Beside) -> Iterator[None]:
    """Within this context the products are timed between batches; a listener of the sweep's would change how large these are."""
    update = Bar.update

    def and_time(self: Bar, by: int = 1) -> None:
        update(self, by)
        beside.time()

    Bar.update = and_time
    try:
        beside.time()
        yield
        beside.time()
    finally:
        Bar.update = update


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
    beside = Beside([product.weight for product in known.layers[0].products])
    began = time.perf_counter()
    with counting() as work, told(beside):
        before_it = beside.seconds
        seconds = cpu_seconds(lambda: head_patching(model, prompts, positions="END")) - (beside.seconds - before_it)
    wall = time.perf_counter() - began
    swept = (peak() or 0) - before
    floor = work.operations / beside.best()
    weights = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    return {
        "parameters": weights // 2, "layers": layers, "prompts": n, "tokens": width, "variants": layers * HEADS,
        "gflop": round(work.operations / 1e9, 1), "cpu_s": round(seconds, 1), "wall_s": round(wall, 1), "floor_cpu_s": round(floor, 1),
        "of_floor": round(seconds / floor, 2),
        "floors_timed": len(beside.rates[128]), "weights": weights, "most_while_loading": loaded, "most_while_sweeping": swept,
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
