"""The compiler: a blueprint's weights in GPT-2 layout, saved as an ordinary Hugging Face directory.

Standard pre-LayerNorm blocks with empty MLPs. LayerNorm would mix the registers, because it divides by the norm of the whole
residual stream. So each token carries two balance dimensions, +K and -K, that nothing writes to, and a spill dimension that
keeps the sum over all dimensions at zero: the mean is then 0 and the variance (2 K^2 + |x|^2) / d_model, which for K far above
the registers' norm is a known constant. LayerNorm's weight is that constant's root, and LayerNorm does nothing, up to a share of
|x|^2 / 4 K^2 (below 1e-4 for the models here).
"""

import json
import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mechcheck.base.paths import data_dir
from mechcheck.compiled._blueprint import ALWAYS, Blueprint, CompileError, Head, Match

if TYPE_CHECKING:
    from torch import Tensor

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
TOKENIZER_OF = "names-gpt2-seed4"
LAYER_NORM_EPSILON = 1e-5

Matrix = Float[np.ndarray, "row column"]


@dataclass(frozen=True)
class Layout:
    """Which dimensions of the residual stream hold what."""

    registers: Mapping[str, slice]
    spill: int
    balance: tuple[int, int]
    d_model: int
    d_head: int


def lay_out(blueprint: Blueprint) -> Layout:
    """Give each register its dimensions, and each head enough of them.

    Raises:
        CompileError: the blueprint's own d_model is too small, or no multiple of the number of heads.
    """
    found, start = {}, 0
    for register in blueprint.registers:
        found[register.name] = slice(start, start + register.width)
        start += register.width
    needed, n_heads = start + 3, blueprint.n_heads
    most, place, what = max((_head_width(blueprint, head), place, head.role) for place, head in blueprint.placed)
    d_model = blueprint.d_model or -(-max(needed, most * n_heads) // n_heads) * n_heads
    if d_model < needed:
        widths = ", ".join(f"{register.name} {register.width}" for register in blueprint.registers)
        raise CompileError(f"{blueprint.name}: d_model={d_model} for {needed} dimensions ({widths}, and 3 for LayerNorm)")
    if d_model % n_heads:
        raise CompileError(f"{blueprint.name}: d_model={d_model} cannot be shared out to {n_heads} heads; choose a multiple of {n_heads}")
    if d_model // n_heads < most:
        raise CompileError(
            f"{blueprint.name}: heads have {d_model // n_heads} dimensions, and {place[0]}.{place[1]} ({what}) needs {most}; "
            f"choose d_model={most * n_heads} or more"
        )
    return Layout(found, start, (start + 1, start + 2), d_model, d_model // n_heads)


def compile_weights(blueprint: Blueprint, token_ids: Mapping[str, int]) -> "dict[str, Tensor]":
    """The parameters of a `GPT2LMHeadModel`, by their names there.

    Args:
        blueprint: what to build.
        token_ids: word -> token id, for the whole vocabulary.

    Raises:
        CompileError: too few dimensions, or a word that is no token.
    """
    import torch

    layout = lay_out(blueprint)
    embedding, position = _embeddings(blueprint, token_ids, layout)
    scale = math.sqrt(2 * blueprint.balance**2 / layout.d_model + LAYER_NORM_EPSILON)
    norm = np.full(layout.d_model, scale)
    found = {"transformer.wte.weight": embedding, "transformer.wpe.weight": position, "transformer.ln_f.weight": norm}
    for layer in range(blueprint.n_layers):
        of_layer = {head: declared for (at, head), declared in blueprint.placed if at == layer}
        reads, biases, writes = _attention(blueprint, of_layer, layout)
        found |= {f"transformer.h.{layer}.{name}": value for name, value in _block(layout.d_model, norm, reads, biases, writes).items()}
    found |= {"transformer.ln_f.bias": np.zeros(layout.d_model), "lm_head.weight": _unembedding(blueprint, token_ids, layout)}
    return {name: torch.tensor(value, dtype=torch.float32).contiguous() for name, value in found.items()}


def config_of(blueprint: Blueprint, vocabulary: int) -> dict:
    """The model's `GPT2Config`, as keyword arguments."""
    return {
        "vocab_size": vocabulary, "n_positions": blueprint.context, "n_embd": lay_out(blueprint).d_model,
        "n_layer": blueprint.n_layers, "n_head": blueprint.n_heads, "n_inner": 4, "layer_norm_epsilon": LAYER_NORM_EPSILON,
        "resid_pdrop": 0.0, "embd_pdrop": 0.0, "attn_pdrop": 0.0, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0,
    }  # fmt: skip


def tokenizer_dir() -> Path:
    """Where the tokenizer of the language "names" lies."""
    return data_dir("fixtures") / "models" / TOKENIZER_OF


def token_ids() -> dict[str, int]:
    """Word -> token id in the language "names"."""
    read: dict = json.loads((tokenizer_dir() / TOKENIZER[0]).read_text(encoding="utf-8"))
    return {str(word): int(token) for word, token in read["model"]["vocab"].items()}


def save_model(blueprint: Blueprint, directory: Path) -> None:
    """Write the model with the tokenizer of the language "names"; the same blueprint gives the same weights file, byte for byte."""
    from safetensors.torch import save_file
    from transformers import GPT2Config

    ids = token_ids()
    weights = compile_weights(blueprint, ids)
    directory.mkdir(parents=True, exist_ok=True)
    config = GPT2Config(**config_of(blueprint, len(ids)), architectures=["GPT2LMHeadModel"], dtype="float32")
    config.save_pretrained(directory)
    for name in TOKENIZER:
        shutil.copyfile(tokenizer_dir() / name, directory / name)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})


def _embeddings(blueprint: Blueprint, ids: Mapping[str, int], layout: Layout) -> tuple[Matrix, Matrix]:
    token, position = np.zeros((len(ids), layout.d_model)), np.zeros((blueprint.context, layout.d_model))
    for register in blueprint.registers:
        where = layout.registers[register.name]
        if register.positional:
            if register.width != blueprint.context - 1:
                raise CompileError(f"{blueprint.name}: {register.name!r} knows {register.width + 1} positions of {blueprint.context}")
            position[1:, where] = np.eye(register.width)
        elif register.code is not None:
            token[_tokens(blueprint, register.words, ids), where] = register.code
    token[:, layout.balance] = blueprint.balance, -blueprint.balance
    return _zero_sum(token, layout), _zero_sum(position, layout)


def _tokens(blueprint: Blueprint, words: tuple[str, ...], ids: Mapping[str, int]) -> list[int]:
    unknown = [word for word in words if word not in ids]
    if unknown:
        raise CompileError(f"{blueprint.name}: {', '.join(map(repr, unknown[:3]))} not in the tokenizer's vocabulary")
    return [ids[word] for word in words]


def _zero_sum(matrix: Matrix, layout: Layout) -> Matrix:
    """Let the spill dimension take what would shift the mean over dimensions."""
    matrix[:, layout.spill] = 0.0
    matrix[:, layout.spill] = -matrix.sum(axis=1)
    return matrix


def _attention(blueprint: Blueprint, heads: Mapping[int, Head], layout: Layout) -> tuple[Matrix, np.ndarray, Matrix]:
    """The layer's c_attn weight [d_model, 3 d_model] and bias [3 d_model], and its c_proj weight [d_model, d_model]."""
    d_model, d_head = layout.d_model, layout.d_head
    reads, bias, writes = np.zeros((d_model, 3 * d_model)), np.zeros(3 * d_model), np.zeros((d_model, d_model))
    for index, head in heads.items():
        query, key, value = (part * d_model + index * d_head for part in range(3))
        start = 0
        for name, matches in _by_key(head).items():
            # Matches on the same key share its dimensions. The square root undoes attention's own scaling.
            width = blueprint.by_name[name].width
            reads[layout.registers[name], key + start : key + start + width] = np.eye(width)
            for match in matches:
                gain, to = match.gain * math.sqrt(d_head), slice(query + start, query + start + width)
                if match.query == ALWAYS:
                    bias[to] += gain
                else:
                    reads[layout.registers[match.query], to] += gain * np.eye(width, k=match.offset)
            start += width
        start = 0
        for name in dict.fromkeys(move.read for move in head.moves):
            width = blueprint.by_name[name].width
            reads[layout.registers[name], value + start : value + start + width] = np.eye(width)
            for move in (move for move in head.moves if move.read == name):
                first = index * d_head + start
                writes[first : first + width, layout.registers[move.to]] += move.gain * np.eye(width)
            start += width
    return reads, bias, _zero_sum(writes, layout)


def _block(d_model: int, norm: np.ndarray, reads: Matrix, bias: np.ndarray, writes: Matrix) -> dict[str, np.ndarray]:
    empty = np.zeros(d_model)
    return {
        "ln_1.weight": norm, "ln_1.bias": empty, "ln_2.weight": np.ones(d_model), "ln_2.bias": empty,
        "attn.c_attn.weight": reads, "attn.c_attn.bias": bias, "attn.c_proj.weight": writes, "attn.c_proj.bias": empty,
        "mlp.c_fc.weight": np.zeros((d_model, 4)), "mlp.c_fc.bias": np.zeros(4),
        "mlp.c_proj.weight": np.zeros((4, d_model)), "mlp.c_proj.bias": empty,
    }  # fmt: skip


def _unembedding(blueprint: Blueprint, ids: Mapping[str, int], layout: Layout) -> Matrix:
    found = np.zeros((len(ids), layout.d_model))
    for out, vocabulary in blueprint.outputs.items():
        register = blueprint.by_name[vocabulary]
        assert register.code is not None  # the blueprint has checked that these are words
        found[_tokens(blueprint, register.words, ids), layout.registers[out]] += register.code
    return found


def _by_key(head: Head) -> dict[str, list[Match]]:
    found: dict[str, list[Match]] = {}
    for match in head.matches:
        found.setdefault(match.key, []).append(match)
    return found


def _head_width(blueprint: Blueprint, head: Head) -> int:
    """Dimensions a head needs: for what it compares, or for what it moves, whichever is more."""
    compared = sum(blueprint.by_name[name].width for name in _by_key(head))
    return max(compared, sum(blueprint.by_name[name].width for name in {move.read for move in head.moves}))
