"""Path patching: what travels along one path through a model, with everything else as it was."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.engine.run import capture, sweep
from mechcheck.notation.edges import path_of
from mechcheck.notation.interventions import Intervention, Patch, Put
from mechcheck.notation.metrics import Metric, logit_diff
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def path_patching(
    model: "TransformerBridge",
    prompts: PromptSet,
    paths: Sequence[str],
    *,
    source: PromptSet | None = None,
    metric: Metric = logit_diff,
    executor: Executor | None = None,
) -> Float[np.ndarray, "path prompt"]:
    """The metric where each path, alone, carries what its first sender says on other prompts.

    "0.1->1.1.k@S2->2.0.q@END->logits@END" is three edges, each at the position where it is read: head 1.1 reads 0.1 otherwise in its key
    at S2; what 1.1 then says is read by 2.0 alone, in its query at END; what 2.0 then says goes to the logits. Every other edge, and
    every other reader of these heads, is as in the untouched run (Wang et al. 2022, arXiv:2211.00593; Goldowsky-Dill et al. 2023,
    arXiv:2304.05969). A path that ends in a head or an MLP leaves what that says free to act on all that follows: the total effect
    through it; one that ends in "logits" is a direct effect. With grouped queries a key or value is that of a key/value head, by its
    number, and what goes on from there is what all heads of its group then say: in "0.1->1.1.k->logits", of two heads to a group, heads 1.2
    and 1.3.

    Args:
        model, prompts, metric: as in `run`.
        paths: as above; one or more, each of one edge or more.
        source: aligned prompts; the counterfactual by default.
        executor: shares the batches out, as in `sweep`.

    Returns:
        [path, prompt]; less `run(model, prompts, metric=metric).values`, what the path does.

    Raises:
        MechcheckError: no paths, or one text in place of several.
        SiteError: text that is no path, or an edge that the model has not.
        PromptError: no prompts to patch from.
    """
    if isinstance(paths, str) or not len(paths):
        raise MechcheckError(f'paths are several texts, ["0.1->1.1.q@END->logits@END"], got {paths!r:.60}')
    check_loaded(model)
    return sweep(model, prompts, [[_last(model, prompts, path_of(path), source)] for path in paths], metric, executor=executor)


def _last(model: "TransformerBridge", prompts: PromptSet, path: Sequence[Site], source: PromptSet | None) -> Intervention:
    """What is done along the last edge of a path, once what comes before it is known."""
    done: Intervention = Patch(Sites(path[:1]), source)
    for before, edge in pairwise(path):
        senders = _reading(model, before.to, replace(edge, to=None))
        done = Put({replace(site, to=edge.to): said for site, said in capture(model, prompts, senders, done).items()})
    return done


def _reading(model: "TransformerBridge", receiver: Receiver | None, sender: Site) -> Sites:
    """Who reads where a path enters a node: the node itself; of a key or value that several heads share, these heads."""
    group = model.cfg.n_heads // (model.cfg.n_key_value_heads or model.cfg.n_heads)
    if receiver is None or receiver.kind not in ("k", "v") or receiver.index is None:
        return Sites([sender])
    return Sites(replace(sender, index=receiver.index * group + head) for head in range(group))
