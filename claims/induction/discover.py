"""Find previous-token and induction heads on random tokens and record them: mechcheck discover induction MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those.
"""

from mechcheck import Found, choose_heads, induction_prompts, induction_scores, previous_token_scores

PROMPTS, SEED = 300, 0
PREVIOUS, INDUCTION = 0.4, 0.3


def find(model) -> Found:
    prompts = induction_prompts(model, n=PROMPTS, seed=SEED, split="discover")
    previous = previous_token_scores(model, prompts.reference).mean
    induction = induction_scores(model, prompts).mean
    roles = {
        "previous_token": choose_heads(
            {"attention to the previous token": previous}, previous > PREVIOUS,
            criterion=f"mean attention to the previous token above {PREVIOUS} on random tokens",
            by="attention to the previous token", candidates=1, at="NEXT",
        ),
        "induction": choose_heads(
            {"induction score": induction}, induction > INDUCTION,
            criterion=f"mean attention to the token after the earlier occurrence above {INDUCTION} on repeated random tokens",
            by="induction score", candidates=2, at="END",
        ),
    }  # fmt: skip
    return Found(roles, prompts)
