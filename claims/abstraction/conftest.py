"""Circuits of indirect object identification, found or built."""

import pytest

from mechcheck import provenance
from mechcheck.compiled import compiled_models, known_circuit


@pytest.fixture
def roles(circuit_for):
    """roles(model): the circuit that was built, or the one that was found on discovery prompts."""

    def of(model):
        name = provenance(model).name
        return known_circuit(name) if name in compiled_models() else circuit_for(model)

    return of
