"""Greater-than prompts and their metric, against the text and a computation by hand."""

import dataclasses
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from year_tokenizer import year_tokenizer

from mechcheck.base.errors import PromptError
from mechcheck.models.loading import load_model
from mechcheck.tasks.greater_than import APART, YEARS, cutoff_sharpness, greater_than_prompts, held_out_start, later_years, starts
from mechcheck.tasks.shipped import task_prompts
from mechcheck.tasks.year_spans import NOUNS

SPLITS = ("discover", "verify")
# As real tokenizers do: the first year of a century's, and some others, are tokens of their own; so is nearly all of the twelfth.
WHOLE = (*range(1100, 1190), 1300, 1302, 1303, 1601, 1740, 1744)


def real(**options):
    """What a model is for prompts: its tokenizer."""
    words = options.pop("words", ("The", "lasted", "from", "the", "year", "to", *NOUNS))
    made = year_tokenizer(words, **options)
    return SimpleNamespace(tokenizer=made, cfg=SimpleNamespace(d_vocab=len(made), n_ctx=64))


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


@pytest.mark.parametrize("kind", ["special tokens", "attention"])
def test_encoders_are_refused(kind):
    """RoBERTa's tokenizer has years of two tokens, and puts </s> behind them: no year comes next. Else its attention tells."""
    asked = real()
    assert len(greater_than_prompts(asked, n=4, seed=0)) == 4
    if kind == "attention":
        asked.cfg.attention_dir = "bidirectional"
        message = "this model is an encoder, in which every token sees all others"
    else:
        asked.tokenizer.add_special_tokens({"cls_token": "<s>", "sep_token": "</s>", "mask_token": "<mask>"})
        asked.cfg.d_vocab = len(asked.tokenizer)
        message = "this tokenizer ends each text with </s>, so that no word comes next; these prompts are for decoders"
    for split in SPLITS:
        with pytest.raises(PromptError, match=message):
            greater_than_prompts(asked, n=4, seed=0, split=split)


@pytest.mark.parametrize("task", ["gendered_pronoun", "greater_than"])
def test_no_next_word_is_asked_of_an_encoder(task):
    with pytest.raises(PromptError, match="these prompts are for decoders"):
        task_prompts(task, load_model("sentences-bert"), n=4, seed=0)


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


@pytest.mark.parametrize("split", SPLITS)
def test_the_papers_sentence(split):
    prompts = greater_than_prompts(real(whole_years=WHOLE), n=96, seed=0, split=split)
    for row in range(96):
        here, first, other = (words(p, row) for p in (prompts, prompts.counterfactual, prompts.reference))
        noun, century, began = here[2], here[-1], int(here[8])
        expected = ["<bos>", "The", noun, " lasted", " from", " the", " year", century, f"{began:02d}", " to", " the", " year", century]
        assert here == expected
        assert noun.strip() in NOUNS
        assert 11 <= int(century) <= 17
        assert int(prompts.positions["YEAR"][row]) == 8
        assert prompts.vocabulary[int(prompts.answers[row])] == f"{began + APART:02d}"
        assert prompts.vocabulary[int(prompts.foils[row])] == f"{began - APART:02d}"
        assert first == [*here[:8], "01", *here[9:]]
        assert other == [*here[:8], other[8], *here[9:]]
        assert abs(int(other[8]) - began) > APART
        assert prompts.templates[row] == f"from {began:02d}"
        used = {100 * int(century) + year for year in (1, began, began - APART, began + APART, int(other[8]))}
        assert not used & {*WHOLE}, "a year that is one token, or an answer that continues to one, is left out"
    assert prompts.counterfactual.answers.tolist() == prompts.reference.answers.tolist() == prompts.answers.tolist()
    assert len({words(prompts.reference, row)[8] for row in range(96)}) > 30


def test_halves_of_the_papers_sentence():
    """They share no start year and no noun, and use every century but those of which too much is one token."""
    made = {split: greater_than_prompts(real(whole_years=WHOLE), n=480, seed=0, split=split) for split in SPLITS}
    years, nouns, centuries = ([{words(p, row)[at] for row in range(480)} for p in made.values()] for at in (8, 2, 7))
    assert not years[0] & years[1]
    assert {int(year) for year in years[0] | years[1]} == set(range(2 + APART, 99 - APART))
    assert not nouns[0] & nouns[1]
    assert {noun.strip() for noun in nouns[0] | nouns[1]} == {*NOUNS}
    assert centuries[0] | centuries[1] == {" 12", " 13", " 14", " 15", " 17"}
    hashes = [greater_than_prompts(real(), n=12, seed=seed).sha256 for seed in (0, 0, 1)]
    assert hashes[0] == hashes[1] != hashes[2]


def test_tokenizers_that_do_not_read_years_in_two():
    single = real(digits=1)
    for ask in (later_years, lambda model: greater_than_prompts(model, n=12, seed=0)):
        with pytest.raises(PromptError, match=r"for this tokenizer 100 of 100 are not \('00', for one\)"):
            ask(single)
    with pytest.raises(PromptError, match="leaves 0 start years for this half of the prompts, and 8 are needed"):
        greater_than_prompts(real(whole_years=range(1100, 1800)), n=12, seed=0)


def test_a_few_years_are_enough():
    """Up to 1727 there are eight that start and have an answer, from 1708 to 1722; up to 1725 there are seven."""
    prompts = greater_than_prompts(real(whole_years=[*range(1100, 1700), *range(1728, 1800)]), n=12, seed=0)
    assert {*prompts.templates} == {f"from {year:02d}" for year in range(8, 23, 2)}
    with pytest.raises(PromptError, match="leaves 7 start years"):
        greater_than_prompts(real(whole_years=[*range(1100, 1700), *range(1726, 1800)]), n=12, seed=0)


def test_nouns_of_several_tokens():
    """A few are left out; where most are lacking, those are named."""
    kept, sentence = NOUNS[4:], ("The", "lasted", "from", "the", "year", "to")
    prompts = greater_than_prompts(real(words=[*sentence, *kept]), n=240, seed=0)
    assert {words(prompts, row)[2].strip() for row in range(240)} == {*NOUNS[1::2]} & {*kept}
    with pytest.raises(PromptError, match=r"18 words are not single tokens for this tokenizer: siege \(unknown\)"):
        greater_than_prompts(real(words=[*sentence, "tour", "career", "feud", "migration"]), n=12, seed=0)


def test_later_years_by_hand_in_the_papers_sentence():
    """Of all numbers of two digits, those of the first year and before it too."""
    model = real()
    prompts = greater_than_prompts(model, n=24, seed=0)
    logits = torch.randn(24, model.cfg.d_vocab, generator=torch.Generator().manual_seed(0))
    p = logits.double().softmax(-1).numpy()
    tokens = [model.tokenizer.convert_tokens_to_ids(f"{year:02d}") for year in range(100)]
    for aligned in (prompts, prompts.counterfactual):
        found, sharp = (metric(model)(logits, aligned) for metric in (later_years, cutoff_sharpness))
        for row in range(24):
            began = int(words(prompts, row)[8])
            expected = sum(p[row, token] * (1 if year > began else -1) for year, token in enumerate(tokens))
            assert found[row].item() == pytest.approx(expected, abs=1e-12)
            assert sharp[row].item() == pytest.approx(p[row, tokens[began + 1]] - p[row, tokens[began - 1]], abs=1e-12)
    with pytest.raises(PromptError, match="whose answer is a year"):
        cutoff_sharpness(model)(logits, dataclasses.replace(prompts, answers=prompts.answers * 0))
