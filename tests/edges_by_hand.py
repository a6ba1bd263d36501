"""Edges by hand: two passes of transformers' own models with forward hooks, for four layouts."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn


class Parts:
    """Where a layout keeps what edges touch."""

    def __init__(self, layout: str, model: nn.Module) -> None:
        self.layout, self.model, self.config = layout, model, model.config
        if layout == "gpt2":
            self.blocks, self.final = model.transformer.h, model.transformer.ln_f
        elif layout.startswith("neox"):
            self.blocks, self.final = model.gpt_neox.layers, model.gpt_neox.final_layer_norm
        else:
            self.blocks, self.final = model.model.layers, model.model.norm
        self.n_heads = self.config.num_attention_heads
        self.d_head = self.config.hidden_size // self.n_heads

    def out(self, layer: int) -> nn.Module:
        """What takes z to the stream."""
        block = self.blocks[layer]
        return {"gpt2": lambda: block.attn.c_proj, "llama": lambda: block.self_attn.o_proj}.get(
            self.layout, lambda: block.attention.dense
        )()

    def head_writes(self, layer: int, head: int, z: Tensor) -> Tensor:
        """What a head's z, [pos, d_head], adds to the stream."""
        where = slice(head * self.d_head, (head + 1) * self.d_head)
        weight = self.out(layer).weight
        return z @ (weight[where] if self.layout == "gpt2" else weight[:, where].T)

    def first_norm(self, layer: int) -> nn.Module:
        block = self.blocks[layer]
        return block.ln_1 if self.layout == "gpt2" else block.input_layernorm

    def second_norm(self, layer: int) -> nn.Module:
        block = self.blocks[layer]
        return block.ln_2 if self.layout == "gpt2" else block.post_attention_layernorm

    def projection(self, layer: int, kind: str, head: int) -> tuple[nn.Module, slice]:
        """The module that computes a head's queries, keys or values, and which of its outputs these are."""
        block, d = self.blocks[layer], self.d_head
        if self.layout == "gpt2":
            first = "qkv".index(kind) * self.config.hidden_size + head * d
            return block.attn.c_attn, slice(first, first + d)
        if self.layout.startswith("neox"):
            first = head * 3 * d + "qkv".index(kind) * d
            return block.attention.query_key_value, slice(first, first + d)
        return getattr(block.self_attn, f"{kind}_proj"), slice(head * d, (head + 1) * d)


@contextmanager
def hooked(*pairs: tuple[nn.Module, Callable, bool]) -> Iterator[None]:
    """Forward hooks, or pre-hooks where it says True."""
    with ExitStack() as stack:
        for module, function, pre in pairs:
            handle = module.register_forward_pre_hook(function) if pre else module.register_forward_hook(function)
            stack.callback(handle.remove)
        yield


def seen_entering(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """The input of a module in a run."""
    found: list[Tensor] = []
    with hooked((module, lambda _, args: found.append(args[0].detach().clone()), True)), torch.no_grad():
        run()
    return found[0]


def seen_leaving(module: nn.Module, run: Callable[[], object]) -> Tensor:
    """The output of a module in a run."""
    found: list[Tensor] = []
    with hooked((module, lambda _, args, out: found.append(out.detach().clone()), False)), torch.no_grad():
        run()
    return found[0]


def sent(parts: Parts, sender: str, tokens: Tensor) -> Tensor:
    """What a sender adds to the stream: [1, pos, d_model]; without a bias that all heads share."""

    def run() -> object:
        return parts.model(tokens)

    if sender == "input":
        return seen_entering(parts.blocks[0], run)
    if sender.startswith("mlp"):
        return seen_leaving(parts.blocks[int(sender[3:])].mlp, run)
    layer, head = map(int, sender.split("."))
    z = seen_entering(parts.out(layer), run)
    return parts.head_writes(layer, head, z[..., head * parts.d_head : (head + 1) * parts.d_head])


def edge_patched(parts: Parts, sender: str, receiver: str, tokens: Tensor, source: Tensor, at: list[int] | None) -> Tensor:
    """Logits where one receiver reads the sender as it is on the source; at some positions, or at all (None)."""
    change = sent(parts, sender, source) - sent(parts, sender, tokens)
    if at is not None:
        mask = torch.zeros(change.shape[1], 1)
        mask[at] = 1
        change = change * mask
    model = parts.model

    if receiver == "logits":
        with hooked((parts.final, lambda _, args: (args[0] + change,), True)), torch.no_grad():
            return model(tokens).logits
    if receiver.startswith("mlp"):
        layer = int(receiver[3:])
        norm = parts.second_norm(layer)
        stream = seen_entering(norm, lambda: model(tokens))
        with torch.no_grad():
            new = norm(stream + change)
        with hooked((parts.blocks[layer].mlp, lambda _, args: (new,), True)), torch.no_grad():
            return model(tokens).logits
    layer, head, kind = receiver.split(".")
    module, where = parts.projection(int(layer), kind, int(head))
    stream = seen_entering(parts.blocks[int(layer)], lambda: model(tokens))
    with torch.no_grad():
        new = module(parts.first_norm(int(layer))(stream + change))[..., where]

    def put(_: nn.Module, args: tuple, out: Tensor) -> Tensor:
        out = out.clone()
        out[..., where] = new
        return out

    with hooked((module, put, False)), torch.no_grad():
        return model(tokens).logits
