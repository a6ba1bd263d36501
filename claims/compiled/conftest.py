"""Prompts for claims about compiled models, whose circuits are known and so recorded nowhere."""

import pytest

from mechcheck import provenance, task_prompts
from mechcheck.compiled import task_of


@pytest.fixture
def make_prompts():
    """Prompts of the task that the compiled model does."""
    return lambda model, **wanted: task_prompts(task_of(provenance(model).name), model, **wanted)
