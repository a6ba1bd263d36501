"""The prompts of the task "negation" are what they say."""

import runpy
import tomllib

import pytest

from mechcheck import load_model, negation_prompts
from mechcheck.base.errors import PromptError
from mechcheck.base.paths import data_dir
from mechcheck.tasks.sentences import OPPOSITES, SWITCHES, held_out_thing, verification_half

STATEMENTS = {"simple": (11, 1), "embedded": (3, 1), "double": (3, 2), "concession": (1, 1), "two_objects": (10, None)}
TURNING = {word for turning, _ in SWITCHES.values() for word in turning}
LEAVING = {word for _, leaving in SWITCHES.values() for word in leaving}


@pytest.fixture(scope="module")
def encoder():
    return load_model("sentences-bert")


def words_at(prompts, name: str) -> list[str]:
    return [words[i] for words, i in zip(prompts.words, prompts.position(name).tolist(), strict=True)]


def texts(prompts, ids) -> list[str]:
    return [prompts.vocabulary[i] for i in ids.tolist()]


def differing(words, other) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(words, other, strict=True)) if a != b]


@pytest.mark.parametrize("statements", STATEMENTS)
@pytest.mark.parametrize("split", ["discover", "verify"])
def test_negation(encoder, statements, split):
    prompts = negation_prompts(encoder, n=60, seed=0, split=split, statements=statements)
    n_templates, turning = STATEMENTS[statements]
    answers, foils = texts(prompts, prompts.answers), texts(prompts, prompts.foils)
    assert len(set(prompts.templates)) == n_templates
    assert set(words_at(prompts, "END")) == {"[MASK]"}
    for row, words in enumerate(prompts.words):
        switch, said, thing = (int(prompts.position(name)[row]) for name in ("SWITCH", "SAID", "OBJECT"))
        other, reference = (aligned.words[row] for aligned in (prompts.counterfactual, prompts.reference))
        (opposites,) = (pair for pair in OPPOSITES if words[said] in pair)
        assert {answers[row], foils[row]} == set(opposites)
        assert (answers[row] == words[said]) == (statements == "double")
        assert held_out_thing(words[thing], opposites)
        assert verification_half(words[thing], *opposites) == (split == "verify")
        assert words[switch] in TURNING
        assert other[switch] in LEAVING
        assert differing(words, other) == [switch]
        assert set(differing(words, reference)) <= {switch}
        assert reference[switch] in TURNING | LEAVING
        assert turning is None or sum(word in TURNING for word in words) == turning
    assert 0.3 < sum(word in TURNING for word in words_at(prompts.reference, "SWITCH")) / 60 < 0.7
    assert prompts.counterfactual.ids == prompts.reference.ids == prompts.ids


def test_only_concession_has_although(encoder):
    for statements in STATEMENTS:
        words = {w for row in negation_prompts(encoder, n=60, seed=0, statements=statements).words for w in row}
        assert bool(words & {"although", "though"}) == (statements == "concession")


def test_repeatable_and_split(encoder):
    one, again, other, found = (
        negation_prompts(encoder, n=40, seed=seed, split=split)
        for seed, split in ((0, "verify"), (0, "verify"), (1, "verify"), (0, "discover"))
    )
    assert one.sha256 == again.sha256 != other.sha256
    assert not set(one.ids) & set(found.ids)


def test_errors(encoder):
    with pytest.raises(PromptError, match="unknown statements 'triple'; choose from simple, embedded, double, concession, two_objects"):
        negation_prompts(encoder, n=2, seed=0, statements="triple")


def test_the_recorded_heads_are_found_again(encoder):
    script = runpy.run_path(str(data_dir("claims") / "negation" / "discover.py"))
    recorded = tomllib.loads((data_dir("claims") / "negation" / "circuits" / "sentences-bert.toml").read_text(encoding="utf-8"))
    prompts = negation_prompts(encoder, n=script["PROMPTS"], seed=script["SEED"], split="discover")
    role = script["find_negation_heads"](encoder, prompts)
    found = {"heads": str(role.sites), "met": role.met, "criterion": role.criterion}
    assert found == {name: recorded["roles"]["negation_heads"][name] for name in found}
