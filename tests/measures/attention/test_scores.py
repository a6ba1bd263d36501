"""QK scores against queries and keys taken from the Hugging Face modules, rotated and scaled by hand."""

import pytest
import torch
from tiny import SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import HookError, SiteError
from mechcheck.engine.run import capture
from mechcheck.measures.attention import scores as _scores
from mechcheck.measures.attention.patterns import attention
from mechcheck.measures.attention.scores import attention_scores
from mechcheck.models.loading import load_model, provenance
from mechcheck.notation.interventions import Ablate, Scale
from mechcheck.notation.sites import Site, Sites, heads, queries
from mechcheck.prompts.prompt_set import PromptSet

LENGTHS = (7, 9, 12, 9)


ROTATED = {"gpt2": 0, "neox": 4, "llama": 8}


def rotated(x: torch.Tensor, dim: int) -> torch.Tensor:
    """[prompt, pos, d_head] turned by its position, as GPT-NeoX and Llama do it: halves, base 10000, the first `dim` components."""
    turned, rest = x[..., :dim], x[..., dim:]
    speed = 10000.0 ** (-torch.arange(0, dim, 2, dtype=x.dtype) / dim)
    angle = torch.arange(x.shape[1], dtype=x.dtype)[:, None] * speed
    cos, sin = angle.cos().repeat(1, 2), angle.sin().repeat(1, 2)
    first, second = turned.chunk(2, -1)
    return torch.cat([turned * cos + torch.cat([-second, first], -1) * sin, rest], -1)


@pytest.mark.parametrize("processing", ["raw", "folded"])
def test_scores_are_scaled_products_of_queries_and_keys(tiny, layout, processing):
    model, prompts = tiny(layout, processing=processing), random_prompts(1, LENGTHS)
    found = attention_scores(model, prompts, heads("0.1 1.2"))
    for i, (layer, head) in enumerate([(0, 1), (1, 2)]):
        group = model.cfg.n_heads // (model.cfg.n_key_value_heads or model.cfg.n_heads)
        sites = [Site("q", layer, head), Site("k", layer, head // group)]
        q, k = (capture(model, prompts, Sites([site]))[site] for site in sites)
        if ROTATED[layout]:
            q, k = rotated(q, ROTATED[layout]), rotated(k, ROTATED[layout])
        for row, length in enumerate(LENGTHS):
            for a in range(12):
                for b in range(12):
                    score = found[row, i, a, b]
                    if b <= a < length:
                        expected = float(q[row, a] @ k[row, b]) / q.shape[-1] ** 0.5
                        assert score == pytest.approx(expected, abs=1e-5 if layout == "neox" else max(1e-9, 20 * SAME_FORWARD[layout]))
                    else:
                        assert score == -torch.inf
    seen = found[found.isfinite()]
    assert seen.std() > 0.1


def test_their_softmax_is_attention_also_under_interventions(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    for what in ((), Ablate(heads("0.0-1")), Scale(queries("1.0"), 3.0)):
        scores, pattern = (measure(model, prompts, "1.0 1.1", what) for measure in (attention_scores, attention))
        torch.testing.assert_close(scores.softmax(-1).nan_to_num(0.0), pattern, rtol=0, atol=1e-6)
    tripled, plain = attention_scores(model, prompts, "1.0", Scale(queries("1.0"), 3.0)), attention_scores(model, prompts, "1.0")
    torch.testing.assert_close(tripled, 3 * plain, rtol=0, atol=max(1e-9, 1000 * SAME_FORWARD[layout]))


def test_an_encoder_whose_own_hook_carries_shares():
    model = load_model("sentences-bert", processing="raw")
    texts = ["the box is not open", "it is open"]
    prompts = PromptSet.from_text(model, texts, pad=True)
    scores, pattern = (measure(model, prompts, "1.0 2.3") for measure in (attention_scores, attention))
    assert provenance(model).name == "sentences-bert"
    torch.testing.assert_close(scores.softmax(-1).nan_to_num(0.0), pattern, rtol=0, atol=1e-5)
    length = int(prompts.lengths[1])
    assert scores[1, :, :length, :length].isfinite().all()
    assert (scores[1, :, :, length:] == -torch.inf).all()
    assert (scores[0].exp().sum(-1) - 1).abs().max() > 0.1  # they are no shares


def test_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(1, LENGTHS)
    found, expected = (attention_scores(model, some, "0.0 1.1") for some in (with_other_padding(prompts, 9), prompts))
    torch.testing.assert_close(found[..., :12, :12], expected, rtol=0, atol=100 * SAME_FORWARD[layout])
    assert (found[..., 12:] == -torch.inf).all()


def test_attention_that_is_no_softmax_of_scores_is_an_error(tiny, monkeypatch):
    monkeypatch.setattr(_scores, "pattern_hook", lambda layer: f"blocks.{1 - layer}.attn.hook_pattern")
    with pytest.raises(HookError, match=r"the attention of head 0\.1 is not the softmax of its scores"):
        attention_scores(tiny("gpt2"), random_prompts(1, LENGTHS), "0.1")


def test_errors(tiny):
    with pytest.raises(SiteError, match="no heads are given"):
        attention_scores(tiny("gpt2"), random_prompts(1, LENGTHS), "")
