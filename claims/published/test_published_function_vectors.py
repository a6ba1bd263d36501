"""Todd et al. 2023 on GPT-J: heads that carry a relation from examples. Borders were written beforehand, in function_vectors.toml."""

import pytest

from mechcheck import Patch, claim, heads, probability, published, run

TODD = published("function_vectors")
OTHERS = "15.6 9.15 12.11 8.2 11.1 13.14 8.3 14.10 9.3 24.7"  # of the same layers, and not on the authors' list


def raised(model, prompts, which):
    """By how much these heads' outputs at END, from the prompts, raise the answer's probability where the answers are shuffled."""
    shuffled, patch = prompts.counterfactual, Patch(heads(which, at="END"), prompts)
    with_heads, without = (run(model, shuffled, what, probability) for what in (patch, ()))
    return (with_heads - without).named("answer's probability, by these heads")


@pytest.mark.parametrize("which", [TODD["ten_heads"].heads], ids=["ten"])
@claim(**TODD.said("ten_heads"), decoy={"which": OTHERS})
def test_ten_heads_carry_the_relation(model, prompts, check, which):
    check.above(raised(model, prompts, which), TODD["ten_heads"].low)


@pytest.mark.parametrize("which", [TODD["first_head"].heads])
@claim(**TODD.said("first_head"), decoy={"which": "15.6"})
def test_the_first_head_alone(model, prompts, check, which):
    check.between(raised(model, prompts, which), *TODD["first_head"].bounds)
