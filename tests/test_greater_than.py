"""Greater-than prompts and their metric, against the text and a computation by hand."""

from collections import Counter

import numpy as np
import pytest
import torch

from mechcheck._greater_than import APART, YEARS, greater_than_prompts, held_out_start, later_years, starts
from mechcheck._models import load_model


@pytest.fixture(scope="module")
def names_model():
    return load_model("names-gpt2-seed0")


def words(prompts, row: int) -> list[str]:
    return [prompts.words[row][i] for i in range(int(prompts.lengths[row]))]


@pytest.mark.parametrize("split", ["discover", "verify"])
def test_only_the_start_year_changes(names_model, split):
    prompts = greater_than_prompts(names_model, n=48, seed=0, split=split)
    for row in range(48):
        here, first, other = (words(p, row) for p in (prompts, prompts.counterfactual, prompts.reference))
        at = int(prompts.positions["YEAR"][row])
        began = YEARS.index(here[at])
        assert here[at - 2 :] == ["from", here[-1], here[at], "to", here[-1]]
        assert at == len(here) - 3
        assert [prompts.vocabulary[int(t[row])] for t in (prompts.answers, prompts.foils)] == [YEARS[began + APART], YEARS[began - APART]]
        assert first == [*here[:at], YEARS[0], *here[at + 1 :]]
        assert other == [*here[:at], other[at], *here[at + 1 :]]
        assert other[at] in YEARS
        assert abs(YEARS.index(other[at]) - began) > APART
    assert len({words(prompts.reference, row)[-3] for row in range(48)}) > 20
    assert prompts.counterfactual.answers.tolist() == prompts.answers.tolist()


def test_starts_are_held_out_and_halved(names_model):
    trained, discover, verify = starts(None), starts("discover"), starts("verify")
    assert not {*trained} & {*discover, *verify}
    assert not {*discover} & {*verify}
    assert all(map(held_out_start, discover + verify))
    assert len(trained) + len(discover) + len(verify) == len(YEARS) - 2  # the last begins nothing; one is too near the first
    found = {split: greater_than_prompts(names_model, n=96, seed=0, split=split) for split in ("discover", "verify")}
    for split, prompts in found.items():
        assert Counter(prompts.templates) == {f"from {year}": 12 for year in starts(split)}
        assert all(words(prompts, row)[-3] == prompts.templates[row].removeprefix("from ") for row in range(96))
    lasted = [any(words(p, row)[-8:-5] == ["the", "war", "lasted"] for row in range(96)) for p in found.values()]
    assert lasted == [True, False], "a sentence of training is in the discovery half alone"


def test_repeatable(names_model):
    made = [greater_than_prompts(names_model, n=12, seed=seed).sha256 for seed in (0, 0, 1)]
    assert made[0] == made[1] != made[2]


def test_later_years_by_hand(names_model):
    prompts = greater_than_prompts(names_model, n=24, seed=0)
    logits = torch.randn(24, names_model.cfg.d_vocab, generator=torch.Generator().manual_seed(0))
    tokens = {year: names_model.tokenizer.convert_tokens_to_ids(year) for year in YEARS}
    p = np.exp(logits.double().numpy())
    p /= p.sum(-1, keepdims=True)
    for aligned in (prompts, prompts.counterfactual):  # judged by the start of the prompts it is aligned with
        found = later_years(names_model)(logits, aligned)
        for row in range(24):
            began = words(prompts, row)[-3]
            expected = sum(p[row, token] * (1 if int(year) > int(began) else -1) for year, token in tokens.items())
            assert found[row].item() == pytest.approx(expected, abs=1e-12)
