"""What a causal abstraction runs, one prompt at a time, by TransformerLens' hooks alone."""

from functools import partial

import torch

from mechcheck.notation.sites import Sites


def in_turn(found, refs, key, names):
    """The next but so many of all, by what it is for: draws that are known."""
    chosen, step = [], 1 + ["source of first", "source of second", "first to second", "elsewhere"].index(key.split(" ", 2)[2])
    for ref in refs:
        members = found.members[found.of[ref]]
        chosen.append(members[(members.index(ref) + step) % len(members)])
    return chosen


class ByHand:
    """The model one prompt at a time, by TransformerLens' hooks."""

    def __init__(self, model, prompts) -> None:
        self.model, self.prompts, n = model, prompts, len(prompts)
        self.rows = [(0, i) for i in range(n)] + [(1, i) for i in range(n)]

    def another(self, row: int, step: int, *, clean: bool = False) -> tuple[int, int]:
        ids, half = self.prompts.ids, range(len(self.prompts))
        alike = [one for one in self.rows if self.prompts.templates[one[1]] == self.prompts.templates[row] and not (clean and one[0])]
        members = sorted(alike, key=lambda one: ids[one[1]] + " counterfactual" * one[0])
        assert row in half
        return members[(members.index((0, row)) + step) % len(members)]

    def set_of(self, one):
        return (self.prompts, self.prompts.counterfactual)[one[0]]

    def token(self, one, name: str) -> int:
        some = self.set_of(one)
        return int(some.tokens[one[1], some.positions[name][one[1]]])

    def errors(self, row: int, first: Sites, second: Sites) -> dict[str, float]:
        own, source, other, away = (0, row), self.another(row, 1), self.another(row, 2), self.another(row, 4)
        between = self.another(row, 3, clean=True)

        def says(a: int, one) -> int:
            return (a + self.token(one, "B")) % 40 + 3

        here = says(self.token(own, "A"), own)
        taken = self.at(source, first)
        found = {"untouched": self.error(own, {}, here), "first": self.error(own, taken, says(self.token(source, "A"), own))}
        both = taken | self.at(other, second)
        found["both"] = self.error(own, both, says(self.token(other, "A"), other))
        below = self.at(between, second, taken)
        found["below"] = self.error(own, below, says(self.token(source, "A"), between))
        pinned, moved = self.at(own, first | second), self.at(own, first | second, taken)
        found["away"] = self.error(own, pinned, here, away)
        found["first, away"] = self.error(own, moved, says(self.token(source, "A"), own), away)
        found["0.2"] = self.error(own, pinned, here, away, only=(0, 2))
        return found

    def at(self, one, sites: Sites, put: dict | None = None) -> dict:
        seen = self.run(one, put or {})
        return {site: seen[site.hook_name][self.where(one, site)].clone() for site in sites}

    def where(self, one, site) -> tuple:
        place = slice(None) if site.at is None else int(self.set_of(one).positions[site.at][one[1]])
        return (place, site.index) if site.kind in ("head", "q") else (place,)

    def error(self, one, put: dict, token: int, away=None, only: tuple[int, int] | None = None) -> float:
        logits = self.run(one, put, away, only)["logits"]
        end = int(self.prompts.positions["END"][one[1]])
        return float(1 - logits[end].softmax(-1)[token])

    def run(self, one, put: dict, away=None, only=None) -> dict[str, torch.Tensor]:
        """Hook -> activation, with sites put in, and heads and MLPs as they are elsewhere."""
        found, n_layers = {}, self.model.cfg.n_layers
        elsewhere = {} if away is None else self.run(away, {})
        free = {(site.layer, site.index) for site in put if site.kind == "q"}, {site.layer for site in put if site.kind == "neuron"}

        def hook(name, layer, activation, hook):
            activation = activation.clone()
            if elsewhere and name.endswith("hook_z"):
                for head in range(self.model.cfg.n_heads):
                    if (layer, head) not in free[0] and only in (None, (layer, head)):
                        activation[0, :, head] = elsewhere[name][:, head]
            if elsewhere and name.endswith("hook_mlp_out") and layer not in free[1] and only is None:
                activation[0] = elsewhere[name]
            for site, value in put.items():
                if site.hook_name == name:
                    activation[0][self.where(one, site)] = value
            found[name] = activation[0].detach().clone()
            return activation

        names = [(f"blocks.{layer}.{name}", layer) for layer in range(n_layers) for name in _HOOKS]
        some = self.set_of(one)
        with torch.no_grad(), self.model.hooks(fwd_hooks=[(name, partial(hook, name, layer)) for name, layer in names]):
            logits = self.model(some.tokens[one[1] : one[1] + 1, : int(some.lengths[one[1]])])
        return found | {"logits": logits[0]}


_HOOKS = ("hook_resid_pre", "attn.hook_q", "attn.hook_z", "mlp.hook_post", "hook_mlp_out")
