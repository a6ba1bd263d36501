"""With which interventions a claim was measured: what its body ran, watched as it runs and summed up for a reader."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch

from mechcheck.engine.watch import Ran, watched_by
from mechcheck.evidence.caveats.found import About, Watched, caveats_of
from mechcheck.notation.interventions import Ablate, Intervention, KnockOut, Noise, Patch, Permute, Scale, Sparsify, Steer
from mechcheck.notation.sites import Receiver
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Json = dict[str, Any]
From = Literal["counterfactual", "original", "reference", "own", "other"]
_FROM: Mapping[From, str] = {
    "counterfactual": "the counterfactual",
    "original": "the prompts whose counterfactual is run",
    "reference": "the reference",
    "own": "the same prompts",
    "other": "other prompts",
}
_SEEDS = 8


class _Kind(NamedTuple):
    """What is told as one."""

    name: str
    method: str | None
    source: From | None
    keys: str | None


@dataclass
class Replaced:
    """Which tokens differ between prompts and those whose activations are put in, by prompt id."""

    tokens: dict[str, int] = field(default_factory=dict)
    """How many, further ones of a longer prompt included."""
    at: dict[str, set[str]] = field(default_factory=dict)
    """Named position or span -> the prompts in which a token differs there."""
    elsewhere: set[str] = field(default_factory=set)
    """Prompts in which one differs that no name stands for."""
    other_length: set[str] = field(default_factory=set)

    def add(self, prompts: PromptSet, source: PromptSet) -> None:
        """Compare aligned prompts, one by one."""
        width = min(prompts.tokens.shape[1], source.tokens.shape[1])
        shared = torch.minimum(prompts.lengths, source.lengths)
        differs = (prompts.tokens[:, :width] != source.tokens[:, :width]) & (torch.arange(width) < shared[:, None])
        longer = (prompts.lengths - source.lengths).abs()
        counts = (differs.sum(1) + longer).tolist()
        named = torch.zeros_like(differs)
        for name in prompts.positions:
            there = prompts.span(name)[:, :width]
            named |= there
            if some := _ids(prompts, (differs & there).any(1)):
                self.at.setdefault(name, set()).update(some)
        self.tokens.update(zip(prompts.ids, counts, strict=True))
        self.elsewhere |= _ids(prompts, (differs & ~named).any(1))
        self.other_length |= _ids(prompts, longer > 0)

    def record(self) -> Json:
        """As the evidence has it."""
        return {
            "prompts": len(self.tokens),
            "tokens": [min(self.tokens.values()), max(self.tokens.values())],
            "at": {name: len(some) for name, some in sorted(self.at.items())},
            "elsewhere": len(self.elsewhere),
            "other_length": len(self.other_length),
        }


@dataclass
class _Found:
    """What was seen of one kind."""

    sites: set[tuple[str, int, int | None, Receiver | None]] = field(default_factory=set)
    nouns: set[str] = field(default_factory=set)
    at: set[str | None] = field(default_factory=set)
    sizes: set[float] = field(default_factory=set)
    seeds: set[int] = field(default_factory=set)
    replaced: Replaced = field(default_factory=Replaced)
    runs: int = 0


class Used:
    """Watches what is run, and remembers with which interventions and how it was read."""

    def __init__(self) -> None:
        self._found: dict[_Kind, _Found] = {}
        self._watched = Watched()
        self._sets: dict[int, PromptSet] = {}
        self._models: dict[int, TransformerBridge] = {}
        self._compared: dict[tuple[_Kind, int, int], tuple[PromptSet, PromptSet]] = {}  # kept, so that no id is given to another set

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Within this context it sees what is run."""
        with watched_by(self._see):
            yield

    def look_behind(self, about: About) -> None:
        """Run what else it takes to find the claim's caveats (`Watched.look_behind`); it is not among the runs of the claim."""
        self._watched.look_behind(about)

    def record(self, about: About | None = None) -> Json:
        """The claim's `interventions` and `caveats`, as the evidence has them."""
        told = [_told(kind, found) for kind, found in self._found.items()]
        return {"interventions": told, "caveats": caveats_of(self._watched, told, about, self.sets)}

    @property
    def sets(self) -> list[PromptSet]:
        """All sets of prompts that were run."""
        return [*self._sets.values()]

    @property
    def models(self) -> "list[TransformerBridge]":
        """All models that were run."""
        return [*self._models.values()]

    def _see(self, ran: Ran) -> None:
        self._watched.see(ran)
        self._sets[id(ran.prompts)] = ran.prompts
        if ran.model is not None:
            self._models[id(ran.model)] = ran.model
        for variant in ran.variants:
            for intervention in variant:
                self._add(intervention, ran.prompts)

    def _add(self, intervention: Intervention, prompts: PromptSet) -> None:
        method = intervention.method if isinstance(intervention, Ablate) else None
        source = _source(intervention, prompts)
        keys = None
        if isinstance(intervention, KnockOut):
            keys = f"all but {intervention.keys}" if intervention.only else intervention.keys
        self._watched.change(intervention, prompts)
        kind = _Kind(type(intervention).__name__, method, None if source is None else source[0], keys)
        found = self._found.setdefault(kind, _Found())
        found.runs += 1
        for site in intervention.sites:
            found.sites.add((site.kind, site.layer, site.index, site.to))
            found.nouns.add(site.named.replace("@", " ").split()[0])
            found.at.add(site.at)
        found.sizes |= _size(intervention)
        drawn = isinstance(intervention, Noise | Permute) or (method == "resample" and kind.source == "own")
        found.seeds |= {intervention.seed} if drawn and isinstance(intervention, Noise | Permute | Ablate) else set()
        if source is not None and method != "mean" and source[0] != "own":
            pair = (kind, id(prompts), id(source[1]))
            if pair not in self._compared:
                self._compared[pair] = prompts, source[1]
                found.replaced.add(prompts, source[1])


def _source(intervention: Intervention, prompts: PromptSet) -> tuple[From, PromptSet] | None:
    """The prompts whose activations are put in, and what they are to those that are run."""
    if isinstance(intervention, Patch):
        source = intervention.source or prompts.counterfactual
    elif isinstance(intervention, Ablate) and intervention.method != "zero":
        source = intervention.reference or prompts.reference or prompts
    else:
        return None
    assert source is not None, "the engine refuses a patch from nowhere"
    if source is prompts:
        return "own", source
    if source is prompts.counterfactual:
        return "counterfactual", source
    if source is prompts.reference:
        return "reference", source
    return ("original" if source.counterfactual is prompts else "other"), source


def _size(intervention: Intervention) -> set[float]:
    match intervention:
        case Steer() | Noise():
            return {float(intervention.scale)}
        case Scale():
            return {float(intervention.factor)}
        case Sparsify():
            return {float(intervention.threshold)}
    return set()


def _told(kind: _Kind, found: _Found) -> Json:
    counts = Counter(of for of, *_ in found.sites)
    replaced = found.replaced.record() if found.replaced.tokens else None
    told = {
        "intervention": kind.name,
        "method": kind.method,
        "sites": dict(sorted(counts.items())),
        "at": sorted(found.at, key=lambda at: (at is not None, at)),
        "scale": [min(found.sizes), max(found.sizes)] if found.sizes else None,
        "seeds": sorted(found.seeds)[:_SEEDS],
        "keys": kind.keys,
        "source": None if kind.source is None else {"from": kind.source, "replaced": replaced},
        "runs": found.runs,
    }
    return told | {"text": _text(told, sorted(found.nouns))}


def _text(told: Mapping[str, Any], nouns: Sequence[str]) -> str:
    n = sum(told["sites"].values())
    at = " and ".join("every position" if at is None else at for at in told["at"])
    what = f"{told['method']} ablation" if told["method"] else told["intervention"]
    parts = [f"{what} of {n} site{'s' * (n != 1)} ({', '.join(nouns)}) at {at}"]
    if told["keys"]:
        parts.append(f"keys {told['keys']}")
    if told["scale"]:
        low, high = (f"{end:g}" for end in told["scale"])
        called = {"Scale": "factor", "Sparsify": "threshold", "Noise": "Gaussian, standard deviations"}.get(told["intervention"], "scale")
        parts.append(f"{called} {low}" if low == high else f"{called} {low} to {high}")
    if told["seeds"]:
        parts.append(f"seed {', '.join(map(str, told['seeds']))}")
    if told["source"]:
        over = "over" if told["method"] == "mean" else "from"
        parts.append(f"{over} {_FROM[told['source']['from']]}{_replaced_text(told['source']['replaced'])}")
    return ", ".join(parts)


def _replaced_text(replaced: Mapping[str, Any] | None) -> str:
    if replaced is None:
        return ""
    low, high = replaced["tokens"]
    many = f"{low}" if low == high else f"{low} to {high}"
    where = [*replaced["at"], *(["elsewhere"] if replaced["elsewhere"] else [])]
    at = f", at {', '.join(where)}" if where else ""
    length = "of the same length"
    if replaced["other_length"]:
        length = f"{replaced['other_length']} of {replaced['prompts']} of another length"
    return f" ({many} token{'s' * (many != '1')} replaced{at}; {length})"


def _ids(prompts: PromptSet, which: torch.Tensor) -> set[str]:
    return {prompts.ids[row] for row in which.nonzero()[:, 0].tolist()}
