"""The configuration of a native model: which fields decide what it computes, and which settings TransformerLens' network does not have."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

from mechcheck.base.errors import ModelError
from mechcheck.base.json_schema import misfit
from mechcheck.base.text import did_you_mean

if TYPE_CHECKING:
    from transformer_lens.config import TransformerBridgeConfig

# What a HookedTransformer was told beside a TransformerBridgeConfig's fields, and what does not change what it computes.
_IDLE = {
    "device", "dtype", "seed", "init_weights", "n_devices", "n_params", "model_name", "tokenizer_name", "original_architecture",
    "architecture", "from_checkpoint", "checkpoint_index", "checkpoint_label_type", "checkpoint_value", "default_prepend_bos",
    "tokenizer_prepends_bos", "tokenizer_appends_eos", "default_padding_side", "trust_remote_code", "attn_implementation",
    "use_attn_result", "use_split_qkv_input", "use_hook_mlp_in", "use_attn_in", "use_hook_tokens", "split_attention_weights",
    "uses_rms_norm", "layer_norm_folding", "head_dim", "ungroup_grouped_query_attention", "tie_word_embeddings",
    "decoder_start_token_id", "NTK_original_ctx_len", "NTK_by_parts_low_freq_factor", "NTK_by_parts_high_freq_factor",
    "NTK_by_parts_factor", "rotary_adjacent_pairs", "use_attn_scale", "window_size", "_bridge_ref", "norm_topk_prob",
    "rotary_base_local", "model_type", "architectures",
}  # fmt: skip
# The same function under another name.
_SAME_ACTIVATION = {"gelu_fast": "gelu_new", "gelu_pytorch_tanh": "gelu_new"}
_ACTIVATIONS = ("gelu", "gelu_new", "relu", "silu", "swish", "solu", "solu_ln")
_NORMS = (None, "LN", "LNPre", "RMS", "RMSPre")
_UPPER = {name.upper(): name for name in _NORMS if name}


@dataclass(frozen=True)
class NativeConfig:
    """All that decides what a native model computes from its weights, as config.json has it."""

    n_layers: int
    d_model: int
    n_heads: int
    d_head: int
    n_ctx: int
    d_vocab: int
    d_vocab_out: int
    d_mlp: int | None
    """None where there are no MLPs."""
    attn_only: bool
    act_fn: str
    gated_mlp: bool
    normalization_type: str | None
    """None, "LN", "LNPre", "RMS" or "RMSPre"; Pre: without weights of its own."""
    final_rms: bool
    eps: float
    attention_dir: str
    """"causal" or "bidirectional"."""
    attn_scale: float
    """What scores are divided by."""
    positional_embedding_type: str
    """"standard" (learned) or "rotary" (neighbouring components are turned together)."""
    rotary_dim: int | None
    rotary_base: int
    n_key_value_heads: int | None
    attn_scores_soft_cap: float
    """-1: none, as is for the logits."""
    output_logits_soft_cap: float
    init_mode: str
    """How weights are drawn for a re-initialised twin, and how large."""
    initializer_range: float
    rope_scaling: dict[str, Any] | None = None
    """How rotary positions are stretched, where they are."""

    def bridge_config(self, **more: Any) -> "TransformerBridgeConfig":
        """TransformerLens' own configuration; the scale is left to whoever sets it, as `boot_native` knows the usual one alone."""
        from transformer_lens.config import TransformerBridgeConfig

        given = asdict(self)
        for name in ("attn_scale", "rope_scaling"):
            del given[name]
        config = TransformerBridgeConfig(**given | more)
        if self.rope_scaling is not None:
            config.rope_scaling = self.rope_scaling
        return config

    def to_json(self) -> dict[str, Any]:
        """Field -> value; transformers, which reads the tokenizer beside it, warns of a `rope_scaling` that is none."""
        return {name: value for name, value in asdict(self).items() if name != "rope_scaling" or value is not None}


_WIDTH = {"type": "integer", "minimum": 1, "maximum": 1 << 24}
_WIDTH_OR_NONE = {"oneOf": [{"type": "null"}, _WIDTH]}
_REAL, _ABOVE_ZERO, _YES = {"type": "number"}, {"type": "number", "exclusiveMinimum": 0}, {"type": "boolean"}
_SCHEMA = {
    "properties": {
        **dict.fromkeys(("n_layers", "d_model", "n_heads", "d_head", "n_ctx", "d_vocab", "d_vocab_out"), _WIDTH),
        **dict.fromkeys(("d_mlp", "rotary_dim", "n_key_value_heads"), _WIDTH_OR_NONE),
        **dict.fromkeys(("eps", "attn_scores_soft_cap", "output_logits_soft_cap", "initializer_range"), _REAL),
        **dict.fromkeys(("attn_scale", "rotary_base"), _ABOVE_ZERO),
        **dict.fromkeys(("attn_only", "gated_mlp", "final_rms"), _YES),
        "act_fn": {"enum": [*_ACTIVATIONS]},
        "normalization_type": {"enum": [*_NORMS]},
        "attention_dir": {"enum": ["causal", "bidirectional"]},
        "positional_embedding_type": {"enum": ["standard", "rotary"]},
        "init_mode": {"type": "string"},
        "rope_scaling": {"type": ["object", "null"]},
    }
}
"""What the fields of a config.json are."""


def native_config(given: object, *, hooked: bool) -> NativeConfig:
    """Read a configuration, and refuse what the native network would compute otherwise, or not at all.

    Args:
        given: a TransformerBridgeConfig, a HookedTransformerConfig, or a mapping of their fields.
        hooked: whether it describes a HookedTransformer, which heeds `use_attn_scale`; `boot_native` does not.

    Raises:
        ModelError: fields that are missing, unknown, or set to what is not computed.
    """
    settings = dict(given) if isinstance(given, Mapping) else dict(vars(given)) if hasattr(given, "d_model") else None
    if settings is None:
        raise ModelError(
            f"expected the model's configuration (a TransformerBridgeConfig, or a dict of its fields), got {type(given).__name__}"
        )
    _check_known(settings)
    _check_computed(settings, hooked)
    needed = ("n_layers", "d_model", "d_head", "n_ctx", "d_vocab")
    if missing := [name for name in needed if not isinstance(settings.get(name), int) or settings[name] < 1]:
        raise ModelError(f"the configuration lacks {', '.join(missing)}: give each as a whole number above 0")
    return _resolved(settings, hooked)


def from_json(read: Mapping[str, Any], name: str) -> NativeConfig:
    """The configuration as `to_json` wrote it.

    Raises:
        ModelError: a field is missing: another version wrote it, or it was edited.
    """
    names = [field.name for field in fields(NativeConfig)]
    if missing := [field for field in names if field not in read and field != "rope_scaling"]:
        raise ModelError(f"{name!r}: its config.json lacks {', '.join(missing)}; write the directory again with keep_native")
    if problem := misfit({field: read[field] for field in names if field in read}, _SCHEMA):
        raise ModelError(f"{name!r}: in its config.json {problem}; write the directory again with keep_native")
    return NativeConfig(**{field: read[field] for field in names if field in read})


def _check_known(settings: Mapping[str, Any]) -> None:
    known = {*_defaults(), *_IDLE, *(field.name for field in fields(NativeConfig))}
    for name in settings:
        if name not in known:
            raise ModelError(f"unknown field {name!r} in the configuration{did_you_mean(name, known)}")


def _check_computed(settings: Mapping[str, Any], hooked: bool) -> None:
    """Fields that are not stored must be as the network has them."""
    stored, defaults = {field.name for field in fields(NativeConfig)}, _defaults()
    for name, value in settings.items():
        if name not in stored and name not in _IDLE and value != defaults[name] and not (value in (None, False) and not defaults[name]):
            raise _uncomputed(name, value)
    if not hooked and settings.get("use_attn_scale") is False and not (settings.get("attn_scale") or 0) > 0:
        raise ModelError(
            "use_attn_scale=False: boot_native divides scores by sqrt(d_head) all the same; give attn_scale, what they are divided by "
            "(1.0: nothing)"
        )
    for name, among in (("normalization_type", (*_NORMS, *_UPPER)), ("attention_dir", ("causal", "bidirectional"))):
        if name in settings and settings[name] not in among:
            raise _uncomputed(name, settings[name], among)
    if (settings.get("positional_embedding_type") or "standard") not in ("standard", "rotary"):
        why = "; a model without positions has a W_pos of zeros"
        raise _uncomputed("positional_embedding_type", settings["positional_embedding_type"], ("standard", "rotary"), why)
    if (
        settings.get("act_fn") is not None
        and not settings.get("attn_only")
        and settings["act_fn"] not in (*_ACTIVATIONS, *_SAME_ACTIVATION)
    ):
        raise _uncomputed("act_fn", settings["act_fn"], _ACTIVATIONS)


def _uncomputed(name: str, value: object, among: tuple = (), why: str = "") -> ModelError:
    choices = f"; it has {', '.join(map(str, among))}" if among else ""
    return ModelError(
        f"TransformerLens' native model does not compute {name}={value!r}{choices}{why}, so its numbers would be those of another model"
    )


def _resolved(settings: Mapping[str, Any], hooked: bool) -> NativeConfig:
    """With what is left out, or said by a sentinel, written out."""
    d_model, d_head = settings["d_model"], settings["d_head"]
    n_heads = settings.get("n_heads") or -1
    if n_heads < 1 and d_model % d_head:
        raise ModelError(f"the configuration lacks n_heads, and d_model={d_model} is no multiple of d_head={d_head}")
    n_heads = n_heads if n_heads > 0 else d_model // d_head
    groups = settings.get("n_key_value_heads")
    if groups and n_heads % groups:
        raise ModelError(f"n_heads={n_heads} is no multiple of n_key_value_heads={groups}")
    attn_only = bool(settings.get("attn_only"))
    d_out = settings.get("d_vocab_out")
    norm = settings.get("normalization_type", "LN")
    rotary = (settings.get("positional_embedding_type") or "standard") == "rotary"
    rotary_dim = (settings.get("rotary_dim") or d_head) if rotary else None
    if rotary_dim is not None and (rotary_dim % 2 or rotary_dim > d_head):
        raise ModelError(f"rotary_dim={rotary_dim}: choose an even number up to d_head={d_head}")
    act_fn = settings.get("act_fn") or "relu"
    init_mode, spread = settings.get("init_mode") or "gpt2", settings.get("initializer_range")
    return NativeConfig(
        n_layers=settings["n_layers"],
        d_model=d_model,
        n_heads=n_heads,
        d_head=d_head,
        n_ctx=settings["n_ctx"],
        d_vocab=settings["d_vocab"],
        d_vocab_out=d_out if d_out and d_out > 0 else settings["d_vocab"],
        d_mlp=None if attn_only else settings.get("d_mlp") or 4 * d_model,
        attn_only=attn_only,
        act_fn=_SAME_ACTIVATION.get(act_fn, act_fn),
        gated_mlp=bool(settings.get("gated_mlp")) and not attn_only,
        normalization_type=None if norm is None else _UPPER[norm.upper()],
        final_rms=bool(settings.get("final_rms")) and not (hooked and norm is None),
        eps=1e-5 if settings.get("eps") is None else float(settings["eps"]),
        attention_dir=settings.get("attention_dir") or "causal",
        attn_scale=_scale(settings, d_head, hooked),
        positional_embedding_type="rotary" if rotary else "standard",
        rotary_dim=rotary_dim,
        rotary_base=int(settings.get("rotary_base") or 10000),
        rope_scaling=settings.get("rope_scaling") if rotary else None,
        n_key_value_heads=groups if groups and groups != n_heads else None,
        attn_scores_soft_cap=_cap(settings, "attn_scores_soft_cap"),
        output_logits_soft_cap=_cap(settings, "output_logits_soft_cap"),
        init_mode=init_mode,
        initializer_range=-1.0 if spread is None else float(spread),
    )


def _scale(settings: Mapping[str, Any], d_head: int, hooked: bool) -> float:
    if hooked and settings.get("use_attn_scale") is False:
        return 1.0
    scale = settings.get("attn_scale")
    return float(scale) if scale is not None and scale > 0 else float(d_head) ** 0.5


def _cap(settings: Mapping[str, Any], name: str) -> float:
    cap = settings.get(name)
    return float(cap) if cap is not None and cap > 0 else -1.0


def _defaults() -> dict[str, Any]:
    """Every field of TransformerLens' configuration as it is where nobody sets it."""
    from transformer_lens.config import TransformerBridgeConfig

    return dict(vars(TransformerBridgeConfig(d_model=1, d_head=1, n_layers=1, n_ctx=1, d_vocab=1)))
