"""Hypotheses: what a node is, and what does not fit together."""

import pytest

from mechcheck.base.errors import CircuitError, SiteError
from mechcheck.circuits.hypotheses.trees import Node, check_hypothesis, everything, nothing
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import Sites, heads
from mechcheck.prompts.one import Prompt

PROMPT = Prompt((4, 5, 6), {"A": 0, "B": 2}, "t", "id")


def test_what_matters_is_a_token_some_tokens_or_a_function():
    assert Node(matters="B").feature(PROMPT) == (6,)
    assert Node(matters=("A", "B")).feature(PROMPT) == (4, 6)
    assert Node(matters=lambda prompt: prompt["A"] % 2).feature(PROMPT) == 0
    assert Node().feature(PROMPT) == everything(PROMPT) == (4, 5, 6)
    assert nothing(PROMPT) == nothing(Prompt((1,), {}, "u", "other"))


def test_a_tree_is_walked_from_its_readers():
    leaf = Node("0.0->1.0.k@A 0.0->1.0.q", "A")
    root = Node(reads=[Node(edges("1.0->logits@B"), reads=[leaf]), Node("mlp0->logits")])
    assert [path for path, _ in root.every] == [
        "logits", "logits < 1.0->logits@B", "logits < 1.0->logits@B < 0.0->1.0.k@A 0.0->1.0.q", "logits < mlp0->logits",
    ]  # fmt: skip
    assert leaf.senders == heads("0.0@A") | heads("0.0")
    assert root.senders == root.along == Sites()
    assert leaf.along == edges("0.0->1.0.k@A 0.0->1.0.q")


@pytest.mark.parametrize(
    ("make", "error", "why"),
    [
        (lambda: Node(heads("0.1")), CircuitError, "named by edges into what reads it"),
        (lambda: Node(Sites()), CircuitError, "named by edges"),
        (lambda: Node(reads=["0.1->logits"]), CircuitError, "a node reads nodes.*got str"),
        (lambda: Node(matters=3), CircuitError, "a named position, several, or a function of a prompt, got 3"),
        (lambda: Node(matters=["A", 3]), CircuitError, "a named position, several"),
        (lambda: Node("1.0->0.1.q"), SiteError, "a receiver comes behind its senders"),  # so that no tree runs in a circle
        (lambda: Node("0.1"), SiteError, "as an edge"),
    ],
)
def test_what_is_no_node_is_refused(make, error, why):
    with pytest.raises(error, match=why):
        make()


@pytest.mark.parametrize(
    ("reads", "error", "why"),
    [
        ([Node("0.1->1.0.q")], CircuitError, "edge 0.1->1.0.q does not lead into logits"),
        ([Node("1.0->logits", reads=[Node("0.1->1.1.q")])], CircuitError, "does not lead into 1.0->logits"),
        ([Node("1.0->logits", reads=[Node("0.1->mlp1")])], CircuitError, "does not lead into"),
        ([Node("mlp1->logits", reads=[Node("0.1->1.0.q")])], CircuitError, "does not lead into"),
        ([Node("resid1->logits", reads=[Node("0.1->mlp0")])], CircuitError, "does not lead into"),
        ([Node("1.0->logits", reads=[Node("0.1->logits")])], CircuitError, "does not lead into"),
        ([Node("1.0->logits", reads=[Node()])], CircuitError, "the logits are read by nobody"),
        ([Node("1.0->logits"), Node("1.0->logits@A")], CircuitError, "is there twice among what logits reads"),
        ([Node("1.0->logits", reads=[Node("0.1->1.0.q"), Node("0.1-2->1.0.q")])], CircuitError, "is there twice"),
        ([Node("5.0->logits")], SiteError, "no layer 5"),
    ],
)
def test_what_does_not_fit_together_is_refused(tiny, reads, error, why):
    model = tiny("gpt2")
    with pytest.raises(error, match=why):
        check_hypothesis(model, graph(model), Node(reads=reads))


def test_keys_and_values_belong_to_the_heads_of_their_group(tiny):
    model = tiny("llama")
    known = graph(model)
    for kv, ours, others in ((0, (0, 1), (2, 3)), (1, (2, 3), (0, 1))):
        for head in ours:
            check_hypothesis(model, known, Node(reads=[Node(f"1.{head}->logits", reads=[Node(f"0.3->1.{kv}.kv 0.3->1.{head}.q")])]))
        for head in others:
            with pytest.raises(CircuitError, match="does not lead into"):
                check_hypothesis(model, known, Node(reads=[Node(f"1.{head}->logits", reads=[Node(f"0.3->1.{kv}.k")])]))
    whole = Node(reads=[Node("attn1->logits", reads=[Node("0.3->1.0.qk 0.3->1.1.v")])])
    check_hypothesis(model, known, whole)
    (child,) = whole.reads
    assert child.into(known, *child.senders) == edges("0.3->1.0.qk 0.3->1.1.v")
    assert whole.into(known, None) == edges("attn1->logits")
