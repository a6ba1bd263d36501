"""What prompts must be like: each check lets through what fits, and says what does not."""

import pytest
import torch

from mechcheck.base.errors import PromptError
from mechcheck.prompts.checks import check_aligned, check_counts, check_lengths, check_positions


def test_lengths():
    check_lengths([3, 3], padded=False)
    check_lengths([3, 5], padded=True)
    for lengths in ([], [3, 0]):
        with pytest.raises(PromptError, match="no prompts, or an empty prompt"):
            check_lengths(lengths, padded=True)
    with pytest.raises(PromptError, match=r"prompts of different lengths \(3 to 5 tokens\): give pad=<token id>"):
        check_lengths([4, 5, 3], padded=False)


def test_counts_and_alignment():
    check_counts(2, {"answers": [1, 2], "templates": None, "IO": torch.tensor([0, 1])})
    check_aligned(2, {"counterfactual": None, "reference": ["a", "b"]})
    with pytest.raises(PromptError, match="3 foils for 2 prompts"):
        check_counts(2, {"answers": [1, 2], "foils": [1, 2, 3]})
    with pytest.raises(PromptError, match="the reference has 3 prompts for 2; they must stand one for one"):
        check_aligned(2, {"counterfactual": ["a", "b"], "reference": ["a", "b", "c"]})


@pytest.mark.parametrize(
    ("at", "said"), [([2, -1], "-1 in prompt 1, which has tokens 0-4"), ([3, 4], "3 in prompt 0, which has tokens 0-2")]
)
def test_positions(at, said):
    check_positions({"IO": torch.tensor([2, 4]), "S": torch.tensor([0, 0])}, [3, 5])
    with pytest.raises(PromptError, match=f"position S is {said}"):
        check_positions({"IO": torch.tensor([2, 4]), "S": torch.tensor(at)}, [3, 5])
