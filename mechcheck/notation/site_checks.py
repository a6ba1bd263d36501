"""Which sites a model has, and how large their activations are."""

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.base.errors import SiteError
from mechcheck.base.loaded import check_loaded
from mechcheck.notation.codes import check_code
from mechcheck.notation.edges import SENDERS, reads
from mechcheck.notation.sites import HEAD_KINDS, NOUNS, Kind, Site

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def check_sites(model: "TransformerBridge", sites: Iterable[Site]) -> None:
    """Raise `SiteError` for a site that the model does not have, naming the valid range or another way."""
    check_loaded(model)
    cfg = model.cfg
    for site in sites:
        if not 0 <= site.layer < cfg.n_layers:
            raise SiteError(f"no layer {site.layer} for {site.named}: the model has layers 0-{cfg.n_layers - 1}")
        missing = _missing(model, site.kind)
        if missing is not None:
            raise SiteError(f"no {site.named}: {missing}")
        if site.kind == "neuron" and site.together and any(_hidden_width(block) is None for block in model.blocks):
            why = "the MLPs of this model have no one map that reads their hidden activation (mixtures of experts); name mlps(...)"
            raise SiteError(f"no {site.named}: {why}")
        if site.index is not None:
            noun, count = site_count(model, site.kind)
            if not 0 <= site.index < count:
                raise SiteError(f"no {noun[:-1]} {site.place}: the model's layers have {noun} 0-{count - 1}")
        if site.to is not None:
            _check_edge(model, site)
        if site.code is not None:
            if site.kind == "pattern" or (site.kind == "neuron" and site.index is not None):
                raise SiteError(f"{site.named}: a {NOUNS[site.kind]} has no subspaces or features; name the head, or the MLP")
            check_code(site.code, model, _components(model, site), replace(site, code=None).named)


def _missing(model: "TransformerBridge", kind: Kind) -> str | None:
    """Why the model has no places of this kind, or none where they could be changed; None where it has."""
    cfg = model.cfg
    encoder = is_encoder(model)
    match kind:
        case "mlp_out" | "neuron" if cfg.attn_only:
            return "the model has attention alone, and no MLPs"
        case "resid_mid" if cfg.attn_only or cfg.parallel_attn_mlp:
            return "attention and MLP of this model read the same stream, and there is none between them"
        case "resid_mid" | "embed" | "pos_embed" if encoder:
            return f"in an encoder ({cfg.architecture}) the hook of that name stands behind a norm; name the stream, resid(...)"
        case "pos_embed" if cfg.positional_embedding_type != "standard":
            return f"this model knows positions otherwise ({cfg.positional_embedding_type}), and adds none to the stream"
        case "attn_out" if encoder:
            # The hook of that name stands behind the sum and its norm, where the whole stream is.
            return (
                f"in an encoder ({cfg.architecture}) it is added to the stream and normed before a hook can see it; name the layer's heads"
            )
    return None


def _check_edge(model: "TransformerBridge", site: Site) -> None:
    """Raise `SiteError` for an edge that the model's stream has not."""
    cfg, receiver = model.cfg, site.to
    assert receiver is not None
    if is_encoder(model):
        why = f"in an encoder ({cfg.architecture}) the stream is normed after every sum, so that no part of it is one sender's"
        raise SiteError(f"no {site.named}: {why}")
    if site.kind not in SENDERS or site.looks_beside:
        raise SiteError(f"no {site.named}: an edge comes from what the stream is made of ({', '.join(SENDERS)}), and is read there")
    if receiver.kind != "logits" and not receiver.layer < cfg.n_layers:
        raise SiteError(f"no {site.named}: the model has layers 0-{cfg.n_layers - 1}")
    if receiver.kind == "mlp" and cfg.attn_only:
        raise SiteError(f"no {site.named}: the model has attention alone, and no MLPs")
    if receiver.index is not None:
        noun, count = site_count(model, {"q": "head", "k": "k", "v": "v"}[receiver.kind])  # type: ignore[arg-type]
        if not 0 <= receiver.index < count:
            raise SiteError(f"no {site.named}: the model's layers have {noun} 0-{count - 1}")
    if not reads(receiver, site, parallel=bool(cfg.parallel_attn_mlp)):
        raise SiteError(f"no {site.named}: {receiver} does not come behind {replace(site, to=None).named}, and reads nothing of it")


def _components(model: "TransformerBridge", site: Site) -> int:
    """Of the activation at the site's place, at one position."""
    together = site.index is None
    if site.kind == "neuron":
        return (_hidden_width(model.blocks[site.layer]) or 0) if together else 1
    if site.kind in HEAD_KINDS:
        return model.cfg.d_head * (model.cfg.n_heads if together else 1)
    return model.cfg.d_model


def _hidden_width(block: Any) -> int | None:
    """How many neurons the block's MLP has, by the map that reads them; the configuration of some architectures says another number."""
    read = getattr(getattr(block, "mlp", None), "W_out", None)
    return len(read) if isinstance(read, Tensor) and read.ndim == 2 else None


def site_width(model: "TransformerBridge", site: Site) -> int:
    """How many numbers a site's activation has at one position; a pattern's are as many as the prompts have tokens."""
    return _components(model, site) if site.code is None else site.code.size[0]


def site_count(model: "TransformerBridge", kind: Kind) -> tuple[str, int]:
    """What an indexed kind's sites are called, and how many of them a layer has."""
    check_loaded(model)
    cfg = model.cfg
    if kind == "neuron":
        return "neurons", 0 if getattr(cfg, "attn_only", False) else cfg.d_mlp or 0
    grouped = kind in ("k", "v") and cfg.n_key_value_heads
    return ("key/value heads", cfg.n_key_value_heads) if grouped else ("heads", cfg.n_heads)
