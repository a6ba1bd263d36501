"""The recipes are scripts that import each other by their bare names."""

import sys
from pathlib import Path

RECIPES = str(Path(__file__).resolve().parents[2] / "fixtures" / "recipes")

if RECIPES not in sys.path:
    sys.path.insert(0, RECIPES)
