"""What the evidence says of the interventions that a claim was measured with: which, where, and which tokens were exchanged."""

from dataclasses import replace

import pytest
import torch
from runs import RUN, VALIDATOR
from test_record import CASE
from tiny import random_prompts

from mechcheck.engine.run import capture, plain_hooks, run, sweep
from mechcheck.evidence.record import NOT_MEASURED, record_of
from mechcheck.evidence.used import Used
from mechcheck.measures.causal.patching import head_patching
from mechcheck.measures.text.generation import generate
from mechcheck.notation.interventions import Ablate, KnockOut, Noise, Patch, Permute, Scale, Sparsify, Steer
from mechcheck.notation.metrics import probability
from mechcheck.notation.sites import embed, heads, mlps, patterns, resid
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.verdicts.outcome import Outcome

ROWS = [[1, 5, 6, 7, 8], [1, 9, 6, 7, 8], [1, 5, 10, 7, 8, 9]]


def named(rows, **others) -> PromptSet:
    """Three prompts with a position A, a span AB, and END."""
    asked = {"answers": [11, 12, 13], "foils": [14, 15, 16], "templates": ["t"] * 3, "pad": 0}
    return PromptSet.from_tokens(rows, positions={"A": [1, 1, 1], "AB": [[1, 2], [1, 2], [1, 2]]}, **asked, **others)


@pytest.fixture
def prompts():
    """In the counterfactual one token of A is another, in its last prompt one besides that nothing names; the reference is longer."""
    other = named([[1, 20, 6, 7, 8], [1, 21, 6, 7, 8], [1, 22, 10, 23, 8, 9]])
    return named(ROWS, counterfactual=other, reference=named([[1, 5, 6, 7, 24], [1, 9, 6, 7, 8, 8, 8], [1, 5, 10, 7, 8, 9]]))


@pytest.fixture
def used(tiny):
    """used(prompts, *runs): the record of runs of a model with these interventions."""

    def of(prompts, *changes, metric=probability):
        seen = Used()
        with seen.watching():
            for change in changes:
                run(tiny("gpt2"), prompts, change, metric)
        run(tiny("gpt2"), prompts, Scale(mlps("1"), 3.0))  # nobody watches
        VALIDATOR.validate({"run": RUN, "claims": [record_of(CASE, Outcome(), NOT_MEASURED | seen.record())]})
        return seen.record()["interventions"]

    return of


def test_which_tokens_a_counterfactual_exchanges(used, prompts):
    (found,) = used(prompts, Patch(heads("0.1 1.2@END")))
    assert found["source"] == {
        "from": "counterfactual",
        "replaced": {"prompts": 3, "tokens": [1, 2], "at": {"A": 3, "AB": 3}, "elsewhere": 1, "other_length": 0},
    }
    assert (found["sites"], found["at"], found["runs"]) == ({"head": 2}, [None, "END"], 1)
    assert found["text"] == (
        "Patch of 2 sites (head) at every position and END, from the counterfactual (1 to 2 tokens replaced, at A, AB, elsewhere; "
        "of the same length)"
    )


def test_other_lengths_count_as_tokens(used, prompts):
    (found,) = used(prompts, Ablate(resid("1@A"), "resample"))
    assert found["source"]["replaced"] == {"prompts": 3, "tokens": [0, 2], "at": {"END": 1}, "elsewhere": 0, "other_length": 1}
    assert found["text"] == (
        "resample ablation of 1 site (resid) at A, from the reference (0 to 2 tokens replaced, at END; 1 of 3 of another length)"
    )


def test_whose_activations(used, prompts):
    """The same patch from everywhere: what the source is to the prompts that are run."""
    site, other = heads("0.1@END"), named(ROWS[::-1][1:] + ROWS[-1:])
    sources = {
        "counterfactual": (prompts, Patch(site)), "original": (prompts.counterfactual, Patch(site, prompts)),
        "reference": (prompts, Patch(site, prompts.reference)), "own": (prompts, Patch(site, prompts)),
        "other": (prompts, Patch(site, other)),
    }  # fmt: skip
    for expected, (some, change) in sources.items():
        (found,) = used(some, change)
        assert found["source"]["from"] == expected
        assert (found["source"]["replaced"] is None) == (expected == "own")


def test_several_sources_of_one_kind_are_told_together(used, prompts):
    one, two = (named([[1, a, 6, 7, 8], [1, a, b, 7, 8], [1, a, 10, 7, 8, 9]]) for a, b in ((30, 6), (31, 32)))
    (found,) = used(prompts, Patch(heads("0.1@END"), one), Patch(heads("0.1@END"), two))
    assert (found["runs"], found["source"]["replaced"]["tokens"]) == (2, [1, 2])


def test_what_is_told_of_each_kind(used):
    prompts = random_prompts(1, [7, 7, 9, 9])
    found = used(
        prompts, Noise(embed(at="A"), 3.0, 7), Steer(torch.ones(24), resid("0-1"), -0.5), Steer(torch.ones(24), resid("1"), 2.0),
        Sparsify(heads("0.1"), 0.1), KnockOut(patterns("0.1@END"), "A", only=True), Permute(heads("0.0"), 3), Ablate(mlps("1"), "zero"),
        Ablate(mlps("0@A"), "mean"), Ablate(mlps("0@A"), "resample", prompts, 5),
    )  # fmt: skip
    assert [one["text"] for one in found] == [
        "Noise of 1 site (embed) at A, Gaussian, standard deviations 3, seed 7",
        "Steer of 2 sites (resid) at every position, scale -0.5 to 2",
        "Sparsify of 1 site (head) at every position, threshold 0.1",
        "KnockOut of 1 site (pattern) at END, keys all but A",
        "Permute of 1 site (head) at every position, seed 3",
        "zero ablation of 1 site (mlp) at every position",
        "mean ablation of 1 site (mlp) at A, over the reference",
        "resample ablation of 1 site (mlp) at A, seed 5, from the same prompts",
    ]
    assert [one["runs"] for one in found] == [1, 2, 1, 1, 1, 1, 1, 1]
    assert (found[0]["scale"], found[0]["seeds"], found[1]["scale"]) == ([3.0, 3.0], [7], [-0.5, 2.0])


def test_every_way_to_run_is_seen(tiny, prompts):
    """Sweeps, measures made of them, activations and generated text; the fast runner and plain hooks alike."""
    model, seen, slow = tiny("gpt2"), Used(), Used()
    with seen.watching():
        sweep(model, prompts, [[], Patch(heads("0.0")), [Patch(heads("0.1")), Scale(mlps("1"), 0.5)]])
        head_patching(model, prompts, positions="END")
        capture(model, prompts, resid("1"), Ablate(heads("1.1"), "zero"))
        generate(model, prompts, Steer(torch.ones(24), resid("1@NEW")), new_tokens=2)
    kinds = {(one["intervention"], one["method"]): one for one in seen.record()["interventions"]}
    assert [(*kind, one["runs"]) for kind, one in kinds.items()] == [
        ("Patch", None, 2 + 6), ("Scale", None, 1), ("Ablate", "zero", 1), ("Steer", None, 1),
    ]  # fmt: skip
    assert kinds["Patch", None]["sites"] == {"head": 6}
    with slow.watching(), plain_hooks():
        sweep(model, prompts, [[], Patch(heads("0.0"))])
    assert slow.record()["interventions"][0]["runs"] == 1


def test_prompts_that_are_drawn_part_after_part_are_counted_once(tiny, prompts):
    seen = Used()
    with seen.watching():
        for rows in ([0], [0, 1], [0, 1, 2]):
            run(tiny("gpt2"), prompts[rows], Patch(heads("0.1@END")))
    (found,) = seen.record()["interventions"]
    assert found["source"]["replaced"]["prompts"] == found["source"]["replaced"]["at"]["A"] == found["runs"] == 3


def test_nothing_is_told_where_nothing_was_changed(used, prompts):
    assert used(prompts, []) == []
    assert used(replace(prompts, counterfactual=None), ()) == []
