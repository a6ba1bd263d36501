"""Prompt sets: tokens, named positions, answers and foils, with a template and an id for each prompt."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Optional, TypeVar

import torch
from jaxtyping import Int
from torch import Tensor

from mechcheck.base.errors import PromptError
from mechcheck.prompts.checks import check_aligned, check_counts, check_lengths, check_positions
from mechcheck.prompts.tokens import Reader, TokenPolicy

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

END = "END"
Texts = Sequence[str | Sequence[int]]
"""Texts of prompts; some or all may be given as tokens."""
_Read = TypeVar("_Read", int, Sequence[int])


@dataclass(frozen=True, eq=False)
class PromptSet:
    """Prompts of one task, right-padded to a common length.

    Build one with `from_tokens` or `from_text`. Padding stands after each prompt's last token, where a causal model cannot
    see it.
    """

    tokens: Int[Tensor, "prompt pos"]
    lengths: Int[Tensor, " prompt"]
    """Tokens in each prompt, without padding."""
    answers: Int[Tensor, " prompt"]
    """The token the claim calls correct, predicted at END."""
    foils: Int[Tensor, " prompt"]
    """The token it is compared with."""
    positions: Mapping[str, Int[Tensor, " prompt"]]
    """Name -> position in each prompt; END is the last token unless given."""
    templates: tuple[str, ...]
    """Template id of each prompt: the unit that intervals are clustered by."""
    ids: tuple[str, ...]
    """Hash of each prompt's tokens, answer and foil: the unit that runs are paired by. A counterfactual or reference carries
    the ids of the prompts that it is aligned with, so that a run on it pairs with a run on them."""
    words: tuple[tuple[str, ...], ...] = ()
    """Each prompt's tokens as text, for readers; empty when unknown."""
    vocabulary: Mapping[int, str] = field(default_factory=dict)
    """Text of the answers' and foils' tokens."""
    counterfactual: Optional["PromptSet"] = None
    """Aligned prompts whose activations `Patch` puts in by default (for IOI: the second subject flipped)."""
    reference: Optional["PromptSet"] = None
    """Aligned prompts that mean and resample ablation draw from by default (for IOI: three different names, ABC)."""
    policy: TokenPolicy | None = None
    """How text became these tokens; None where they were given as tokens."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why sentences were drawn and left out -> how many: words swapped for others of another number of tokens."""

    @classmethod
    def from_tokens(
        cls,
        tokens: Int[Tensor, "prompt pos"] | Sequence[Sequence[int]],
        *,
        answers: Int[Tensor, " prompt"] | Sequence[int],
        foils: Int[Tensor, " prompt"] | Sequence[int],
        positions: Mapping[str, Int[Tensor, " prompt"] | Sequence[int]] | None = None,
        templates: Sequence[str] | None = None,
        counterfactual: Optional["PromptSet"] = None,
        reference: Optional["PromptSet"] = None,
        pad: int | None = None,
        decode: Mapping[int, str] | None = None,
        policy: TokenPolicy | None = None,
    ) -> "PromptSet":
        """Prompts from token ids, BOS included where the model wants one.

        Args:
            tokens: one row per prompt; rows of different lengths need `pad`.
            answers, foils: one token id per prompt, compared at END.
            positions: named positions, one per prompt, counted from 0; END defaults to the last token.
            templates: template id of each prompt; all one template by default.
            counterfactual, reference: aligned prompt sets (same number and lengths).
            pad: token id that fills shorter prompts on the right.
            decode: token id -> text, to show prompts to a reader.
            policy: how text became these tokens (`Reader.policy`), for the record.

        Raises:
            PromptError: lengths, positions or counts that do not fit.
        """
        rows = [[int(t) for t in row] for row in tokens]
        lengths = [len(row) for row in rows]
        check_lengths(lengths, padded=pad is not None)
        check_counts(len(rows), {"answers": answers, "foils": foils, "templates": templates})
        check_counts(len(rows), positions or {})
        named = {name: torch.as_tensor(at) for name, at in (positions or {}).items()}
        named.setdefault(END, torch.tensor(lengths) - 1)
        check_positions(named, lengths)
        check_aligned(len(rows), {"counterfactual": counterfactual, "reference": reference})
        answer_ids, foil_ids = torch.as_tensor(answers), torch.as_tensor(foils)
        compared = torch.cat([answer_ids, foil_ids]).tolist()
        ids = tuple(map(_prompt_id, rows, answer_ids.tolist(), foil_ids.tolist()))
        return cls(
            tokens=torch.tensor([row + [pad or 0] * (max(lengths) - len(row)) for row in rows]),
            lengths=torch.tensor(lengths),
            answers=answer_ids,
            foils=foil_ids,
            positions=named,
            templates=("all",) * len(rows) if templates is None else tuple(templates),
            ids=ids,
            words=() if decode is None else tuple(tuple(_texts(row, decode)) for row in rows),
            vocabulary=dict(zip(compared, _texts(compared, decode or {}), strict=True)),
            counterfactual=_with_ids(counterfactual, ids),
            reference=_with_ids(reference, ids),
            policy=policy,
        )

    @classmethod
    def from_text(
        cls,
        model: "TransformerBridge",
        texts: Sequence[str],
        *,
        answers: Sequence[str],
        foils: Sequence[str],
        positions: Mapping[str, Sequence[str | int]] | None = None,
        templates: Sequence[str] | None = None,
        counterfactual: Sequence[str] | None = None,
        reference: Sequence[str] | None = None,
        pad: bool = False,
        bos: bool | None = None,
        after_space: bool = False,
    ) -> "PromptSet":
        """Prompts from text, tokenised by the model's own tokenizer with its BOS token in front (if it has one).

        Args:
            model: gives the tokenizer.
            texts: one text per prompt.
            answers, foils: the next word, one token each. For tokenizers that mark word starts, write the space (" Mary"), or
                give after_space=True; where the bare word is one token and the spaced one is not (or the reverse), the one that
                exists is taken.
            positions: name -> for each prompt a word that stands in it exactly once (its last token is meant), or a position.
            templates: template id of each prompt.
            counterfactual, reference: aligned texts, token for token as long as `texts`.
            pad: allow prompts of different lengths, filled on the right.
            bos: whether BOS (or [CLS]) stands in front; by default where the tokenizer has one, also if it adds none by itself.
            after_space: answers and foils are the tokens that these words are behind a space, also where written without one.

        Raises:
            PromptError: answers and foils that are no single tokens (all are named), unknown words, prompts of different lengths,
                a word that is not in its prompt, bos=True without such a token.
        """
        return cls.read(
            Reader(model, bos), texts, answers=answers, foils=foils, positions=positions, templates=templates,
            counterfactual=counterfactual, reference=reference, pad=pad, after_space=after_space,
        )  # fmt: skip

    @classmethod
    def read(
        cls,
        reader: Reader,
        texts: Texts,
        *,
        answers: Sequence[str | int],
        foils: Sequence[str | int],
        positions: Mapping[str, Sequence[str | int]] | None = None,
        at_words: Mapping[str, Sequence[int]] | None = None,
        templates: Sequence[str] | None = None,
        counterfactual: Texts | None = None,
        reference: Texts | None = None,
        pad: bool = True,
        after_space: bool = True,
    ) -> "PromptSet":
        """Prompts together with their counterfactual and reference, all read in the same way: what `from_text` and the tasks do.

        Args:
            reader: the tokenizer.
            texts: one text per prompt, or its tokens.
            answers, foils: the next word (see `Reader.singles`) or its token, of all three sets.
            positions: name -> for each prompt a position, or a word that stands in its text exactly once (its last token is
                meant). The counterfactual and the reference have it at the same position.
            at_words: name -> for each prompt the index of a word of its text, as white space parts them. The last token of the
                word is meant, which may stand at another position in the counterfactual and in the reference.
            templates: template id of each prompt.
            counterfactual, reference: aligned texts.
            pad: allow prompts of different lengths, filled on the right.
            after_space: answers and foils are the tokens that words are behind a space, also where written without one.

        Raises:
            PromptError: counts that do not fit; words that are unknown or no single tokens (all are named), or not in their prompt.
        """
        aligned = {name: some for name, some in (("counterfactual", counterfactual), ("reference", reference)) if some is not None}
        n, sets = len(texts), [texts, *aligned.values()]
        check_counts(n, {"answers": answers, "foils": foils, **(positions or {}), **(at_words or {})})
        check_aligned(n, aligned)
        every = _each_read([text for some in sets for text in some], reader.rows)
        clean, *others = [every[i * n : (i + 1) * n] for i in range(len(sets))]
        compared = _each_read([*answers, *foils], partial(reader.singles, after_space=after_space))
        shared = {name: [_place(reader, *one) for one in zip(clean, at, texts, strict=True)] for name, at in (positions or {}).items()}
        decode, policy = reader.decode(every, compared), reader.policy

        def build(rows: list[Sequence[int]], read: Texts, **made: PromptSet) -> PromptSet:
            ends = {name: [_end(reader, *one) for one in zip(rows, at, read, strict=True)] for name, at in (at_words or {}).items()}
            return cls.from_tokens(
                rows, answers=compared[:n], foils=compared[n:], positions=shared | ends, templates=templates,
                pad=reader.pad if pad else None, decode=decode, policy=policy, **made,
            )  # fmt: skip

        return build(clean, texts, **{name: build(rows, aligned[name]) for name, rows in zip(aligned, others, strict=True)})

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: slice | Sequence[int]) -> "PromptSet":
        """The chosen prompts, with their counterfactuals and references."""
        rows = list(range(len(self)))[index] if isinstance(index, slice) else [int(i) for i in index]
        if not rows:
            raise PromptError("no prompts are left")
        pick = torch.tensor(rows)
        return replace(
            self,
            tokens=self.tokens[pick],
            lengths=self.lengths[pick],
            answers=self.answers[pick],
            foils=self.foils[pick],
            positions={name: at[pick] for name, at in self.positions.items()},
            templates=tuple(self.templates[i] for i in rows),
            ids=tuple(self.ids[i] for i in rows),
            words=tuple(self.words[i] for i in rows) if self.words else (),
            counterfactual=self.counterfactual[rows] if self.counterfactual else None,
            reference=self.reference[rows] if self.reference else None,
        )

    def position(self, name: str) -> Int[Tensor, " prompt"]:
        """The named position in each prompt."""
        if name not in self.positions:
            raise PromptError(f"no position {name!r}; these prompts have {', '.join(sorted(self.positions))}")
        return self.positions[name]

    @property
    def unaligned(self) -> dict[str, int]:
        """ "counterfactual", "reference" -> how many of its prompts are longer or shorter than those they are aligned with.

        At named positions they are aligned none the less; what is put in at every position is refused.
        """
        aligned = {"counterfactual": self.counterfactual, "reference": self.reference}
        return {name: int((other.lengths != self.lengths).sum()) for name, other in aligned.items() if other is not None}

    @property
    def sha256(self) -> str:
        """Hash of all prompts in order, with their counterfactuals and references."""
        aligned = [other.tokens.tolist() for other in (self.counterfactual, self.reference) if other is not None]
        return hashlib.sha256("\n".join([*self.ids, *map(str, aligned)]).encode()).hexdigest()


def _prompt_id(tokens: Sequence[int], answer: int, foil: int) -> str:
    text = f"{' '.join(map(str, tokens))}|{answer}|{foil}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _each_read(values: Sequence[str | _Read], read: Callable[[list[str]], Sequence[_Read]]) -> list[_Read]:
    """The values, with what is text among them read, all of it at once, so that an error names every word that does not fit."""
    found = iter(read([value for value in values if isinstance(value, str)]))
    return [next(found) if isinstance(value, str) else value for value in values]


def _place(reader: Reader, row: Sequence[int], at: str | int, text: str | Sequence[int]) -> int:
    return reader.find(row, at, _written(text)) if isinstance(at, str) else at


def _end(reader: Reader, row: Sequence[int], index: int, text: str | Sequence[int]) -> int:
    return reader.end_of(row, index, _written(text))


def _written(text: str | Sequence[int]) -> str:
    if not isinstance(text, str):
        raise PromptError("words are looked for in texts; of prompts that are given as tokens, give positions as numbers")
    return text


def _texts(tokens: Iterable[int], decode: Mapping[int, str]) -> list[str]:
    """The tokens' texts, and the number itself of a token without one."""
    return [decode.get(token, str(token)) for token in tokens]


def _with_ids(other: PromptSet | None, ids: tuple[str, ...]) -> PromptSet | None:
    return None if other is None else replace(other, ids=ids)
