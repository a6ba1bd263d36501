"""Find previous-token and induction heads on random tokens and record them: python claims/induction/discover.py MODEL ...

The criteria were fixed before the verification prompts were looked at; what claims say is measured on those.
"""

import sys
from pathlib import Path

from mechcheck import choose_heads, induction_prompts, induction_scores, load_model, previous_token_scores, provenance, write_circuit

PROMPTS, SEED = 300, 0
PREVIOUS, INDUCTION = 0.4, 0.3


def main() -> None:
    for name in sys.argv[1:]:
        model = load_model(name)
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
        path = Path(__file__).parent / "circuits" / f"{provenance(model).name}.toml"
        write_circuit(path, model, roles, method="claims/induction/discover.py", prompts=prompts, split="discover")
        print(path.name, {role: (str(r.sites), "met" if r.met else "candidates") for role, r in roles.items()})


if __name__ == "__main__":
    main()
