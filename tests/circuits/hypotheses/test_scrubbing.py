"""Causal scrubbing against its recursion written out: one prompt, one node and one run at a time, by TransformerLens' hooks alone."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from scrubbed_by_hand import ByHand, in_turn
from tiny import SAME_FORWARD, random_prompts, with_other_padding

from mechcheck.base.errors import CircuitError, MechcheckError, SiteError
from mechcheck.circuits.hypotheses import scrubbing
from mechcheck.circuits.hypotheses.scrubbing import causal_scrubbing
from mechcheck.circuits.hypotheses.trees import Node, everything, nothing
from mechcheck.engine.run import run
from mechcheck.models.loading import load_model
from mechcheck.notation.metrics import kl_divergence, logit_diff, loss
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.tasks.induction import repeated_tokens

LENGTHS = (8,) * 5 + (6,) * 5
DEEP = {"gpt2": ("0.1", "1.0"), "llama": ("0.0", "1.0"), "neox": ("0.1", "1.0")}
"""Which values 0.1 reads, and which keys 1.0: with grouped queries those of the group."""


def some_prompts(seed: int = 4) -> PromptSet:
    """Few tokens, so that prompts agree on some."""
    return random_prompts(seed, LENGTHS, alphabet=6, per_template=5)


def deep(layout: str) -> Node:
    """Senders of two layers in one node, MLPs that are computed, named positions and all of them."""
    value, key = DEEP[layout]
    heads = Node("1.0->logits@END 0.1->logits@END", "A", [
        Node("0.2->1.0.q@END", "B", [Node("input->0.2.q@END", "END")]),
        Node(f"0.1->1.{key[2:]}.k@B mlp0->1.{key[2:]}.k@B", ("A", "B")),
        Node(f"input->0.{value[2:]}.v@A", lambda prompt: prompt["A"] % 2),
    ])  # fmt: skip
    if layout == "neox":  # whose MLPs read what the heads of their layer read
        return Node(reads=[heads])
    return Node(reads=[
        heads,
        Node("mlp0->logits", "END", [Node("0.2->mlp0@END input->mlp0@A", nothing)]),
        Node("mlp1->logits@B", everything, [Node("1.0-1->mlp1@B", "B"), Node("0.0->mlp1", "A")]),
    ])  # fmt: skip


@pytest.mark.parametrize(("layout", "together"), [*((layout, False) for layout in DEEP), ("gpt2", True)])
def test_it_is_the_recursion_written_out(tiny, monkeypatch, layout, together):
    monkeypatch.setattr(scrubbing, "drawn", in_turn)
    model, prompts, hypothesis = tiny(layout), some_prompts(), deep(layout)
    by_hand = ByHand(model, prompts, together=together)
    found = causal_scrubbing(model, prompts, hypothesis, together=together, draws=1)
    atol = 20 * SAME_FORWARD[layout]
    expected = [by_hand.logit_diff(hypothesis, row) for row in range(len(prompts))]
    assert len({round(value, 3) for value in expected}) > 5
    np.testing.assert_allclose(found.scrubbed.values, expected, rtol=0, atol=atol)
    np.testing.assert_allclose(found.whole.values, run(model, prompts).values, rtol=0, atol=atol)
    others = [by_hand.next(Node(matters=nothing), row) for row in range(len(prompts))]
    answers = replace(prompts[others], answers=prompts.answers, foils=prompts.foils)
    np.testing.assert_allclose(found.random.values, run(model, answers).values, rtol=0, atol=atol)


@pytest.mark.parametrize("metric", [logit_diff, loss, kl_divergence], ids=lambda metric: metric.name)
def test_the_model_itself_recovers_all_and_nothing_recovers_nothing(tiny, layout, metric):
    model, prompts = tiny(layout), some_prompts()
    whole = causal_scrubbing(model, prompts, Node(), metric=metric, draws=2)
    none = causal_scrubbing(model, prompts, Node(matters=nothing), metric=metric, draws=2)
    assert whole.recovered.mean == 1.0
    assert whole.interval == (1.0, 1.0)
    assert whole.alone == {}
    assert none.recovered.mean == pytest.approx(0.0, abs=1e-9)
    assert none.interval == pytest.approx((0.0, 0.0), abs=1e-9)
    np.testing.assert_allclose(none.random.values, whole.random.values, rtol=0, atol=SAME_FORWARD[layout])


def test_a_tree_of_all_edges_is_the_model(tiny):
    """Every part of the last layer is computed from everything that it reads, and all of it is the prompt's own."""
    model, prompts = tiny("gpt2"), some_prompts()
    parts = [
        Node("1.0-2->logits", everything, [Node("input->1.0-2.qkv 0.0-2->1.0-2.qkv mlp0->1.0-2.qkv")]),
        Node("mlp1->logits", everything, [Node("input->mlp1 0.0-2->mlp1 mlp0->mlp1 1.0-2->mlp1")]),
        Node("input->logits 0.0-2->logits mlp0->logits"),
    ]
    found = causal_scrubbing(model, prompts, Node(reads=parts), draws=1)
    np.testing.assert_allclose(found.scrubbed.values, found.whole.values, rtol=0, atol=1e-9)
    without = causal_scrubbing(model, prompts, Node(reads=parts[:2]), draws=1)
    assert np.abs(without.scrubbed.values - without.whole.values).max() > 0.1


def test_a_layers_attention_is_all_its_heads(tiny, monkeypatch):
    monkeypatch.setattr(scrubbing, "drawn", in_turn)  # else draws depend on what a node is called
    model, prompts = tiny("gpt2"), some_prompts()
    inputs = [Node("0.1->1.0-2.qk@A", "A"), Node("mlp0->1.0-2.v@B", "B")]
    trees = [Node(reads=[Node(senders, "END", inputs)]) for senders in ("attn1->logits", "1.0-2->logits")]
    one, other = (causal_scrubbing(model, prompts, tree, draws=1) for tree in trees)
    np.testing.assert_allclose(one.scrubbed.values, other.scrubbed.values, rtol=0, atol=1e-9)
    assert not np.allclose(one.scrubbed.values, one.whole.values)


def test_draws_repeat_and_know_no_order(tiny):
    model, prompts, hypothesis = tiny("gpt2"), some_prompts(), deep("gpt2")
    first = causal_scrubbing(model, prompts, hypothesis, draws=3, seed=5)
    again = causal_scrubbing(model, prompts, hypothesis, draws=3, seed=5)
    np.testing.assert_array_equal(first.draws, again.draws)
    assert first.interval == again.interval
    order = [7, 2, 9, 0, 5, 1, 8, 3, 6, 4]
    turned = causal_scrubbing(model, prompts[order], hypothesis, draws=3, seed=5)
    np.testing.assert_allclose(turned.draws, first.draws[:, order], rtol=0, atol=1e-9)
    other = causal_scrubbing(model, prompts, hypothesis, draws=3, seed=6)
    assert not np.allclose(other.draws, first.draws)
    np.testing.assert_array_equal(first.scrubbed.values, first.draws.mean(0))
    expected = (first.draws.mean(1) / (first.whole.values - first.random.values).mean()).std()
    assert first.spread == pytest.approx(expected)
    assert "3 draws" in str(first)


def test_a_pool_has_more_to_draw_from(tiny):
    model, pool = tiny("gpt2"), random_prompts(9, (8,) * 40, alphabet=6, per_template=40)
    hypothesis = Node(reads=[Node("1.0->logits@END", ("A", "B"))])
    few = causal_scrubbing(model, pool[:4], hypothesis, draws=1)
    many = causal_scrubbing(model, pool[:4], hypothesis, pool=pool, draws=1)
    path = "logits < 1.0->logits@END"
    assert few.alone[path] == 4
    assert many.alone[path] < 4
    assert "up to 4 of 4 prompts agree with no other" in str(few)
    assert "agree" not in str(causal_scrubbing(model, pool[:4], Node(matters=nothing), draws=1))
    assert many.scrubbed.ids == pool.ids[:4]
    rest = causal_scrubbing(model, pool[:4], hypothesis, pool=with_other_padding(pool[4:], 7), draws=1)
    np.testing.assert_allclose(rest.draws, many.draws, rtol=0, atol=1e-9)


def test_what_was_built_is_recovered_and_two_swapped_nodes_are_not():
    """Head 1.0 of the compiled model finds what stood behind its own token by what head 0.0 wrote there."""
    model = load_model("compiled-induction")
    pool = repeated_tokens(model, n=700, length=6, seed=0)

    def tree(key: str, value: str, head: str = "0.0") -> Node:
        inputs = [Node(f"{head}->1.0.k@NEXT", key), Node("input->1.0.q@END", "END"), Node("input->1.0.v@NEXT", value)]
        return Node(reads=[Node("1.0->logits@END", reads=inputs)])

    built, swapped, other = (
        causal_scrubbing(model, pool[:30], one, pool=pool, draws=1).recovered.mean
        for one in (tree("FIRST", "NEXT"), tree("NEXT", "FIRST"), tree("FIRST", "NEXT", "0.1"))
    )
    assert built > 0.9
    assert abs(swapped) < 0.15
    assert abs(other) < 0.15


def test_a_head_attends_rightly_for_nothing_where_all_is_taken_from_one_prompt():
    """What the head reads in its value is all that the hypothesis says; of where it looks it says nothing."""
    model = load_model("compiled-induction")
    pool = repeated_tokens(model, n=700, length=6, seed=0)
    value = Node(reads=[Node("1.0->logits@END", reads=[Node("input->1.0.v@NEXT", "NEXT")])])
    apart, together = (
        causal_scrubbing(model, pool[:30], value, pool=pool, draws=1, together=together).recovered.mean for together in (False, True)
    )
    assert together > 0.9
    assert apart < 0.3


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (lambda m, p: causal_scrubbing(m, p, Node(), draws=0), "at least 1"),
        (lambda m, p: causal_scrubbing(m, p, Node(), metric=loss.each_of()), "has a value for each position"),
        (lambda m, p: causal_scrubbing(m, p, Node("1.0->logits")), "begins at the logits"),
        (lambda m, p: causal_scrubbing(m, p, Node(reads=[Node("1.7->logits")])), "no head"),
        (lambda m, p: causal_scrubbing(m, p, Node(reads=[Node("1.0->logits", "NOWHERE")])), "no position 'NOWHERE'"),
        (lambda m, p: causal_scrubbing(m, p, Node(reads=[Node("1.0->logits", lambda prompt: [1])])), "cannot be compared by"),
        (lambda m, p: causal_scrubbing(m, p, Node(reads=[Node("1.0->logits", lambda prompt: 1 // 0)])), "ZeroDivisionError"),
        (lambda m, p: causal_scrubbing(m, p[:1], Node()), "has one only"),
        (lambda m, p: causal_scrubbing(m, p[[0, 0, 0]], Node()), "at least 2 different prompts"),
    ],
)
def test_what_cannot_be_scrubbed_is_refused(tiny, call: Callable, why):
    with pytest.raises(MechcheckError, match=why):
        call(tiny("gpt2"), some_prompts())


def test_answers_of_several_tokens_are_refused(tiny):
    prompts = replace(some_prompts(), answers=torch.empty(0, dtype=torch.long), answer_sets=tuple(((5, 6),) for _ in LENGTHS))
    with pytest.raises(MechcheckError, match="runs of its own"):
        causal_scrubbing(tiny("gpt2"), prompts, Node(), metric=log_odds_of(prompts))


def log_odds_of(prompts):
    from mechcheck.notation.metrics import log_probability

    assert log_probability.of_several_tokens(prompts)
    return log_probability


def test_an_encoder_is_refused(tiny):
    with pytest.raises(SiteError, match="normed after every sum"):
        causal_scrubbing(tiny("bert"), some_prompts(), Node())


def test_a_node_that_nobody_reads_is_refused(tiny):
    with pytest.raises(CircuitError, match="does not lead into"):
        causal_scrubbing(tiny("gpt2"), some_prompts(), Node(reads=[Node("1.0->logits@END", reads=[Node("0.1->1.1.q")])]))
