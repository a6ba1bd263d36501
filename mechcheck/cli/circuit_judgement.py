"""A circuit judged on prompts, as lines for a terminal: faithful, complete, minimal, beside random ones."""

from collections.abc import Iterator

import numpy as np

from mechcheck.base.errors import CircuitError
from mechcheck.base.text import columns, shorten
from mechcheck.circuits.circuit_tests import circuit_tests
from mechcheck.circuits.completeness import completeness, minimality
from mechcheck.circuits.evaluation import Cut, faithfulness_curve
from mechcheck.cli.circuit_files import CircuitFile
from mechcheck.cli.circuit_text import MOST, listed, measured
from mechcheck.drawing.numbers import estimate_text, fixed, short
from mechcheck.notation.circuit import parts_of
from mechcheck.notation.metrics import as_metric
from mechcheck.notation.sites import Sites
from mechcheck.stats.estimates import Confidence

_TEMPLATE, _PROMPT = 60, 110


def judgement(cut: Cut, file: CircuitFile, *, tests: bool, seed: int) -> Iterator[str]:
    """All that is known of a circuit on these prompts, one line after the other as it is measured."""
    yield from _faithful(cut, file)
    yield from _curve(cut, file, seed)
    yield from _parts(cut, file, seed)
    if tests:
        for test in circuit_tests(cut, file.circuit, seed=seed):
            yield f"{test.name}: {'passed' if test.passed else 'NOT passed'} (p = {test.p:.2g}), {test.says}"


def _faithful(cut: Cut, file: CircuitFile) -> Iterator[str]:
    (kept,) = cut.values([cut.mask(file.circuit)])
    none, whole = cut.ends
    share, metric = cut.share(kept, "faithfulness"), as_metric(cut.metric)
    parts = parts_of(file.circuit)
    kind = "edge" if any(part.to is not None for part in parts) else "node"
    yield f"{len(parts)} {kind}{'s' * (len(parts) > 1)}, {cut.instead} ablation, {metric.name} in {metric.unit}"
    outside = (
        ""
        if -1e-6 <= share.mean <= 1 + 1e-6
        else "; outside of 0 to 1: the rest works against the circuit, or the circuit against the model"
    )
    yield f"faithfulness {measured(share)}{outside}"
    yield f"  circuit {short(kept.mean())}, whole model {short(whole.mean())}, every edge cut {short(none.mean())}"
    by_template = sorted(share.by_template.items(), key=lambda one: (-abs(1 - one[1][0]), one[0]))
    if by_template:
        rows = [("  template", "faithfulness", "prompts")]
        rows += [(f"  {shorten(name, _TEMPLATE)}", fixed(value, 2), str(n)) for name, (value, n) in by_template[:MOST]]
        yield from columns(rows)
        if len(by_template) > MOST:
            yield f"  and {len(by_template) - MOST} more templates, nearer to 1"
    worst = int(np.argmax(np.abs(kept - whole)))
    prompts = cut.prompts
    text = shorten(" ".join(word.strip() for word in prompts.words[worst][: int(prompts.lengths[worst])]), _PROMPT) if prompts.words else ""
    yield f"  worst prompt: circuit {short(kept[worst])}, model {short(whole[worst])}; {prompts.ids[worst]} {text}".rstrip()


def _curve(cut: Cut, file: CircuitFile, seed: int) -> Iterator[str]:
    ranked = file.ranked
    if ranked is None:
        yield "CMD: not all edges have scores in this file, so that it proposes no circuits of other sizes"
        return
    curve = faithfulness_curve(cut.model, cut.prompts, ranked, instead=cut.instead, metric=cut.metric, seed=seed)
    cmd, cpr = (" ".join(estimate_text(value, *ends)) for value, ends in ((curve.cmd, curve.cmd_interval), (curve.cpr, curve.cpr_interval)))
    yield f"CMD {cmd}, CPR {cpr} (circuits of all sizes, by the file's scores)"
    rows = [("  share of edges", "edges", "faithfulness")]
    rows += [
        (f"  {share:.1%}", str(count), f"{fixed(one.mean, 2)}{' (outside of 0 to 1)' if share in curve.outside else ''}")
        for share, count, one in zip(curve.shares, curve.edges, curve.faithfulness, strict=True)
    ]
    yield from columns(rows)


def _parts(cut: Cut, file: CircuitFile, seed: int) -> Iterator[str]:
    try:
        worst = completeness(cut, file.circuit, greedy=1, seed=seed).worst
    except CircuitError as error:
        yield f"completeness and minimality: {error}"
        return
    yield (
        f"completeness: circuit and model differ most, by {short(worst.gap)}, without {listed(worst.parts)}: "
        f"circuit {short(worst.circuit.mean)}, model {short(worst.model.mean)} ({worst.how} set of parts)"
    )
    alpha = Confidence().alpha * 2
    found = minimality(cut, file.circuit)
    idle = Sites(one.part for one in found if one.p_adjusted > alpha)
    needed = f"minimality: {len(found) - len(idle)} of {len(found)} parts change the metric by more than none (p at most {alpha:g}, Holm)"
    yield needed + (f"; not told from none: {listed(idle)}" if idle else "")
