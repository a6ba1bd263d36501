"""A task's prompts are those of its version."""

from hashlib import sha256

import pytest

from mechcheck.base.errors import PromptError
from mechcheck.models.loading import load_model
from mechcheck.tasks.registry import GENERATORS, task, task_names
from mechcheck.tasks.shipped import task_prompts
from mechcheck.tasks.versions import task_version

# Where this fails, raise the version of the task, record here what it gives now, and tell CHANGELOG.md why.
RECORDED = {
    "agreement": ("sentences-bert", 1, "4375caf7eb543b6a"),
    "greater_than": ("names-gpt2-seed0", 1, "c2918ffc6dcbb655"),
    "induction": ("names-gpt2-seed0", 1, "783512607064def9"),
    "ioi": ("names-gpt2-seed0", 1, "643b170508163558"),
    "negation": ("sentences-bert", 1, "c36939e3e4034288"),
}
UNREADABLE = {"docstring", "gendered_pronoun", "in_context", "retrieval", "successor", "tag_question"}
"""No embedded model has the words."""


@pytest.mark.parametrize("name", RECORDED)
def test_prompts_are_those_of_the_version(name):
    model, version, digest = RECORDED[name]
    ids = [i for split in ("discover", "verify") for i in task_prompts(name, load_model(model), n=24, seed=3, split=split).ids]
    assert (task_version(name), sha256(" ".join(ids).encode()).hexdigest()[:16]) == (version, digest)


def test_every_task_is_recorded():
    assert RECORDED.keys() | UNREADABLE == set(task_names())


def test_ones_own(monkeypatch):
    monkeypatch.setitem(GENERATORS, "mine", None)
    task("mine", version=3)(lambda model, **_: None)
    assert task_version("mine") == 3
    assert task_version("yours") is task_version(None) is None


@pytest.mark.parametrize("version", [0, -1, 1.5, "2", True])
def test_what_is_no_version(version):
    with pytest.raises(PromptError, match="a whole number from 1 on is expected"):
        task("mine", version=version)
