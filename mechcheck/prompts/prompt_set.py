"""Prompt sets: tokens, named positions, answers and foils, with a template and an id for each prompt."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Optional

import torch
from jaxtyping import Int
from torch import Tensor

from mechcheck.base.errors import PromptError
from mechcheck.prompts.tokens import Reader as Reader
from mechcheck.prompts.tokens import TokenPolicy

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

END = "END"


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
        if not rows or not all(rows):
            raise PromptError("no prompts, or an empty prompt")
        lengths = [len(row) for row in rows]
        if len(set(lengths)) > 1 and pad is None:
            raise PromptError(
                f"prompts of different lengths ({min(lengths)} to {max(lengths)} tokens): "
                "give pad=<token id> to fill them on the right, or make them equally long"
            )
        width = max(lengths)
        filled = torch.tensor([row + [pad or 0] * (width - len(row)) for row in rows])
        n = len(rows)
        for what, values in (("answers", answers), ("foils", foils), ("templates", templates), *(positions or {}).items()):
            if values is not None and len(values) != n:
                raise PromptError(f"{len(values)} {what} for {n} prompts")
        named = {name: torch.as_tensor(at) for name, at in (positions or {}).items()}
        named.setdefault(END, torch.tensor(lengths) - 1)
        _check_positions(named, lengths)
        for name, other in (("counterfactual", counterfactual), ("reference", reference)):
            if other is not None and len(other) != n:
                raise PromptError(f"the {name} has {len(other)} prompts for {n}; they must stand one for one")
        answer_ids, foil_ids = torch.as_tensor(answers), torch.as_tensor(foils)
        names = decode or {}
        ids = tuple(_prompt_id(row, int(a), int(f)) for row, a, f in zip(rows, answer_ids, foil_ids, strict=True))
        return cls(
            tokens=filled,
            lengths=torch.tensor(lengths),
            answers=answer_ids,
            foils=foil_ids,
            positions=named,
            templates=tuple(templates) if templates is not None else ("all",) * n,
            ids=ids,
            words=tuple(tuple(names.get(t, str(t)) for t in row) for row in rows) if decode is not None else (),
            vocabulary={int(t): names.get(int(t), str(int(t))) for t in torch.cat([answer_ids, foil_ids])},
            counterfactual=replace(counterfactual, ids=ids) if counterfactual is not None else None,
            reference=replace(reference, ids=ids) if reference is not None else None,
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
        reader = Reader(model, bos)
        rows = reader.rows(texts)
        both = reader.singles([*answers, *foils], after_space=after_space)
        answer_ids, foil_ids = both[: len(answers)], both[len(answers) :]
        named = {
            name: [at if isinstance(at, int) else reader.find(row, at, text) for row, at, text in zip(rows, where, texts, strict=True)]
            for name, where in (positions or {}).items()
        }

        def build(words: Sequence[str] | None, **others: Optional["PromptSet"]) -> Optional["PromptSet"]:
            if words is None:
                return None
            token_rows = reader.rows(words)
            return cls.from_tokens(
                token_rows, answers=answer_ids, foils=foil_ids, positions=named, templates=templates,
                pad=reader.pad if pad else None, decode=reader.decode(token_rows, answer_ids, foil_ids), policy=reader.policy, **others,
            )  # fmt: skip

        made = build(texts, counterfactual=build(counterfactual), reference=build(reference))
        assert made is not None
        return made

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
    def sha256(self) -> str:
        """Hash of all prompts in order, with their counterfactuals and references."""
        aligned = [other.tokens.tolist() for other in (self.counterfactual, self.reference) if other is not None]
        return hashlib.sha256("\n".join([*self.ids, *map(str, aligned)]).encode()).hexdigest()


def _check_positions(named: Mapping[str, Tensor], lengths: Sequence[int]) -> None:
    for name, at in named.items():
        for prompt, (position, length) in enumerate(zip(at.tolist(), lengths, strict=True)):
            if not 0 <= position < length:
                raise PromptError(f"position {name} is {position} in prompt {prompt}, which has tokens 0-{length - 1}")


def _prompt_id(tokens: Sequence[int], answer: int, foil: int) -> str:
    text = f"{' '.join(map(str, tokens))}|{answer}|{foil}"
    return hashlib.sha256(text.encode()).hexdigest()[:16]
