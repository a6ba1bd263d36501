"""The language "sentences": what is held out, how it is halved, and what a pair says."""

import random
from itertools import combinations, product

import pytest

from mechcheck.tasks import sentences as _sentences
from mechcheck.tasks.sentences import (
    AGREEMENT,
    OBJECTS,
    OPPOSITES,
    SWITCHES,
    agreeing,
    draw_nouns,
    draw_said,
    statement,
    switches,
    templates,
)

SEEN = 200


def test_a_fifth_is_held_out_and_halved_about_evenly():
    combined = list(product(OBJECTS, OPPOSITES))
    out = [(thing, opposites) for thing, opposites in combined if _sentences.held_out_thing(thing, opposites)]
    halves = [_sentences.verification_half(thing, *opposites) for thing, opposites in out]
    assert (len(combined), len(out), sum(halves)) == (360, 86, 43)
    nouns = [group[0] for group in AGREEMENT["nouns"]]
    pairs = [pair for pair in product(nouns, nouns) if pair[0] != pair[1] and _sentences.held_out(*pair)]
    assert (len(pairs), sum(_sentences.verification_half(*pair) for pair in pairs)) == (26, 14)


@pytest.mark.parametrize("wanted", [False, True])
def test_what_is_said_is_held_out_or_not(wanted):
    rng = random.Random(0)
    for _ in range(SEEN):
        said = draw_said(rng, wanted)
        assert _sentences.held_out_thing(said.thing, said.opposites) == wanted
        assert said.thing != said.other
        assert said.opposites != said.others
        for thing, opposites in ((said.other, said.others), (said.thing, said.others), (said.other, said.opposites)):
            assert not _sentences.held_out_thing(thing, opposites)
        subject, distractor = draw_nouns(rng, AGREEMENT["nouns"], wanted)
        assert _sentences.held_out(subject[0], distractor[0]) == wanted


@pytest.mark.parametrize("kind", ["one_switch", "two_switches", "two_objects"])
def test_a_statement_follows_from_its_switches(kind):
    """The answer is worked out from the words alone: the opposite of what is said, once for each word that turns."""
    rng = random.Random(1)
    for template in templates(kind):
        slots = switches(template)
        for count in range(len(slots) + 1):
            for turned in combinations(slots, count):
                said = draw_said(rng, wanted=True)
                pair = statement(rng, template, said, set(turned), exchanged=rng.choice(slots))
                for words, turns in ((pair.words, len(turned)), (pair.other, None)):
                    turning = {i for i, slot in enumerate(template) if slot in slots and words[i] in SWITCHES[slot[1:-1]][0]}
                    assert turns is None or turning == set(pair.turning)
                    what = words[template.index("{said}")]
                    opposite = next(word for word in said.opposites if word != what)
                    assert words[pair.answer] == (opposite if len(turning) % 2 else what)
                differ = [i for i, (a, b) in enumerate(zip(pair.words, pair.other, strict=True)) if a != b]
                assert differ == sorted([pair.answer, pair.changed])


def test_agreeing_pairs_differ_in_subject_and_answer():
    rng = random.Random(2)
    template = ["the", "{subject}", "{distance}", "the", "{distractor}", "{answer}", "{adjective}", "."]
    seen = set()
    for _ in range(50):
        pair = agreeing(rng, template, ["dog", "dogs"], "cats", ["is", "are"])
        assert (pair.changed, pair.answer) == (1, 5)
        assert {(words[1], words[5]) for words in (pair.words, pair.other)} == {("dog", "is"), ("dogs", "are")}
        assert pair.words[2:5] == pair.other[2:5]
        seen.add(pair.words[1])
    assert seen == {"dog", "dogs"}
