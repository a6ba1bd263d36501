"""What a measure needs of a model's architecture, and the refusal where it is not so."""

from typing import TYPE_CHECKING

from mechcheck.base.errors import MechcheckError
from mechcheck.base.loaded import check_loaded
from mechcheck.models.loading import provenance

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def require_folded(model: "TransformerBridge", who_needs: str) -> None:
    """Raise unless the model's norms are folded into its weights; `who_needs` begins the message: "circuits of weights need".

    Raises:
        MechcheckError: it was loaded as stored, or is an encoder, whose norms cannot be folded.
    """
    if provenance(model).processing == "folded":
        return
    if model.cfg.attention_dir != "causal":
        raise MechcheckError(
            f"{who_needs} norms that are folded into weights; in an encoder ({model.cfg.architecture}) norms cannot be folded, as they "
            "stand behind the sums"
        )
    raise MechcheckError(f'{who_needs} processing="folded": load the model with load_model(..., processing="folded")')


def require_plain_writes(model: "TransformerBridge", otherwise: str) -> None:
    """Raise where what a head writes passes a norm before it enters the stream (Gemma 2); `otherwise` ends the message.

    Raises:
        MechcheckError: so it is.
    """
    check_loaded(model)
    if any(hasattr(block, "ln1_post") for block in model.blocks):
        raise MechcheckError(f"in this architecture ({model.cfg.architecture}) a norm stands behind each attention layer, so {otherwise}")
