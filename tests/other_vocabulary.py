"""A model whose tokenizer numbers the words otherwise: the same function of the same text."""

from pathlib import Path

import torch
from tiny import VOCABULARY, save_tokenizer

from mechcheck.prompts.prompt_set import PromptSet

# Special tokens stay where they are, the words stand the other way round, and one of them is spelt otherwise.
ORDER = (0, 1, 2, *range(len(VOCABULARY) - 1, 2, -1))
RENAMED = {"z": "zz"}


def save_renumbered(source: Path, directory: Path) -> None:
    """The model in `source` with its vocabulary in another order."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(source)
    with torch.no_grad():
        for embedding in (model.get_input_embeddings(), model.get_output_embeddings()):
            embedding.weight.copy_(embedding.weight[list(ORDER)].clone())
    model.save_pretrained(directory)
    save_tokenizer(directory, [RENAMED.get(VOCABULARY[token], VOCABULARY[token]) for token in ORDER])


def renumbered(prompts: PromptSet) -> PromptSet:
    """The same text as the other tokenizer numbers it."""
    number = {old: new for new, old in enumerate(ORDER)}
    words = dict(enumerate(VOCABULARY[token] for token in ORDER))

    def translate(one: PromptSet | None) -> PromptSet | None:
        if one is None:
            return None
        rows = [[number[t] for t in row[:length]] for row, length in zip(one.tokens.tolist(), one.lengths.tolist(), strict=True)]
        return PromptSet.from_tokens(
            rows,
            answers=[number[t] for t in one.answers.tolist()],
            foils=[number[t] for t in one.foils.tolist()],
            positions=one.positions,
            templates=one.templates,
            pad=0,
            decode=words,
            counterfactual=translate(one.counterfactual),
            reference=translate(one.reference),
        )

    found = translate(prompts)
    assert found is not None
    return found
