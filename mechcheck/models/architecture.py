"""What a measure needs of a model's architecture, and the refusal where it is not so."""

from typing import TYPE_CHECKING

from mechcheck.base.architectures import has_norms, is_encoder
from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.models.provenance import provenance

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def require_folded(model: "TransformerBridge", who_needs: str) -> None:
    """Raise unless the model's norms, if it has any, are folded into its weights; `who_needs` begins the message ("circuits need").

    Raises:
        MechcheckError: it was loaded as stored, or is an encoder, whose norms cannot be folded.
    """
    known = provenance(model)
    if known.processing == "folded":
        _require_no_gain(model, who_needs)
        return
    if not has_norms(model):
        return
    if is_encoder(model):
        raise MechcheckError(
            f"{who_needs} norms that are folded into weights; in an encoder ({model.cfg.architecture}) norms cannot be folded, as they "
            "stand behind the sums"
        )
    if known.not_folded:
        raise MechcheckError(f"{who_needs} norms that are folded into weights, which cannot be done in {known.name}: {known.not_folded}")
    if known.directory is None:
        raise MechcheckError(
            f"{who_needs} norms that are folded into weights, and this model was made in memory without that: keep it with keep_native or "
            "keep_model and load the directory, or call enable_compatibility_mode() on it"
        )
    raise MechcheckError(f'{who_needs} processing="folded": load the model with load_model(..., processing="folded")')


def _require_no_gain(model: "TransformerBridge", who_needs: str) -> None:
    """Raise where TransformerLens folds what it can, and leaves the norms as they are (DeepSeek)."""
    norm = getattr(model, "ln_final", None)
    gain = getattr(norm, "weight", None)
    if norm is not None and gain is not None and not bool((gain + norm.uses_weight_offset == 1).all()):
        raise MechcheckError(
            f"{who_needs} norms that are folded into weights; in this architecture ({model.cfg.architecture}) they are not"
        )


def require_plain_writes(model: "TransformerBridge", otherwise: str) -> None:
    """Raise where what a head writes passes a norm before it enters the stream (Gemma 2); `otherwise` ends the message.

    Raises:
        MechcheckError: so it is.
    """
    check_loaded(model)
    if any(hasattr(block, "ln1_post") for block in model.blocks):
        raise MechcheckError(f"in this architecture ({model.cfg.architecture}) a norm stands behind each attention layer, so {otherwise}")
