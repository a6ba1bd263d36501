"""Docstrings (Heimersheim and Janiak 2023): the documentation of a function lists its arguments in the order of the definition.

"def load(self, files, obj, state, size, shape, option):" and a docstring that has described state and size -> shape. In the
counterfactual shape and option have changed places in the definition, so that option, the foil, is right; the reference has other
arguments throughout.
"""

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

ARGUMENTS = (
    "files", "obj", "state", "size", "shape", "option", "name", "path", "value", "key", "index", "data", "model", "user", "text", "line",
    "width", "height", "mode", "level", "count", "limit", "start", "end", "source", "target", "label", "color", "port",
    "host", "query", "token", "image", "table", "field", "group", "order", "weight", "score", "date", "time", "parent", "child", "node",
)  # fmt: skip
"""Names of arguments; every second one is for claims, the others for searches."""
VERBS = ("load", "save", "make", "find", "read", "send", "open", "build")
NOUNS = (
    "result", "number", "list", "string", "page", "message", "record", "process", "system", "design", "plan", "test", "word", "place",
    "part", "type", "unit", "row",
)  # fmt: skip
STYLES = (":param", "@param", "-", "*")
"""What stands before each argument; reStructuredText's is the paper's. Each is a template of its own with each number of words."""
DESCRIBED = (1, 2)
"""Words that each argument is described by."""
USED, BEFORE, ENOUGH = 6, 2, 12
"""Arguments of a definition, those of them that the docstring passes over, and how many of one token a half needs."""


class _Drawn(NamedTuple):
    style: str
    verb: str
    arguments: tuple[str, ...]
    documented: tuple[str, ...]
    about: tuple[str, ...]
    """The words that describe what is documented: as many for each."""
    summary: tuple[str, ...]

    def text(self) -> str:
        each = len(self.about) // len(self.documented)
        described = [" ".join(self.about[i * each : (i + 1) * each]) for i in range(len(self.documented))]
        lines = [f"{self.style} {argument}: {words}" for argument, words in zip(self.documented, described, strict=True)]
        body = "\n    ".join([f'"""{" ".join(self.summary)}', *lines, self.style])
        return f"def {self.verb}(self, {', '.join(self.arguments)}):\n    {body}"


@task("docstring")
def docstring_prompts(model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify") -> PromptSet:
    """Prompts with the positions B_DEF, C_DEF and D_DEF (arguments in the definition), B_DOC and END.

    The docstring has described A and B, and C comes next, which is the answer; D, which the definition names last, is the foil. Names of
    arguments that are not one token behind a space are left out, which `left_out` of the prompts tells.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates: how an argument is introduced, and how long its description is.
        seed: names and words are drawn with it; the templates do not depend on it.
        split: the halves share no argument.

    Raises:
        PromptError: too few names of one token; a tokenizer that joins a name with what stands beside it; an encoder.
    """
    reader, rng = Reader(model), random.Random(f"docstring {seed} {split}")
    reader.check_decoder()
    half = ARGUMENTS[split == "verify" :: 2]
    names = [name for name in half if reader.knows(name)]
    if len(names) < ENOUGH:
        raise PromptError(
            f"docstring prompts need names of arguments that are one token behind a space, {ENOUGH} of them; this tokenizer leaves "
            f"{len(names)} of {len(half)}: {', '.join(names) or 'none'}"
        )
    kinds = [(style, words) for style in STYLES for words in DESCRIBED]
    clean, exchanged, other = [], [], []
    for i in range(n):
        style, words = kinds[i % len(kinds)]
        drawn, fresh = rng.sample(names, USED), rng.sample(names, USED)
        about = tuple(rng.choice(NOUNS) for _ in range(2 * words))
        prompt = _Drawn(style, rng.choice(VERBS), tuple(drawn), tuple(drawn[BEFORE : BEFORE + 2]), about, tuple(rng.sample(NOUNS, 3)))
        clean.append(prompt)
        exchanged.append(prompt._replace(arguments=(*drawn[:4], drawn[5], drawn[4])))
        other.append(prompt._replace(arguments=tuple(fresh), documented=tuple(rng.sample(names, 2))))
    texts, counterfactual, reference = ([prompt.text() for prompt in some] for some in (clean, exchanged, other))
    made = PromptSet.read(
        reader, texts, counterfactual=counterfactual, reference=reference,
        answers=[prompt.arguments[4] for prompt in clean], foils=[prompt.arguments[5] for prompt in clean],
        positions=_positions(reader, clean, texts), templates=[f"{prompt.style}, {len(prompt.about) // 2} words" for prompt in clean],
    )  # fmt: skip
    left = {f"{name!r}: not one token behind a space": 1 for name in half if name not in names}
    return replace(made, left_out=left)


def _positions(reader: Reader, drawn: Sequence[_Drawn], texts: Sequence[str]) -> dict[str, list[int]]:
    """Where the arguments stand: B twice, C and D in the definition alone."""
    found: dict[str, list[int]] = {"B_DEF": [], "B_DOC": [], "C_DEF": [], "D_DEF": []}
    for prompt, row, text in zip(drawn, reader.rows(texts), texts, strict=True):
        for argument, places in ((3, ("B_DEF", "B_DOC")), (4, ("C_DEF",)), (5, ("D_DEF",))):
            token = reader.singles([prompt.arguments[argument]], after_space=True)[0]
            at = [i for i, other in enumerate(row) if other == token]
            if len(at) != len(places):
                raise PromptError(f"this tokenizer joins {prompt.arguments[argument]!r} with what stands beside it in {text!r}")
            for place, i in zip(places, at, strict=True):
                found[place].append(i)
    return found
