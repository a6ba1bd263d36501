"""Greater-than (Hanna et al. 2023, arXiv:2305.00586): what begins in a year ends in a later one.

In the synthetic language "names" it reads "the war lasted from c17 32 to c17" -> any year after 32; for tokenizers that have no such
centuries, as those of real models, it is the paper's sentence (`year_spans`). The counterfactual begins in the first year of
all, after which every other one is right (the paper's "01"); the reference begins in another year altogether.
"""

import itertools
import random
import zlib
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechcheck.base.errors import PromptError
from mechcheck.notation.metrics import Metric
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.names import load_language
from mechcheck.tasks.registry import Split, task
from mechcheck.tasks.year_spans import APART, end_years, year_spans

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

YEARS = tuple(f"{year:02d}" for year in range(2, 99))
EVENTS = ("war", "trip")
HELD_OUT_ONE_IN = 5
# Up to the word "from".
TEMPLATES = (
    "the {event} lasted from",
    "it lasted from",
    "the long {event} lasted from",
    "there was a {event} from",
    "the {event} was near the {place} from",
    "the {place} was {adjective} from",
    "the {noun} was near the {place} from",
    "{A} was at the {place} from",
)
TEMPLATES_HELD_OUT = (
    "the {event} at the {place} lasted from",
    "the {noun} had a {object} from",
    "{A} was working at the {place} from",
    "there was a long {event} near the {place} from",
)


def held_out_start(year: str) -> bool:
    """Whether nothing begins in this year in the training data; things may end in it."""
    return zlib.crc32(f"from {year}".encode()) % HELD_OUT_ONE_IN == 0


def starts(split: Split | None) -> tuple[str, ...]:
    """The years in which things begin: in training (None), or one half of those that were held out from it."""
    if split is None:
        return tuple(year for year in YEARS[:-1] if not held_out_start(year))
    held_out = [year for year in YEARS[APART:-APART] if held_out_start(year)]
    return tuple(held_out[split == "verify" :: 2])


def year_sentence(rng: random.Random, template: str, began: str) -> list[str]:
    """The template filled at random and the years, up to and with the second century; `began` stands at -3."""
    language = load_language()
    slots = {
        "{event}": EVENTS,
        "{place}": language.places,
        "{object}": language.objects,
        "{noun}": language.nouns_singular,
        "{adjective}": tuple(itertools.chain(*language.adjectives)),
        "{A}": language.names,
    }
    words = [rng.choice(slots[word]) if word in slots else word for word in template.split()]
    century = rng.choice(language.centuries)
    return [*words, century, began, "to", century]


@task("greater_than")
def greater_than_prompts(model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify") -> PromptSet:
    """Prompts with the positions YEAR (where it began) and END; every later year is right.

    The answer is the year APART years later, the foil the one APART years earlier; `later_years` reads all the years. The start
    years of the reference lie farther away than that, so that there both of them are right, or neither is. The splits share no
    start year. In the language "names" nothing began in these years in the training of `fixtures/recipes/train_deep.py`, and
    "verify" also uses sentences that training does not; in plain English the splits share no noun either. The start year is the
    prompt's template: it is over years, more than over sentences, that models differ, so intervals are clustered by it.

    Raises:
        PromptError: words that are not single tokens, a tokenizer that makes two tokens of too few years, or an encoder.
    """
    reader = Reader(model)
    reader.check_decoder()
    return (_in_names if _has_centuries(reader) else year_spans)(reader, n, seed, split)


def _has_centuries(reader: Reader) -> bool:
    """Whether the tokenizer was made for the language "names"."""
    return any(map(reader.knows, load_language().centuries))


def _in_names(reader: Reader, n: int, seed: int, split: Split) -> PromptSet:
    """The prompts in the language "names"."""
    language, rng = load_language(), random.Random(f"greater than {seed} {split}")
    templates, years = TEMPLATES_HELD_OUT if split == "verify" else TEMPLATES, starts(split)
    clean, first, other, answers, foils, names = [], [], [], [], [], []
    for i in range(n):
        began = years[i % len(years)]
        words = [*rng.choice(language.prefixes), *year_sentence(rng, rng.choice(templates), began)]
        clean.append(words)
        first.append([*words[:-3], YEARS[0], *words[-2:]])
        other.append([*words[:-3], rng.choice([year for year in YEARS[:-1] if abs(int(year) - int(began)) > APART]), *words[-2:]])
        answers.append(YEARS[YEARS.index(began) + APART])
        foils.append(YEARS[YEARS.index(began) - APART])
        names.append(f"from {began}")

    reader.check_words([answers, foils, *(words[-4:] for rows in (clean, first, other) for words in rows)], whole=False)
    texts, counterfactual, reference = (list(map(" ".join, rows)) for rows in (clean, first, other))
    return PromptSet.read(
        reader, texts, answers=answers, foils=foils, counterfactual=counterfactual, reference=reference,
        at_words={"YEAR": [len(words) - 3 for words in clean]}, templates=names,
    )  # fmt: skip


def later_years(model: "TransformerBridge") -> Metric:
    """The probability of all years after the prompt's start year, minus that of the start year and all before it.

    The start year is read from the answer, so that a run on the counterfactual is judged by the years of the prompts it is
    aligned with. Between -1 and 1. It is high, too, where late years are likely whatever the start: compare it with a run on the
    reference, in which another start year is read.
    """

    def difference(of_years: Float[Tensor, "prompt year"], began: Int[Tensor, "prompt 1"]) -> Float[Tensor, " prompt"]:
        later = torch.arange(of_years.shape[-1], device=of_years.device) > began
        return torch.where(later, of_years, -of_years).sum(-1)

    return _of_years(model, "later years", difference)


def cutoff_sharpness(model: "TransformerBridge") -> Metric:
    """The probability of the year after the prompt's start year, minus that of the year before it: how sharply the years are cut.

    The start year is read from the answer, as for `later_years` (Hanna et al. 2023, arXiv:2305.00586). Between -1 and 1. It raises
    PromptError on prompts whose answers are no years.
    """

    def sharpness(of_years: Float[Tensor, "prompt year"], began: Int[Tensor, "prompt 1"]) -> Float[Tensor, " prompt"]:
        if (began < 1).any():
            raise PromptError("cutoff sharpness is of prompts whose answer is a year, as those of greater_than_prompts")
        return (of_years.gather(-1, began + 1) - of_years.gather(-1, began - 1))[:, 0]

    return _of_years(model, "cutoff sharpness", sharpness)


def _of_years(model: "TransformerBridge", name: str, measure: Callable[[Tensor, Tensor], Tensor]) -> Metric:
    """What `measure` makes of the probability of each year, [prompt, year], and of the place that the start year has, [prompt, 1]."""
    reader = Reader(model)
    ids = torch.tensor(reader.singles(YEARS, after_space=True) if _has_centuries(reader) else end_years(reader))

    def measured(logits: Float[Tensor, "prompt d_vocab"], prompts: PromptSet, _clean: object) -> Float[Tensor, " prompt"]:
        began = (prompts.asked("answers").cpu()[:, None] == ids).int().argmax(-1, keepdim=True) - APART
        return measure(logits.double().softmax(-1)[:, ids.to(logits.device)], began.to(logits.device))

    return Metric(name, "probability", measured)
