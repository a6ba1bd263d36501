"""Find the heads that read negation words and record them: mechcheck discover negation MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those. (The model card's
table of heads, on held-out sentences of both halves, was known.)
"""

import numpy as np

from mechcheck import (
    Found,
    Role,
    choose_heads,
    compare_heads,
    head_patching,
    negation_prompts,
    recovery,
    run,
    word_attention,
)

PROMPTS, SEED = 240, 0
READS, FALSE_DISCOVERIES, CARRIES = 0.3, 0.05, 0.1

CRITERION = (
    f"attention from the mask to the negation word above {READS}, and above that to the average other word (Benjamini-Hochberg over all "
    f"heads, {FALSE_DISCOVERIES}); patching it from the affirmation's run brings more than {CARRIES:.0%} of the way"
)


def find_negation_heads(model, prompts) -> Role:
    """Heads that attend from the mask to the negation word and carry what follows from it, to whatever position."""
    found = word_attention(model, prompts, at="END")
    stands_out = np.zeros(found.words.mean.shape, dtype=bool)
    for row in compare_heads(found.words, found.others):
        stands_out[row.layer, row.head] = row.p_adjusted < FALSE_DISCOVERIES
    carried = recovery(head_patching(model, prompts), run(model, prompts), run(model, prompts.counterfactual))
    return choose_heads(
        {"attention to the negation word": found.words.mean, "to the average other word": found.others.mean, "share of the way": carried},
        (found.words.mean > READS) & stands_out & (carried > CARRIES),
        criterion=CRITERION, by="share of the way", candidates=1,
    )  # fmt: skip


def find(model) -> Found:
    prompts = negation_prompts(model, n=PROMPTS, seed=SEED, split="discover")
    return Found({"negation_heads": find_negation_heads(model, prompts)}, prompts)
