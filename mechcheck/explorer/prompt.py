"""The prompt on the page as a `PromptSet` of one, with what of it does not fit left out and told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mechcheck.base.errors import MechcheckError
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.directions import Seen
from mechcheck.prompts.answered import answered
from mechcheck.prompts.candidates import Tokens, What
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.limits import check_fits
from mechcheck.prompts.prompt_set import END, PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

DRAWN, SEED = 240, 0
"""Prompts of a task that the page can show, and the seed that they are drawn by."""
SPLIT: Split = "discover"
"""Out of which they are drawn: what is seen here is not what claims, those that are written by hand too, are verified on."""

Value = TypeVar("Value")
Word = int | str
"""An answer or a foil: its token, or, of several tokens, its text."""


@dataclass(frozen=True)
class Prepared:
    """A prompt that can be run."""

    prompts: PromptSet
    """The one prompt, with its counterfactual where there is one that fits."""
    references: PromptSet | None
    """What mean and resample ablation draw from."""
    problems: tuple[Problem, ...]
    """Of what was left out."""
    seen: Seen
    """What was captured of it."""

    @property
    def told(self) -> Json:
        """Its tokens as the page shows them, named positions, and which tokens differ in the counterfactual."""
        other = self.prompts.counterfactual
        tokens, length = self.prompts.tokens[0].tolist(), int(self.prompts.lengths[0])
        differs = [] if other is None else [one != two for one, two in zip(tokens, other.tokens[0].tolist(), strict=True)]
        return {
            "tokens": token_labels(self.prompts, 0),
            "counterfactual": [] if other is None else token_labels(other, 0),
            "differs": differs,
            "positions": {name: int(at[0]) for name, at in self.prompts.positions.items()},
            "answer": said(self.prompts, "answers"),
            "foil": said(self.prompts, "foils"),
            "length": length,
        }


def asked(prompts: PromptSet, what: What) -> Tokens:
    """The tokens of the one answer, or foil; none where there is none."""
    given = prompts.answer_sets if what == "answers" else prompts.foil_sets
    if given:
        return given[0][0]
    return tuple(getattr(prompts, what).tolist())


def said(prompts: PromptSet, what: What) -> list[str]:
    """The same as text, token by token."""
    return [prompts.vocabulary[one].strip() or prompts.vocabulary[one] for one in asked(prompts, what)]


def tokens_said(prompts: PromptSet, what: What) -> str | None:
    """The same as one text; None where there is none."""
    return "|".join(said(prompts, what)) or None


def prepare(model: "TransformerBridge", body: Json) -> Prepared:
    """Read the prompt of a body.

    Raises:
        Problem: of the text itself, without which there is no prompt.
    """
    reader, problems = Reader(model), list[Problem]()

    def left_out(where: str, read: Callable[[], Value]) -> Value | None:
        try:
            return read()
        except MechcheckError as error:
            problems.append(Problem(where, error))
            return None

    if not body["text"].strip():
        raise Problem("text", "write a prompt, or take one of a task")
    row = _told("text", lambda: reader.tokens(body["text"]))
    _told("text", lambda: check_fits(model, PromptSet.from_tokens([row])))
    other = left_out("counterfactual", lambda: _aligned(reader, body["counterfactual"], len(row)))
    references = left_out("references", lambda: [_aligned(reader, text, len(row)) for text in body["references"] if text.strip()])
    positions = left_out("positions", lambda: _places(body["positions"], len(row))) or {}
    named = {name: [at] for name, at in positions.items()}

    def made(answer: Word | None, foil: Word | None, beside: str | None = None) -> PromptSet:
        return PromptSet.read(
            reader, [body["text"]], answers=None if answer is None else [answer], foils=None if foil is None else [foil],
            positions=named, counterfactual=None if beside is None else [beside], pad=False, several_tokens=True,
        )  # fmt: skip

    _told("text", lambda: made(None, None))
    answer = left_out("answer", lambda: _answerable(model, reader, body["answer"], lambda found: made(found, None)))
    foil = left_out("foil", lambda: _answerable(model, reader, body["foil"], lambda found: _apart(made, answer, found, body["foil"])))
    prompts = _told("text", lambda: made(answer, foil, other))
    drawn = None
    if references:
        every = {name: at * len(references) for name, at in named.items()}
        drawn = PromptSet.read(reader, [text for text in references if text is not None], positions=every, pad=False)
    return Prepared(prompts, drawn, tuple(problems), Seen(model, prompts))


def _told(where: str, read: Callable[[], Value]) -> Value:
    try:
        return read()
    except MechcheckError as error:
        raise Problem(where, error) from error


def _aligned(reader: Reader, text: str, length: int) -> str | None:
    """The text, if it is as many tokens as the prompt; None for an empty one."""
    if not text.strip():
        return None
    found = len(reader.tokens(text))
    if found != length:
        raise MechcheckError(f"{text!r:.80} is {found} tokens and the prompt {length}: write it token for token as long as the prompt")
    return text


def _answerable(model: "TransformerBridge", reader: Reader, word: str, made: Callable[[Word], PromptSet]) -> Word | None:
    """A word, or several, that may follow the prompt which is made with it; None for no word."""
    if not word.strip():
        return None
    try:
        found: Word = reader.singles([word], after_space=True)[0]
    except MechcheckError:
        found = word
    prompts = made(found)
    if prompts.any_sets():
        check_fits(model, prompts)
        whose: list[What] = ["answers", "foils"] if prompts.foil_sets else ["answers"]
        for one in answered(prompts, whose if prompts.answer_sets else ["foils"]):
            check_fits(model, one.prompts)
    return found


def _apart(made: Callable[[Word | None, Word], PromptSet], answer: Word | None, foil: Word, word: str) -> PromptSet:
    if foil == answer:
        raise MechcheckError(f"the foil is the answer, {word!r}: choose another word")
    return made(answer, foil)


def _places(positions: dict[str, int], length: int) -> dict[str, int]:
    beyond = [name for name, at in positions.items() if at >= length]
    if beyond:
        raise MechcheckError(f"{', '.join(beyond)}: the prompt has {length} tokens and no such position; name it anew")
    unnamed = [name for name in positions if not (name.isascii() and name.isidentifier())]
    if unnamed:
        raise MechcheckError(f"{unnamed[0]!r} is no name of a position: letters, digits and _ make one")
    return positions


def texts_of(reader: Reader, prompts: PromptSet, rows: Sequence[int]) -> list[str]:
    """Prompts as the texts that make these very tokens.

    Raises:
        MechcheckError: a prompt that no text gives.
    """
    before, after = len(reader.policy.before), len(reader.policy.after)
    found = []
    for row in rows:
        ids = prompts.tokens[row, : int(prompts.lengths[row])].tolist()
        text = reader.tokenizer.decode(ids[before : len(ids) - after])
        if reader.tokens(text) != ids:
            raise MechcheckError(f"this prompt does not come back as it was when its text is read: {text!r:.80}")
        found.append(text)
    return found


REFERENCES = 8
"""Of a task's prompt, where nobody asks for more, or for fewer."""


def example(model: "TransformerBridge", drawn: PromptSet, row: int, most: int = REFERENCES) -> Json:
    """A prompt of a task as what the page has for it: texts, words, positions; and some of its references, aligned with it.

    Args:
        model: gives the tokenizer.
        drawn: prompts of the task.
        row: which of them; counted round, so that there is always another.
        most: references at most.

    Raises:
        MechcheckError: prompts that no text gives, or without a single answer.
    """
    reader, row = Reader(model), row % len(drawn)
    alike = [
        i for i in (*range(row, len(drawn)), *range(row))
        if drawn.lengths[i] == drawn.lengths[row] and all(at[i] == at[row] for at in drawn.positions.values())
    ]  # fmt: skip
    others, alike = (drawn.reference, alike) if drawn.reference else (drawn, alike[1:])
    (text,) = texts_of(reader, drawn, [row])
    return {
        "row": row,
        "text": text,
        "counterfactual": texts_of(reader, drawn.counterfactual, [row])[0] if drawn.counterfactual else "",
        "references": texts_of(reader, others, alike[:most]),
        "alike": len(alike),
        "answer": drawn.vocabulary[int(drawn.answers[row])].strip() if len(drawn.answers) else "",
        "foil": drawn.vocabulary[int(drawn.foils[row])].strip() if len(drawn.foils) else "",
        "positions": {name: int(at[row]) for name, at in drawn.positions.items() if name not in drawn.spans and name != END},
    }
