"""The engine: run one set of interventions, capture activations, sweep over many sets."""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.device import to_numpy, usual_torch
from mechcheck.base.errors import MechcheckError, SelfCheckWarning
from mechcheck.base.progress import progress
from mechcheck.engine.answers import sweep_answers
from mechcheck.engine.arithmetic.model import Arithmetic, Unserved, arithmetic
from mechcheck.engine.edit import Activation, Edit
from mechcheck.engine.edits import Captures, capture_all, edits_of
from mechcheck.engine.hooks import LOGIT_BYTES, Reader, Recording, check_exist, record
from mechcheck.engine.reading import Read, Reading, check_unseen, read_by
from mechcheck.engine.selfcheck import disagreement
from mechcheck.engine.site_readers import of_sites, site_readers
from mechcheck.engine.spreading.spread import Variants, spread
from mechcheck.engine.sweep import capture_fast, run_sweep
from mechcheck.engine.together.remembered import measured
from mechcheck.engine.untouched_cache import read
from mechcheck.engine.variants import serves
from mechcheck.engine.watch import Ran, tell
from mechcheck.notation.interventions import Intervention, kinds_text
from mechcheck.notation.limits import require_prediction
from mechcheck.notation.metrics import Logits, Metric, as_metric, logit_diff, one_each
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Site, Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

AnyMetric = Metric | Callable

_plain_only = False
# Bytes of streams that are kept until metrics have read them.
STREAM_BYTES = 2**30


def run(
    model: "TransformerBridge",
    prompts: PromptSet,
    interventions: Sequence[Intervention] | Intervention = (),
    metric: AnyMetric = logit_diff,
) -> Measurement:
    """Run the prompts under the interventions and measure each prompt at END, or where the metric says: one row of a `sweep`.

    Args:
        model: from `load_model`.
        prompts: the prompts; activations to put in come from their counterfactual and reference unless given otherwise.
        interventions: applied together in one forward pass; none for the untouched model.
        metric: a `Metric`, or a function of (logits[prompt, d_vocab] at END, prompts) -> [prompt].

    Raises:
        SiteError, PromptError, HookError: see there.
        MechcheckError: a metric that keeps each position, of which a prompt has no single value.
    """
    chosen = one_each(metric, "use sweep(model, prompts, [[]], metric), or metric.over(...)")
    values = sweep_metrics(model, prompts, [interventions], [metric])[0][0]
    under = kinds_text(as_list(interventions))
    return Measurement(values, prompts.ids, prompts.templates, chosen.name, chosen.unit, under=under)


def sweep(
    model: "TransformerBridge",
    prompts: PromptSet,
    variants: Sequence[Sequence[Intervention] | Intervention],
    metric: AnyMetric = logit_diff,
    *,
    batch: int | None = None,
    executor: Executor | None = None,
) -> Float[np.ndarray, "variant prompt"]:
    """Measure the prompts under each variant, a list of interventions that are applied together.

    Only what a variant can change is computed, for many variants at once; a few cells of every sweep are run again with
    plain hooks, and should they differ the whole sweep is (with a warning). What the fast runner does not cover goes to
    plain hooks by itself.

    Args:
        model, prompts, metric: as in `run`.
        variants: a list of interventions for each; an empty one is the untouched model.
        batch: variants at a time; by default as many as fit into a quarter of the free memory (on a CPU 256 MiB at most).
        executor: shares the batches out, to processes that load the same model (`cluster_executor`, or one of `concurrent.futures`). The
            result is that of this process alone to the bit, where machines are alike; give `batch` so that there are several.

    Raises:
        SiteError, PromptError, HookError: see there.
        ModelError: with an executor, a model that was made in memory.
    """
    return sweep_metrics(model, prompts, variants, [metric], batch=batch, executor=executor)[0]


def sweep_metrics(
    model: "TransformerBridge", prompts: PromptSet, variants: Sequence[Sequence[Intervention] | Intervention],
    metrics: Sequence[AnyMetric], *, batch: int | None = None, executor: Executor | None = None,
) -> list[Float[np.ndarray, "variant prompt"]]:  # fmt: skip
    """Several metrics from one sweep: as `sweep`, one array for each."""
    require_prediction(model)
    chosen = [as_metric(metric) for metric in metrics]
    check_unseen(model, chosen)
    listed = [as_list(v) for v in variants]
    if not listed:
        raise MechcheckError("a sweep needs at least one variant")
    check_sites(model, [site for variant in listed for i in variant for site in i.sites])
    if batch is not None and batch < 1:
        raise MechcheckError(f"batch={batch}: at least one variant at a time")
    with usual_torch():
        run_all = partial(_measured, model, prompts, listed, batch=batch, executor=executor)
        values, again = measured(None if _plain_only else partial(_served, model, prompts), prompts, listed, chosen, metrics, run_all)
    tell(Ran(prompts, listed, chosen, values, again, model=model))
    return values


def _measured(
    model: "TransformerBridge", prompts: PromptSet, variants: list[list[Intervention]], metrics: Sequence[Metric], batch: int | None,
    executor: Executor | None,
) -> list[Float[np.ndarray, "variant prompt"]]:  # fmt: skip
    """Metrics of answers of several tokens by runs of their own, the others together."""
    longer = {number for number, metric in enumerate(metrics) if metric.of_several_tokens(prompts)}
    if longer:
        whole = [metric for number, metric in enumerate(metrics) if number in longer]
        others = [metric for number, metric in enumerate(metrics) if number not in longer]
        of_answers = iter(sweep_answers(model, prompts, variants, whole, lambda p, v, m: _measured(model, p, v, m, batch, executor)))
        of_one_token = iter(_measured(model, prompts, variants, others, batch, executor) if others else [])
        return [next(of_answers if number in longer else of_one_token) for number in range(len(metrics))]
    known = None if _plain_only else _served(model, prompts)
    if known is not None:
        return _fast(model, known, prompts, variants, metrics, batch, executor)
    return _plain(model, prompts, variants, metrics)


@contextmanager
def plain_hooks() -> Iterator[None]:
    """Within this context every variant is one forward pass with hooks: slow, and what the fast runner is checked against."""
    global _plain_only
    before, _plain_only = _plain_only, True
    try:
        yield
    finally:
        _plain_only = before


def _served(model: "TransformerBridge", prompts: PromptSet) -> Arithmetic | None:
    """The model's arithmetic, where the fast runner knows its architecture and attention sees all of these prompts."""
    try:
        known = arithmetic(model)
    except Unserved:
        return None
    return None if known.reach is not None and known.reach < prompts.tokens.shape[1] else known


def _plain(
    model: "TransformerBridge", prompts: PromptSet, variants: list[list[Intervention]], metrics: Sequence[Metric]
) -> list[Float[np.ndarray, "variant prompt"]]:
    """One forward pass with hooks for each variant."""
    captures = capture_all(model, prompts, variants)
    edits = [edits_of(model, prompts, variant, captures) for variant in variants]
    read = read_by(metrics, prompts)
    blocks = _readable(model, prompts, read)
    found: list[list[list[np.ndarray]]] = [[[] for _ in variants] for _ in metrics]
    with progress(len(variants) * len(blocks), "sweep with hooks") as bar:
        for rows in blocks:
            some, here = (prompts, read) if len(rows) == len(prompts) else (prompts[rows], read.on(rows))
            readings = [Reading(metric, some, here) for metric in metrics]
            clean = record(model, some, read=here.positions).logits if any(metric.needs_clean for metric in metrics) else None
            for number, listed in enumerate(edits):
                on_some = listed if some is prompts else [edit.on(rows) for edit in listed]
                logits = record(model, some, changes=on_some, read=here.positions).logits
                for values, one in zip(found, readings, strict=True):
                    untouched = None if clean is None else one.of(clean)
                    values[number].append(to_numpy(one.reduced(one.metric(one.of(logits), one.rows, untouched))))
                bar.update()
    return [np.stack([np.concatenate(parts) for parts in values]) for values in found]


def _readable(model: "TransformerBridge", prompts: PromptSet, read: Read) -> list[list[int]]:
    """Prompts whose logits, where they are read, fit into memory together; all of them where each is read at one position."""
    width = read.positions.shape[1]
    size = len(prompts) if width == 1 else max(1, LOGIT_BYTES // (width * model.cfg.d_vocab * 4))
    return [list(range(start, min(start + size, len(prompts)))) for start in range(0, len(prompts), size)]


def _fast(
    model: "TransformerBridge", known: Arithmetic, prompts: PromptSet, variants: list[list[Intervention]], metrics: Sequence[Metric],
    batch: int | None, executor: Executor | None,
) -> list[Float[np.ndarray, "variant prompt"]]:  # fmt: skip
    """The suffix runner where it serves, plain hooks where it does not, or where it is found to be wrong."""
    captures = capture_all(model, prompts, variants, partial(capture_fast, known, prompts))
    edits = [edits_of(model, prompts, variant, captures) for variant in variants]
    check_exist(model, {edit.site.hook_name for listed in edits for edit in listed})
    fast = [number for number, listed in enumerate(edits) if serves(known, listed)]
    rest = [number for number in range(len(variants)) if number not in set(fast)]
    read = read_by(metrics, prompts)
    values: list[list[np.ndarray]] = [[np.empty(0)] * len(variants) for _ in metrics]
    for numbers in _at_once(model, prompts, read, fast):
        some = [edits[number] for number in numbers]
        asked = Variants(prompts, variants, numbers, batch, read)
        done = run_sweep(model, known, prompts, some, batch, read, spread(executor, model, known, asked, some))
        if not torch.isfinite(done.streams).all():
            return _plain(model, prompts, variants, metrics)  # what overflow and NaN become is for the model's own code to say
        wrong = disagreement(done, captures)
        if wrong is not None:
            warnings.warn(f"{wrong}; plain hooks are used for the whole sweep", SelfCheckWarning, stacklevel=5)
            return _plain(model, prompts, variants, metrics)
        for out, found in zip(values, done.values(metrics), strict=True):
            for number, row in zip(numbers, found, strict=True):
                out[number] = row
    if rest:
        for out, found in zip(values, _plain(model, prompts, [variants[number] for number in rest], metrics), strict=True):
            for number, row in zip(rest, found, strict=True):
                out[number] = row
    return [np.stack(out) for out in values]


def _at_once(model: "TransformerBridge", prompts: PromptSet, read: Read, numbers: list[int]) -> list[list[int]]:
    """Variants whose last streams are kept together: all, but where so many prompts or positions are read that these would not fit."""
    kept = read.positions.numel() * model.cfg.d_model * 4
    size = max(1, STREAM_BYTES // kept)
    return [numbers[start : start + size] for start in range(0, len(numbers), size)]


def logits_at_end(model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention] = ()) -> Logits:
    """The logits at END under the interventions."""
    require_prediction(model)
    listed = as_list(interventions)
    return _logits(model, prompts, listed, capture_all(model, prompts, [listed]))


def observe(
    model: "TransformerBridge",
    prompts: PromptSet,
    readers: Mapping[Any, Reader],
    interventions: Sequence[Intervention] | Intervention = (),
) -> dict[Any, Tensor]:
    """What the readers keep of the prompts under the interventions: of the model up to the last layer that is concerned."""
    listed = as_list(interventions)
    found = read(model, prompts, readers, _edits(model, prompts, listed))
    tell(Ran(prompts, [listed], model=model))
    return found


def observe_all(
    model: "TransformerBridge",
    prompts: PromptSet,
    readers: Mapping[Any, Reader],
    interventions: Sequence[Intervention] | Intervention = (),
) -> Recording:
    """The same, and the logits at END of that same forward pass."""
    listed = as_list(interventions)
    found = record(model, prompts, readers, _edits(model, prompts, listed))
    tell(Ran(prompts, [listed], model=model))
    return found


def _edits(model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention]) -> list[Edit]:
    """The interventions of a single run as edits."""
    captures = capture_all(model, prompts, [interventions])
    check_sites(model, [site for i in interventions for site in i.sites])
    return edits_of(model, prompts, interventions, captures)


def capture(
    model: "TransformerBridge", prompts: PromptSet, sites: Sites, interventions: Sequence[Intervention] | Intervention = ()
) -> dict[Site, Activation]:
    """Each site's activation on the prompts: [prompt, d] at a named position, [prompt, pos, d] at every position.

    Args:
        model, prompts: as in `run`.
        sites: where to look.
        interventions: what is changed in that run; a site that is changed itself is read as it was put there.
    """
    check_sites(model, sites)
    return of_sites(observe(model, prompts, site_readers(sites), interventions))


def as_list(interventions: Sequence[Intervention] | Intervention) -> list[Intervention]:
    """One intervention, or several, as a list."""
    listed = list(interventions) if isinstance(interventions, Sequence) else [interventions]
    for one in listed:
        if not isinstance(one, Intervention):
            raise MechcheckError(f"expected an intervention, for example Ablate(heads('9.6')), got {type(one).__name__}")
    return listed


def _logits(model: "TransformerBridge", prompts: PromptSet, interventions: Sequence[Intervention], captures: Captures) -> Logits:
    check_sites(model, [site for i in interventions for site in i.sites])
    return record(model, prompts, changes=edits_of(model, prompts, interventions, captures)).logits
