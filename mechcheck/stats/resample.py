"""Templates drawn again, with replacement: how far a number that is no mean would move on other prompts of the same kind."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def drawn_again(templates: Sequence[str], draws: int, seed: int) -> Float[np.ndarray, "draw prompt"]:
    """How often each prompt stands in each draw: whole templates are drawn, or prompts where there is a single template.

    Efron and Tibshirani 1993, chapter 8. Few templates tell little about others: with fewer than ten the spread is too small.
    """
    names, index = np.unique(np.asarray(templates), return_inverse=True)
    if len(names) == 1:
        index = np.arange(len(templates))
    units, rng = int(index.max()) + 1, np.random.default_rng(seed)
    counts = rng.multinomial(units, np.full(units, 1 / units), size=draws)
    return counts[:, index].astype(np.float64)
