"""What cannot be asked of a model, as it was found when the model was loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from torch import Tensor

from mechcheck.base.errors import ModelError, SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.notation.site_checks import site_count
from mechcheck.notation.sites import HEAD_KINDS, HOOK_KINDS

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True)
class Limits:
    """Questions to which a model has no answer."""

    no_prediction: str | None = None
    """Why what it predicts means nothing; None where it predicts."""
    hooks: Mapping[str, str] = field(default_factory=dict)
    """Hook -> what it holds, where that is not what the sites mean that are cut out of it."""


_LIMITS: "WeakKeyDictionary[TransformerBridge, Limits]" = WeakKeyDictionary()


def set_limits(model: "TransformerBridge", limits: Limits) -> None:
    """Remember what cannot be asked of this model."""
    _LIMITS[model] = limits


def limits_of(model: "TransformerBridge") -> Limits:
    """What cannot be asked of it; nothing is known to be of a model that was not loaded by `load_model`."""
    return _LIMITS.get(model, Limits())


def require_prediction(model: "TransformerBridge") -> None:
    """Raise unless the model has all that its prediction is made of.

    Raises:
        ModelError: it came without the head that makes logits, or is no loaded model.
    """
    check_loaded(model)
    why = limits_of(model).no_prediction
    if why:
        raise ModelError(f"{why}; its attention and activations can be asked about, its predictions cannot")


def require_hooks(model: "TransformerBridge", names: Iterable[str]) -> None:
    """Raise where a hook holds something else than its sites mean.

    Raises:
        SiteError: such a hook.
    """
    hooks = limits_of(model).hooks
    for name in names:
        if name in hooks:
            raise wrong_hook(model, name, hooks[name])


def wrong_hook(model: "TransformerBridge", name: str, holds: str) -> SiteError:
    """The error where a hook holds something else than its sites mean."""
    return SiteError(f"in this architecture ({model.cfg.architecture}) {name} holds {holds}, so nothing can be read or changed there")


_ATTENTION = ("attn.hook_pattern", "attn.hook_attn_scores")
SHAPED = (*HOOK_KINDS, *_ATTENTION)
"""Hooks of a layer whose activations have to have a certain shape."""


def misfit(model: "TransformerBridge", hook: str, activation: object, prompts: int, length: int) -> str | None:
    """What the hook holds, if that has another shape than what is cut out of it; None where it fits, or nothing is known of the hook.

    Args:
        model: of whose run this is.
        hook: its name: "blocks.0.attn.hook_z".
        activation: what it holds in a run on that many prompts of that length.
    """
    part = hook.split(".", 2)[-1]
    kind, cfg = HOOK_KINDS.get(part), model.cfg
    axes: str
    meant: tuple[int | None, ...]
    if kind in HEAD_KINDS:
        axes, meant = "prompt, pos, head, d_head", (prompts, length, site_count(model, kind)[1], None)
    elif kind is not None:
        axes, meant = "prompt, pos, d", (prompts, length, None if kind == "neuron" else cfg.d_model)
    elif part in _ATTENTION:
        axes, meant = "prompt, head, pos, pos", (prompts, cfg.n_heads, length, length)
    else:
        return None
    sizes = tuple(activation.shape) if isinstance(activation, Tensor) else ()
    if len(sizes) == len(meant) and all(wish in (None, size) for wish, size in zip(meant, sizes, strict=True)):
        return None
    spelt = ", ".join("any" if wish is None else str(wish) for wish in meant)
    return f"activations of shape {list(sizes)} where [{axes}] [{spelt}] is meant"
