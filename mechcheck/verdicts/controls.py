"""Random controls: sites of the same kinds, layers and number as the claim's, outside its circuit."""

import itertools
import math
import random
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import NoControlError
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.codes import Code
from mechcheck.notation.site_checks import site_count
from mechcheck.notation.sites import INDEXED, Kind, Site, Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_Group = tuple[Kind, int, str | None]
# Where there are at most this many sets they are all listed; beyond it, sets are drawn.
_ENUMERABLE = 5000
_TOO_FEW = "{}: name another contrast with @claim(decoy=...)"


def random_sites(model: "TransformerBridge", sites: Sites, *, outside: Sites, n: int, seed: int) -> list[Sites]:
    """Up to `n` different sets of sites like `sites`, none of which is in `outside`.

    Heads and neurons come from the same layers, whole-layer sites from other layers, all at the same named positions. Where
    there are no more than `n` such sets, all of them are returned; where a layer has too few, other layers are used too. A site
    within a subspace, or of some features, keeps its place: the control is a random subspace of the same dimension, or other features.

    Raises:
        NoControlError: nothing is left to choose from.
    """
    coded = [site for site in sites if site.code is not None]
    taken = {(s.kind, s.layer, s.index) for s in itertools.chain(sites, outside)}
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


@dataclass(frozen=True)
class Others:
    """Circuits like one, of other sites."""

    total: int | None
    """How many there are; None where they were not counted."""
    draw: Callable[[], Iterator[Circuit]]
    """Each once, in random order; where they were not counted, until new ones are hard to find."""


def other_circuits(model: "TransformerBridge", circuit: Circuit, *, seed: int, roles: Collection[str] | None = None) -> Others:
    """Circuits whose roles (all by default) are filled by random sites outside the circuit, as `random_sites` draws them.

    Roles share no site, and a role that lies before another in the circuit does in these too, whatever layers they had to be taken from.

    Raises:
        NoControlError: for some role nothing is left, or no combination keeps the order.
    """
    filled = {
        role: random_sites(model, sites, outside=circuit.sites, n=_ENUMERABLE, seed=seed + i)
        for i, (role, sites) in enumerate(sorted(circuit.roles.items()))
        if len(sites) and (roles is None or role in roles)
    }
    if not filled:
        raise NoControlError(_TOO_FEW.format("the circuit has no sites that could be replaced"))
    names, pools = list(filled), list(filled.values())
    before = [(a, b) for a, b in itertools.permutations(names, 2) if _precedes(circuit.roles[a], circuit.roles[b])]

    def made(sites: Sequence[Sites]) -> Circuit | None:
        found = dict(zip(names, sites, strict=True))
        apart = len(Sites(itertools.chain(*sites))) == sum(map(len, sites))
        kept = apart and all(_precedes(found[a], found[b]) for a, b in before)
        return Circuit(found, "random sites") if kept else None

    rng = random.Random(f"circuits {seed}")
    if math.prod(map(len, pools)) <= _ENUMERABLE:
        every = [found for sites in itertools.product(*pools) if (found := made(sites)) is not None]
        rng.shuffle(every)
        if not every:
            raise NoControlError(_TOO_FEW.format("no other sites keep the order of the circuit's roles"))
        # A role whose sets were drawn and not listed has more than these.
        listed = all(len(pool) < _ENUMERABLE for pool in pools) and all(site.code is None for site in circuit.sites)
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
