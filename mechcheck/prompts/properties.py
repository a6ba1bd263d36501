"""Properties of prompts that an effect may be one of: who is named, how long the prompt is, what stands where."""

import numpy as np
from jaxtyping import Float

from mechcheck.prompts.prompt_set import PromptSet


def prompt_properties(prompts: PromptSet) -> dict[str, Float[np.ndarray, " prompt"]]:
    """Property -> its value for each prompt, of those that differ between the prompts and do not follow from one before them.

    - the place of answer and foil in the vocabulary: in a vocabulary that was learnt by merging, the smaller the more frequent;
    - the length in tokens;
    - the place of each named position, counted from the prompt's first token.

    Whatever else is suspected, such as how often a name was in the training data, is a list of numbers of your own beside these.
    """
    found = {"length": prompts.lengths}
    found |= {f"place of {name}": at for name, at in prompts.positions.items() if name not in prompts.spans}
    for name, tokens in (("answer", prompts.answers), ("foil", prompts.foils)):
        if len(tokens) == len(prompts):  # answers of several tokens have no one place
            found[f"{name}'s place in the vocabulary"] = tokens
    kept: dict[str, Float[np.ndarray, " prompt"]] = {}
    for name, values in found.items():
        numbers = np.asarray(values.cpu() if hasattr(values, "cpu") else values, dtype=np.float64)
        if numbers.ndim == 1 and np.ptp(numbers) > 0 and not _follows(numbers, list(kept.values())):
            kept[name] = numbers
    return kept


def _follows(values: Float[np.ndarray, " prompt"], known: list[Float[np.ndarray, " prompt"]]) -> bool:
    """Whether these are a sum of multiples of those, as the place of the last token is of the length."""
    table = np.stack([np.ones(len(values)), *known], 1)
    left = values - table @ np.linalg.lstsq(table, values, rcond=None)[0]
    return bool(np.abs(left).max() < 1e-6 * max(1.0, float(np.abs(values).max())))
