"""A model's shape has the weights that the model has."""

import pytest
from tiny import LAYOUTS, MORE_LAYOUTS

from mechcheck.base.shape import Shape, shape_of


@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_the_weights_of_a_layer(tiny, layout):
    model = tiny(layout)
    shape, block = shape_of(model), model.blocks[0]
    attention = sum(w.numel() for w in (block.attn.W_Q, block.attn.W_K, block.attn.W_V, block.attn.W_O))
    mlp = [block.mlp.W_in, block.mlp.W_out, *([] if block.mlp.W_gate is None else [block.mlp.W_gate])]
    assert shape.layer_weights == attention + sum(w.numel() for w in mlp)
    assert shape.head_weights == model.W_U.numel() + (model.cfg.d_model**2 if layout == "bert" else 0)


def test_a_pass_by_hand():
    """One layer of d_model 4, two heads of 3 and one of keys and values, an MLP of 5 with a gate, 7 tokens; two rows of 6 tokens."""
    shape = Shape(layers=1, d_model=4, heads=2, kv_heads=1, d_head=3, d_mlp=5, gated=True, vocabulary=7)
    attention = 2 * 4 * 6 + 2 * 4 * 6 + 2 * 6 * 4  # q, k and v, o for one token
    assert shape.operations(2, 6, 0) == 2 * (6 * (attention + 3 * 2 * 4 * 5) + 4 * 6 * 6 * 6)
    assert shape.operations(2, 6, 1) - shape.operations(2, 6, 0) == 2 * 2 * 4 * 7
    assert shape.operations(2, 6, 0, layers=0) == 0
