"""What cannot be asked of a model, as it was found when the model was loaded."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from mechcheck.base.errors import ModelError, SiteError

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
        ModelError: it came without the head that makes logits.
    """
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
            raise SiteError(
                f"in this architecture ({model.cfg.architecture}) {name} holds {hooks[name]}, so nothing can be read or changed there"
            )
