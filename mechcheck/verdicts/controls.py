"""Random controls: sites of the same kinds, layers and number as the claim's, outside its circuit."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import NoControlError
from mechcheck.notation.circuit import EDGES, Circuit, untraced
from mechcheck.notation.codes import Code
from mechcheck.notation.graph import graph
from mechcheck.notation.site_checks import site_count
from mechcheck.notation.sites import INDEXED, Kind, Site, Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_Group = tuple[Kind, int, str | None]
# Where there are at most this many sets they are all listed; beyond it, sets are drawn.
_ENUMERABLE = 5000
_EDGE_SETS = 200  # sets of edges are without end, and a claim has a few dozen decoys
_TOO_FEW = "{}: name another contrast with @claim(decoy=...)"


def random_sites(model: "TransformerBridge", sites: Sites, *, outside: Sites, n: int, seed: int) -> list[Sites]:
    """Up to `n` different sets of sites like `sites`, none of which is in `outside`.

    Heads and neurons come from the same layers, whole-layer sites from other layers, all at the same named positions. Where
    there are no more than `n` such sets, all of them are returned; where a layer has too few, other layers are used too. A site
    within a subspace, or of some features, keeps its place: the control is a random subspace of the same dimension, or other features.
    Edges are replaced by edges that are as like them as there are outside: see `random_edges`.

    Raises:
        NoControlError: nothing is left to choose from.
    """
    along = Sites(site for site in sites if site.to is not None)
    if along:
        drawn, rest = random_edges(model, along, outside=outside, n=n, seed=seed), sites - along
        beside = random_sites(model, rest, outside=outside, n=n, seed=seed) if rest else [Sites()] * n
        return [some | others for some, others in zip(drawn, beside, strict=False)]
    coded = [site for site in sites if site.code is not None]
    taken = {(s.kind, s.layer, s.index) for s in itertools.chain(sites, outside) if s.to is None}
    groups = Counter((s.kind, s.layer, s.at) for s in sites if s.code is None)
    pools = [_pool(model, group, count, taken) for group, count in groups.items()]
    counts = list(groups.values())
    total = math.prod(math.comb(len(pool), count) for pool, count in zip(pools, counts, strict=True))
    rng = random.Random(f"controls {seed}")
    if coded:
        plain = (itertools.chain(*map(rng.sample, pools, counts)) for _ in range(n))
        chosen = [Sites((*some, *(replace(site, code=_drawn(site, rng)) for site in coded))) for some in plain]
    elif total <= _ENUMERABLE:
        chosen = list(_all_sets(pools, counts))
        rng.shuffle(chosen)
    else:
        chosen = [Sites(itertools.chain(*map(rng.sample, pools, counts))) for _ in range(4 * n)]
    # Overlapping pools (several layers widened to all) can give the same site twice: such a set is too small.
    whole = [found for found in dict.fromkeys(chosen) if len(found) == len(sites)][:n]
    if not whole:
        raise NoControlError(_TOO_FEW.format(f"too few sites lie outside the circuit for a random control like {sites}"))
    return whole


def random_edges(model: "TransformerBridge", edges: Sites, *, outside: Sites, n: int, seed: int) -> list[Sites]:
    """Up to `n` different sets of as many edges, none of which is in `outside`.

    Each edge is replaced by one from the same layer to the same layer whose sender and receiver are of the same kinds; where none is
    left of these, by one of the same kinds, and where none of these is left either, by any other.

    Raises:
        NoControlError: fewer edges lie outside than are needed.
    """
    gone = {replace(site, at=None) for site in itertools.chain(edges, outside)}
    free = [site for site in graph(model).in_order if site not in gone]
    if len(free) < len(edges):
        few = f"only {len(free)} edges lie outside the circuit, {len(edges)} are needed for a random control"
        raise NoControlError(_TOO_FEW.format(few))
    pools = [_by(free, likeness) for likeness in _LIKENESS]
    rng = random.Random(f"edges {seed}")
    found: dict[Sites, None] = {}
    for _ in range(4 * n):
        found[_edges_like(edges, pools, rng)] = None
        if len(found) == n:
            break
    return list(found)


def _edges_like(edges: Sites, pools: Sequence[Mapping[object, Sequence[Site]]], rng: random.Random) -> Sites:
    left, used, chosen = rng.sample(list(edges), len(edges)), set(), []
    for likeness, pool in zip(_LIKENESS, pools, strict=True):
        short: list[Site] = []
        for key, wanted in _by(left, likeness).items():
            there = [site for site in pool.get(key, ()) if site not in used]
            taken = rng.sample(there, min(len(wanted), len(there)))
            used |= set(taken)
            chosen += [replace(other, at=edge.at) for other, edge in zip(taken, wanted, strict=False)]
            short += wanted[len(taken) :]
        left = short
    return Sites(chosen)


def _by(edges: Sequence[Site], likeness: Callable[[Site], object]) -> dict[object, list[Site]]:
    found: dict[object, list[Site]] = {}
    for edge in edges:
        found.setdefault(likeness(edge), []).append(edge)
    return found


def _kinds(edge: Site) -> tuple[str, str]:
    assert edge.to is not None
    return edge.kind, edge.to.kind


def _kinds_and_layers(edge: Site) -> tuple[str, str, int, int]:
    assert edge.to is not None
    return *_kinds(edge), edge.layer, edge.to.layer


# In what a random edge is like the one that it stands for: the first of these in which there are enough.
_LIKENESS: tuple[Callable[[Site], object], ...] = (_kinds_and_layers, _kinds, lambda edge: None)


@dataclass(frozen=True)
class Others:
    """Circuits like one, of other sites."""

    total: int | None
    """How many there are; None where they were not counted."""
    draw: Callable[[], Iterator[Circuit]]
    """Each once, in random order; where they were not counted, until new ones are hard to find."""


def other_circuits(model: "TransformerBridge", circuit: Circuit, *, seed: int, roles: Collection[str] | None = None) -> Others:
    """Circuits whose roles, or edges (all by default), are random ones outside the circuit, as `random_sites` draws them.

    Roles share no site, and a role that lies before another in the circuit does in these too, whatever layers they had to be taken from.

    Raises:
        NoControlError: for some role nothing is left, or no combination keeps the order.
    """
    circuit = untraced(circuit)
    filled = {
        role: random_sites(model, sites, outside=circuit.sites, n=_ENUMERABLE, seed=seed + i)
        for i, (role, sites) in enumerate(sorted(circuit.roles.items()))
        if len(sites) and (roles is None or role in roles)
    }
    if circuit.edges and (roles is None or EDGES in roles):
        filled[EDGES] = random_edges(model, circuit.edges, outside=circuit.edges, n=_EDGE_SETS, seed=seed)
    if not filled:
        raise NoControlError(_TOO_FEW.format("the circuit has no sites that could be replaced"))
    names, pools = list(filled), list(filled.values())
    before = [
        (a, b)
        for a, b in itertools.permutations((name for name in names if name != EDGES), 2)
        if _precedes(circuit.roles[a], circuit.roles[b])
    ]

    def made(sites: Sequence[Sites]) -> Circuit | None:
        found = dict(zip(names, sites, strict=True))
        apart = len(Sites(itertools.chain(*sites))) == sum(map(len, sites))
        kept = apart and all(_precedes(found[a], found[b]) for a, b in before)
        edges = found.pop(EDGES, Sites())
        return Circuit(found, "random sites", edges=edges) if kept else None

    rng = random.Random(f"circuits {seed}")
    if math.prod(map(len, pools)) <= _ENUMERABLE:
        every = [found for sites in itertools.product(*pools) if (found := made(sites)) is not None]
        rng.shuffle(every)
        if not every:
            raise NoControlError(_TOO_FEW.format("no other sites keep the order of the circuit's roles"))
        # A role whose sets were drawn and not listed has more than these.
        listed = EDGES not in filled and all(len(pool) < _ENUMERABLE for pool in pools) and all(site.code is None for site in circuit.sites)
        return Others(len(every) if listed else None, lambda: iter(every))

    def draw() -> Iterator[Circuit]:
        again, seen, misses = random.Random(f"circuits {seed}"), set(), 0
        while misses < _ENUMERABLE:
            sites = tuple(again.choice(pool) for pool in pools)
            if sites in seen or (found := made(sites)) is None:
                misses += 1
                continue
            seen.add(sites)
            misses = 0
            yield found

    if next(draw(), None) is None:
        raise NoControlError(_TOO_FEW.format("no other sites keep the order of the circuit's roles"))
    return Others(None, draw)


def _drawn(site: Site, rng: random.Random) -> Code | None:
    return None if site.code is None else site.code.drawn(rng.getrandbits(62))


def _precedes(first: Sites, second: Sites) -> bool:
    """Whether all of one lies in layers before all of the other."""
    return max(site.layer for site in first) < min(site.layer for site in second)


def _pool(model: "TransformerBridge", group: _Group, count: int, taken: set) -> Sequence[Site]:
    kind, layer, at = group
    indices: Sequence[int | None] = range(site_count(model, kind)[1]) if kind in INDEXED else [None]
    layers = range(model.cfg.n_layers)
    everywhere = [Site(kind, other, i, at) for other in layers for i in indices if (kind, other, i) not in taken]
    here = [site for site in everywhere if site.layer == layer]
    pool = here if len(here) >= count else everywhere
    if len(pool) < count:
        raise NoControlError(
            _TOO_FEW.format(f"only {len(pool)} {kind} sites lie outside the circuit, {count} are needed for a random control")
        )
    return pool


def _all_sets(pools: Sequence[Sequence[Site]], counts: Sequence[int]) -> Iterator[Sites]:
    for parts in itertools.product(*(itertools.combinations(pool, count) for pool, count in zip(pools, counts, strict=True))):
        yield Sites(itertools.chain(*parts))
