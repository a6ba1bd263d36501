"""Decoys say something else than the hypothesis, in its own shape."""

import pytest
from tiny import random_prompts

from mechcheck.base.errors import CircuitError
from mechcheck.circuits.hypotheses.hypothesis_decoys import hypothesis_decoys
from mechcheck.circuits.hypotheses.scrubbing import causal_scrubbing
from mechcheck.circuits.hypotheses.trees import Node

PROMPTS = random_prompts(4, (8,) * 6, alphabet=6, per_template=6)


def tree(key="A", query="END", value="B", group=2):
    inputs = [Node("0.2->1.0.k@A", key, [Node(f"input->0.{group}.v@A", "A")]), Node("0.1->1.0.q@END", query), Node("mlp0->1.0.v@B", value)]
    return Node(reads=[Node("1.0->logits@END", reads=inputs)])


def matters_of(root):
    return [node.matters for _, node in root.every][2:]


def test_two_nodes_are_swapped_where_that_makes_a_difference(tiny):
    found = hypothesis_decoys(tiny("gpt2"), PROMPTS, tree(), n=0)
    assert found.random == ()
    # Keys with queries and values, queries with values, and what the keys' own head reads with these two; never a node with its reader.
    assert [matters_of(one) for one in found.swapped] == [
        ["END", "A", "A", "B"], ["B", "A", "END", "A"], ["A", "END", "A", "B"], ["A", "B", "END", "A"], ["A", "A", "B", "END"],
    ]  # fmt: skip
    assert all([str(node) for _, node in one.every] == [str(node) for _, node in tree().every] for one in found.swapped)
    same = hypothesis_decoys(tiny("gpt2"), PROMPTS, tree(key="B", query="B", value=("B",)), n=0)
    assert len(same.swapped) == 2  # what the keys' head reads, with the other two


@pytest.mark.parametrize(("layout", "group"), [("gpt2", 2), ("llama", 1)])
def test_other_heads_in_the_same_places(tiny, layout, group):
    model, hypothesis = tiny(layout), tree(group=group)
    found = hypothesis_decoys(model, PROMPTS, hypothesis, n=5, seed=1).random
    assert len(found) == 5
    written = [tuple(str(node) for _, node in one.every) for one in (hypothesis, *found)]
    assert len(set(written)) == 6
    for one in found:
        assert matters_of(one) == matters_of(hypothesis)
        assert causal_scrubbing(model, PROMPTS, one, draws=1).draws.shape == (1, 6)  # its edges lead where they belong
    again = hypothesis_decoys(model, PROMPTS, hypothesis, n=5, seed=1).random
    assert [tuple(str(node) for _, node in one.every) for one in again] == written[1:]


def test_where_there_are_no_other_heads_there_are_fewer(tiny):
    model = tiny("gpt2")
    all_of_it = Node(reads=[Node("1.0-2->logits@END")])
    assert hypothesis_decoys(model, PROMPTS, all_of_it).random == ()
    one = Node(reads=[Node("1.0->logits@END")])
    assert {str(other.reads[0]) for other in hypothesis_decoys(model, PROMPTS, one).random} == {"1.1->logits@END", "1.2->logits@END"}
    with pytest.raises(CircuitError, match="begins at the logits"):
        hypothesis_decoys(model, PROMPTS, Node("1.0->logits@END"))
