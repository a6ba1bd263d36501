"""Tiny random models of three layouts, random prompts for them, and the precision to which two computations must agree."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from mechcheck.prompts.prompt_set import PromptSet

LAYOUTS = ("gpt2", "neox", "llama")
NAMES = ("Mary", "John", "Anna", "Paul")
WORDS = ("went", "to", "the", "store", ".", "and", "gave", "a", "book", "drink", "old", "new", "man", "woman", "house")
VOCABULARY = ("<pad>", "<bos>", "<unk>", *NAMES, *WORDS, *"bcdefghijklmnopqrstuvwxyz")
# In float64. Rotary embeddings, and Llama's norms and softmax, compute in float32 whatever the model's dtype.
SAME_FORWARD = {"gpt2": 1e-9, "neox": 1e-9, "llama": 3e-5}
# Layouts that only the sweep's tests need: blocks in sequence with rotary embeddings, and an encoder.
MORE_LAYOUTS = ("neox-sequential", "bert")
SAME_FORWARD |= {"neox-sequential": 1e-9, "bert": 1e-9}
HUGGING_FACE = {"gpt2": 1e-9, "neox": 1e-5, "llama": 1e-5}


def config(layout: str):
    """A configuration of a few thousand parameters; the Llama one has two key-value heads for four heads."""
    from transformers import BertConfig, GPT2Config, GPTNeoXConfig, LlamaConfig

    ids = {"bos_token_id": 1, "eos_token_id": 0, "pad_token_id": 0, "vocab_size": len(VOCABULARY), "tie_word_embeddings": False}
    if layout == "gpt2":
        return GPT2Config(n_layer=2, n_head=3, n_embd=24, n_inner=20, n_positions=32, **ids)
    shape = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 32, "intermediate_size": 20, "max_position_embeddings": 32}
    if layout.startswith("neox"):
        return GPTNeoXConfig(**shape, use_parallel_residual=layout == "neox", rotary_pct=0.5, **ids)
    if layout == "bert":
        return BertConfig(**shape, pad_token_id=0, vocab_size=len(VOCABULARY))
    return LlamaConfig(**shape, num_key_value_heads=2, **ids)


def save_model(layout: str, directory: Path) -> None:
    """A Hugging Face directory with random weights, large enough for every part to have a visible effect."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    torch.manual_seed((*LAYOUTS, *MORE_LAYOUTS).index(layout))
    model = (AutoModelForMaskedLM if layout == "bert" else AutoModelForCausalLM).from_config(config(layout))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            norm = "ln" in name or "norm" in name
            parameter.normal_(1.0 if norm and name.endswith("weight") else 0.0, 0.2 if norm or name.endswith("bias") else 0.35)
    model.save_pretrained(directory)
    save_tokenizer(directory)


def save_tokenizer(directory: Path, vocabulary: Sequence[str] = VOCABULARY) -> None:
    """A word-level tokenizer: every word of the vocabulary is one token."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel(vocab={word: i for i, word in enumerate(vocabulary)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<pad>", unk_token="<unk>", padding_side="right"
    ).save_pretrained(directory)


def random_prompts(seed: int, lengths: Sequence[int], *, alphabet: int = len(VOCABULARY), per_template: int = 2) -> PromptSet:
    """BOS and random tokens, of the given lengths, with positions A < B, an aligned counterfactual and an aligned reference.

    A small alphabet gives repeated tokens. Each template has `per_template` prompts that follow each other.
    """
    rng = random.Random(seed)
    answers, foils = zip(*(rng.sample(range(3, len(VOCABULARY)), 2) for _ in lengths), strict=True)
    pairs = [sorted(rng.sample(range(length - 1), 2)) for length in lengths]

    def build(**others: PromptSet) -> PromptSet:
        rows = [[1] + [rng.randrange(3, alphabet) for _ in range(length - 1)] for length in lengths]
        return PromptSet.from_tokens(
            rows, answers=answers, foils=foils, positions={"A": [a for a, _ in pairs], "B": [b for _, b in pairs]},
            templates=[f"template {row // per_template}" for row in range(len(lengths))],
            pad=0, decode=dict(enumerate(VOCABULARY)), **others,
        )  # fmt: skip

    return build(counterfactual=build(), reference=build())


def with_other_padding(prompts: PromptSet, token: int) -> PromptSet:
    """The same prompts, other tokens on the padding, two columns more of it."""
    width = prompts.tokens.shape[1] + 2
    tokens = torch.full((len(prompts), width), token)
    for row, length in enumerate(prompts.lengths.tolist()):
        tokens[row, :length] = prompts.tokens[row, :length]
    others = {
        name: other and with_other_padding(other, token) for name, other in vars(prompts).items() if name in ("counterfactual", "reference")
    }
    return replace(prompts, tokens=tokens, **others)


def alone(prompts: PromptSet, row: int) -> PromptSet:
    """One prompt by itself, without padding."""

    def cut(one: PromptSet) -> PromptSet:
        return replace(one, tokens=one.tokens[:, : int(one.lengths[0])], **_companions(one, cut))

    return cut(prompts[[row]])


def _companions(prompts: PromptSet, change: Callable[[PromptSet], PromptSet]) -> dict[str, PromptSet | None]:
    """The counterfactual and the reference, changed likewise."""
    both = {"counterfactual": prompts.counterfactual, "reference": prompts.reference}
    return {name: None if other is None else change(other) for name, other in both.items()}
