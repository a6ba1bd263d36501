"""`check.unconfounded`: an effect that is one of a property, one that is not, and what is refused."""

import numpy as np
import pytest

from mechcheck.base.errors import ClaimError, MechcheckError
from mechcheck.models.loading import load_model
from mechcheck.prompts.properties import prompt_properties
from mechcheck.stats.estimates import Confidence
from mechcheck.stats.measurement import Measurement
from mechcheck.tasks.shipped import task_prompts
from mechcheck.verdicts.check import Check

N = 96
RANK, FIRST = np.random.default_rng(0).permutation(N), [i % 2 for i in range(N)]
NOISE = np.random.default_rng(1).normal(0, 0.3, N)
BY = {"rank": RANK, "order": ["first" if one else "second" for one in FIRST]}


def effect(values) -> Measurement:
    return Measurement(values + NOISE, tuple(f"p{i}" for i in range(N)), tuple(f"t{i % 24}" for i in range(N)), "lost", "logits")


@pytest.mark.parametrize(
    ("values", "failed"),
    [
        (3.0 * np.ones(N), []),
        (3.0 + 0.03 * RANK, ["|slope of lost on rank| < 0.5 per standard deviation"]),
        (3.0 * np.array(FIRST), ["lost > 1 where order is second"]),  # in half of the prompts there is none
    ],
    ids=["clean", "rank", "order"],
)
def test_what_an_effect_is_one_of(values, failed):
    check, mirrored = Check(Confidence()), Check(Confidence())
    found = check.unconfounded(effect(values), BY, above=1.0, margin=0.5)
    mirrored.unconfounded(-effect(values), BY, below=-1.0, margin=0.5)
    assert [one.name for one in found] == ["rank"]
    assert [e.label for e in check.expectations if e.verdict == "refuted"] == failed
    assert [e.verdict for e in mirrored.expectations] == [e.verdict for e in check.expectations]
    assert [e.label for e in check.expectations] == [
        "|slope of lost on rank| < 0.5 per standard deviation",
        "lost > 1 where rank is low", "lost > 1 where rank is high", "lost > 1 where order is first", "lost > 1 where order is second",
    ]  # fmt: skip
    assert (check.expectations[0].kind, check.expectations[0].margin) == ("equivalent", 0.5)
    assert check.expectations[0].estimate == found[0].estimate


@pytest.mark.parametrize(
    ("by", "told", "error", "words"),
    [
        (BY, {"margin": 0.5}, ClaimError, "needs one threshold"),
        (BY, {"margin": 0, "above": 1}, ClaimError, r"margin=0\): above 0"),
        (BY, {"margin": float("nan"), "above": 1}, ClaimError, "margin=nan"),
        ({}, {"margin": 1, "above": 1}, ClaimError, "takes properties of the prompts"),
        ({"length": [1] * N}, {"margin": 1, "above": 1}, MechcheckError, "'length' is the same on all prompts"),
        (
            {"one": [i == 0 for i in range(N)]},
            {"margin": 9, "above": 1},
            MechcheckError,
            "one is 1 on one prompt alone",
        ),
        ({"who": [f"w{i}" for i in range(N)]}, {"margin": 9, "above": 1}, MechcheckError, "who is w0 on one prompt alone"),
        (BY, {"margin": "1", "above": 1}, ClaimError, "margin=.*: a number is expected"),
    ],
)
def test_what_is_refused(by, told, error, words):
    with pytest.raises(error, match=words):
        Check(Confidence()).unconfounded(effect(np.ones(N)), by, **told)


def test_words_of_a_table_are_words():
    """A column of a data frame has objects, which are all words."""
    words = np.array(["a", "b"] * (N // 2), dtype=object)
    check = Check(Confidence())
    check.unconfounded(effect(np.ones(N)), {"verb": words}, margin=1, above=0)
    assert [e.label for e in check.expectations] == ["lost > 0 where verb is a", "lost > 0 where verb is b"]


def test_it_takes_a_measurement():
    with pytest.raises(ClaimError, match="takes a Measurement"):
        Check(Confidence()).unconfounded(np.ones(N), BY, margin=1, above=0)


def test_properties_of_prompts():
    prompts = task_prompts("ioi", load_model("names-gpt2-seed4"), n=48, seed=0)
    found = prompt_properties(prompts)
    assert [*found] == [
        "length",
        "place of IO",
        "place of S1",
        "place of S2",
        *(f"{who}'s place in the vocabulary" for who in ("answer", "foil")),
    ]
    assert found["length"].tolist() == prompts.lengths.tolist()
    assert found["answer's place in the vocabulary"].tolist() == prompts.answers.tolist()
    alike = prompts[[i for i in range(48) if prompts.templates[i] == prompts.templates[0]]]
    assert not any(name.startswith(("length", "place of")) for name in prompt_properties(alike))  # of one template they are the same
