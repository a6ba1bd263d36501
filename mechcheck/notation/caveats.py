"""What best practice warns of in how something is measured, by name: what a claim can accept and a run can be strict about."""

from typing import Literal, get_args

Caveat = Literal[
    "gaussian_noise", "other_lengths", "few_references", "bounded_metric", "saturated_metric", "wrong_direction", "beyond_whole",
    "seen_prompts", "single_backup", "not_additive",
]  # fmt: skip
CAVEATS: tuple[Caveat, ...] = get_args(Caveat)
