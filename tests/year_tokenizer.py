"""A tokenizer that does with words and years what those of real models do: a word is another token behind a space, "1732" is two."""

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CENTURIES = range(11, 19)


def year_tokenizer(words: Iterable[str], *, whole_years: Collection[int] = (), digits: int = 2, size: int = 0) -> "PreTrainedTokenizerFast":
    """Knows these words, with a space in front and without.

    Args:
        words: the words.
        whole_years: years that are one token.
        digits: of the numbers that the others are split into.
        size: of the vocabulary, filled up with words that nothing has.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    numbers = [f"{number:0{digits}d}" for number in range(10**digits)]
    known = dict.fromkeys(["<bos>", "<pad>", "<unk>"])
    known |= dict.fromkeys(space + word for word in (*words, *numbers, *map(str, whole_years)) for space in ("", " "))
    known |= dict.fromkeys(f"filler{number}" for number in range(max(0, size - len(known))))
    tokenizer = Tokenizer(models.WordLevel({word: token for token, word in enumerate(known)}, unk_token="<unk>"))
    years = "".join(f" ?{year}|" for year in whole_years)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(rf"{years} ?\d{{{digits}}}| ?[^\s\d]+"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>", unk_token="<unk>")
