"""Names that a real tokenizer splits: what text goes on with is what is measured, token by token."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mechcheck import Ablate, PromptSet, heads, load_model, log_odds, run, sweep
from mechcheck.engine.run import plain_hooks

STORIES = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "stories260k"
PAIRS = [("Quentin", "Beatrice"), ("Lily", "Zebedee"), ("Tom", "Olga")]


@pytest.mark.skipif(not STORIES.is_dir(), reason="the stories260k model is not beside this checkout")
def test_split_names_on_stories260k():
    model = load_model(STORIES)
    texts = [f"One day, {a} and {b} went to the park. {b} gave a ball to" for a, b in PAIRS]
    prompts = PromptSet.from_text(
        model, texts, answers=[a for a, _ in PAIRS], foils=[b for _, b in PAIRS], positions={"A": [a for a, _ in PAIRS]},
        whole=["A"], several_tokens=True, after_space=True, pad=True,
    )  # fmt: skip
    sizes = [[len(one) for (one,) in prompts.candidates(what)] for what in ("answers", "foils")]
    assert max(max(some) for some in sizes) > 2
    assert prompts.span("A").sum(1).tolist() == sizes[0]

    def of_text(row: int, name: str) -> float:
        whole, own = (model.tokenizer(text, add_special_tokens=True)["input_ids"] for text in (f"{texts[row]} {name}", texts[row]))
        with torch.no_grad():
            logp = model.original_model(torch.tensor([whole])).logits[0].double().log_softmax(-1)
        return sum(float(logp[at - 1, whole[at]]) for at in range(len(own), len(whole)))

    expected = [of_text(row, a) - of_text(row, b) for row, (a, b) in enumerate(PAIRS)]
    np.testing.assert_allclose(run(model, prompts, metric=log_odds).values, expected, rtol=0, atol=1e-4)
    ablated = [Ablate(heads(f"{layer}.{head}@A")) for layer in range(2) for head in range(2)]
    with plain_hooks():
        slow = sweep(model, prompts, ablated, log_odds)
    np.testing.assert_allclose(sweep(model, prompts, ablated, log_odds), slow, rtol=0, atol=1e-4)
