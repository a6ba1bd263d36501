"""A model with a broken weight: every measure of the prompts that meet it is NaN, never a plausible number."""

import numpy as np
import pytest
import torch
from tiny import VOCABULARY, save_model, save_tokenizer

from mechcheck.engine.run import run
from mechcheck.measures.attention.patterns import attention_to, attention_to_positions
from mechcheck.measures.attention.targets import induction_scores, previous_token_scores
from mechcheck.measures.causal.patching import head_patching
from mechcheck.measures.heads.copying import copying_scores
from mechcheck.measures.stream.attribution import direct_logit_attribution
from mechcheck.measures.stream.lens import logit_lens
from mechcheck.models.loading import load_model
from mechcheck.notation import metrics as _metrics
from mechcheck.prompts.prompt_set import PromptSet

BROKEN = VOCABULARY.index("drink")


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Its embedding of one token is NaN."""
    directory = tmp_path_factory.mktemp("broken")
    save_model("gpt2", directory)
    save_tokenizer(directory)
    model = load_model(directory)  # which refuses weights that are no numbers already
    with torch.no_grad():
        model.embed.weight[BROKEN] = np.nan
    return model


def build(rows, **others) -> PromptSet:
    return PromptSet.from_tokens(rows, answers=[20, 21], foils=[22, 23], positions={"A": [2, 2]}, **others)


PROMPTS = build([[1, 8, BROKEN, 9, 8], [1, 8, 5, 9, 8]], counterfactual=build([[1, 9, 9, 9, 8], [1, 9, 9, 9, 8]]))

MEASURES = {
    **{name: lambda model, name=name: run(model, PROMPTS, metric=getattr(_metrics, name)).values
       for name in ("logit_diff", "probability", "foil_probability", "log_probability", "rank", "correct", "kl_divergence")},
    "attention": lambda model: attention_to(model, PROMPTS, "1.0", key="A").values,
    "attention to positions": lambda model: attention_to_positions(model, PROMPTS, "END", ["A"])[1],
    "previous token": lambda model: previous_token_scores(model, PROMPTS).values[1],
    "induction": lambda model: induction_scores(model, PROMPTS).values[1],
    "copying": lambda model: copying_scores(model, PROMPTS, at="A").values,
    "attribution": lambda model: direct_logit_attribution(model, PROMPTS).total.values,
    "patching": lambda model: head_patching(model, PROMPTS, positions="END").values,
    "lens": lambda model: logit_lens(model, PROMPTS).rank[1:],
}  # fmt: skip


@pytest.mark.parametrize("name", MEASURES)
def test_nan_is_not_swallowed(model, name):
    values = MEASURES[name](model)
    assert np.isnan(values[..., 0]).all()
    assert np.isfinite(values[..., 1]).all()
