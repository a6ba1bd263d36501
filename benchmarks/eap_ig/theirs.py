"""The authors' side, run in a process of its own with their code and the TransformerLens that it needs on its path.

It is given a GPT-2 directory, the prompts, and how often to measure; it writes scores and seconds as JSON.
"""

import json
import sys
import time
from pathlib import Path
from types import ModuleType
from unittest.mock import MagicMock

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

STEPS = 5


def hooked(directory: Path) -> object:
    """Their kind of model with the directory's weights, as they are in the file."""
    from transformer_lens import HookedTransformer, HookedTransformerConfig

    config, stored = json.loads((directory / "config.json").read_text()), load_file(directory / "model.safetensors")
    layers, heads, d = config["n_layer"], config["n_head"], config["n_embd"]
    model = HookedTransformer(
        HookedTransformerConfig(
            n_layers=layers, n_heads=heads, d_model=d, d_head=d // heads, d_mlp=config.get("n_inner") or 4 * d,
            n_ctx=config["n_positions"], d_vocab=config["vocab_size"], act_fn=config["activation_function"],
            normalization_type="LN", eps=config["layer_norm_epsilon"], device="cpu",
        )
    )  # fmt: skip
    model.load_state_dict(renamed(stored, layers, heads, d), strict=False)
    for switch in ("use_split_qkv_input", "use_attn_result", "use_hook_mlp_in"):
        getattr(model, f"set_{switch}")(True)
    return model


def renamed(stored: dict[str, Tensor], layers: int, heads: int, d: int) -> dict[str, Tensor]:
    """GPT-2's weights by HookedTransformer's names."""
    at = {name.removeprefix("transformer."): value.float() for name, value in stored.items()}
    unembed = at.get("lm_head.weight", at["wte.weight"]).T
    found = {
        "embed.W_E": at["wte.weight"], "pos_embed.W_pos": at["wpe.weight"], "ln_final.w": at["ln_f.weight"],
        "ln_final.b": at["ln_f.bias"], "unembed.W_U": unembed, "unembed.b_U": torch.zeros(unembed.shape[1]),
    }  # fmt: skip
    for layer in range(layers):
        old, new = f"h.{layer}.", f"blocks.{layer}."
        for number, name in enumerate("QKV"):
            part = slice(number * d, (number + 1) * d)
            found[f"{new}attn.W_{name}"] = at[old + "attn.c_attn.weight"][:, part].reshape(d, heads, -1).permute(1, 0, 2)
            found[f"{new}attn.b_{name}"] = at[old + "attn.c_attn.bias"][part].reshape(heads, -1)
        found[f"{new}attn.W_O"] = at[old + "attn.c_proj.weight"].reshape(heads, -1, d)
        found[f"{new}attn.b_O"] = at[old + "attn.c_proj.bias"]
        for ours, theirs in (("ln_1", "ln1"), ("ln_2", "ln2")):
            found |= {f"{new}{theirs}.w": at[f"{old}{ours}.weight"], f"{new}{theirs}.b": at[f"{old}{ours}.bias"]}
        for ours, theirs in (("c_fc", "in"), ("c_proj", "out")):
            found |= {f"{new}mlp.W_{theirs}": at[f"{old}mlp.{ours}.weight"], f"{new}mlp.b_{theirs}": at[f"{old}mlp.{ours}.bias"]}
    return found


def given_tokens(module: ModuleType) -> None:
    """Their functions tokenise text; here they are given tokens."""

    def tokens(model: object, inputs: Tensor, max_length: int | None = None) -> tuple[Tensor, Tensor, Tensor, int]:
        width = inputs.shape[1]
        return inputs, torch.ones_like(inputs), torch.full((len(inputs),), width), width

    module.tokenize_plus = tokens


def on_the_cpu() -> None:
    """Their score matrices are made on a GPU by name."""
    made = torch.zeros

    def zeros(*size: object, **options: object) -> Tensor:
        return made(*size, **(options | {"device": "cpu"} if options.get("device") == "cuda" else options))

    torch.zeros = zeros


def main() -> None:
    """Measure what is asked for."""
    directory, given, out = map(Path, sys.argv[1:4])
    torch.set_num_threads(1)
    on_the_cpu()
    for missing in ("matplotlib", "matplotlib.cm", "pygraphviz", "seaborn"):  # they draw with these; nothing is drawn here
        sys.modules.setdefault(missing, MagicMock())
    from eap import attribute, evaluate, utils
    from eap.graph import Graph

    for module in (attribute, evaluate, utils):
        given_tokens(module)
    model, asked = hooked(directory), np.load(given)
    clean, other, answers, foils = (torch.from_numpy(asked[name]) for name in ("clean", "other", "answers", "foils"))

    class Whole(list):
        """All prompts as one batch."""

    batch = Whole([(clean, other, (answers, foils))])

    def each(logits: Tensor, untouched: Tensor | None, lengths: Tensor, label: tuple[Tensor, Tensor]) -> Tensor:
        last, row = logits[:, -1], torch.arange(len(logits))
        return last[row, label[0]] - last[row, label[1]]

    def together(*given: object) -> Tensor:
        return each(*given).sum()

    ways = {
        "exact": lambda graph: attribute.get_scores_exact(model, graph, batch, each, quiet=True),
        "eap": lambda graph: attribute.get_scores_eap(model, graph, batch, together, quiet=True),
        "eap-ig-inputs": lambda graph: attribute.get_scores_eap_ig(model, graph, batch, together, steps=STEPS, quiet=True),
        "eap-ig-activations": lambda graph: attribute.get_scores_ig_activations(model, graph, batch, together, steps=STEPS, quiet=True),
    }
    found = {}
    for method in asked["methods"].tolist():
        graph = Graph.from_model(model)
        started = time.perf_counter()
        scores = ways[method](graph)
        seconds = time.perf_counter() - started
        found[method] = {"seconds": seconds, "scores": {name: float(scores[edge.matrix_index]) for name, edge in graph.edges.items()}}
    out.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
