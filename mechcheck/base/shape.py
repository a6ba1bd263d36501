"""A model's shape, from its configuration alone, and what follows from it: how many weights it has, and what a forward pass takes."""

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Shape(NamedTuple):
    """What counts of weights and operations depend on."""

    layers: int
    d_model: int
    heads: int
    kv_heads: int
    d_head: int
    d_mlp: int
    """Of all MLPs that a token goes through together; 0 where there are none."""
    gated: bool
    vocabulary: int
    """Tokens that there are logits of."""
    head: bool = False
    """Whether a dense layer stands before the unembedding (BERT)."""

    @property
    def layer_weights(self) -> int:
        """Weights of one layer that every token is multiplied with."""
        attention = self.d_model * self.d_head * 2 * (self.heads + self.kv_heads)
        return attention + self.d_model * self.d_mlp * (3 if self.gated else 2)

    @property
    def head_weights(self) -> int:
        """Weights that the last stream is multiplied with."""
        return self.d_model * (self.vocabulary + (self.d_model if self.head else 0))

    def operations(self, rows: int, width: int, columns: int, layers: int | None = None) -> int:
        """Floating-point operations of the matrix products of a forward pass, 2 for each multiply-add.

        2 rows width layers (layer_weights + 2 width heads d_head) + 2 rows columns head_weights: every token meets each weight of a layer
        once, each query each key (masked or not), and what it gives to that key the key's value; the last stream meets the unembedding
        where logits are made.

        Args:
            rows: sequences.
            width: tokens of each, padding included.
            columns: positions of each at which logits are made.
            layers: how many are run; None: all.
        """
        run = self.layers if layers is None else layers
        return 2 * rows * (width * run * (self.layer_weights + 2 * width * self.heads * self.d_head) + columns * self.head_weights)


def shape_of(model: "TransformerBridge") -> Shape:
    """A loaded model's shape."""
    cfg: Any = model.cfg
    wide = getattr(getattr(model.original_model, "config", None), "ffn_dim", None)  # OPT's, which the bridge does not read
    experts = getattr(cfg, "experts_per_token", None) if getattr(cfg, "num_experts", None) else None
    return Shape(
        layers=cfg.n_layers,
        d_model=cfg.d_model,
        heads=cfg.n_heads,
        kv_heads=getattr(cfg, "n_key_value_heads", None) or cfg.n_heads,
        d_head=cfg.d_head,
        d_mlp=0 if getattr(cfg, "attn_only", False) else (wide or cfg.d_mlp or 0) * (experts or 1),
        gated=bool(getattr(cfg, "gated_mlp", False)),
        vocabulary=cfg.d_vocab_out if getattr(cfg, "d_vocab_out", -1) > 0 else cfg.d_vocab,
        head=cfg.architecture == "BertForMaskedLM",
    )
