"""Attention of the chosen heads, drawn as in a report."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mechcheck.explorer.bodies import Problem
from mechcheck.explorer.figures import html
from mechcheck.measures.attention.view import attention_view
from mechcheck.measures.figures.compared import Compared
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

MOST = 32
"""Heads at a time."""
WEIGHTS = 1 << 22
"""Weights at a time, of which each head has one for every pair of tokens: they travel to the page four times over."""


def heads_of(model: "TransformerBridge", sites: Sites) -> list[tuple[int, int]]:
    """The heads that sites belong to, by (layer, head): those of an edge at its both ends; none of what belongs to no head."""
    config = model.cfg
    ends = {(end.kind, end.layer, end.index) for site in sites for end in (site, site.to) if end is not None}
    found = set[tuple[int, int]]()
    for kind, layer, index in ends:
        if index is None or kind == "neuron":
            continue
        each = config.n_heads // config.n_key_value_heads if kind in ("k", "v") and config.n_key_value_heads else 1
        found |= {(layer, index * each + i) for i in range(each)}
    return sorted(found)


def attention_figure(
    model: "TransformerBridge", prompts: PromptSet, pairs: Sequence[tuple[int, int]], done: Sequence[Intervention] | Intervention
) -> str:
    """The figure of these heads as HTML, as they are and under the interventions.

    Raises:
        Problem: too many heads.
    """
    length = int(prompts.lengths[0])
    most = min(MOST, max(1, WEIGHTS // length**2))
    if len(pairs) > most:
        raise Problem("attention", f"{len(pairs)} heads are to be shown, and of {length} tokens the maps of {most} are drawn at most")
    names = " ".join(f"{layer}.{head}" for layer, head in pairs)
    title = f"Attention of {names}"
    before = attention_view(model, prompts, names, title=title)
    if not done:
        return html(before)
    after = attention_view(model, prompts, names, interventions=done, title=title)
    return html(Compared(title, {"before": before, "after": after}))
