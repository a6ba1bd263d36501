"""One small native model for the tests of native models, its weights by HookedTransformer's names, and what it computes."""

import native_oracle as oracle
import torch
from transformer_lens.config import TransformerBridgeConfig
from transformer_lens.conversion_utils import convert_tl_checkpoint
from transformer_lens.model_bridge import TransformerBridge
from transformer_lens.model_bridge.sources.native import NativeModel

from mechcheck.models.loading import load_model

CONFIG = {
    "n_layers": 2, "n_heads": 2, "d_head": 4, "d_model": 8, "n_ctx": 9, "d_vocab": 11, "d_vocab_out": 11, "attn_only": False, "d_mlp": 5,
    "act_fn": "gelu", "normalization_type": "LN",
}  # fmt: skip
TOKENS = torch.randint(11, (3, 7), generator=torch.Generator().manual_seed(5))
LENGTHS = torch.full((3,), 7)


def expected(weights=None, **changed) -> torch.Tensor:
    config = CONFIG | changed
    return oracle.forward(oracle.random_weights(config) if weights is None else weights, config, TOKENS, LENGTHS)


def logits(directory, **options) -> torch.Tensor:
    with torch.no_grad():
        return load_model(directory, **{"dtype": "float64", "processing": "raw", **options})(TOKENS)


def same(found: torch.Tensor, right: torch.Tensor, atol: float = 1e-9) -> None:
    torch.testing.assert_close(found, right, rtol=0, atol=atol)


def as_network(weights: dict, config: dict) -> dict:
    """HookedTransformer's weights by the names, and in the shapes, of the network in the bridge."""
    made = TransformerBridge.boot_native(TransformerBridgeConfig(**config))
    kept = {name: value for name, value in weights.items() if not name.endswith((".mask", ".IGNORE"))}
    made.load_state_dict(convert_tl_checkpoint(kept, made.cfg))
    clean = {name.replace("._original_component", ""): value for name, value in made.original_model.state_dict().items()}
    wanted = NativeModel(TransformerBridgeConfig(**config)).state_dict()
    return {name: clean[name].double() for name in wanted} | {"head.bias": clean["head.bias"].double()}
