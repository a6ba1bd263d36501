"""The runs of a causal abstraction: a model and a function, with the same variables set in both."""

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import CircuitError, SiteError
from mechcheck.circuits.hypotheses.high_level import HighLevel, Said, check_variables, every_said, said
from mechcheck.circuits.hypotheses.resampling import check_resampled, classes, drawn
from mechcheck.circuits.hypotheses.trees import nothing
from mechcheck.circuits.hypotheses.unmapped import Unmapped, components
from mechcheck.engine.drawn import fit_site
from mechcheck.engine.edit import Activation
from mechcheck.engine.run import capture, sweep_metrics
from mechcheck.measures.subspaces.pairs import check_unseen
from mechcheck.notation.interventions import Put
from mechcheck.notation.metrics import Metric, probability
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.one import Prompt, each_prompt
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def _says(logits: Float[Tensor, "prompt d_vocab"], prompts: PromptSet, _: Any) -> Float[Tensor, " prompt"]:
    """Unlike `correct`, of several tokens with the largest logit it says none: a model that writes nothing does not say what is asked."""
    (top, second), tokens = logits.topk(2).values.T, logits.argmax(-1)
    yes = (tokens == prompts.asked("answers").to(tokens.device)) & (top > second)
    return torch.where(logits.isnan().any(-1), torch.nan, yes.double())


says = Metric("accuracy", "share of prompts", _says)
"""1 where the answer alone has the largest logit at END, else 0."""
Variables = tuple[str, ...]
Values = Mapping[Site, Activation]


@dataclass(frozen=True, eq=False)
class Commutes:
    """One kind of intervention, on the model and on the function alike."""

    what: str
    """For readers."""
    accuracy: Measurement
    """Yes and no per prompt: the model says what the function says."""
    error: Measurement
    """How far the model's distribution over tokens is from the one token that the function gives: 1 less its probability."""
    moved: Measurement
    """Yes and no per prompt: the function says something else than without the intervention. Where it does not, agreement is cheap."""

    @property
    def estimate(self) -> Estimate:
        """The accuracy with its 95% interval, exact for a rate, clustered by template."""
        return estimate_mean(self.accuracy, Confidence()).estimate

    @property
    def where_moved(self) -> Measurement | None:
        """The accuracy on those prompts alone; None where there are none."""
        rows = np.flatnonzero(self.moved.values)
        if not len(rows):
            return None
        own = self.accuracy
        ids, templates = (tuple(some[row] for row in rows) for some in (own.ids, own.templates))
        return Measurement(own.values[rows], ids, templates, f"{own.name}, where it moves the answer", own.unit)

    def __str__(self) -> str:
        moved = self.where_moved
        beside = "" if moved is None else f" ({moved.mean:.2f} of the {len(moved)} that it moves)"
        return f"{self.what}: {self.accuracy.mean:.2f}{beside}"


@dataclass(frozen=True, eq=False)
class Alignment:
    """Variables, and where they are."""

    model: "TransformerBridge"
    sites: Mapping[str, Sites]

    def __post_init__(self) -> None:
        if not self.sites:
            raise CircuitError("no variable is aligned: give {'name': sites}")
        for name, some in self.sites.items():
            if not isinstance(some, Sites) or not len(some):
                raise CircuitError(f"the variable {name!r} is aligned with sites, for example heads('1.0@END'), got {some!r:.40}")
            along = [site for site in some if site.to is not None]
            if along:
                raise SiteError(
                    f"{along[0].named} is what one reader reads; the variable {name!r} is aligned with the sender, for all of them"
                )
            check_sites(self.model, some)
        for (one, here), (other, there) in itertools.combinations(self.sites.items(), 2):
            shared = [(a, b) for a in here for b in there if _overlap(a, b)]
            if shared:
                raise CircuitError(f"the variables {one!r} and {other!r} are aligned with one place, {shared[0][0]} and {shared[0][1]}")

    @property
    def every(self) -> Sites:
        """All of them."""
        return Sites(site for some in self.sites.values() for site in some)

    @property
    def subsets(self) -> list[Variables]:
        """Each variable, each pair, and all."""
        names, sizes = tuple(self.sites), sorted({1, min(2, len(self.sites)), len(self.sites)})
        return [some for size in sizes for some in itertools.combinations(names, size)]

    def permutations(self, n: int, seed: int) -> list["Alignment"]:
        """Other orders of the same sites, all or `n` drawn ones."""
        names = tuple(self.sites)
        count = math.factorial(len(names)) - 1
        if count <= n or len(names) < 6:
            orders = list(itertools.permutations(names))[1:]
            if len(orders) > n:
                orders = [orders[i] for i in np.sort(np.random.default_rng(seed).choice(len(orders), n, replace=False))]
        else:
            rng, chosen = np.random.default_rng(seed), dict[Variables, None]()  # so many that hardly any is drawn twice
            while len(chosen) < n:
                order = tuple(names[i] for i in rng.permutation(len(names)))
                if order != names:
                    chosen[order] = None
            orders = list(chosen)
        return [Alignment(self.model, {name: self.sites[other] for name, other in zip(names, order, strict=True)}) for order in orders]


def _overlap(one: Site, other: Site) -> bool:
    alike = (one.kind, one.layer) == (other.kind, other.layer)
    return alike and all(a == b or None in (a, b) for a, b in ((one.index, other.index), (one.at, other.at)))


@dataclass(eq=False)
class Runs:
    """A model and a function on the same prompts."""

    model: "TransformerBridge"
    prompts: PromptSet
    function: HighLevel
    alignment: Alignment
    seed: int

    def __post_init__(self) -> None:
        check_unseen(self.alignment.every, *self.sets)
        check_resampled(self.each[: len(self.prompts)])
        check_variables(tuple(self.alignment.sites), self.own, self.model.cfg.d_vocab)

    @cached_property
    def sets(self) -> list[PromptSet]:
        """Where other prompts come from: the prompts, and their counterfactuals."""
        bare = replace(self.prompts, counterfactual=None, reference=None)
        other = self.prompts.counterfactual
        return [bare] if other is None else [bare, replace(other, counterfactual=None, reference=None)]

    @cached_property
    def each(self) -> list[Prompt]:
        """All of these, one by one; a counterfactual has a name of its own here, as its text is another."""
        clean, *others = (each_prompt(some) for some in self.sets)
        return [*clean, *(replace(one, id=f"{one.id} counterfactual") for some in others for one in some)]

    @cached_property
    def own(self) -> list[Said]:
        """What the function says of all of them."""
        return every_said(self.function, self.each)

    def rows(self, what: str, *, clean: bool = False) -> list[int]:
        """For each prompt another one, with its counterfactuals or (clean) without."""
        among = self.each[: len(self.prompts)] if clean else self.each
        found = classes(among, nothing, what)
        return drawn(found, list(range(len(self.prompts))), f"abstraction {self.seed} {what}", self.prompts.ids)

    @cached_property
    def _aligned(self) -> dict[Site, Activation]:
        """What is aligned, on all of them: the sets one behind the other."""
        found = [capture(self.model, some, self.alignment.every) for some in self.sets]
        return {site: torch.cat([fit_site(one[site], site, self.prompts) for one in found]) for site in self.alignment.every}

    def sources(self, variable: str) -> list[int]:
        """Where a variable is taken from, for each prompt."""
        return self.rows(f"source of {variable}")

    def put(self, some: Variables, alignment: Alignment) -> dict[Site, Activation]:
        """What stands where variables are aligned, on the source of each."""
        taken = {name: self.sources(name) for name in some}
        return {site: self._aligned[site][taken[name]] for name in some for site in alignment.sites[name]}

    def given(self, some: Variables) -> list[dict[str, Any]]:
        """The same variables' values, for each prompt."""
        taken = {name: self.sources(name) for name in some}
        return [{name: self.own[rows[i]].values[name] for name, rows in taken.items()} for i in range(len(self.prompts))]

    def measured(self, puts: Mapping[str, Values], given: Sequence[Mapping[str, Any]]) -> list[Commutes]:
        """The model with each of several things put in, by what readers call it, beside what the function says with these values."""
        found = every_said(self.function, self.each[: len(self.prompts)], given)
        check_variables(tuple(self.alignment.sites), found, self.model.cfg.d_vocab)
        asked = replace(self.sets[0], answers=torch.tensor([one.output for one in found]), answer_sets=())
        right, likely = sweep_metrics(self.model, asked, [[Put(some)] if some else [] for some in puts.values()], [says, probability])
        moved = np.array([one.output != own.output for one, own in zip(found, self.own, strict=False)], dtype=np.float64)
        return [
            Commutes(
                name,
                self._measurement(yes, f"accuracy ({name})", "share of prompts"),
                self._measurement(1 - p, f"error ({name})", "total variation"),
                self._measurement(moved, f"answer moved ({name})", "share of prompts"),
            )
            for name, yes, p in zip(puts, right, likely, strict=True)
        ]

    def _measurement(self, values: Float[np.ndarray, " prompt"], name: str, unit: str) -> Measurement:
        return Measurement(values, self.prompts.ids, self.prompts.templates, name, unit)

    def nothing_set(self) -> tuple[Commutes, Commutes, dict[Site, Commutes]]:
        """The untouched model; with all that is not aligned from elsewhere; and with each such component."""
        away, pinned, members = self._unmapped, self._pinned({}), [*self._unmapped.members]
        singly = {f"{one.named} from elsewhere": away.replaced(Sites([one]), pinned).values for one in members}
        every = {"nothing set, the unmapped from elsewhere": away.replaced(away.members, pinned).values}
        untouched, whole, *parts = self.measured({"untouched": {}} | every | singly, [{}] * len(self.prompts))
        return untouched, whole, dict(zip(members, parts, strict=True))

    def set(self, some: Variables, permuted: Sequence[Alignment]) -> tuple[Commutes, Commutes, list[Commutes]]:
        """Variables from their sources; with all that is not aligned from elsewhere; and by other alignments of the same variables."""
        name, put = " + ".join(some), self.put(some, self.alignment)
        away = self._unmapped.replaced(self._unmapped.members, self._pinned(put)).values
        others = {f"{name} by decoy {number}": self.put(some, one) for number, one in enumerate(permuted)}
        own, whole, *decoys = self.measured({name: put, f"{name}, the unmapped from elsewhere": away} | others, self.given(some))
        return own, whole, decoys

    def pairs(self) -> list[tuple[str, str]]:
        """Variables, and those that follow from them: whose value is another, on some prompt, when the first is set."""
        found = []
        for one in self.alignment.sites:
            with_it = every_said(self.function, self.each[: len(self.prompts)], self.given((one,)))
            for other in self.alignment.sites:
                changed = any(new.values[other] != own.values[other] for new, own in zip(with_it, self.own, strict=False))
                if other != one and changed:
                    found.append((one, other))
        return found

    def below(self, one: str, other: str) -> Commutes:
        """A variable is set in another prompt, and what the second one is then is put into the first prompt."""
        between = self.rows(f"{one} to {other}", clean=True)
        put, given = self.put((one,), self.alignment), self.given((one,))
        there = capture(self.model, self.sets[0][between], self.alignment.sites[other], Put(put))
        values = [said(self.function, self.each[row], given[i]).values[other] for i, row in enumerate(between)]
        return self.measured({f"{one}, read as {other}": there}, [{other: value} for value in values])[0]

    @cached_property
    def _unmapped(self) -> Unmapped:
        rows, sites = torch.tensor(self.rows("elsewhere")), components(self.model)
        n, elsewhere = len(self.prompts), dict[Site, Activation]()
        for number, some in enumerate(self.sets):
            here = (rows // n == number).nonzero()[:, 0]
            if not len(here):
                continue
            for site, value in capture(self.model, some[(rows[here] % n).tolist()], sites).items():
                value = fit_site(value, site, self.prompts)
                whole = elsewhere.setdefault(site, value.new_zeros(n, *value.shape[1:]))
                whole[here.to(value.device)] = value
        return Unmapped(self.model, self.prompts, self.alignment.every, elsewhere)

    def _pinned(self, put: Values) -> dict[Site, Activation]:
        """What stands where variables are aligned, with some of them put in."""
        return capture(self.model, self.sets[0], self.alignment.every, [Put(put)] if put else [])
