"""The recipes are scripts that import each other by their bare names."""

import sys
from pathlib import Path

import pytest
import torch
from transformers.utils import logging

RECIPES = str(Path(__file__).resolve().parents[2] / "fixtures" / "recipes")

if RECIPES not in sys.path:
    sys.path.insert(0, RECIPES)


@pytest.fixture
def torch_settings():
    """Training makes torch deterministic and single-threaded and quietens transformers; other tests get what they had."""
    threads, deterministic, verbosity = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), logging.get_verbosity()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic)
    logging.set_verbosity(verbosity)
