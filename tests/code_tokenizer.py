"""A tokenizer that does with code what those of real models do: a word is another token behind a space, signs and line ends are tokens."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SIGNS = '(),:."@-*_;!?>'
NUMBERS = tuple(f"{number:02d}" for number in range(100))


def code_tokenizer(
    words: Iterable[str], *, split: Iterable[str] = (), whole_years: Collection[int] = (), size: int = 0
) -> "PreTrainedTokenizerFast":
    """Knows these words and signs, and numbers of two digits, with a space in front and without.

    Args:
        words: the words.
        split: those of them that are a token without a space, and two behind one.
        whole_years: years that are one token.
        size: of the vocabulary, filled up with words that nothing has.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    apart = set(split)
    known = dict.fromkeys(["<bos>", "<pad>", "<unk>", " ", "\n", "\n    "])
    every = (*sorted({*words, *apart}), *SIGNS, *NUMBERS, *map(str, whole_years))
    known |= dict.fromkeys(space + word for word in every for space in ("", " ") if not (space and word in apart))
    known |= dict.fromkeys(f"filler{number}" for number in range(max(0, size - len(known))))
    tokenizer = Tokenizer(models.WordLevel({word: token for token, word in enumerate(known)}, unk_token="<unk>"))
    lone = "".join(rf" (?={word}\b)|" for word in sorted(apart))
    years = "".join(f" ?{year}|" for year in whole_years)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{lone}{years}\n *| ?\d{{2}}| ?[^\W\d]+| ?[^\w\s]| "), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>", unk_token="<unk>")
