"""Copy scores from their definition: one position, full attention, W_O, final norm, unembedding, rank."""

import numpy as np
import plain
import pytest
import torch
from plain import value_vectors
from tiny import VOCABULARY, random_prompts, with_other_padding

from mechcheck.base.errors import PromptError
from mechcheck.measures.heads.copying import copying_scores

LENGTHS = (7, 9, 12, 9, 8, 8)


def by_hugging_face(model, prompts, at: str, sign: int) -> np.ndarray:
    """[layer, head, prompt]: rank of the token at `at` in what the head writes when it attends to that position alone.

    The attention output is computed by the model's own output projection, from z set to the head's values.
    """
    config, base = model.config, model.base_model
    n_heads, d_head = config.num_attention_heads, config.hidden_size // config.num_attention_heads
    group = n_heads // getattr(config, "num_key_value_heads", n_heads)
    final_norm = next(getattr(base, name) for name in ("ln_f", "final_layer_norm", "norm") if hasattr(base, name))
    ranks = np.zeros((config.num_hidden_layers, n_heads, len(prompts)), dtype=int)
    for layer, block in enumerate(plain.blocks(model)):
        project = plain._output_projection(block)
        values = value_vectors(model, block, prompts)  # [prompt, pos, kv head, d_head]
        for head in range(n_heads):
            for row in range(len(prompts)):
                position = int(prompts.positions[at][row])
                z = torch.zeros(1, n_heads * d_head, dtype=torch.float64)
                z[0, head * d_head : (head + 1) * d_head] = values[row, position, head // group]
                with torch.no_grad():
                    written = project(z) - project(torch.zeros_like(z))  # without the output bias
                    logits = model.get_output_embeddings()(final_norm(sign * written))[0]
                ranks[layer, head, row] = (logits > logits[prompts.tokens[row, position]]).sum()
    return ranks


@pytest.mark.parametrize("negative", [False, True])
@pytest.mark.parametrize("top", [1, 5, 20])
def test_scores_follow_the_definition(tiny, hugging_face, layout, negative, top):
    prompts = random_prompts(6, LENGTHS)
    ranks = by_hugging_face(hugging_face(layout), prompts, "A", -1 if negative else 1)
    found = copying_scores(tiny(layout, processing="raw"), prompts, at="A", top=top, negative=negative)
    np.testing.assert_array_equal(found.values, ranks < top)
    assert found.name == ("negative copy score at A" if negative else "copy score at A")


def test_every_token_is_among_all_of_them(tiny, layout):
    prompts = random_prompts(6, LENGTHS)
    assert (copying_scores(tiny(layout), prompts, at="B", top=len(VOCABULARY)).values == 1).all()
    assert (copying_scores(tiny(layout), prompts, at="B", top=0).values == 0).all()


def test_padding_changes_nothing(tiny, layout):
    model, prompts = tiny(layout), random_prompts(6, LENGTHS)
    found = [copying_scores(model, some, at="A").values for some in (prompts, with_other_padding(prompts, 9))]
    np.testing.assert_array_equal(*found)


def test_a_position_that_is_missing_is_an_error(tiny):
    with pytest.raises(PromptError, match="no position 'IO'"):
        copying_scores(tiny("gpt2"), random_prompts(6, LENGTHS))
