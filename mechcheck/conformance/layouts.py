"""The layouts of transformers that are tested: a tiny random model of each, as a Hugging Face directory."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from mechcheck.models.directory import keep_model
from mechcheck.prompts.prompt_set import END, PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast

N_LAYERS, N_HEADS, D_HEAD = 2, 4, 8
# Positions that a sliding or local window shows where a layout has one; the prompts are longer.
WINDOW = 8
CONTEXT = 32

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "[BOS]")
_NAMES = ("Mary", "John", "Anna", "Paul", "Sara")
_WORDS = ("After", *_NAMES, "and", "went", "to", "the", "store", "park", ",", "did", "not", "give", "a", "book", "drink")
_TEXTS = (
    "After IO and S1 went to the store , S2 did not give a book to",
    "After IO and S1 went to the store and the park , S2 did not give a drink to",
)


class Layout(NamedTuple):
    """An architecture as transformers has it."""

    title: str
    about: str
    """What in it can go wrong."""
    config: str
    """The class of its configuration; none of a native model."""
    settings: dict[str, Any]
    """Where they differ from the common ones."""
    names: dict[str, str]
    """The common settings that this configuration calls otherwise."""
    encoder: bool = False


_WIDTH = N_HEADS * D_HEAD
_SIZES = {
    "vocab_size": 0,  # that of the tokenizer
    "max_position_embeddings": CONTEXT,
    "num_hidden_layers": N_LAYERS,
    "num_attention_heads": N_HEADS,
    "hidden_size": _WIDTH,
    "intermediate_size": 20,
    "pad_token_id": 0,
    "bos_token_id": _SPECIAL.index("[BOS]"),
    "eos_token_id": 0,
    "tie_word_embeddings": False,
}
_GROUPED: dict[str, Any] = {"num_key_value_heads": N_HEADS // 2, "head_dim": D_HEAD}
_GPT2 = {"num_hidden_layers": "n_layer", "num_attention_heads": "n_head", "hidden_size": "n_embd", "intermediate_size": "n_inner"}
_GPT2 |= {"max_position_embeddings": "n_positions"}
_DISTIL = {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads", "hidden_size": "dim", "intermediate_size": "hidden_dim"}

LAYOUTS: dict[str, Layout] = {
    "gpt2": Layout("GPT-2", "learned positions", "GPT2Config", {}, _GPT2),
    "neox": Layout(
        "GPT-NeoX", "Pythia's: partial rotary positions, attention and MLP side by side", "GPTNeoXConfig", {"rotary_pct": 0.5}, {}
    ),
    "llama": Layout("Llama", "grouped queries, RMSNorm, gated MLP", "LlamaConfig", _GROUPED, {}),
    "mistral": Layout("Mistral", "prompts within the sliding window", "MistralConfig", _GROUPED | {"sliding_window": CONTEXT}, {}),
    "mistral-window": Layout(
        "Mistral+", "prompts longer than the sliding window", "MistralConfig", _GROUPED | {"sliding_window": WINDOW}, {}
    ),
    "qwen2": Layout("Qwen2", "biases on queries, keys and values", "Qwen2Config", _GROUPED, {}),
    "qwen3": Layout("Qwen3", "norms on queries and keys", "Qwen3Config", _GROUPED, {}),
    "gemma": Layout("Gemma", "scaled embedding, norms with an offset", "GemmaConfig", _GROUPED, {}),
    "gemma2": Layout(
        "Gemma 2", "soft-capped scores and logits, a norm behind each part, every other layer with a window", "Gemma2Config",
        _GROUPED | {"query_pre_attn_scalar": D_HEAD, "sliding_window": WINDOW}, {},
    ),
    "phi3": Layout("Phi-3", "packed projections", "Phi3Config", {"num_key_value_heads": N_HEADS // 2}, {}),
    "gptj": Layout("GPT-J", "interleaved rotary positions, attention and MLP side by side", "GPTJConfig", {"rotary_dim": 4}, _GPT2),
    "gptneo": Layout(
        "GPT-Neo", "scores that are not scaled, every other layer with a window", "GPTNeoConfig",
        {"attention_types": [[["global", "local"], 1]], "window_size": WINDOW},
        {"num_hidden_layers": "num_layers", "num_attention_heads": "num_heads"},
    ),
    "opt": Layout("OPT", "learned positions, ReLU", "OPTConfig", {"word_embed_proj_dim": _WIDTH}, {"intermediate_size": "ffn_dim"}),
    "bert": Layout("BERT", "reads in both directions, norms behind each sum", "BertConfig", {}, {}, encoder=True),
    "distilbert": Layout("DistilBERT", "as BERT, without token types", "DistilBertConfig", {}, _DISTIL, encoder=True),
}  # fmt: skip


def save_layout(name: str, directory: Path, seed: int = 0) -> Path:
    """Write a model of random weights that all have a visible effect, with a tokenizer of its kind."""
    import transformers

    layout = LAYOUTS[name]
    tokenizer = _word_level() if layout.encoder else byte_level()
    settings = {layout.names.get(key, key): value for key, value in (_SIZES | {"vocab_size": len(tokenizer)}).items()}
    config = getattr(transformers, layout.config)(**settings | layout.settings)
    auto = transformers.AutoModelForMaskedLM if layout.encoder else transformers.AutoModelForCausalLM
    model = auto.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            norm = "norm" in parameter_name.lower() or "ln_" in parameter_name
            kept = parameter.clone() if norm else 0.0  # a gain of 1, whichever number the layout writes for it
            parameter.normal_(0.0, 0.2 if norm or parameter_name.endswith("bias") else 0.35, generator=generator).add_(kept)
    return keep_model(model, tokenizer, directory)


def layout_prompts(model: "TransformerBridge", layout: Layout) -> PromptSet:
    """Four prompts of two lengths with positions IO, S1 and S2; in the counterfactual S2 is IO, in the reference all names are others."""
    people = (("Mary", "John"), ("John", "Anna"), ("Anna", "Paul"), ("Paul", "Mary"))
    clean = [(io, s, s) for io, s in people]

    def words(row: int, names: Sequence[str]) -> list[str]:
        filled = dict(zip(("IO", "S1", "S2"), names, strict=True))
        return [filled.get(word, word) for word in _TEXTS[row // 2].split()] + ["[MASK]"] * layout.encoder

    def texts(names: Sequence[Sequence[str]]) -> list[str]:
        return [" ".join(words(row, some)) for row, some in enumerate(names)]

    return PromptSet.from_text(
        model,
        texts(clean),
        answers=[io for io, _ in people],
        foils=[s for _, s in people],
        positions={name: [_TEXTS[row // 2].split().index(name) + 1 for row in range(4)] for name in ("IO", "S1", "S2")}
        | ({END: ["[MASK]"] * 4} if layout.encoder else {}),
        templates=[_TEXTS[row // 2] for row in range(4)],
        counterfactual=texts([(io, s, io) for io, s in people]),
        reference=texts([(*people[row - 2], "Sara") for row in range(4)]),
        pad=True,
        after_space=True,
    )


def _word_level() -> "PreTrainedTokenizerFast":
    """Every word is one token, as in no real encoder; [CLS] and [SEP] stand around a text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate((*_SPECIAL, *_WORDS))}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    named = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **named)


def byte_level() -> "PreTrainedTokenizerFast":
    """GPT-2's kind: a word with the space in front of it is one token, the same word without it is several."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    marked = [_WORDS[0], *("\u0120" + word for word in _WORDS[1:])]  # the first stands at the beginning of every text
    merges = list(dict.fromkeys((word[:i], word[i]) for word in marked for i in range(1, len(word))))
    letters = sorted({*"".join(marked), *(left for left, _ in merges if len(left) == 1)})
    pieces = dict.fromkeys((*_SPECIAL, *letters, *(left + right for left, right in merges)))
    tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", bos_token="[BOS]", eos_token="[PAD]")
