"""Dictionaries: sparse autoencoders and transcoders, as plain data, and what they compute."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.notation.sites import HEAD_KINDS, HOOK_KINDS, Kind, Site

Architecture = Literal["standard", "topk", "jumprelu", "gated"]
Normalisation = Literal["none", "constant_norm_rescale", "layer_norm"]
# What each architecture's encoder is made of beside W_enc.
_ENCODERS: dict[Architecture, tuple[str, ...]] = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
TENSORS = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold", "b_gate", "b_mag", "r_mag", "W_skip")
# Hooks of a layer at which a transcoder may read: what enters the MLP, before its norm, within it and behind it.
READ_AT = ("mlp.hook_in", "ln2.hook_out", "ln2.hook_normalized")
# TransformerLens' bridge calls some hooks by other names than its older models, and mechcheck's sites, do.
_ALIASES = {"hook_in": "hook_resid_pre", "hook_out": "hook_resid_post", "mlp.hook_out": "hook_mlp_out", "attn.hook_out": "hook_attn_out"}
_HOOK = re.compile(r"blocks\.(\d+)\.(.+)")
_EPSILON = 1e-5


class Parts(NamedTuple):
    """An activation as the dictionary has it: x = (features @ W_dec + b_dec) * scale + shift + error."""

    features: Float[Tensor, "*rows some"]
    scale: Float[Tensor, "*rows 1"] | float
    """What the input was divided by before it was encoded; 1 where nothing was."""
    shift: Float[Tensor, "*rows 1"] | float


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A sparse autoencoder, or a transcoder: features that are read of an activation, and a direction that each of them writes.

    With `pre = (x - b_dec) @ W_enc + b_enc` a feature's activation is, by architecture,

    - "standard": relu(pre) (Bricken et al. 2023).
    - "topk": relu(pre) of the `k` largest, 0 elsewhere (Gao et al. 2024, arXiv:2406.04093).
    - "jumprelu": relu(pre) where pre > threshold, 0 elsewhere (Rajamanoharan et al. 2024, arXiv:2407.14435).
    - "gated": relu((x - b_dec) @ (W_enc * exp(r_mag)) + b_mag) where (x - b_dec) @ W_enc + b_gate > 0 (arXiv:2404.16014).

    Its reconstruction is `features @ W_dec + b_dec`; what is left of the activation is the reconstruction error. A transcoder
    (Dunefsky et al. 2024, arXiv:2406.11944) reads what enters an MLP and reconstructs what the MLP writes.

    Raises:
        MechcheckError: arrays that are lacking, of shapes that do not fit together, or not finite.
        SiteError: a hook that is no place of mechcheck's.
    """

    W_enc: Float[Tensor, "d_in d_sae"]
    W_dec: Float[Tensor, "d_sae d_out"]
    hook: str
    """Whose activation it reconstructs: "blocks.5.hook_resid_pre"."""
    architecture: Architecture = "standard"
    b_enc: Float[Tensor, " d_sae"] | None = None
    """None: zeros; a gated one has `b_gate` in its place."""
    b_dec: Float[Tensor, " d_out"] | None = None
    """None: zeros."""
    threshold: Float[Tensor, " d_sae"] | None = None
    """Of "jumprelu"."""
    b_gate: Float[Tensor, " d_sae"] | None = None
    b_mag: Float[Tensor, " d_sae"] | None = None
    r_mag: Float[Tensor, " d_sae"] | None = None
    W_skip: Float[Tensor, "d_out d_in"] | None = None
    """Of a transcoder, what its input writes past the features (arXiv:2501.18823)."""
    k: int | None = None
    """Of "topk"."""
    reads: str | None = None
    """The hook whose activation a transcoder reads, of the same layer: "blocks.5.mlp.hook_in"; None: `hook`."""
    head: int | None = None
    """The one head whose z it is of; None: all heads of the layer, one behind the other."""
    subtract_b_dec: bool = True
    """Whether b_dec is subtracted before encoding; never of a transcoder."""
    normalise: Normalisation = "none"
    """What is done to each activation before encoding, and undone to its reconstruction."""
    processing: Literal["raw", "folded"] | None = None
    """With which `processing` the model was loaded that it was trained on; None: nobody said so."""
    frequency: Float[Tensor, " d_sae"] | None = None
    """On which share of tokens each feature fires; random controls are drawn from those that do. None: not known."""
    name: str = "dictionary"
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What else is said of it, as `keep_dictionary` will write it."""
    _placed: dict = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        for name in (*TENSORS, "frequency"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, torch.as_tensor(getattr(self, name)).detach())
        for name, axis in (("b_enc", 0), ("b_dec", 1)):
            wanted = name in ("b_dec", *_ENCODERS.get(self.architecture, ()))
            if getattr(self, name) is None and wanted and self.W_dec.ndim == 2:
                object.__setattr__(self, name, self.W_dec.new_zeros(self.W_dec.shape[axis]))
        if self.reads is not None:
            object.__setattr__(self, "subtract_b_dec", False)
        self._check()
        _ = self.site, self.read_hook

    def __repr__(self) -> str:
        what = "transcoder" if self.reads else "sparse autoencoder"
        return f"Dictionary({self.name!r}: {self.architecture} {what} of {self.d_sae} features at {self.hook})"

    @property
    def d_in(self) -> int:
        """Components of what it reads."""
        return self.W_enc.shape[0]

    @property
    def d_sae(self) -> int:
        """Features."""
        return self.W_enc.shape[1]

    @property
    def d_out(self) -> int:
        """Components of what it reconstructs."""
        return self.W_dec.shape[1]

    @cached_property
    def sha256(self) -> str:
        """Of all that it computes with, and where."""
        settings = [self.architecture, self.hook, self.reads, self.head, self.k, self.subtract_b_dec, self.normalise, self.processing]
        digest = hashlib.sha256(json.dumps(settings).encode())
        for name in TENSORS:
            tensor = getattr(self, name)
            if tensor is not None:
                digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
                digest.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy())
        return digest.hexdigest()

    @cached_property
    def site(self) -> Site:
        """The whole activation that it reconstructs."""
        layer, part = _layer_and_part(self.hook)
        kind: Kind | None = HOOK_KINDS.get(_ALIASES.get(part, part))
        if kind in (None, "pattern"):
            raise SiteError(f"{self.hook!r} is no place that can be changed; a dictionary is of one of {', '.join(HOOK_KINDS)} in blocks.N")
        if self.head is not None and kind not in HEAD_KINDS:
            raise SiteError(f"{self.hook!r} has no heads, and the dictionary is said to be of head {self.head}")
        if kind in ("q", "k", "v") and self.head is None:
            raise SiteError(f"{self.hook!r}: of queries, keys and values a dictionary is of one head; give head=...")
        assert kind is not None
        return Site(kind, layer, self.head)

    @cached_property
    def read_hook(self) -> str | None:
        """The hook of the layer that a transcoder reads: "mlp.hook_in"; None of an autoencoder."""
        if self.reads is None:
            return None
        layer, part = _layer_and_part(self.reads)
        if layer != self.site.layer or self.site.kind != "mlp_out" or part not in READ_AT:
            ways = ", ".join(f"blocks.{self.site.layer}.{hook}" for hook in READ_AT)
            raise SiteError(
                f"a transcoder reads what enters the MLP whose output it reconstructs; this one reads {self.reads!r} and reconstructs "
                f"{self.hook!r}. With blocks.{self.site.layer}.hook_mlp_out it can read {ways}"
            )
        return part

    def encode(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_sae"]:
        """Each feature's activation."""
        return self.parts(x).features

    def reconstruct(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows d_out"]:
        """What the features say of an activation; of a transcoder, of what the MLP makes of it."""
        parts, weights = self.parts(x), self.weights(x)
        found = (parts.features @ weights["W_dec"] + weights["b_dec"]) * parts.scale + parts.shift
        return found + x.to(found.dtype) @ weights["W_skip"].T if "W_skip" in weights else found

    def parts(self, x: Float[Tensor, "*rows d_in"], chosen: Int[Tensor, " some"] | None = None) -> Parts:
        """Activations of the chosen features (None: of all), and the units of the reconstruction.

        Computed in the more precise of the activation's dtype and the dictionary's.
        """
        weights = self.weights(x)
        x, scale, shift = self._normalised(x.to(weights["W_enc"].dtype))
        if self.subtract_b_dec:
            x = x - weights["b_dec"]
        if self.architecture == "topk":
            pre = x @ weights["W_enc"] + weights["b_enc"]
            largest = pre.topk(self.k or 1, dim=-1)
            features = torch.zeros_like(pre).scatter_(-1, largest.indices, largest.values.relu())
            return Parts(features if chosen is None else features[..., chosen.to(x.device)], scale, shift)
        if chosen is not None:
            weights = self._columns(weights, chosen)
        if self.architecture == "gated":
            gate = x @ weights["W_enc"] + weights["b_gate"]
            size = x @ (weights["W_enc"] * weights["r_mag"].exp()) + weights["b_mag"]
            return Parts(size.relu() * (gate > 0), scale, shift)
        pre = x @ weights["W_enc"] + weights["b_enc"]
        features = pre.relu()
        return Parts(features * (pre > weights["threshold"]) if self.architecture == "jumprelu" else features, scale, shift)

    def scale(self, x: Float[Tensor, "*rows d_in"]) -> Float[Tensor, "*rows 1"] | float:
        """By what the reconstruction of an activation is multiplied; 1 where nothing is normalised."""
        return self._normalised(x.to(torch.promote_types(x.dtype, self.W_enc.dtype)))[1]

    def weights(self, x: Tensor) -> dict[str, Tensor]:
        """The arrays on the activation's device, in the more precise of its dtype and their own."""
        dtype = torch.promote_types(x.dtype, self.W_enc.dtype)
        key = (x.device, dtype)
        if key not in self._placed:
            there = {name: getattr(self, name) for name in TENSORS}
            self._placed[key] = {name: tensor.to(x.device, dtype) for name, tensor in there.items() if tensor is not None}
        return self._placed[key]

    def _columns(self, weights: dict[str, Tensor], chosen: Int[Tensor, " some"]) -> dict[str, Tensor]:
        """The chosen features' columns of the encoder; the last choice is kept, as a sweep asks for the same one again and again."""
        w = weights["W_enc"]
        key = ("columns", w.device, w.dtype)
        known, cut = self._placed.get(key, (None, {}))
        if known is not chosen:
            names = ("W_enc", *_ENCODERS[self.architecture])
            cut = {name: weights[name][..., chosen.to(w.device)] for name in names}
            self._placed[key] = (chosen, cut)
        return cut

    def _normalised(self, x: Tensor) -> tuple[Tensor, Tensor | float, Tensor | float]:
        """The input, and by what a reconstruction is multiplied and shifted; a transcoder's output has units of its own."""
        scale: Tensor | float = 1.0
        shift: Tensor | float = 0.0
        if self.normalise == "constant_norm_rescale":
            scale = x.norm(dim=-1, keepdim=True) / self.d_in**0.5
            x = x / scale
        elif self.normalise == "layer_norm":
            shift = x.mean(-1, keepdim=True)
            scale = (x - shift).std(-1, keepdim=True)
            x = (x - shift) / (scale + _EPSILON)
        return (x, scale, shift) if self.reads is None else (x, 1.0, 0.0)

    def _check(self) -> None:
        if self.architecture not in _ENCODERS:
            raise MechcheckError(f"unknown architecture {self.architecture!r}; choose one of {', '.join(_ENCODERS)}")
        if self.normalise not in get_args(Normalisation):
            raise MechcheckError(f"unknown normalisation {self.normalise!r}; choose one of {', '.join(get_args(Normalisation))}")
        if self.processing not in (None, "raw", "folded"):
            raise MechcheckError(f'unknown processing {self.processing!r}; choose "folded" or "raw"')
        if self.W_enc.ndim != 2 or self.W_dec.ndim != 2:
            raise MechcheckError(f"W_enc is [d_in, d_sae] and W_dec [d_sae, d_out], got {_shape(self.W_enc)} and {_shape(self.W_dec)}")
        needed, made_of = (self.d_in, self.d_sae, self.d_out), _ENCODERS[self.architecture]
        shapes = {
            "W_enc": (needed[0], needed[1]), "W_dec": (needed[1], needed[2]), "b_dec": (needed[2],), "W_skip": (needed[2], needed[0]),
            "frequency": (needed[1],), **dict.fromkeys(made_of, (needed[1],)),
        }  # fmt: skip
        for name in (*TENSORS, "frequency"):
            tensor = getattr(self, name)
            if tensor is None:
                if name in made_of:
                    raise MechcheckError(f"a {self.architecture} dictionary needs {name}, of {needed[1]} numbers")
                continue
            if name not in shapes or (name == "W_skip" and self.reads is None):
                raise MechcheckError(f"{name} is no part of a {self.architecture} {'transcoder' if self.reads else 'autoencoder'}")
            if tuple(tensor.shape) != shapes[name]:
                raise MechcheckError(f"{name} has shape {_shape(tensor)} where {list(shapes[name])} fits the others")
            if not tensor.is_floating_point() or not torch.isfinite(tensor).all():
                raise MechcheckError(f"{name} has to be finite floats")
        if (self.architecture == "topk") != (self.k is not None) or not 1 <= (1 if self.k is None else self.k) <= self.d_sae:
            raise MechcheckError(f"k={self.k}: a topk dictionary of {self.d_sae} features, and no other, needs 1 <= k <= {self.d_sae}")
        if self.reads is None and self.d_in != self.d_out:
            raise MechcheckError(
                f"an autoencoder writes what it reads, and this one reads {self.d_in} numbers and writes {self.d_out}: for a transcoder "
                'say what it reads, reads="blocks.N.mlp.hook_in"'
            )


def _shape(tensor: Tensor) -> list[int]:
    return list(tensor.shape)


def _layer_and_part(hook: str) -> tuple[int, str]:
    found = _HOOK.fullmatch(hook) if isinstance(hook, str) else None
    if not found:
        raise SiteError(f"{hook!r:.60} is no hook of a layer; write it as TransformerLens does, blocks.5.hook_resid_pre")
    return int(found[1]), found[2]
