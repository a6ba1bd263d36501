"""The prompts of the task "agreement" are what they say."""

import runpy
import tomllib

import pytest

from mechcheck import agreement_prompts, load_model
from mechcheck.base.errors import PromptError
from mechcheck.base.paths import data_dir
from mechcheck.tasks.sentences import AGREEMENT, REFLEXIVE, held_out, verification_half


@pytest.fixture(scope="module")
def encoder():
    return load_model("sentences-bert")


def words_at(prompts, name: str) -> list[str]:
    return [words[i] for words, i in zip(prompts.words, prompts.position(name).tolist(), strict=True)]


def texts(prompts, ids) -> list[str]:
    return [prompts.vocabulary[i] for i in ids.tolist()]


def differing(words, other) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(words, other, strict=True)) if a != b]


@pytest.mark.parametrize("split", ["discover", "verify"])
@pytest.mark.parametrize("distractor", ["any", "misleading"])
def test_agreement(encoder, split, distractor):
    prompts = agreement_prompts(encoder, n=60, seed=0, split=split, distractor=distractor)
    forms = {form: (group[0], number) for group in AGREEMENT["nouns"] for number, form in enumerate(group)}
    verbs = {verb: number for _, *pair in AGREEMENT["templates"] for number, verb in enumerate(pair)}
    assert len(set(prompts.templates)) == 10
    assert set(words_at(prompts, "END")) == {"[MASK]"}
    rows = zip(words_at(prompts, "SUBJECT"), words_at(prompts, "DISTRACTOR"), texts(prompts, prompts.answers), strict=True)
    misled = []
    for row, (subject, near, answer) in enumerate(rows):
        assert forms[subject][1] == verbs[answer] != verbs[prompts.vocabulary[int(prompts.foils[row])]]
        assert held_out(forms[subject][0], forms[near][0])
        assert verification_half(forms[subject][0], forms[near][0]) == (split == "verify")
        at = int(prompts.position("SUBJECT")[row])
        other = prompts.counterfactual.words[row]
        assert differing(prompts.words[row], other) == [at]
        assert forms[other[at]] == (forms[subject][0], 1 - forms[subject][1])
        assert prompts.reference.words[row] in (prompts.words[row], other)
        misled.append(forms[near][1] != forms[subject][1])
    assert all(misled) if distractor == "misleading" else 0.2 < sum(misled) / 60 < 0.8


@pytest.mark.parametrize("distractor", ["any", "misleading"])
def test_reflexives(encoder, distractor):
    prompts = agreement_prompts(encoder, n=60, seed=0, dependency="reflexive", distractor=distractor)
    forms = {form: i for group in REFLEXIVE["people"] for i, form in enumerate(group)}
    answers, foils = ([REFLEXIVE["pronouns"].index(text) for text in texts(prompts, ids)] for ids in (prompts.answers, prompts.foils))
    assert [forms[word] for word in words_at(prompts, "SUBJECT")] == answers
    assert [forms[word] for word in words_at(prompts.counterfactual, "SUBJECT")] == foils
    assert len(set(prompts.templates)) == 6
    if distractor == "misleading":
        assert [forms[word] for word in words_at(prompts, "DISTRACTOR")] == foils


def test_repeatable_and_split(encoder):
    one, again, other, found = (
        agreement_prompts(encoder, n=40, seed=seed, split=split)
        for seed, split in ((0, "verify"), (0, "verify"), (1, "verify"), (0, "discover"))
    )
    assert one.sha256 == again.sha256 != other.sha256
    assert not set(one.ids) & set(found.ids)


def test_errors(encoder):
    with pytest.raises(PromptError, match="unknown 'noun' or 'any'; choose \"verb\" or \"reflexive\""):
        agreement_prompts(encoder, n=2, seed=0, dependency="noun")


def test_the_recorded_heads_are_found_again(encoder):
    script = runpy.run_path(str(data_dir("claims") / "agreement" / "discover.py"))
    recorded = tomllib.loads((data_dir("claims") / "agreement" / "circuits" / "sentences-bert.toml").read_text(encoding="utf-8"))
    prompts = agreement_prompts(encoder, n=script["PROMPTS"], seed=script["SEED"], split="discover")
    roles = script["find_roles"](encoder, prompts)
    assert {name: (str(role.sites), role.met, role.criterion) for name, role in roles.items()} == {
        name: (role["heads"], role["met"], role["criterion"]) for name, role in recorded["roles"].items()
    }
