"""Two circuits side by side: sets by hand, faithfulness one circuit at a time, effects by single runs."""

from dataclasses import replace

import numpy as np
import pytest
from tiny import SAME_FORWARD, random_prompts

from mechcheck.base.errors import CircuitError, PromptError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.comparison import circuit_overlap, compare_circuits, cut_down
from mechcheck.circuits.edge_scores import edge_scores
from mechcheck.circuits.edge_search import check_unseen
from mechcheck.circuits.evaluation import Cut, faithfulness
from mechcheck.circuits.files import load_circuit, write_circuit
from mechcheck.engine.run import plain_hooks, run, sweep
from mechcheck.notation.circuit import Circuit, EdgeRecord
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.interventions import Patch
from mechcheck.notation.metrics import kl_divergence
from mechcheck.notation.sites import Sites, heads, mlps, neurons
from mechcheck.stats.resample import drawn_again

LENGTHS = (7, 7, 10, 10, 8, 8, 9, 9)
FEW = edges("input->0.1.v 0.1->1.0.v 1.0->logits mlp0->logits")
MANY = edges("input->0.0.v 0.0->logits 0.1->1.0.v 1.0->logits mlp0->logits 0.1->mlp1 mlp1->logits")


def test_what_two_circuits_share():
    found = circuit_overlap(FEW, MANY)
    assert found.edges == 3 / 8
    assert found.nodes == 3 / 5  # 0.1, 1.0, mlp0 of those and 0.0, mlp1
    assert (len(found.shared), found.only_a) == (3, edges("input->0.1.v"))
    assert found.only_b == MANY - FEW
    named = circuit_overlap(edges("0.1->logits@END 1.0->logits"), edges("0.1->logits 1.0->logits"))
    assert (named.edges, named.nodes) == (1 / 3, 1.0)
    first = Circuit({"year": heads("5.1@END 5.5@END 6.9"), "mlps": mlps("8-9")})
    nodes = circuit_overlap(first, heads("5.5 6.1 6.9"))
    assert (nodes.nodes, nodes.edges) == (2 / 6, None)
    assert nodes.only_a == heads("5.1") | mlps("8-9")
    mixed = circuit_overlap(FEW, heads("0.1 0.2"))
    assert (mixed.nodes, mixed.edges, mixed.shared) == (1 / 4, None, heads("0.1"))
    assert np.isnan(circuit_overlap(Sites(), Sites()).nodes)


def test_the_published_lists_of_greater_than():
    """Hanna et al.'s heads and MLPs, and those that ACDC was scored against: 9 of 19 are in both."""
    folder = data_dir("claims") / "greater_than"
    found = circuit_overlap(load_circuit(folder / "circuits" / "gpt2.toml"), load_circuit(folder / "proposals" / "acdc-gpt2.toml"))
    assert found.nodes == 9 / 19
    assert found.shared == heads("5.5 6.9 7.10 8.11 9.1") | mlps("8-11")
    assert found.only_a == heads("5.1 8.8")
    assert found.only_b == heads("0.1 0.3 0.5 6.1") | mlps("0-3")


def test_circuits_of_one_size_are_compared_as_they_are(tiny):
    """The paired difference is that of the two faithfulness values, and its interval that of draws of both at once."""
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    other = edges("input->0.0.v 0.0->logits 1.0->logits mlp1->logits")
    found = compare_circuits(model, prompts, FEW, other, seed=3)
    one, two = (faithfulness(model, prompts, circuit) for circuit in (FEW, other))
    assert (found.sizes, found.size, found.how) == ((4, 4), 4, "both have 4 parts")
    for have, want in ((found.a, one), (found.b, two), (found.at_size[0], one), (found.at_size[1], two)):
        np.testing.assert_allclose(have.values, want.values, rtol=0, atol=1e-9)
    assert found.ahead.value == pytest.approx(one.mean - two.mean)
    assert found.ahead.low < found.ahead.value < found.ahead.high
    assert found.farther == pytest.approx(abs(1 - one.mean) - abs(1 - two.mean))
    drawn = []
    for weights in drawn_again(prompts.templates, 1000, 3):
        shares = [(weights * m.values).sum() / (weights * m.denominator).sum() for m in (one, two)]
        drawn.append(abs(1 - shares[0]) - abs(1 - shares[1]))
    np.testing.assert_allclose(found.farther_interval, np.quantile(drawn, [0.025, 0.975]))
    low, high = found.farther_interval
    assert found.more_faithful == ("a" if high < 0 else "b" if low > 0 else None)


def test_which_one_is_more_faithful(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    scores = edge_scores(model, prompts, metric=kl_divergence)  # whose share is of something that is above zero on every prompt
    least = min(scores.graph.in_order, key=lambda edge: abs(scores[edge].mean))
    good, bad = scores.graph.edges - Sites([least]), FEW
    found, swapped = (compare_circuits(model, prompts, *pair, metric=kl_divergence) for pair in ((good, bad), (bad, good)))
    assert found.farther == pytest.approx(abs(1 - found.a.mean) - abs(1 - found.b.mean))
    assert found.farther == pytest.approx(-swapped.farther)
    assert (found.more_faithful, swapped.more_faithful) == ("a", "b")
    same = compare_circuits(model, prompts, good, good)
    assert (same.ahead.value, same.farther, same.farther_interval, same.more_faithful) == (0.0, 0.0, (0.0, 0.0), None)
    assert same.disagreements == ()


def test_what_only_one_has_is_worth_what_single_runs_say(tiny):
    model, prompts = tiny("llama"), random_prompts(2, LENGTHS)
    found = compare_circuits(model, prompts, FEW, MANY, cut_on=random_prompts(9, LENGTHS))
    scores = edge_scores(model, prompts)
    assert {one.part for one in found.disagreements} == set((FEW - MANY) | (MANY - FEW))
    for one in found.disagreements:
        assert one.of == ("a" if one.part in FEW else "b")
        np.testing.assert_allclose(one.effect.values, scores[one.part].values, rtol=0, atol=SAME_FORWARD["llama"])
        assert 0 <= one.p_adjusted <= 1
    sizes = [abs(one.effect.mean) for one in found.disagreements]
    assert sizes == sorted(sizes, reverse=True)
    placed = compare_circuits(model, prompts, edges("0.1->1.0.v@A 1.0->logits"), edges("0.0->1.0.v 1.0->logits"))
    (at_a,) = [one for one in placed.disagreements if one.of == "a"]
    with plain_hooks():
        clean, cut = sweep(model, prompts, [[], [Patch(edges("0.1->1.0.v@A"))]])
    np.testing.assert_allclose(at_a.effect.values, cut - clean, rtol=0, atol=SAME_FORWARD["llama"])


def test_the_larger_is_cut_down_by_its_own_scores(tiny):
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    left = edges("input->0.0.v 0.0->logits mlp0->logits 1.0->logits")
    scores = {str(edge): (-1.0) ** number * (number + 1 + 10 * (edge in left)) for number, edge in enumerate(MANY)}
    circuit = Circuit({}, "here", edges=MANY, edge_record=EdgeRecord(scores=scores))
    for pair in ((circuit, FEW), (FEW, circuit)):
        found = compare_circuits(model, prompts, *pair)
        place = pair.index(circuit)
        assert found.sizes[place] == len(MANY)
        assert found.size == 4
        assert found.how == f"{('the first', 'the second')[place]} was cut down from 7 to 4 parts by its scores"
        assert found.at_size[place].mean == pytest.approx(faithfulness(model, prompts, left).mean)
        assert abs(found.at_size[place].mean) > 0.01
        assert (found.a, found.b)[place].mean == pytest.approx(faithfulness(model, prompts, MANY).mean)


def test_the_larger_is_cut_down_greedily_on_other_prompts(tiny):
    """One at a time while there are few: always what changes the metric least, by runs of every alternative."""
    model, prompts, others = tiny("gpt2"), random_prompts(2, LENGTHS), random_prompts(5, LENGTHS)
    several = edges(
        "input->0.0-1.v input->mlp0 input->logits 0.0-1->logits mlp0->logits 0.0-1->1.0.v mlp0->1.0.v input->1.0.q 0.0->1.0.k 1.0->logits"
    )
    left, whole = several, run(model, others).values.mean()
    every = graph(model).edges

    def gap(some: Sites) -> float:
        return abs(run(model, others, Patch(every - some)).values.mean() - whole)

    while len(left) > len(FEW):
        left = min((left - Sites([edge]) for edge in left), key=gap)
    found = cut_down(Cut(model, others), several, len(FEW))
    assert len(found) == len(left)
    assert not found - several
    assert gap(found) == pytest.approx(gap(left), abs=1e-9)  # of two edges on one way, either may stay: rounding decides
    found = compare_circuits(model, prompts, FEW, several, cut_on=others)
    assert found.how == f"the second was cut down from {len(several)} to 4 parts greedily, on 8 prompts of their own"
    assert found.at_size[1].mean == pytest.approx(faithfulness(model, prompts, left).mean)
    without = compare_circuits(model, prompts, FEW, MANY)
    assert without.size is None
    assert without.how.startswith("as they are: the second has no scores of its parts")
    assert without.at_size[1].mean == without.b.mean
    with pytest.raises(CircuitError, match="a circuit of 4 parts cannot be cut down to 5"):
        cut_down(Cut(model, prompts), FEW, 5)


def test_circuits_of_nodes(tiny):
    """Sizes are nodes; cut down to heads alone a circuit of heads and MLPs does not get all MLPs back."""
    model, prompts, others = tiny("gpt2"), random_prompts(2, LENGTHS), random_prompts(5, LENGTHS)
    a, b = Circuit({"one": heads("0.1@END 1.0"), "two": mlps("1")}), heads("0.0 0.1 1.1")
    found = compare_circuits(model, prompts, a, b)
    assert (found.sizes, found.overlap.nodes, found.overlap.edges) == ((3, 3), 1 / 5, None)
    for have, circuit in ((found.a, a), (found.b, b)):
        assert have.mean == pytest.approx(faithfulness(model, prompts, circuit).mean)
    with plain_hooks():
        clean, cut = sweep(model, prompts, [[], [Patch(mlps("1"))]])
    (mlp,) = [one for one in found.disagreements if one.part == mlps("1").members[0]]
    np.testing.assert_allclose(mlp.effect.values, cut - clean, rtol=0, atol=SAME_FORWARD["gpt2"])
    smaller = compare_circuits(model, prompts, heads("0.1"), heads("0.1 1.0") | mlps("0-1"), cut_on=others)
    left = cut_down(Cut(model, others), heads("0.1 1.0") | mlps("0-1"), 1)
    assert smaller.size == len(left) == 1
    rest = Sites(site for site in graph(model).senders if site.kind != "resid_pre") - left
    with plain_hooks():
        wanted = run(model, prompts, Patch(rest)).values
        none = run(model, prompts, Patch(graph(model).edges)).values
    np.testing.assert_allclose(smaller.at_size[1].values, wanted - none, rtol=0, atol=SAME_FORWARD["gpt2"])


def test_nodes_beside_edges(tiny):
    """The nodes' edges are meant."""
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    found = compare_circuits(model, prompts, heads("0.1 1.0"), FEW)
    kept = Cut(model, prompts).mask(heads("0.1 1.0"))
    assert found.sizes == (int(kept.sum()), 4)
    assert found.overlap.edges == pytest.approx(
        len([e for e in FEW if e in graph(model).chosen(kept)]) / int((kept | graph(model).mask(FEW)).sum())
    )
    assert found.overlap.nodes == 2 / 3
    with pytest.raises(CircuitError, match="is no node of the graph"):
        compare_circuits(model, prompts, neurons("0.1"), FEW)


def test_prompts_that_a_search_saw_are_refused(tiny, tmp_path):
    """As a file tells, by all of them or by single ones; unless that is asked for."""
    model, prompts = tiny("gpt2"), random_prompts(2, LENGTHS)
    path = tmp_path / "tiny.toml"
    write_circuit(path, model, {}, method="x", prompts=prompts[[0, 1, 2]], split="discover", edges=FEW)
    circuit = load_circuit(path)
    check_unseen(circuit, prompts[[3, 4]])
    check_unseen(FEW, prompts)
    with pytest.raises(PromptError, match="1 of 2 prompts were seen when this circuit was searched for"):
        check_unseen(circuit, prompts[[2, 3]])
    old = replace(circuit, notes={"found_on": {"prompts_sha256": prompts.sha256}})
    for pair in ((circuit, MANY), (MANY, circuit), (FEW, old)):
        with pytest.raises(PromptError, match="were seen when this circuit was searched for"):
            compare_circuits(model, prompts, *pair)
        assert compare_circuits(model, prompts, *pair, seen=True).sizes
    with pytest.raises(PromptError, match="8 of 8 prompts were seen"):
        compare_circuits(model, prompts, FEW, MANY, cut_on=prompts)
    for told in ("yes", {"ids": 3}, {}):
        check_unseen(replace(circuit, notes={"found_on": told}), prompts)
