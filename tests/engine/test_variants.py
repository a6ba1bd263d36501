"""Where a variant begins, and what it begins with."""

import pytest
import torch
from tiny import random_prompts

from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.edit import Edit
from mechcheck.engine.untouched import untouched
from mechcheck.engine.variants import Join, serves, variant
from mechcheck.notation.sites import Site

LENGTHS = (7, 7, 9, 9)
PLACES = {
    "resid_pre": Join.INPUT, "q": Join.INPUT, "k": Join.INPUT, "v": Join.INPUT, "head": Join.HEADS, "attn_out": Join.HEADS,
    "neuron": Join.BETWEEN, "mlp_out": Join.MLP_OUT, "resid_post": Join.OUTPUT,
}  # fmt: skip


@pytest.mark.parametrize(("kind", "join"), PLACES.items())
def test_where_an_edit_joins(kind, join):
    assert Join.of(kind, parallel=False) is join
    assert Join.of(kind, parallel=True) is (Join.INPUT if kind == "neuron" else join)


def begin(tiny, layout, *edits):
    prompts = random_prompts(2, LENGTHS)
    return prompts, variant(arithmetic(tiny(layout)), prompts, 5, edits)


def test_a_variant_begins_at_its_first_layer_and_at_the_first_place_there(tiny):
    edits = [Edit(Site("mlp_out", 1, None, "B")), Edit(Site("head", 1, 0, "END")), Edit(Site("resid_post", 1, None, "END"))]
    prompts, found = begin(tiny, "gpt2", *edits)
    assert found[:4] == (5, tuple(edits), 1, Join.HEADS)
    assert found.start.tolist() == prompts.position("B").tolist()
    assert begin(tiny, "gpt2", *edits, Edit(Site("mlp_out", 0, None, "END")))[1][2:4] == (0, Join.MLP_OUT)
    assert begin(tiny, "neox", Edit(Site("neuron", 0, 3, "END")), Edit(Site("q", 1, 0, "END")))[1].join is Join.INPUT


def test_a_variant_begins_where_its_values_differ_and_an_encoders_at_the_beginning(tiny):
    starts = torch.tensor([3, 2, 5, 6])
    assert begin(tiny, "gpt2", Edit(Site("head", 0, 0), start=starts))[1].start.tolist() == [3, 2, 5, 6]
    assert begin(tiny, "gpt2", Edit(Site("head", 0, 0), start=starts), Edit(Site("head", 0, 1)))[1].start.tolist() == [0, 0, 0, 0]
    assert begin(tiny, "bert", Edit(Site("head", 0, 0, "END")))[1].start.tolist() == [0, 0, 0, 0]


@pytest.mark.parametrize("layout", ["gpt2", "neox"])
def test_what_rows_bring_goes_on_to_the_untouched_stream(tiny, layout):
    """From what is brought at any place the rest of the block is the untouched run's."""
    model, prompts = tiny(layout), random_prompts(2, LENGTHS)
    known = arithmetic(model)
    base = untouched(model, known, prompts)
    layer, kept, after = known.layers[0], base.layers[0], base.layers[1].resid_pre

    def brought(join):
        return [join.brings(what, base, 0) for what in ("stream", "z", "mlp_out")]

    def same(found, expected):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)

    assert [part is not None for part in brought(Join.INPUT)] == [True, False, False]
    stream, z, mlp_out = brought(Join.HEADS)
    assert (mlp_out is not None) == known.parallel
    between = known.after_attention(layer, stream, layer.o(z))
    same(known.after_mlp(layer, between, layer.mlp.out(known.neurons(layer, between)) if mlp_out is None else mlp_out), after)
    if not known.parallel:
        stream, z, mlp_out = brought(Join.BETWEEN)
        assert z is mlp_out is None
        same(known.after_mlp(layer, stream, layer.mlp.out(known.neurons(layer, stream))), after)
    stream, z, mlp_out = brought(Join.MLP_OUT)
    assert z is None
    same(known.after_mlp(layer, stream, mlp_out), after)
    stream, z, mlp_out = brought(Join.OUTPUT)
    assert z is mlp_out is None
    same(stream, after)
    same(kept.resid_pre, brought(Join.INPUT)[0])


def test_what_the_suffix_runner_does_not_serve(tiny):
    order = torch.zeros(4, 9, dtype=torch.long)
    decoder, encoder = arithmetic(tiny("gpt2")), arithmetic(tiny("bert", processing="raw"))
    assert serves(decoder, [Edit(Site("mlp_out", 0))])
    assert not serves(decoder, [Edit(Site("mlp_out", 0)), Edit(Site("head", 0, 0), order=order)])
    assert serves(encoder, [Edit(Site("head", 0, 0)), Edit(Site("resid_post", 0))])
    assert not any(serves(encoder, [Edit(Site(kind, 0, index))]) for kind, index in (("attn_out", None), ("mlp_out", None), ("neuron", 1)))
