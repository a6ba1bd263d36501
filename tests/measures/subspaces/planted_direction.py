"""Tiny models in which one direction of the stream decides the answer, and an MLP whose neurons make the subspace illusion."""

import torch

from mechcheck.models.native import keep_native
from mechcheck.models.native_config import native_config
from mechcheck.models.native_weights import expected_shapes
from mechcheck.prompts.prompt_set import PromptSet

CONFIG = {
    "n_layers": 1, "n_heads": 1, "d_head": 4, "d_model": 8, "n_ctx": 4, "d_vocab": 40, "d_mlp": 4, "act_fn": "relu",
    "normalization_type": None,
}  # fmt: skip
ANSWER, FOIL = 38, 39
DECIDES = torch.tensor([0.5, -0.5, 0.5, 0.5, 0.0, 0.0, 0.0, 0.0])
"""The direction that the unembedding reads."""
GAIN = 3.0
CLASS = torch.tensor([-1.0, 1.0]).repeat(19)
"""Of each word: how far it lies along the direction."""


def write_planted(directory, *, illusion=False):
    """A model whose logit difference is 2 * GAIN times the stream's component along DECIDES.

    With the illusion, neuron 0 is 2 for words of the class +1 and 0 for others, and nobody reads it; neuron 1 is always 1, and
    writes DECIDES.
    """
    weights = {name: torch.zeros(shape) for name, shape in expected_shapes(native_config(CONFIG, hooked=False)).items()}
    noise = 0.3 * torch.randn(38, 8, generator=torch.Generator().manual_seed(3))
    noise -= noise @ DECIDES[:, None] * DECIDES
    weights["embed.weight"][:38] = noise + CLASS[:, None] * DECIDES
    weights["unembed.weight"][ANSWER], weights["unembed.weight"][FOIL] = GAIN * DECIDES, -GAIN * DECIDES
    if illusion:
        weights["blocks.0.mlp.in.weight"][0] = 2 * DECIDES
        weights["blocks.0.mlp.in.bias"][1] = 1.0
        weights["blocks.0.mlp.out.weight"][:, 1] = DECIDES
    return keep_native(weights, CONFIG, directory)


def word_pairs(n, seed, words=range(38)):
    """Prompts of a word of the class +1 (answered ANSWER), whose counterfactuals end in one of the class -1 (answered FOIL)."""
    generator = torch.Generator().manual_seed(seed)
    known = torch.tensor(list(words))
    yes, no = known[CLASS[known] > 0], known[CLASS[known] < 0]

    def rows(of):
        first, last = (some[torch.randint(len(some), (n,), generator=generator)] for some in (known, of))
        return torch.stack([first, last], dim=1)

    clean, other = rows(yes), rows(no)
    other[:, 0] = clean[:, 0]
    answers, foils = [ANSWER] * n, [FOIL] * n
    return PromptSet.from_tokens(
        clean, answers=answers, foils=foils, counterfactual=PromptSet.from_tokens(other, answers=answers, foils=foils)
    )  # fmt: skip
