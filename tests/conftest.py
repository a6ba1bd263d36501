"""Tiny random models of three layouts, saved as ordinary Hugging Face directories and loaded as any user's model is."""

from pathlib import Path

import pytest
import torch

LAYOUTS = ("gpt2", "neox", "llama")
WORDS = tuple("Mary John Anna Paul went to the store . and gave a book drink old new man woman house garden then".split()) + tuple("abcdefghijklmnop")
VOCABULARY = ("<pad>", "<bos>", "<unk>", *WORDS)


def _config(layout: str):
    from transformers import GPT2Config, GPTNeoXConfig, LlamaConfig

    ids = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0, "vocab_size": len(VOCABULARY), "tie_word_embeddings": False}
    if layout == "gpt2":
        return GPT2Config(n_layer=2, n_head=3, n_embd=24, n_inner=20, n_positions=32, **ids)
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 20, "max_position_embeddings": 32}
    if layout == "neox":
        return GPTNeoXConfig(**shape, use_parallel_residual=True, rotary_pct=0.5, **ids)
    return LlamaConfig(**shape, num_key_value_heads=2, **ids)


def _save_model(layout: str, directory: Path) -> None:
    from transformers import AutoModelForCausalLM

    torch.manual_seed(LAYOUTS.index(layout))
    model = AutoModelForCausalLM.from_config(_config(layout))
    with torch.no_grad():  # the usual initialisation is so small that nothing would have a visible effect; biases would be zero
        for name, parameter in model.named_parameters():
            norm = "ln" in name or "norm" in name
            parameter.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.2 if norm or name.endswith("bias") else 0.35)
    model.save_pretrained(directory)


def _save_tokenizer(directory: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(vocab={word: i for i, word in enumerate(VOCABULARY)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<pad>", unk_token="<unk>", padding_side="right"
    ).save_pretrained(directory)


@pytest.fixture(scope="session")
def model_dirs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Layout -> Hugging Face directory of a tiny random model with a word-level tokenizer."""
    root = tmp_path_factory.mktemp("models")
    for layout in LAYOUTS:
        _save_model(layout, root / layout)
        _save_tokenizer(root / layout)
    return {layout: root / layout for layout in LAYOUTS}
