"""The recipes of the embedded models: held-out rules, repeatable training, and cards that describe the weights beside them."""

import hashlib
import json
import random
from itertools import combinations, product

import bert_sentences
import card
import deep_sentences
import pytest
import sentences
import torch
import train_bert
import train_deep
import train_gpt2
import train_neox
import training
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from mechcheck import load_model
from mechcheck.tasks import sentences as _sentences
from mechcheck.tasks.greater_than import TEMPLATES, TEMPLATES_HELD_OUT, YEARS, held_out_start
from mechcheck.tasks.names import held_out_pair

TRAINED = sorted(path.parent for path in training.MODELS.glob("*/training.json"))
DRAWN = 300
RECIPES = [(r, 50) for r in (train_gpt2.RECIPE, train_neox.RECIPE, train_bert.RECIPE)] + [(r, 3) for r in train_deep.RECIPES]


def people(words):
    return sorted(sentences.NAMES.intersection(words))


def lemmas(words, groups):
    """The groups of which a form occurs, each once, in the order of the words."""
    return list({group[0]: group for word in words for group in groups if word in group}.values())


def combined_in(words):
    """Every (object, pair of opposites) of a sentence, whether or not one is said of the other."""
    things = [thing for thing in _sentences.OBJECTS if thing in words]
    return list(product(things, lemmas(words, _sentences.OPPOSITES)))


def nouns_in(words):
    """Subject and distractor of a sentence, in singular."""
    for groups in (_sentences.AGREEMENT["nouns"], _sentences.REFLEXIVE["people"]):
        if len(found := lemmas(words, groups)) == 2:  # some nouns are in both kinds of sentence
            return tuple(group[0] for group in found)
    return None


@pytest.mark.parametrize("kind", dict.fromkeys([*sentences.MIXTURE, *deep_sentences.MIXTURE]), ids=lambda kind: kind.__name__)
def test_no_training_sentence_joins_a_held_out_pair(kind):
    rng = random.Random(1)
    for _ in range(DRAWN):
        assert not any(held_out_pair(a, b) for a, b in combinations(people(kind(rng).words), 2))


def test_what_the_two_layer_models_read_never_changes():
    digest = hashlib.sha256()
    for tensors in training.causal_batches(seed=0, count=40):
        for tensor in tensors:
            digest.update(tensor.numpy().tobytes())
    assert digest.hexdigest() == "8b9e92a058bfa60b2f7ca4c2fd57d82ce64450835a0931652c2e7af66a399904"


def test_nothing_begins_in_a_held_out_year():
    rng = random.Random(1)
    for _ in range(DRAWN):
        words = deep_sentences.later_year(rng).words
        assert not held_out_start(words[-5])
        assert YEARS.index(words[-5]) < YEARS.index(words[-2])
    assert not set(TEMPLATES) & set(TEMPLATES_HELD_OUT)


def test_unsure_receivers_and_unknown_givers():
    rng = random.Random(1)
    receivers = [deep_sentences.unsure_receiver(rng) for _ in range(DRAWN)]
    named = [sentence.words[sentence.answers[0]] in sentences.NAMES for sentence in receivers]
    assert 0.6 < sum(named) / DRAWN < 0.8
    for _ in range(DRAWN):
        sentence = deep_sentences.unknown_giver(rng)
        assert sentence.words[sentence.answers[0]] == "them"
        assert len(people(sentence.words)) == 3


def test_held_out_prompts_are_of_held_out_pairs_and_templates():
    rng = random.Random(1)
    for _ in range(DRAWN):
        words = sentences.ioi_prompt(rng, sentences.HELD_OUT).words
        assert held_out_pair(*people(words))
    language = sentences.LANGUAGE
    assert not set(language.openings) & set(language.openings_held_out)
    assert not set(language.givings) & set(language.givings_held_out)


@pytest.mark.parametrize("kind", bert_sentences.MIXTURE, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("wanted", [False, True], ids=["training", "held out"])
def test_held_out_combinations(kind, wanted):
    rng = random.Random(1)
    for _ in range(DRAWN):
        pair = kind(rng, wanted)
        for words in (pair.words, pair.other):
            nouns, things = nouns_in(words), combined_in(words)
            assert bool(nouns) != bool(things)
            found = [_sentences.held_out(*nouns)] if nouns else [_sentences.held_out_thing(*c) for c in things]
            assert sum(found) == wanted


@pytest.mark.parametrize("kind", bert_sentences.MIXTURE, ids=lambda kind: kind.__name__)
def test_aligned_sentences_differ_in_one_word_and_the_answer(kind):
    rng = random.Random(1)
    for _ in range(DRAWN):
        pair = kind(rng)
        differ = {i for i, (a, b) in enumerate(zip(pair.words, pair.other, strict=True)) if a != b}
        assert differ == {pair.answer, pair.changed}
        assert pair.words[0] == bert_sentences.CLS
        assert pair.words[-1] == bert_sentences.SEP
        assert len(pair.words) <= bert_sentences.CONTEXT


def test_the_answer_is_the_opposite_under_an_odd_number_of_turning_words():
    rng = random.Random(1)
    turning = {word for turning, _ in _sentences.SWITCHES.values() for word in turning}
    for kind, count in ((bert_sentences.affirmation, 0), (bert_sentences.negation, 1), (bert_sentences.double_negation, 2)):
        for _ in range(DRAWN):
            pair = kind(rng)
            assert [i for i, word in enumerate(pair.words) if word in turning] == list(pair.turning)
            assert len(pair.turning) == count
            (opposites,) = lemmas(pair.words, _sentences.OPPOSITES)
            (said,) = (w for i, w in enumerate(pair.words) if w in opposites and i != pair.answer)
            assert (pair.words[pair.answer] == said) == (count % 2 == 0)


def test_masked_training_batches_hold_no_held_out_combination():
    words = list(bert_sentences.token_ids())
    for tokens, truth, weights in bert_sentences.masked_batches(seed=1, count=5):
        assert (tokens[weights > 0] == bert_sentences.token_ids()[bert_sentences.MASK]).all()
        assert torch.equal(tokens[weights == 0], truth[weights == 0])
        for row in truth.tolist():
            sentence = [words[token] for token in row]
            nouns = nouns_in(sentence)
            assert not any(_sentences.held_out_thing(*c) for c in combined_in(sentence))
            assert nouns is None or not _sentences.held_out(*nouns)


@pytest.mark.usefixtures("torch_settings")
@pytest.mark.parametrize(("recipe", "steps"), RECIPES, ids=[recipe.name for recipe, _ in RECIPES])
def test_training_repeats_to_the_byte(recipe, steps, tmp_path):
    for run in ("a", "b"):
        torch.rand(3)  # what was drawn before makes no difference
        model, cost = training.train(recipe, seed=3, steps=steps)
        training.save(recipe, model, cost, 3, tmp_path / run)
    written = [{p.name: p.read_bytes() for p in (tmp_path / run).iterdir() if p.name != training.RECORD} for run in ("a", "b")]
    assert written[0] == written[1]


@pytest.mark.parametrize("directory", TRAINED, ids=lambda path: path.name)
def test_hashes_and_cards_describe_the_weights(directory):
    measured = json.loads((directory / "measured.json").read_text(encoding="utf-8"))
    written = (directory / "README.md").read_text(encoding="utf-8")
    assert measured["training"]["sha256"] == training.training_record(directory)["sha256"] == training.weights_hash(directory)
    assert measured["training"]["sha256"] in written
    assert card.card(directory) == written, "run python fixtures/recipes/card.py"


def test_shipped_weights_stay_small():
    sizes = [path.stat().st_size for path in training.MODELS.glob("*/*.safetensors")]
    assert max(sizes) <= 1_000_000
    assert sum(sizes) <= 10_000_000


@pytest.mark.parametrize("directory", [d for d in TRAINED if not d.name.startswith("names-gpt2")], ids=lambda path: path.name)
@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_loading_agrees_with_transformers(directory, processing):
    masked = "bert" in directory.name
    rng = random.Random(1)
    if masked:
        drawn = [bert_sentences.agreement(rng).words for _ in range(50)]
        rows = [bert_sentences.encode(words) for words in drawn if len(words) == len(drawn[0])]
    else:
        drawn = [sentences.ioi_prompt(rng, sentences.HELD_OUT).words for _ in range(100)]
        rows = [sentences.encode(words) for words in drawn if len(words) == len(drawn[0])]
    tokens = torch.tensor(rows)
    auto = AutoModelForMaskedLM if masked else AutoModelForCausalLM
    with torch.no_grad():
        expected = auto.from_pretrained(directory, attn_implementation="eager").eval()(tokens).logits
        found = load_model(directory, processing=processing)(tokens, return_type="logits")
    assert (found.log_softmax(-1) - expected.log_softmax(-1)).abs().max() < 1e-4


def test_the_masked_models_tokenizer_follows_berts_convention(tmp_path):
    bert_sentences.build_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    text = "the box isn't open , it is [MASK] ."
    assert tokenizer(text).input_ids == bert_sentences.encode([bert_sentences.CLS, *text.split(), bert_sentences.SEP])
