"""Causal scrubbing as its recursion: one prompt, one node and one run at a time, by TransformerLens' hooks alone."""

from dataclasses import replace
from functools import partial

import torch

from mechcheck.circuits.hypotheses.trees import Node, everything, nothing
from mechcheck.notation.sites import Site
from mechcheck.prompts.prompt_set import PromptSet


def in_turn(found, refs, key, names):
    """The next of the class, by ids, and for keys and values the ones behind it: draws that are known."""
    chosen, step = [], STEPS.get(key[-12:], 1)
    for ref in refs:
        members = found.members[found.of[ref]]
        chosen.append(members[(members.index(ref) + step) % len(members)])
    return chosen


STEPS = {" q elsewhere": 1, " k elsewhere": 2, " v elsewhere": 3}


class ByHand:
    """The recursion, with the same rule for who comes next."""

    def __init__(self, model, prompts: PromptSet, *, together: bool = False) -> None:
        self.model, self.prompts, self.together = model, prompts, together
        self.untouched: dict[int, dict[str, torch.Tensor]] = {}

    def logit_diff(self, root: Node, row: int) -> float:
        """Of the answer and the foil of one prompt."""
        own = self.next(root, row)
        other = self.next(Node(matters=nothing), own)
        changed = self.seen(other)[self.last].clone()
        for child in root.reads:
            for sender, value in self.value(child, own).items():
                changed += sum(self.added(edge, value, other) for edge in child.along if replace(edge, to=None) == sender)
        logits = self.seen(other, {self.last: changed})["logits"][int(self.prompts.positions["END"][row])]
        return float(logits[self.prompts.answers[row]] - logits[self.prompts.foils[row]])

    @property
    def last(self) -> str:
        return f"blocks.{self.model.cfg.n_layers - 1}.hook_resid_post"

    def next(self, node: Node, row: int, step: int = 1) -> int:
        """Which prompt stands for this one."""
        ids, of = self.prompts.ids, self.of(node)
        members = sorted((i for i in range(len(ids)) if of[i] == of[row]), key=lambda i: ids[i])
        return members[(members.index(row) + step) % len(members)]

    def of(self, node: Node) -> list:
        found = []
        for row, length in enumerate(self.prompts.lengths.tolist()):
            tokens = self.prompts.tokens[row, :length].tolist()
            if node.matters is everything:
                matters = tokens
            elif node.matters is nothing:
                matters = None
            elif callable(node.matters):
                matters = tokens[self.prompts.positions["A"][row]] % 2
            else:
                names = [node.matters] if isinstance(node.matters, str) else node.matters
                matters = [tokens[self.prompts.positions[name][row]] for name in names]
            found.append((self.prompts.templates[row], length, matters))
        return found

    def value(self, node: Node, row: int) -> dict[Site, torch.Tensor]:
        """Sender -> its activation at its place."""
        own = self.next(node, row)
        if not node.reads:
            return {sender: self.part(self.seen(own), sender, own) for sender in node.senders}
        read = [
            (edge, value) for child in node.reads
            for sender, value in self.value(child, own).items()
            for edge in child.along if replace(edge, to=None) == sender
        ]  # fmt: skip
        return {sender: self.computed(sender, own, read) for sender in node.senders}

    def computed(self, sender: Site, own: int, read: list) -> torch.Tensor:
        layer, changes = sender.layer, {}
        others = {kind: self.next(Node(matters=nothing), own, 1 if self.together else STEPS[f" {kind} elsewhere"]) for kind in "qkv"}
        other = self.next(Node(matters=nothing), own)
        into = [(edge, value) for edge, value in read if edge.to.layer == layer and (edge.to.kind == "mlp") == (sender.kind == "mlp_out")]
        if sender.kind == "mlp_out":
            name = f"blocks.{layer}.hook_resid_mid"
            changed = self.seen(other)[name] + sum(self.added(edge, value, other) for edge, value in into)
            return self.part(self.seen(other, {name: changed}), sender, other)
        stream = f"blocks.{layer}.hook_resid_pre"
        for kind in "qkv":
            group = 1 if kind == "q" else self.model.cfg.n_heads // (self.model.cfg.n_key_value_heads or self.model.cfg.n_heads)
            index = sender.index // group
            there = others[kind]
            added = [self.added(edge, value, there) for edge, value in into if (edge.to.kind, edge.to.index) == (kind, index)]
            name = f"blocks.{layer}.attn.hook_{kind}"
            new = self.seen(there)[name].clone()
            new[:, index] = self.seen(there, {stream: self.seen(there)[stream] + sum(added)})[name][:, index]
            changes[name] = new
        return self.part(self.seen(others["v"], changes), sender, others["v"])

    def added(self, edge: Site, value: torch.Tensor, row: int) -> torch.Tensor:
        """What a sender's other value adds to the stream of a prompt, [pos, d_model]: seen where it is written."""
        name, written = edge.hook_name, f"blocks.{edge.layer}.hook_attn_out" if edge.kind == "head" else edge.hook_name
        before = self.seen(row)
        new = before[name].clone()
        place = slice(None) if edge.at is None else int(self.prompts.positions[edge.at][row])
        if edge.kind == "head":
            new[place, edge.index] = value
        else:
            new[place] = value
        return self.seen(row, {name: new})[written] - before[written]

    def part(self, seen: dict, sender: Site, row: int) -> torch.Tensor:
        whole = seen[sender.hook_name]
        whole = whole[:, sender.index] if sender.kind == "head" else whole
        return whole if sender.at is None else whole[int(self.prompts.positions[sender.at][row])]

    def seen(self, row: int, changes: dict | None = None) -> dict[str, torch.Tensor]:
        """Hook -> its activation on one prompt, with some of them changed."""
        if not changes:
            if row not in self.untouched:
                self.untouched[row] = self.seen(row, {"nothing": torch.empty(0)})
            return self.untouched[row]
        found: dict[str, torch.Tensor] = {}

        def hook(name, activation, hook):
            if name in changes:
                activation = changes[name][None]
            found[name] = activation[0].detach().clone()
            return activation

        every = [f"blocks.{layer}.{name}" for layer in range(self.model.cfg.n_layers) for name in _HOOKS]
        names = [name for name in every if not (name.endswith("resid_mid") and self.model.cfg.parallel_attn_mlp)]
        with torch.no_grad(), self.model.hooks(fwd_hooks=[(name, partial(hook, name)) for name in names]):
            logits = self.model(self.prompts.tokens[row : row + 1, : int(self.prompts.lengths[row])])
        return found | {"logits": logits[0]}


_HOOKS = (
    "hook_resid_pre", "attn.hook_q", "attn.hook_k", "attn.hook_v", "attn.hook_z", "hook_attn_out", "hook_resid_mid", "hook_mlp_out",
    "hook_resid_post",
)  # fmt: skip
