"""Models of well-known shapes with random weights, and random prompt pairs for them: time does not depend on the weights."""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechcheck import PromptSet
from mechcheck.models.directory import quiet_loading

if TYPE_CHECKING:
    from transformers import PretrainedConfig

EMBEDDED = "names-gpt2-seed4"
WIDTH, FIRST_CHANGE = 15, 10
_IDS = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0}
# Twice what transformers draws from, so that a head's effect on the logits is far above rounding errors.
_INITIAL = 0.04


def gpt2(layers: int = 12, heads: int = 12, d_model: int = 768, vocabulary: int = 50257, positions: int = 1024) -> "PretrainedConfig":
    """GPT-2 small's shape unless told otherwise."""
    from transformers import GPT2Config

    return GPT2Config(
        n_layer=layers, n_head=heads, n_embd=d_model, vocab_size=vocabulary, n_positions=positions, initializer_range=_INITIAL, **_IDS
    )  # fmt: skip


def neox() -> "PretrainedConfig":
    """Pythia-160m's shape: parallel attention and MLP, rotary embedding of a quarter of each head."""
    from transformers import GPTNeoXConfig

    return GPTNeoXConfig(
        num_hidden_layers=12, num_attention_heads=12, hidden_size=768, intermediate_size=3072, vocab_size=50304,
        max_position_embeddings=2048, rotary_pct=0.25, use_parallel_residual=True, initializer_range=_INITIAL, **_IDS,
    )  # fmt: skip


def llama() -> "PretrainedConfig":
    """A Llama layout of that size: four key/value heads for twelve heads, gated MLP, RMSNorm."""
    from transformers import LlamaConfig

    return LlamaConfig(
        num_hidden_layers=12, num_attention_heads=12, num_key_value_heads=4, hidden_size=768, intermediate_size=2048, vocab_size=32000,
        max_position_embeddings=2048, tie_word_embeddings=False, initializer_range=_INITIAL, **_IDS,
    )  # fmt: skip


SHAPES = {"GPT-2 small": gpt2, "GPT-NeoX (Pythia 160m)": neox, "Llama (grouped queries)": llama}


def directory(config: "PretrainedConfig") -> Path:
    """A Hugging Face directory with random weights of that shape, in the temporary directory; kept there for the next benchmark."""
    digest = hashlib.sha256(config.to_json_string().encode()).hexdigest()[:12]
    final = Path(tempfile.gettempdir()) / "mechcheck-benchmarks" / f"{config.model_type}-{digest}"
    if not final.is_dir():
        final.parent.mkdir(parents=True, exist_ok=True)
        with quiet_loading(), tempfile.TemporaryDirectory(dir=final.parent) as fresh:
            _save(config, Path(fresh) / "model")
            shutil.move(Path(fresh) / "model", final)
    return final


def _save(config: "PretrainedConfig", where: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    AutoModelForCausalLM.from_config(config).save_pretrained(where)
    special = {"pad_token": "<pad>", "bos_token": "<bos>", "unk_token": "<unk>"}
    words = [*special.values(), *(f"w{number}" for number in range(len(special), config.vocab_size))]
    tokenizer = Tokenizer(models.WordLevel(vocab={word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special, padding_side="right").save_pretrained(where)


def prompt_pairs(vocabulary: int, n: int, width: int = WIDTH, first_change: int = FIRST_CHANGE, seed: int = 0) -> PromptSet:
    """Random prompts of equal length; the counterfactual differs from `first_change` on, the reference everywhere.

    Positions are named P0, P1, ...
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randint(3, vocabulary, shape, generator=generator)

    tokens, other = draw(n, width), draw(n, width)
    other[:, :first_change] = tokens[:, :first_change]
    other[:, first_change] = 3 + (tokens[:, first_change] - 2) % (vocabulary - 3)  # never the same
    answers = draw(n)
    named = {f"P{at}": [at] * n for at in range(width)}
    labels = {"answers": answers, "foils": 3 + (answers - 2) % (vocabulary - 3), "positions": named}
    return PromptSet.from_tokens(
        tokens, **labels, counterfactual=PromptSet.from_tokens(other, **labels), reference=PromptSet.from_tokens(draw(n, width), **labels)
    )
