"""Repeated random tokens of one shape, so that prompts can stand for each other; and circuits, found or built."""

import pytest

from mechcheck import provenance, repeated_tokens
from mechcheck.compiled import compiled_models, known_circuit

LENGTH = 12
APART = 1_000  # prompts of the run's own seed were looked at by a first version


@pytest.fixture
def make_prompts():
    """Prompts of one template; no two splits share a seed."""
    return lambda model, *, n, seed, split: repeated_tokens(model, n=n, length=LENGTH, seed=2 * (seed + APART) + (split == "verify"))


@pytest.fixture
def roles(circuit_for):
    """roles(model): the circuit of induction that was built, or the one that was found on discovery prompts."""

    def of(model):
        name = provenance(model).name
        return known_circuit(name) if name in compiled_models() else circuit_for(model)

    return of
