"""Layers that there is no room for are made again: the same numbers to the bit, in the bytes that were said."""

import numpy as np
import pytest
import torch
from tiny import random_prompts

from mechcheck import Ablate, Patch, edges, head_patching, heads, ioi_prompts, load_model, mlps, resid, sweep
from mechcheck.base.errors import SelfCheckWarning
from mechcheck.engine import untouched as running
from mechcheck.engine.arithmetic.model import arithmetic
from mechcheck.engine.kept.layers import Kept, Layers
from mechcheck.engine.memory import free_bytes, kept_bytes
from mechcheck.engine.untouched import untouched
from mechcheck.engine.untouched_cache import forget_runs, untouched_run

LENGTHS = (9, 12, 7, 12)


@pytest.fixture
def room(monkeypatch):
    """room(bytes): what a run may keep of whole layers from here on."""

    def give(bytes_: int) -> None:
        forget_runs()
        monkeypatch.setattr(running, "kept_bytes", lambda device: bytes_)

    yield give
    forget_runs()


def test_what_is_kept_of_a_run_is_what_is_said_to_the_byte(tiny, layout, room):
    """By the shapes: the stream that enters each layer; of whole layers keys, values, heads, both outputs, the norm of neurons too."""
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    known, cfg = arithmetic(model), model.cfg
    cells, size = prompts.tokens.numel(), known.w_u.element_size()
    enters = cells * cfg.d_model * size
    mlp = 0 if known.layers[0].mlp is None else cells * (cfg.d_model + 1) * size
    whole = 2 * enters + mlp + cells * (2 * known.n_kv_heads + known.n_heads) * known.d_head * size
    for layers in range(cfg.n_layers + 1):
        room(layers * whole)
        run = untouched(model, known, prompts)
        assert run.layers.nbytes == layers * whole + (cfg.n_layers - layers) * enters
        room(layers * whole + whole - 1)
        assert untouched(model, known, prompts).layers.nbytes == run.layers.nbytes


def test_a_layer_that_is_made_again_is_the_same_to_the_bit(tiny, layout, room):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    known = arithmetic(model)
    kept = untouched(model, known, prompts).layers
    room(0)
    again = untouched(model, known, prompts).layers
    for one, other in zip(again, kept, strict=True):
        assert all((a is None) == (b is None) and (a is None or torch.equal(a, b)) for a, b in zip(one, other, strict=True))
    assert (kept.made_again, again.made_again) == (0, len(known.layers))


def alike_in_any_room(model, prompts, variants, room):
    """The same sweeps with all that a run has kept, and with none of its layers whole."""
    found = []
    for bytes_ in (2**30, 0):
        room(bytes_)
        found.append([sweep(model, prompts, variants, batch=2), head_patching(model, prompts).values])
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)
    assert untouched_run(model, arithmetic(model), prompts).layers.made_again > 0


def test_sweeps_are_the_same_to_the_bit(tiny, layout, room, recwarn):
    """Patches from prompts that begin alike, which take what they have in common from the run, too; cells are checked with plain hooks."""
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    variants = [[], [Patch(heads("0.1"))], [Patch(heads("1.0@END"))], [Ablate(heads("0.0"), "zero")], [Patch(resid("1@B"))]]
    variants += [[Ablate(mlps("0@END"), "zero")], [Patch(edges("0.0->1.1.v"))]] if arithmetic(model).causal else []
    alike_in_any_room(model, prompts, variants, room)
    assert not [one for one in recwarn.list if one.category is SelfCheckWarning]


def test_sixteen_bits_too(room, recwarn):
    model = load_model("names-gpt2-seed4", dtype="bfloat16")
    prompts = ioi_prompts(model, n=6, seed=0)
    alike_in_any_room(model, prompts, [[Patch(heads(f"{layer}.{head}@END"))] for layer in range(2) for head in range(4)], room)
    assert not [one for one in recwarn.list if one.category is SelfCheckWarning]


def test_later_layers_are_kept_first():
    def kept(at: int) -> Kept:
        return Kept(*(torch.full((1, 2), float(at)) for _ in range(7)))

    made = []
    layers = Layers(lambda number, entering: made.append((number, float(entering[0, 0]))) or kept(number), room=2 * 7 * 8 + 1)
    for number in range(4):
        layers.add(kept(number))
    assert layers.nbytes == 2 * 7 * 8 + 2 * 8
    assert [float(layers[at].z[0, 0]) for at in (3, 2, 1, 1, 0, 1, -1)] == [3, 2, 1, 1, 0, 1, 3]
    assert made == [(1, 1.0), (0, 0.0), (1, 1.0)]  # the one that was made last is there still
    assert [float(layers.entering(at)[0, 0]) for at in range(4)] == [0, 1, 2, 3]
    assert len(made) == layers.made_again == 3


def test_the_room_is_what_blocks_of_prompts_are_made_for():
    device = torch.device("cpu")
    assert kept_bytes(device) == 2 * free_bytes(device) <= 2**29
