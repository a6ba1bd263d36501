"""The attention of chosen heads on one prompt, or on several, raw and value-weighted, as a figure that a reader can explore."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mechcheck.base.device import to_numpy
from mechcheck.measures.attention.patterns import attention, head_pairs
from mechcheck.measures.attention.value_weighted import Through, value_weighted_attention
from mechcheck.measures.figures.compared import Compared
from mechcheck.measures.figures.model import AttentionView
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def attention_view(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    row: int = 0,
    *,
    through: Through = "v",
    interventions: Sequence[Intervention] | Intervention = (),
    title: str = "Attention",
) -> AttentionView:
    """Patterns of any set of heads on one prompt, beside the same weighted by the norm of what is carried.

    Args:
        model: from `load_model`.
        prompts: the prompts.
        sites: heads. Positions in the sites do not matter.
        row: which prompt.
        through: as for `value_weighted_attention`.
        interventions: applied to all prompts, so that ablations draw from the same others as in a measurement.
        title: of the figure.

    Raises:
        PromptError, SiteError, MechcheckError: as for `token_labels` and `value_weighted_attention`.
    """
    (view,) = _views(model, prompts, sites, [row], through, interventions, title)
    return view


def attention_views(
    model: "TransformerBridge",
    prompts: PromptSet,
    sites: Sites | str,
    rows: Sequence[int] = range(4),
    *,
    through: Through = "v",
    interventions: Sequence[Intervention] | Intervention = (),
    title: str = "Attention",
) -> Compared:
    """`attention_view` on several prompts, of which a reader picks one.

    Args:
        model, prompts, sites, through, interventions, title: as for `attention_view`.
        rows: which prompts; those that there are not are left out.

    Raises:
        PromptError, SiteError, MechcheckError: as for `attention_view`; and where none of the prompts is there.
    """
    there = [row for row in rows if row < len(prompts)]
    views = _views(model, prompts, sites, there, through, interventions, title)
    return Compared(title, {f"prompt {row}": view for row, view in zip(there, views, strict=True)})


def _views(
    model: "TransformerBridge", prompts: PromptSet, sites: Sites | str, rows: Sequence[int], through: Through,
    interventions: Sequence[Intervention] | Intervention, title: str,
) -> list[AttentionView]:  # fmt: skip
    labels = [token_labels(prompts, row) for row in rows]
    names = [f"{layer}.{head}" for layer, head in head_pairs(model, sites)]
    maps = attention(model, prompts, sites, interventions), value_weighted_attention(model, prompts, sites, through, interventions)
    views = []
    for row, shown in zip(rows, labels, strict=True):
        patterns, weighted = (dict(zip(names, to_numpy(found[row, :, : len(shown), : len(shown)]), strict=True)) for found in maps)
        views.append(AttentionView(title, shown, patterns, weighted))
    return views
