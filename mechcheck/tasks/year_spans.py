"""Greater-than in plain English, as in Hanna et al. 2023 (arXiv:2305.00586): "The war lasted from the year 1732 to the year 17".

A year is two tokens here, its century behind a space and the other two digits; what comes next are two digits again. Tokenizers
have some years as one token (round ones and recent ones, above all), or split them elsewhere: these are left out.
"""

import random
from collections.abc import Mapping
from typing import NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split

APART = 5
"""Years from the start to the answer, and back from it to the foil."""
CENTURIES = range(11, 18)
FIRST = 1
LATER = range(FIRST + 1, 99)
"""The years of a century, in which things begin, the first of all aside; the paper's 02 to 98."""
STARTS = LATER[APART:-APART]
ENOUGH = 8
"""Start years that each half needs at least; the embedded language has as many."""
NOUNS = (
    "war", "siege", "reign", "trip", "campaign", "trial", "conflict", "dispute", "crisis", "project", "study", "festival",
    "strike", "famine", "drought", "plague", "epidemic", "voyage", "expedition", "journey", "mission", "alliance", "marriage",
    "partnership", "treaty", "occupation", "rebellion", "uprising", "dynasty", "empire", "recession", "expansion", "construction",
    "renovation", "survey", "tour", "exhibition", "career", "embargo", "blockade", "struggle", "feud", "rivalry", "migration",
)  # fmt: skip


class _Span(NamedTuple):
    noun: str
    century: int
    began: int

    def beginning(self) -> str:
        return f"The {self.noun} lasted from the year {self.century}{_two_digits(self.began)}"

    def text(self) -> str:
        return f"{self.beginning()} to the year {self.century}"


def end_years(reader: Reader) -> list[int]:
    """The tokens of "00" to "99", as they stand behind a century.

    Raises:
        PromptError: a number that is not one token; the first is named.
    """
    pieces = [reader.pieces(_two_digits(year), first=True) for year in range(100)]
    split = [_two_digits(year) for year, tokens in enumerate(pieces) if len(tokens) != 1]
    if split:
        raise PromptError(
            f"greater-than prompts need numbers of two digits to be one token each; for this tokenizer {len(split)} of 100 are not "
            f"({split[0]!r}, for one), so years cannot be compared by what it says next"
        )
    return [tokens[0] for tokens in pieces]


def year_spans(reader: Reader, n: int, seed: int, split: Split) -> PromptSet:
    """Prompts with the positions YEAR, the start year's two digits, and END, the century in which it ends.

    The halves share no start year and no noun. A year is used where it, the answer, the foil and the first year of its century
    are two tokens each; a noun where it is one.

    Raises:
        PromptError: too few years or nouns are left, or numbers of two digits are not single tokens.
    """
    ids, rng = end_years(reader), random.Random(f"year spans {seed} {split}")
    years, nouns = _starts(reader, split), _nouns(reader, split)
    clean, first, other = [], [], []
    for i in range(n):
        began = list(years)[i % len(years)]
        span = _Span(rng.choice(nouns), rng.choice(list(years[began])), began)
        clean.append(span)
        first.append(span._replace(began=FIRST))
        other.append(span._replace(began=rng.choice(years[began][span.century])))

    return PromptSet.read(
        reader,
        [span.text() for span in clean],
        answers=[ids[span.began + APART] for span in clean],
        foils=[ids[span.began - APART] for span in clean],
        at_words={"YEAR": [len(span.beginning().split()) - 1 for span in clean]},
        templates=[f"from {_two_digits(span.began)}" for span in clean],
        counterfactual=[span.text() for span in first],
        reference=[span.text() for span in other],
    )


def _two_digits(year: int) -> str:
    return f"{year:02d}"


def _starts(reader: Reader, split: Split) -> Mapping[int, Mapping[int, list[int]]]:
    """The start years of a half; for each its centuries, and for each of those the years that the reference may begin in."""
    found: dict[int, dict[int, list[int]]] = {}
    for century in CENTURIES:
        usable = [year for year in (FIRST, *LATER) if _is_two_tokens(reader, century, year)]
        for began in STARTS[split == "verify" :: 2]:
            farther = [year for year in usable if year != FIRST and abs(year - began) > APART]
            if {FIRST, began - APART, began, began + APART} <= {*usable} and farther:
                found.setdefault(began, {})[century] = farther
    if len(found) < ENOUGH:
        raise PromptError(
            f'greater-than prompts need years of two tokens, such as " 17" and "32"; this tokenizer leaves {len(found)} start years for '
            f"this half of the prompts, and {ENOUGH} are needed: the model cannot be asked in this way"
        )
    return dict(sorted(found.items()))


def _is_two_tokens(reader: Reader, century: int, year: int) -> bool:
    digits = _two_digits(year)
    whole, parts = reader.pieces(f"{century}{digits}"), [reader.pieces(str(century)), reader.pieces(digits, first=True)]
    return len(whole) == 2 and whole == [token for part in parts for token in part]


def _nouns(reader: Reader, split: Split) -> list[str]:
    """The nouns of a half that are one token; where fewer than half of them are, the others are named by an error."""
    nouns = NOUNS[split == "verify" :: 2]
    known = [noun for noun in nouns if reader.knows(noun)]
    if 2 * len(known) < len(nouns):
        reader.check_words([nouns], whole=False)
    return known
