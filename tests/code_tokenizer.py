"""A tokenizer that does with code what those of real models do: a word is another token behind a space, signs and line ends are tokens."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIGNS = (*'(),:."@-*_', "\n", "\n    ")


def code_tokenizer(words: Iterable[str], *, split: Iterable[str] = ()) -> "PreTrainedTokenizerFast":
    """Knows these words and signs, with a space in front and without.

    Args:
        words: the words.
        split: those of them that are a token without a space, and two behind one.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    apart = set(split)
    known = dict.fromkeys(["<bos>", "<pad>", "<unk>", " ", *SIGNS])
    known |= dict.fromkeys(space + word for word in sorted({*words, *apart}) for space in ("", " ") if not (space and word in apart))
    tokenizer = Tokenizer(models.WordLevel({word: token for token, word in enumerate(known)}, unk_token="<unk>"))
    lone = "".join(rf" (?={word}\b)|" for word in sorted(apart))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{lone}\n *| ?\w+|[^\w\s]| "), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>", unk_token="<unk>")
