"""Searches: the steps against every set's score by plain hooks, and their logic on landscapes made up for the purpose."""

import math
from collections.abc import Mapping
from contextlib import ExitStack
from itertools import combinations

import numpy as np
import plain
import pytest
import torch
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.circuits import greedy_search
from mechcheck.circuits.greedy_search import generic_search, targeted_search
from mechcheck.notation.interventions import Ablate
from mechcheck.notation.metrics import kl_divergence
from mechcheck.notation.sites import Sites, heads

PROMPTS = random_prompts(8, (7, 7, 9, 9, 12, 12))
HEADS = heads("0.0-2 1.0-2")


def zeroed(sites):
    return Ablate(sites, "zero")


def log_probabilities(oracle, sites):
    """[prompt, d_vocab] at END with the heads' outputs set to zero."""

    def edit(site):
        def inner(x):
            x = x.clone()
            x[..., plain.columns(oracle, site)] = 0.0
            return x

        return inner

    with torch.no_grad(), ExitStack() as stack:
        for site in sites:
            stack.callback(plain.attach(oracle, site, edit(site)).remove)
        logits = oracle(PROMPTS.tokens).logits
    return logits[torch.arange(len(PROMPTS)), PROMPTS.positions["END"]].log_softmax(-1)


@pytest.fixture(scope="module")
def every_set(hugging_face):
    """Set of heads -> log probabilities, for all 64 sets."""
    oracle = hugging_face("gpt2")
    return {Sites(sites): log_probabilities(oracle, sites) for size in range(7) for sites in combinations(HEADS, size)}


def shift(every_set, sites):
    """KL(untouched || this) plus the fall of the top probability, as the mean over prompts."""
    clean, now = every_set[Sites()], every_set[sites]
    kl = (clean.exp() * (clean - now)).sum(-1)
    return float((kl + clean.exp().amax(-1) - now.exp().amax(-1)).mean())


@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_generic_search_takes_the_best_of_every_step(tiny, every_set, keep):
    found = generic_search(tiny("gpt2", processing="raw"), PROMPTS, size=4, intervention=zeroed, keep=keep)
    singles = sorted(HEADS, key=lambda site: -shift(every_set, Sites([site])))
    kept = singles[: max(math.ceil(6 * keep), 4)]
    chain = [Sites(singles[:1]), max((Sites(pair) for pair in combinations(kept, 2)), key=lambda s: shift(every_set, s))]
    while len(chain) < 4 and shift(every_set, chain[-1]) > shift(every_set, chain[-2]):
        larger = [chain[-1] | Sites([site]) for site in kept if site not in chain[-1]]
        chain.append(max(larger, key=lambda s: shift(every_set, s)))
    best = max(chain, key=lambda s: shift(every_set, s))
    assert [site for site, _ in found.singles] == singles
    assert [step.sites for step in found.steps] == chain
    assert [step.stage for step in found.steps] == ["single", "pair", "greedy", "greedy"][: len(chain)]
    assert [step.evaluated for step in found.steps] == [6, math.comb(len(kept), 2), len(kept) - 2, len(kept) - 3][: len(chain)]
    for step in found.steps:
        assert step.score == pytest.approx(shift(every_set, step.sites), abs=1e-8)
    assert (found.sites, found.evaluated) == (best, sum(step.evaluated for step in found.steps))
    assert found.stopped == ("size" if len(best) == 4 else "no gain")
    assert len(best) >= 2
    assert found.untouched == pytest.approx(0.0, abs=1e-9)


def test_the_objective_and_the_candidates_are_the_callers(tiny):
    model = tiny("gpt2")
    found = generic_search(model, PROMPTS, size=1, candidates=heads("0.1@END 1.2"), intervention=zeroed, objective=kl_divergence)
    assert {site for site, _ in found.singles} == set(heads("0.1@END 1.2"))
    assert found.evaluated == 2
    assert generic_search(model, PROMPTS, size=3) == generic_search(model, PROMPTS, size=3)


def test_targeted_search_is_that_of_plain_hooks(tiny, every_set):
    """The target is what the model says with three heads gone, so that there is something to find."""
    hidden = heads("0.0 0.2 1.1")
    targets = every_set[hidden].argmax(-1)
    assert (every_set[Sites()].argmax(-1) == targets).double().mean() < 0.6
    found = targeted_search(tiny("gpt2", processing="raw"), PROMPTS, targets=targets, share=0.8, intervention=zeroed, keep=1.0)

    def score(sites):
        return float(every_set[sites].exp()[torch.arange(len(PROMPTS)), targets].mean())

    def reached(sites):
        return float((every_set[sites].argmax(-1) == targets).double().mean())

    for step in found.steps:
        assert (step.score, step.reached) == (pytest.approx(score(step.sites), abs=1e-8), reached(step.sites))
    assert found.stopped == "target"
    assert reached(found.sites) >= 0.8
    assert all(reached(found.sites - Sites([site])) < 0.8 for site in found.sites if len(found.sites) > 1)
    smaller = [Sites(s) for size in range(len(found.sites)) for s in combinations(HEADS, size) if size <= 2]
    assert max(map(reached, smaller)) < 0.8  # up to pairs, all sets were tried


class Landscape:
    """A world in which sets of heads of layer 0, written "13", have made-up scores; a set's absent score is that of its best part."""

    def __init__(self, scores: Mapping[str, float], reached: Mapping[str, float] | None = None, heads_in_all: int = 4):
        self.scores, self.reached = {"": 0.0, **scores}, {"": 0.0, **(reached or {})}
        self.model = type("model", (), {"cfg": type("cfg", (), {"n_layers": 1, "n_heads": heads_in_all})})
        self.tried: list[str] = []

    def sweep_metrics(self, model, prompts, variants, metrics, executor):
        assert executor is None
        named = ["".join(str(site.index) for site in variant) for variant in variants]
        self.tried += [name for name in named if name]
        tables = [self.scores, self.reached][: len(metrics)]
        return [np.array([[self._of(table, name)] * len(PROMPTS) for name in named]) for table in tables]

    def _of(self, table, name):
        return table[name] if name in table else max(value for part, value in table.items() if set(part) <= set(name))


@pytest.fixture
def world(monkeypatch):
    def build(*args, **options):
        made = Landscape(*args, **options)
        monkeypatch.setattr(greedy_search, "sweep_metrics", made.sweep_metrics)
        return made

    return build


def names(result):
    return [(step.stage, "".join(str(site.index) for site in step.sites)) for step in result.steps]


def generic(made, **options):
    return generic_search(made.model, PROMPTS, intervention=lambda sites: sites, **({"keep": 1.0} | options))


def targeted(made, **options):
    return targeted_search(made.model, PROMPTS, intervention=lambda sites: sites, **({"keep": 1.0} | options))


def test_pairs_find_what_stands_in_for_each_other(world):
    made = world({"0": 1.0, "23": 9.0})
    assert names(generic(made, size=2)) == [("single", "0"), ("pair", "23")]
    alone = generic(made, size=2, pairs=False)
    assert (names(alone), alone.stopped) == ([("single", "0"), ("greedy", "01")], "no gain")
    assert str(alone.sites) == "0.0"


def test_of_equals_the_earlier_is_taken(world):
    found = generic(world({}), size=3)
    assert str(found.sites) == "0.0"
    assert [site.index for site, _ in found.singles] == [0, 1, 2, 3]


def test_rounding_is_no_gain(world):
    assert generic(world({"1": 1.0, "12": 1.0 + 1e-8}), size=2).stopped == "no gain"
    assert generic(world({"1": 1.0, "12": 1.0 + 1e-4}), size=2).stopped == "size"


def test_only_the_best_go_on(world):
    made = world({"0": 4.0, "1": 3.0, "2": 2.0, "3": 1.0, "34": 50.0}, heads_in_all=10)
    found = generic(made, size=2, keep=0.3)
    assert found.stopped == "no gain"
    assert made.tried == [*"0123456789", "01", "02", "12"]


def test_at_least_as_many_as_are_wanted_go_on(world):
    made = world({"0": 4.0, "1": 3.0, "2": 2.0, "01": 5.0, "012": 6.0})
    assert str(generic(made, size=3, keep=0.01).sites) == "0.0 0.1 0.2"
    assert "013" not in made.tried


@pytest.mark.parametrize(
    ("budget", "tried", "stopped"),
    [
        (4, [], "budget"),
        (5, ["01"], "budget"),
        (6, ["01", "012"], "size"),
        (7, ["01", "02", "12"], "budget"),
        (9, ["01", "02", "12", "012", "013"], "size"),
    ],
)
def test_the_budget_is_kept(world, budget, tried, stopped):
    made = world({"0": 4.0, "1": 3.0, "2": 2.0, "3": 1.0, "01": 5.0, "012": 6.0})
    found = generic(made, size=3, budget=budget)
    assert made.tried[:4] == list("0123")
    assert made.tried[4:] == tried
    assert found.evaluated == len(made.tried) <= budget
    assert found.stopped == stopped


def test_targeted_search_stops_at_the_target(world):
    made = world({"1": 0.4, "2": 0.3, "23": 0.6}, {"1": 0.4, "2": 0.5})
    found = targeted(made, share=0.5)
    assert (names(found), found.stopped, found.score) == ([("single", "2")], "target", 0.3)  # it scores less than 1, and it arrives
    assert found.steps[0].reached == 0.5


def test_targeted_search_prunes_what_it_does_not_need(world):
    """Greedy steps add 3, 0, 1, 2, and arrive; without 0 that still does, without 0 and 3 too."""
    made = world({"3": 3, "03": 4, "013": 5, "0123": 6, "12": 1, "123": 2}, {"0123": 0.9, "123": 0.82, "12": 0.85, "1": 0.2, "2": 0.2})
    found = targeted(made, share=0.8, pairs=False)
    assert names(found) == [
        ("single", "3"), ("greedy", "03"), ("greedy", "013"), ("greedy", "0123"), ("prune", "123"), ("prune", "12"), ("prune", "2"),
    ]  # fmt: skip
    assert (str(found.sites), found.stopped, found.score) == ("0.1 0.2", "target", 1)


def test_targeted_search_keeps_what_it_needs(world):
    found = targeted(world({"3": 3, "03": 4, "013": 5}, {"013": 0.9}), share=0.8)
    assert names(found) == [("single", "3"), ("pair", "03"), ("greedy", "013"), ("prune", "03")]
    assert (str(found.sites), found.score) == ("0.0 0.1 0.3", 5)


def test_each_step_is_seen_as_it_is_done_and_can_be_the_last(world):
    seen = []
    landscape = {"3": 3, "03": 4, "013": 5}
    made = world(landscape, {"013": 0.9})
    found = targeted(made, share=0.8, seen=lambda step: seen.append((step, len(made.tried))))
    assert tuple(step for step, _ in seen) == found.steps
    assert [tried for _, tried in seen] == np.cumsum([step.evaluated for step in found.steps]).tolist()

    def enough(step):
        if step.stage == "pair":
            raise StopIteration

    stopped = world(landscape, {"013": 0.9})
    with pytest.raises(StopIteration):
        targeted(stopped, share=0.8, seen=enough)
    assert len(stopped.tried) == sum(step.evaluated for step in found.steps[:2])


def test_nothing_to_do(world):
    found = targeted(world({"": 0.75}, {"": 0.875}), share=0.8)
    assert (found.sites, found.steps, found.stopped, found.score) == (Sites(), (), "target", 0.75)


def test_a_target_that_is_not_reached(world):
    found = targeted(world({"0": 0.1, "01": 0.2, "012": 0.3}, {"012": 0.75}), share=0.8, size=3)
    assert (found.stopped, str(found.sites), found.steps[-1].reached) == ("size", "0.0 0.1 0.2", 0.75)


def test_figure(world):
    found = targeted(world({"0": 0.1, "01": 0.2}, {"01": 0.9}), share=0.8)
    data = found.figure("The search", "p(foil)").data()
    assert data["data"]["steps"] == [
        {"site": "0.0", "score": 0.1, "added": ["0.0"], "removed": []},
        {"site": "0.0 0.1", "score": 0.2, "added": ["0.1"], "removed": []},
        {"site": "0.0", "score": 0.1, "added": [], "removed": ["0.1"]},
    ]
    assert {column["label"]: column["cells"] for column in data["data"]["details"]} == {
        "stage": ["single", "pair", "prune"],
        "sets measured": [4, 6, 2],
        "prompts at the target": [0.0, 0.9, 0.0],
    }
    assert data["data"]["start"] == 0.0
    plain_search = generic(world({"0": 1.0}), size=1).figure("The search").data()
    assert [column["label"] for column in plain_search["data"]["details"]] == ["stage", "sets measured"]


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"size": 0}, MechcheckError, "a set has 1 site or more"),
        ({"size": 1, "keep": 0.0}, MechcheckError, "a share above 0"),
        ({"size": 1, "budget": 3}, MechcheckError, "a budget of 3 sets does not cover the 4 candidates"),
        ({"size": 1, "candidates": Sites()}, SiteError, "no candidates"),
    ],
)
def test_errors(world, options, error, match):
    with pytest.raises(error, match=match):
        generic(world({}), **options)


def test_scores_that_are_no_numbers(world):
    with pytest.raises(MechcheckError, match=r"is not finite with 0\.2 changed"):
        generic(world({"2": math.nan}), size=1)


def test_targets_that_do_not_fit(world):
    with pytest.raises(PromptError, match="targets of shape \\(2,\\) for 6 prompts"):
        targeted(world({}), targets=[3, 4])
    for share in (0.0, 1.5):
        with pytest.raises(MechcheckError, match="above 0, at most 1"):
            targeted(world({}), share=share)
