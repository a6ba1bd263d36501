"""Random controls look like the claim's sites and share none with its circuit, whatever the sites."""

import itertools
from collections import Counter
from types import SimpleNamespace

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mechcheck.base.errors import NoControlError
from mechcheck.notation.circuit import EDGES, Circuit, traced, untraced
from mechcheck.notation.codes import subspace
from mechcheck.notation.edges import edges
from mechcheck.notation.graph import graph
from mechcheck.notation.sites import Site, Sites, heads, mlps, neurons, resid
from mechcheck.verdicts.controls import other_circuits, random_sites


def model(n_layers: int = 3, n_heads: int = 4, d_mlp: int = 5) -> SimpleNamespace:
    return SimpleNamespace(cfg=SimpleNamespace(n_layers=n_layers, n_heads=n_heads, d_mlp=d_mlp))


def places(sites: Sites) -> set[tuple]:
    """Sites without their positions."""
    return {(s.kind, s.layer, s.index) for s in sites}


@st.composite
def cases(draw) -> tuple[SimpleNamespace, Sites, Sites]:
    """A model, a claim's sites (heads, neurons and whole layers at any positions), and a circuit around them."""
    shape = model(draw(st.integers(1, 4)), draw(st.integers(1, 6)), draw(st.integers(1, 6)))

    def some(low: int, high: int) -> Sites:
        def site(kind: str) -> st.SearchStrategy[Site]:
            size = {"head": shape.cfg.n_heads, "neuron": shape.cfg.d_mlp}.get(kind)
            index = st.none() if size is None else st.integers(0, size - 1)
            return st.builds(Site, st.just(kind), st.integers(0, shape.cfg.n_layers - 1), index, st.sampled_from([None, "END", "S2"]))

        return Sites(draw(st.lists(st.sampled_from(["head", "neuron", "mlp_out"]).flatmap(site), min_size=low, max_size=high)))

    sites = some(1, 4)
    return shape, sites, sites | some(0, 5)


@given(cases(), st.integers(1, 12), st.integers(0, 99))
def test_controls_look_like_the_sites(case, n, seed):
    shape, sites, circuit = case
    try:
        found = random_sites(shape, sites, outside=circuit, n=n, seed=seed)
    except NoControlError:
        assume(False)
    assert 0 < len(found) <= n
    assert len(set(found)) == len(found)
    taken, wanted = Counter(p[:2] for p in places(circuit)), Counter((s.kind, s.layer) for s in sites)
    size = {"head": shape.cfg.n_heads, "neuron": shape.cfg.d_mlp, "mlp_out": 1}
    enough = all(size[kind] - taken[kind, layer] >= count for (kind, layer), count in wanted.items())
    for control in found:
        assert Counter((s.kind, s.at) for s in control) == Counter((s.kind, s.at) for s in sites)
        assert not places(control) & places(circuit)
        if enough:
            assert Counter((s.kind, s.layer, s.at) for s in control) == Counter((s.kind, s.layer, s.at) for s in sites)
        assert all(s.layer < shape.cfg.n_layers and (s.index or 0) < size[s.kind] for s in control)
    assert found == random_sites(shape, sites, outside=circuit, n=n, seed=seed)


def test_few_sets_are_all_listed():
    found = random_sites(model(), heads("1.0@END"), outside=heads("1.0 1.2"), n=20, seed=0)
    assert sorted(map(str, found)) == ["1.1@END", "1.3@END"]
    pairs = random_sites(model(n_heads=5), heads("1.0 1.1"), outside=heads("1.0-1"), n=20, seed=0)
    assert sorted(map(str, pairs)) == ["1.2 1.3", "1.2 1.4", "1.3 1.4"]


def test_the_seed_decides_which():
    wide = model(n_heads=64)
    first, again, other = (random_sites(wide, heads("0.0 1.0 2.0"), outside=Sites(), n=5, seed=seed) for seed in (0, 0, 1))
    assert first == again != other


def test_sites_alone_are_enough_to_stay_outside():
    assert str(heads("0.3")) not in map(str, random_sites(model(), heads("0.3"), outside=Sites(), n=20, seed=0))


def test_whole_layers_come_from_other_layers():
    assert sorted(map(str, random_sites(model(), mlps("1"), outside=mlps("1"), n=20, seed=0))) == ["mlp 0", "mlp 2"]
    assert sorted(map(str, random_sites(model(), resid("1@S2"), outside=Sites(), n=20, seed=0))) == ["resid 0@S2", "resid 2@S2"]


def test_a_full_layer_borrows_from_others():
    found = random_sites(model(n_layers=2), heads("1.0-2"), outside=heads("1.0-2"), n=50, seed=0)
    assert {s.layer for control in found for s in control} == {0, 1}


@pytest.mark.parametrize(
    ("sites", "outside"), [(heads("0.0-3 1.0-3 2.0-3"), Sites()), (mlps("0"), mlps("0-2")), (neurons("0.0"), neurons("0.0-4 1.0-4 2.0-4"))]
)
def test_nothing_left(sites, outside):
    with pytest.raises(NoControlError, match=r"only 0 \w+ sites lie outside the circuit, \d+ are needed .*@claim\(decoy=\.\.\.\)"):
        random_sites(model(), sites, outside=outside, n=3, seed=0)


class TestRandomEdges:
    """As many edges outside the circuit, as like its own as there are."""

    def test_same_kinds_in_the_same_layers(self, tiny):
        some = edges("input->0.1.q 0.0->1.1.v 1.0->logits@END")
        found = random_sites(tiny("gpt2"), some, outside=some, n=30, seed=0)
        assert len(set(found)) == len(found) == 30

        def alike(sites: Sites) -> Counter:
            return Counter((s.kind, s.layer, s.to.kind, s.to.layer, s.at) for s in sites)

        for control in found:
            assert alike(control) == alike(some)
            assert not set(control.at(None)) & set(some.at(None))
            graph(tiny("gpt2")).mask(control.at(None))  # they exist
        assert found == random_sites(tiny("gpt2"), some, outside=some, n=30, seed=0)
        assert found != random_sites(tiny("gpt2"), some, outside=some, n=30, seed=1)

    def test_where_none_is_left_of_a_kind_others_are_taken(self, tiny):
        model = tiny("gpt2")
        whole = graph(model)
        some = Sites(edge for edge in whole.edges if edge.kind == "head" and str(edge.to) == "logits")
        for control in random_sites(model, some, outside=some, n=5, seed=0):
            assert len(control) == len(some)
            assert not set(control) & set(some)

    def test_nodes_beside_edges_are_replaced_too(self, tiny):
        some = heads("0.1") | edges("1.0->logits")
        for control in random_sites(tiny("gpt2"), some, outside=some, n=5, seed=0):
            assert [site.to is None for site in control] == [True, False]

    def test_more_than_half_of_all_edges(self, tiny):
        whole = graph(tiny("gpt2"))
        most = Sites(whole.in_order[: len(whole) // 2 + 1])
        with pytest.raises(NoControlError, match=r"only \d+ edges lie outside the circuit, \d+ are needed"):
            random_sites(tiny("gpt2"), most, outside=most, n=5, seed=0)

    def test_other_circuits_have_other_edges(self, tiny):
        model, circuit = tiny("gpt2"), Circuit({"mover": heads("1.0")}, edges=edges("input->0.1.q 1.0->logits"))
        both, alone = (other_circuits(model, circuit, seed=0, roles=roles) for roles in (None, {EDGES}))
        assert both.total is alone.total is None
        for other in itertools.islice(both.draw(), 5):
            assert len(other["mover"]) == 1
            assert other["mover"] != circuit["mover"]
            assert len(other.edges) == 2
            assert not set(other.edges) & set(circuit.edges)
        assert all(not other.roles and len(other.edges) == 2 for other in itertools.islice(alone.draw(), 5))

    def test_what_a_claim_asks_for_is_traced(self):
        circuit = traced(Circuit({"mover": heads("1.0")}, edges=edges("1.0->logits")))
        assert not circuit.used
        assert untraced(circuit).edges == edges("1.0->logits")
        assert not circuit.used
        assert circuit.edges == edges("1.0->logits")
        assert circuit.used == {EDGES}
        without = traced(Circuit({"mover": heads("1.0")}))
        assert not without.edges
        assert not without.used


class TestOtherCircuits:
    """Every role is filled, by sites outside the circuit."""

    def test_all_are_listed_where_they_are_few(self):
        circuit = Circuit({"movers": heads("2.0 2.1@END"), "inhibition": heads("1.0@END"), "empty": heads("")})
        others = other_circuits(model(), circuit, seed=0)
        found = list(others.draw())
        assert len({str(dict(c)) for c in found}) == len(found) == others.total > 1
        for other in found:
            assert set(other) == {"movers", "inhibition"}
            assert not places(other.sites) & places(circuit.sites)
            assert {role: Counter((s.layer, s.at) for s in sites) for role, sites in other.items()} == {
                "movers": Counter([(2, None), (2, "END")]),
                "inhibition": Counter([(1, "END")]),
            }
        assert [str(dict(c)) for c in others.draw()] == [str(dict(c)) for c in found]
        shuffled = list(other_circuits(model(), circuit, seed=1).draw())
        assert sorted(str(dict(c)) for c in shuffled) == sorted(str(dict(c)) for c in found)

    def test_by_hand(self):
        """Two roles of one head each in a model of 3 heads a layer: 2 x 2 others."""
        others = other_circuits(model(n_heads=3), Circuit({"a": heads("0.0"), "b": heads("1.1")}), seed=0)
        expected = {("0.1", "1.0"), ("0.1", "1.2"), ("0.2", "1.0"), ("0.2", "1.2")}
        assert {(str(c["a"]), str(c["b"])) for c in others.draw()} == expected
        assert others.total == 4

    def test_roles_share_no_site(self):
        others = other_circuits(model(n_heads=4), Circuit({"a": heads("0.0"), "b": heads("0.1")}), seed=0)
        assert {(str(c["a"]), str(c["b"])) for c in others.draw()} == {("0.2", "0.3"), ("0.3", "0.2")}

    def test_the_order_of_layers_is_kept(self):
        """No head is left in layers 0 and 2, so that both roles take theirs from any layer; a still lies before b."""
        circuit = Circuit({"a": heads("0.0-1"), "b": heads("2.0-1")})
        found = list(other_circuits(model(n_layers=6, n_heads=2), circuit, seed=0).draw())
        assert found
        for other in found:
            assert max(site.layer for site in other["a"]) < min(site.layer for site in other["b"])
        with pytest.raises(NoControlError, match="no other sites keep the order of the circuit's roles"):
            other_circuits(model(n_layers=3, n_heads=2), circuit, seed=0)

    def test_many_are_drawn_without_repetition(self):
        wide = model(n_layers=4, n_heads=32)
        others = other_circuits(wide, Circuit({"a": heads("0.0 0.1 0.2"), "b": heads("1.0 1.1 1.2")}), seed=0)
        first = [str(dict(c)) for c in itertools.islice(others.draw(), 300)]
        assert others.total is None
        assert len(set(first)) == 300
        assert [str(dict(c)) for c in itertools.islice(others.draw(), 300)] == first

    def test_only_the_roles_that_were_used(self):
        circuit = Circuit({"a": heads("0.0"), "b": heads("1.1")})
        assert all(set(other) == {"b"} for other in other_circuits(model(), circuit, seed=0, roles={"b"}).draw())


def test_roles_that_compete_for_the_last_site():
    """Each layer borrows, and there is one head to borrow for both."""
    with pytest.raises(NoControlError, match=r"too few sites lie outside the circuit for a random control like 0\.0 1\.0"):
        random_sites(model(n_heads=1), heads("0.0 1.0"), outside=Sites(), n=3, seed=0)


def test_a_subspace_is_controlled_by_random_ones_in_its_place():
    sites = resid("1@END").within(subspace(torch.eye(8)[:2]))
    for claimed in (sites | heads("0.1"), sites):
        found = random_sites(model(), claimed, outside=sites, n=6, seed=1)
        assert len(set(found)) == 6
        for control in found:
            assert len(control) == len(claimed)
            (stream,) = [site for site in control if site.kind == "resid_pre"]
            assert stream.code is not None
            assert (stream.layer, stream.at, stream.code.size) == (1, "END", (2, 8))
            assert stream not in sites
    assert random_sites(model(), sites, outside=sites, n=6, seed=1) == found
    assert other_circuits(model(), Circuit({"a": sites}, "here"), seed=0).total is None  # there are endlessly many
