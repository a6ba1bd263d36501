"""Strategies over prompts: what they draw is what the generators make, and it shrinks to the shortest sentence and the first words."""

import itertools
import zlib

import pytest
from hypothesis import strategies as st
from tiny import random_prompts

from mechcheck import ioi_prompts, load_model, strategies
from mechcheck.base.errors import ClaimError, PromptError
from mechcheck.tasks.names import held_out_pair, load_language
from mechcheck.verdicts.for_all import search


@pytest.fixture(scope="module")
def names_model():
    return load_model("names-gpt2-seed4", offline=True)


def drawn(strategy, n=150):
    met = []
    search(strategy, lambda example: met.append(example) is None, n=n, seed=2)
    return met


def test_prompts_from_a_set():
    prompts = random_prompts(3, [9, 7, 8, 7])
    met = drawn(strategies.prompts_from(prompts))
    assert sorted(p.ids[0] for p in met) == sorted(prompts.ids)
    assert {len(p) for p in met} == {1}
    assert met[0].ids == (prompts.ids[1],)  # the first of the shortest
    found = search(strategies.prompts_from(prompts), lambda p: p.ids[0] == prompts.ids[1], n=50, seed=2).counterexample
    assert found.prompts.ids == (prompts.ids[3],)


@pytest.mark.parametrize("split", ["verify", "discover"])
def test_people_of_a_split(names_model, split):
    """Held-out pairs of the right half, all of them, by an enumeration of our own."""
    names = load_language().names
    wanted = {
        (a, b)
        for a, b in itertools.permutations(names, 2)
        if held_out_pair(a, b) and (zlib.crc32(" and ".join(sorted((a, b))).encode()) % 2 == 1) == (split == "verify")
    }
    met = drawn(strategies.ioi_people(names_model, split), n=1000)
    assert set(met) == wanted
    assert len(met) == len(wanted)


def test_any_people(names_model):
    names = load_language().names
    met = drawn(strategies.ioi_people(names_model))
    assert all(a != b and {a, b} <= set(names) for a, b in met)
    assert any(not held_out_pair(a, b) for a, b in met)
    found = search(strategies.ioi_people(names_model), lambda pair: pair[1] != "Wendy", n=3000, seed=2).counterexample
    assert found.example == f"('{names[0]}', 'Wendy')"


@pytest.mark.parametrize("split", ["verify", "discover"])
def test_sentences_are_those_of_the_task(names_model, split):
    task = ioi_prompts(names_model, n=96, seed=5, split=split)
    met = drawn(strategies.ioi_sentences(names_model, split=split))
    assert {p.templates[0] for p in met} <= set(task.templates)
    assert len({p.templates[0] for p in met}) > 12
    for p in met:
        io, s1, s2 = (p.words[0][int(p.position(name)[0])] for name in ("IO", "S1", "S2"))
        assert s1 == s2 != io
        assert p.vocabulary[int(p.answers[0])] == io
        assert p.vocabulary[int(p.foils[0])] == s1
        assert held_out_pair(io, s1)
        assert (p.templates[0].startswith("ABBA")) == bool(p.position("IO") < p.position("S1"))
        at = int(p.position("S2")[0])
        flipped = list(p.words[0])
        flipped[at] = io
        assert p.counterfactual.words[0] == tuple(flipped)
        assert not {io, s1} & set(p.reference.words[0])


def test_sentences_shrink(names_model):
    """Of all prompts with "book", the one with the shortest sentence, the first people and the first of everything else."""
    found = search(
        strategies.ioi_sentences(names_model, people=strategies.ioi_people(names_model), split="discover"),
        lambda p: "book" not in p.words[0],
        n=2000,
        seed=2,
    ).counterexample
    shortest = min(len(t.split()) - 1 for t in ioi_prompts(names_model, n=48, seed=0, split="discover").templates if "{object}" in t)
    assert len(found.example.split()) == shortest
    assert found.example.split()[0] in ("John", "Tom")


def test_one_order_and_few_templates(names_model):
    met = drawn(strategies.ioi_sentences(names_model, orders=["BABA"], templates=2), n=40)
    assert len({p.templates[0] for p in met}) == 2
    assert all(p.templates[0].startswith("BABA") for p in met)
    with pytest.raises(PromptError, match="unknown order ABAB"):
        strategies.ioi_sentences(names_model, orders=["ABAB"])


def test_every_sentence_at_once(names_model):
    met = drawn(strategies.ioi_in_every_sentence(names_model), n=3)
    task = ioi_prompts(names_model, n=48, seed=0)
    for prompts in met:
        assert sorted(prompts.templates) == sorted(task.templates)
        people = {
            frozenset((prompts.vocabulary[int(a)], prompts.vocabulary[int(f)])) for a, f in zip(prompts.answers, prompts.foils, strict=True)
        }
        assert len(people) == 1
    one = st.just(("Mary", "John"))
    (only,) = drawn(strategies.ioi_in_every_sentence(names_model, people=one, templates=3), n=3)
    assert {only.vocabulary[int(a)] for a in only.answers} == {"Mary"}
    assert len(only) == 6


class TestSentences:
    TEXTS = ("{A} gave a book to {B} and", "When {A} and {B} went to the {place} , {B} gave a ring to")
    WORDS = {"A": ["John", "Mary"], "B": ["John", "Mary", "Tom"], "place": ["store", "park"]}  # noqa: RUF012

    def test_all_fillings(self, names_model):
        strategy = strategies.sentences(names_model, self.TEXTS, answer="A", foil="B", words=self.WORDS)
        met = drawn(strategy, n=200)
        expected = {
            (text.format(A=a, B=b, place=place), a, b)
            for text in self.TEXTS
            for a, b, place in itertools.product(*self.WORDS.values())
            if a != b
        }
        found = {(" ".join(p.words[0][1:]), p.vocabulary[int(p.answers[0])], p.vocabulary[int(p.foils[0])]) for p in met}
        assert found == expected
        assert {p.templates[0] for p in met} == set(self.TEXTS)
        simplest = search(strategy, lambda p: False, n=9, seed=1).counterexample
        assert simplest.example == "John gave a book to Mary and"

    @pytest.mark.parametrize(
        ("texts", "changed", "message"),
        [
            ("{A} and {C} to", {}, "no words are given for the slot {C}"),
            ("{A} and {B} to", {"foil": "C"}, "no words are given for the slot {C}"),
            ([], {}, "no sentences are given"),
        ],
    )
    def test_refusals(self, names_model, texts, changed, message):
        with pytest.raises(PromptError, match=message):
            strategies.sentences(names_model, texts, **({"answer": "A", "foil": "B", "words": self.WORDS} | changed))

    def test_an_unknown_word_is_told(self, names_model):
        strategy = strategies.sentences(names_model, "{A} and {B} to", answer="A", foil="B", words={"A": ["Xerxes"], "B": ["John"]})
        with pytest.raises(ClaimError, match=r"the strategy could not draw an example: PromptError: .*Xerxes"):
            search(strategy, lambda p: True, n=5, seed=1)
