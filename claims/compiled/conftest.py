"""Prompts for claims about compiled models, whose circuits are known and so recorded nowhere."""

import pytest

from mechcheck import provenance, task_prompts
from mechcheck.compiled import task_of
from mechcheck.plugin.settings import SETTINGS


@pytest.fixture
def prompts(request, model):
    """Verification prompts of the task that the compiled model does."""
    settings = request.config.stash[SETTINGS]
    return task_prompts(task_of(provenance(model).name), model, n=settings.n_prompts, seed=settings.seed, split="verify")
