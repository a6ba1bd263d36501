"""Whether prompts fit a model: ids that it has, lengths that it sees."""

from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakKeyDictionary, WeakSet

from jaxtyping import Int
from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.base.errors import PromptError
from mechcheck.base.loaded import check_loaded

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Prompts(Protocol):
    """What is looked at in a `PromptSet`."""

    @property
    def tokens(self) -> Int[Tensor, "prompt pos"]: ...
    @property
    def lengths(self) -> Int[Tensor, " prompt"]: ...
    @property
    def answers(self) -> Int[Tensor, " prompt"]: ...
    def any_sets(self) -> bool: ...
    def longest(self) -> int: ...
    @property
    def ids(self) -> tuple[str, ...]: ...
    def position(self, name: str) -> Int[Tensor, " prompt"]: ...


_fitting: "WeakKeyDictionary[Any, WeakSet[Any]]" = WeakKeyDictionary()


def check_fits_once(model: "TransformerBridge", prompts: Prompts) -> None:
    """As `check_fits`, once for each model and set."""
    check_loaded(model)
    if prompts not in _fitting.setdefault(model, WeakSet()):
        check_fits(model, prompts)
        _fitting[model].add(prompts)


def check_fits(model: "TransformerBridge", prompts: Prompts) -> None:
    """Raise unless the model has every token, answer and foil, and sees as many positions as the prompts have.

    Raises:
        ModelError: no loaded model.
        PromptError: names the prompt, the id or length, and the limit; for a masked model also an END that stands on [SEP].
    """
    check_loaded(model)
    cfg = getattr(model, "cfg", None)
    if cfg is None:
        return
    _check_tokens(prompts, cfg.d_vocab)
    out = getattr(cfg, "d_vocab_out", None) or -1
    for what in ("answers", "foils"):
        _check_compared(what[:-1], _compared(prompts, what), out if out > 0 else cfg.d_vocab)
    longest, context = int(prompts.lengths.max()), context_of(model)
    if context is not None and longest > context:
        row = int(prompts.lengths.argmax())
        raise PromptError(f"prompt {row} ({prompts.ids[row]}) has {longest} tokens, and this model sees {context} at most: shorten it")
    if prompts.longest() > 1 and getattr(cfg, "attention_dir", "causal") != "causal":
        raise PromptError(
            "some answers or foils are several tokens, and this model predicts masked words, a token for each mask: choose words of one "
            "token, or ask a decoder"
        )
    if is_encoder(model) and (len(prompts.answers) or prompts.any_sets()):
        _check_masked(model, prompts)


def context_of(model: "TransformerBridge") -> int | None:
    """How many tokens the model sees; None where its configuration sets no limit (relative positions)."""
    config = getattr(getattr(model, "original_model", None), "config", None)
    if config is not None and hasattr(config, "get_text_config"):
        config = config.get_text_config()
        names = ("n_positions", "max_position_embeddings", "n_ctx", "max_context_length", "max_seq_len", "max_sequence_length")
        if not any(getattr(config, name, None) for name in names):
            return None
    found = getattr(model.cfg, "n_ctx", None)
    return int(found) if found else None


def _check_tokens(prompts: Prompts, size: int) -> None:
    outside = (prompts.tokens < 0) | (prompts.tokens >= size)
    if not outside.any():
        return
    row, position = (int(at) for at in outside.nonzero()[0])
    token, limit = int(prompts.tokens[row, position]), f"this model has tokens 0-{size - 1}"
    if position >= prompts.lengths[row]:
        raise PromptError(f"the pad id {token} is none of the model's: {limit}; give another pad=, whichever, as padding is not seen")
    raise PromptError(f"prompt {row} ({prompts.ids[row]}) has token {token} at position {position}, and {limit}")


def _compared(prompts: Prompts, what: str) -> list[list[int]]:
    """All tokens of each prompt's answers or foils."""
    sets = getattr(prompts, f"{what[:-1]}_sets", ())
    return [[token for one in row for token in one] for row in sets] or [[token] for token in getattr(prompts, what).tolist()]


def _check_compared(what: str, ids: list[list[int]], size: int) -> None:
    for row, tokens in enumerate(ids):
        outside = next((token for token in tokens if not 0 <= token < size), None)
        if outside is not None:
            raise PromptError(f"the {what} of prompt {row} is token {outside}, and this model predicts tokens 0-{size - 1}")


def _check_masked(model: "TransformerBridge", prompts: Prompts) -> None:
    """[SEP] behind a text is never the word that is asked for."""
    sep = getattr(model.tokenizer, "sep_token_id", None)
    ends = prompts.tokens.gather(1, prompts.position("END").cpu()[:, None])[:, 0]
    if sep is not None and bool((ends == sep).any()):
        row = int((ends == sep).nonzero()[0])
        raise PromptError(
            f"END of prompt {row} is {model.tokenizer.sep_token}, which stands behind the text, and this model predicts masked words: "
            "give END the position of the mask"
        )
