"""In which order scores take edges into a circuit."""

import numpy as np
import pytest
from tiny import random_prompts

from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.circuits.evaluation import nested
from mechcheck.circuits.ordering import from_the_logits_up

LENGTHS = (7, 7, 10, 10)


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_greedy_circuits_hang_together(tiny, name):
    """Every edge leads on to the logits through edges that are there, and of those that could be taken each was the largest."""
    model, prompts = tiny(name), random_prompts(5, LENGTHS)
    scores = edge_scores(model, prompts, "eap")
    whole, width = scores.graph, len(scores.graph.senders)
    order = [divmod(number, width) for number in from_the_logits_up(whole, scores.mean)]
    assert len(set(order)) == len(order) == len(whole)
    assert {(row, column) for row, column in whole.real.nonzero().tolist()} == set(order)
    size = np.abs(scores.mean)
    group = whole.n_heads // whole.n_kv_heads

    def feeds(row: int, reached: set[int]) -> bool:
        receiver = whole.receivers[row]
        if receiver.kind == "logits":
            return True
        for column in reached:
            node = whole.senders[column]
            same = node.layer == receiver.layer
            if receiver.kind == "mlp":
                if same and node.kind == "mlp_out":
                    return True
            elif same and node.kind == "head" and (node.index if receiver.kind == "q" else node.index // group) == receiver.index:
                return True
        return False

    reached: set[int] = set()
    for step, (row, column) in enumerate(order):
        open_to = [(r, c) for r, c in order[step:] if feeds(r, reached)]
        assert (row, column) in open_to
        assert size[row, column] == max(size[r, c] for r, c in open_to)
        reached.add(column)
    small, large = nested(scores, [5, 9])
    assert int(small.sum()) == 5
    assert not (small & ~large).any()
