"""Find previous-token and induction heads on random tokens and record them: mechcheck discover induction MODEL ...

Where the usual segments are too short or too long for a model's heads: mechcheck discover induction MODEL --set lengths=24,32.
The criteria were fixed before the verification prompts were looked at; what claims say is measured on those.

Edges are searched for beside the roles, on 48 of the prompts: mechcheck discover induction MODEL --method prune --n 48 --resamples 5. The
circuit is the smallest from which on all larger ones lie within 10% of the model there, of the way to it from the model with every edge
cut. That margin was fixed before the search.
"""

import numpy as np

from mechcheck import Found, choose_heads, induction_null_scores, induction_prompts, induction_scores, previous_token_scores
from mechcheck.tasks.induction import LENGTHS

PROMPTS, SEED = 300, 0
PREVIOUS, TIMES = 0.4, 2.0


def induction_threshold(model, prompts) -> float:
    """What an induction head has to exceed in this model, on prompts of these lengths.

    Twice what the highest of all heads shows, on average, at the same places of prompts in which nothing is repeated, so that of
    a flagged head's attention more is owed to the repetition than any head gives without; and no less than an even share of the tokens,
    which is little where every head looks elsewhere. Both fall as segments get longer, and with them attention is thinned out.
    """
    highest = induction_null_scores(model, prompts).mean.max()
    even = (1.0 / (prompts.position("END").numpy() + 1)).mean()
    return float(max(TIMES * highest, even))


def find(model, *, lengths=LENGTHS) -> Found:
    own = {} if tuple(lengths) == LENGTHS else {"lengths": list(lengths)}
    prompts = induction_prompts(model, n=PROMPTS, seed=SEED, split="discover", **own)
    previous = previous_token_scores(model, prompts.reference).mean
    induction, threshold = induction_scores(model, prompts).mean, induction_threshold(model, prompts)
    roles = {
        "previous_token": choose_heads(
            {"attention to the previous token": previous}, previous > PREVIOUS,
            criterion=f"mean attention to the previous token above {PREVIOUS} on random tokens",
            by="attention to the previous token", candidates=1, at="NEXT",
        ),
        "induction": choose_heads(
            {"induction score": induction, "threshold": np.full_like(induction, threshold)}, induction > threshold,
            criterion=(
                f"mean attention to the token after the earlier occurrence, on repeated random tokens, above {TIMES:g} times what the "
                "highest of all heads gives to that place where nothing is repeated, and above an even share of the tokens"
            ),
            by="induction score", candidates=2, at="END",
        ),
    }  # fmt: skip
    return Found(roles, prompts, options=own)
