"""Circuits and what was found of them, as lines for a terminal."""

import textwrap
from collections.abc import Iterator, Mapping

from mechcheck.base.text import columns
from mechcheck.circuits.comparison import CircuitComparison, CircuitOverlap
from mechcheck.circuits.edge_tables import by_receiver
from mechcheck.circuits.roles import Absent, Role
from mechcheck.drawing.numbers import estimate_text, short
from mechcheck.notation.circuit import Circuit, EdgeRecord
from mechcheck.notation.sites import Sites
from mechcheck.stats.estimates import Confidence, Estimate, estimate_mean
from mechcheck.stats.measurement import Measurement

_WIDTH = 130
# So many parts are listed; of more it is said how many there are.
MOST = 20


def role_lines(roles: Mapping[str, Role | Absent]) -> Iterator[str]:
    """What a search found for each role."""
    for role, filled in roles.items():
        if isinstance(filled, Absent):
            yield f"  {role}: NONE ({filled.criterion})"
            yield f"    {filled.why}"
            continue
        yield f"  {role}: {filled.sites} ({'met' if filled.met else 'NOT met, the nearest candidates'}: {filled.criterion})"
        yield f"    {filled.measured}"


def circuit_lines(circuit: Circuit) -> Iterator[str]:
    """A circuit: where it comes from, its roles with their criteria, its edges."""
    facts = [("source", circuit.source)]
    facts += [(name, str(circuit.notes[name])) for name in ("model", "date") if name in circuit.notes]
    if circuit.weights_sha256:
        facts.append(("weights", circuit.weights_sha256[:12]))
    if circuit.shape:
        facts.append(("published for", f"{circuit.shape[0]} layers with {circuit.shape[1]} heads"))
    if isinstance(found_on := circuit.notes.get("found_on"), dict):
        facts.append(("found on", f"{found_on.get('prompts', '?')} prompts of the split {found_on.get('split', '?')!r}"))
    yield from columns(facts)
    for role, sites in circuit.roles.items():
        criterion = circuit.criteria.get(role)
        state = "" if criterion is None else " (met)" if criterion.met else " (NOT met, the nearest candidates)"
        yield f"\n{role}{state}: {sites}"
        if criterion is not None:
            yield from _wrapped(criterion.text, "  ")
            yield from _wrapped(criterion.measured, "  ")
    for role, why in circuit.absent.items():
        yield f"\n{role}: NONE"
        yield from _wrapped(why, "  ")
    if circuit.edges:
        yield ""
        yield from edge_lines(circuit.edges, circuit.edge_record or EdgeRecord())


def edge_lines(along: Sites, record: EdgeRecord) -> Iterator[str]:
    """Edges by receiver, how they were found, how stable that is."""
    facts = [f" of {record.of}" * (record.of is not None), f", {record.method}" * bool(record.method)]
    yield f"{len(along)} edge{'s' * (len(along) > 1)}{''.join(facts)}"
    rows = []
    for receiver, some in by_receiver(along):
        said = [str(edge).partition("->")[0] + (f"@{edge.at}" if edge.at else "") + _worth(str(edge), record) for edge in some]
        rows += [(f"  {receiver if i == 0 else ''}", line) for i, line in enumerate(textwrap.wrap("  ".join(said), _WIDTH - 12) or [""])]
    yield from columns(rows)
    measured = [f"{name} {short(value)}" for name in ("faithfulness", "gap", "cmd") if (value := getattr(record, name)) is not None]
    on = "the prompts" if record.prompts is None else f"the {record.prompts} prompts"
    of = ", ".join(filter(None, [record.metric, record.instead and f"{record.instead} ablation"]))
    if measured or of:
        yield f"on {on} that the search saw{f' ({of})' if of else ''}: {', '.join(measured) or 'nothing is recorded'}"
    if (stable := record.stability) is not None:
        yield f"stability: {stable}"
        least = sorted((share, edge) for edge in map(str, along) for share in [stable.inclusion.get(edge, 0.0)] if share < 1)
        if least:
            yield from _wrapped("found least often: " + ", ".join(f"{edge} {share:.0%}" for share, edge in least[:5]), "  ")


def _worth(edge: str, record: EdgeRecord) -> str:
    return f" ({short(record.scores[edge])})" if edge in record.scores else ""


def _wrapped(text: str, indent: str) -> list[str]:
    return textwrap.wrap(text, _WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def listed(parts: Sites) -> str:
    """Parts as text; of many the first."""
    return str(parts) if len(parts) <= MOST else f"{Sites(list(parts)[:MOST])} and {len(parts) - MOST} more"


def said(estimate: Estimate, *, caveat: bool = True) -> str:
    """An estimate with its interval, and what a reader should know of it."""
    value, interval = estimate_text(estimate.value, estimate.low, estimate.high)
    return f"{value} {interval}" + (f" ({estimate.caveat})" if caveat and estimate.caveat else "")


def measured(measurement: Measurement, *, caveat: bool = True) -> str:
    """A measurement's mean with its interval."""
    return said(estimate_mean(measurement, Confidence()).estimate, caveat=caveat)


def overlap_lines(found: CircuitOverlap) -> Iterator[str]:
    """What two circuits share."""
    edges = "" if found.edges is None else f", edges {found.edges:.2f}"
    yield f"overlap (Jaccard): nodes {found.nodes:.2f}{edges}"
    for name, parts in (("both", found.shared), ("a alone", found.only_a), ("b alone", found.only_b)):
        yield from _wrapped(f"{name} ({len(parts)}): {listed(parts) or 'none'}", "  ")


def comparison_lines(found: CircuitComparison) -> Iterator[str]:
    """Two circuits measured on the same prompts."""
    yield from overlap_lines(found.overlap)
    yield f"faithfulness as they are: a {measured(found.a)} ({found.sizes[0]} parts), b {measured(found.b)} ({found.sizes[1]} parts)"
    yield f"at equal size: {found.how}"
    a, b = found.at_size
    yield f"  a {measured(a)}, b {measured(b)}; a less b, paired by prompt {said(found.ahead)}"
    low, high = found.farther_interval
    farther = " ".join(estimate_text(found.farther, low, high))
    verdict = {"a": "a is the more faithful", "b": "b is the more faithful", None: "which is the more faithful is not told"}
    yield f"  a lies farther from 1 than b by {farther}: {verdict[found.more_faithful]}"
    if found.disagreements:
        yield "what only one of them has, and what the metric changes by without it in the whole model:"
        rows = [("  part", "of", "effect", "p (Holm)")]
        rows += [
            (f"  {one.part}", one.of, measured(one.effect, caveat=False), f"{one.p_adjusted:.2g}") for one in found.disagreements[:MOST]
        ]
        yield from columns(rows)
        if len(found.disagreements) > MOST:
            yield f"  and {len(found.disagreements) - MOST} more, of smaller effects"
