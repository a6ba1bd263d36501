"""Prompt sets: tokens, named positions, answers and foils, with a template and an id for each prompt."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import starmap, zip_longest
from typing import TYPE_CHECKING, Any, Optional

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechcheck.base.device import usual_torch
from mechcheck.base.errors import PromptError
from mechcheck.prompts import checks
from mechcheck.prompts.candidates import Asked, Candidates, Given, check_apart, compared, prompt_id
from mechcheck.prompts.limits import check_fits
from mechcheck.prompts.padding import token_rows, without_padding
from mechcheck.prompts.reading import Place, Texts, asked_read, at_each_word, check_whole, each_read, masked_ends, place_at, texts_of
from mechcheck.prompts.spans import END as END
from mechcheck.prompts.spans import Placed, Places, named_places
from mechcheck.prompts.tokens import Reader, TokenPolicy

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


@dataclass(frozen=True, eq=False)
class PromptSet(Placed, Asked):
    """Prompts of one task, right-padded to a common length.

    Build one with `from_tokens` or `from_text`. Padding stands after each prompt's last token, where a causal model cannot see it.
    """

    tokens: Int[Tensor, "prompt pos"]
    lengths: Int[Tensor, " prompt"]
    """Tokens in each prompt, without padding."""
    answers: Int[Tensor, " prompt"]
    """The token the claim calls correct, predicted at END; empty where nothing is predicted, or for `answer_sets` (see `asked`)."""
    foils: Int[Tensor, " prompt"]
    """The token it is compared with; empty where there is none, or for `foil_sets`."""
    positions: Mapping[str, Int[Tensor, " prompt"]]
    """Name -> position in each prompt; END is the last token (for a masked model's text the mask) unless given."""
    templates: tuple[str, ...]
    """Template id of each prompt: the unit that intervals are clustered by."""
    ids: tuple[str, ...]
    """Hash of each prompt's tokens, answers and foils: the unit that runs are paired by. A counterfactual or reference carries
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
    spans: Mapping[str, Bool[Tensor, "prompt pos"]] = field(default_factory=dict)
    """Name -> several positions in each prompt, of differing number; its `positions` are the last of them."""
    left_out: Mapping[str, int] = field(default_factory=dict)
    """Why sentences were drawn and left out -> how many: words swapped for others of another number of tokens."""
    answer_sets: Candidates = ()
    """Where answers are several tokens, or several are right: those of each prompt, as their tokens; `answers` is then empty."""
    foil_sets: Candidates = ()
    """The same for the foils."""
    appended: Int[Tensor, " prompt"] | None = None
    """How many of each prompt's last tokens are those of an answer that was put behind it (`answered`); None: none."""

    @classmethod
    @usual_torch()
    def from_tokens(
        cls,
        tokens: Int[Tensor, "prompt pos"] | Sequence[Sequence[int]],
        *,
        answers: Int[Tensor, " prompt"] | Sequence[Given] | None = None,
        foils: Int[Tensor, " prompt"] | Sequence[Given] | None = None,
        positions: Mapping[str, Places] | None = None,
        templates: Sequence[str] | None = None,
        counterfactual: Optional["PromptSet"] = None,
        reference: Optional["PromptSet"] = None,
        pad: int | None = None,
        attention_mask: Int[Tensor, "prompt pos"] | Sequence[Sequence[int]] | None = None,
        decode: Mapping[int, str] | None = None,
        policy: TokenPolicy | None = None,
    ) -> "PromptSet":
        """Prompts from token ids, BOS included where the model wants one.

        Args:
            tokens: one row per prompt; rows of different lengths need `pad`. Rows that are padded already, on either side, are read
                without their padding, which `attention_mask` tells, or else `pad`.
            answers, foils: one token id per prompt, compared at END; left out where nothing is predicted. A tuple of ids is one answer
                of several tokens, a list of such tuples several right ones: 5, (5, 6), [(5,), (6, 7)].
            positions: named positions, one per prompt or several (a span), counted from 0 in the row as it is given; END defaults to
                the last token.
            templates: template id of each prompt; all one template by default.
            counterfactual, reference: aligned prompt sets (same number and lengths).
            pad: token id that fills shorter prompts on the right. Where all rows are equally long, it is taken for padding at an end
                of some of them.
            attention_mask: 1 for each token, 0 for padding, as a tokenizer gives it.
            decode: token id -> text, to show prompts to a reader.
            policy: how text became these tokens (`Reader.policy`), for the record.

        Raises:
            PromptError: ids, lengths, positions or counts that do not fit; ids of which it is open whether they are one answer or
                several; ids that may be padding as well as a prompt's own; a mask with holes.
        """
        rows, cut, pad = without_padding(token_rows(tokens), pad, attention_mask)
        lengths = [len(row) for row in rows]
        checks.check_lengths(lengths, padded=pad is not None)
        checks.check_counts(len(rows), {"answers": answers, "foils": foils, "templates": templates})
        checks.check_counts(len(rows), positions := checks.named_by_text(positions, "positions"))
        checks.check_companions(counterfactual=counterfactual, reference=reference, decode=decode)
        named, spans = named_places(positions, lengths, cut)
        named.setdefault(END, torch.tensor(lengths) - 1)
        checks.check_positions(named, lengths, cut)
        checks.check_aligned(len(rows), {"counterfactual": counterfactual, "reference": reference})
        right, wrong = compared("answers", answers), compared("foils", foils)
        check_apart(right, wrong)
        ids = tuple(starmap(prompt_id, zip_longest(rows, right.texts, wrong.texts, fillvalue="")))
        return cls(
            tokens=torch.tensor([row + [pad or 0] * (max(lengths) - len(row)) for row in rows]),
            lengths=torch.tensor(lengths),
            answers=right.one,
            foils=wrong.one,
            answer_sets=right.sets,
            foil_sets=wrong.sets,
            positions=named,
            templates=checks.template_ids(templates, len(rows)),
            ids=ids,
            words=() if decode is None else tuple(tuple(texts_of(row, decode)) for row in rows),
            vocabulary={token: texts_of([token], decode or {})[0] for token in (*right.every, *wrong.every)},
            counterfactual=_with_ids(counterfactual, ids),
            reference=_with_ids(reference, ids),
            policy=policy,
            spans=spans,
        )

    @classmethod
    def from_text(
        cls,
        model: "TransformerBridge",
        texts: Sequence[str],
        *,
        answers: Sequence[str | Sequence[str]] | None = None,
        foils: Sequence[str | Sequence[str]] | None = None,
        positions: Mapping[str, Sequence[Place]] | None = None,
        templates: Sequence[str] | None = None,
        counterfactual: Sequence[str] | None = None,
        reference: Sequence[str] | None = None,
        pad: bool = False,
        bos: bool | None = None,
        after_space: bool = False,
        several_tokens: bool = False,
        whole: Sequence[str] = (),
    ) -> "PromptSet":
        """Prompts from text, tokenised by the model's own tokenizer with its BOS token in front (if it has one).

        Args:
            model: gives the tokenizer.
            texts: one text per prompt.
            answers, foils: the next word, one token each, or a list of words, any of which is right; left out where nothing is predicted.
                For tokenizers that mark word starts, write the space (" Mary"), or give after_space=True; where the bare word is one
                token and the spaced one is not (or the reverse), the one that exists is taken.
            positions: name -> for each prompt a word that stands in it exactly once (its last token is meant, unless the name is one of
                `whole`), a position, or several. END is the last token, for a masked model (BERT) the masked word, unless given.
            templates: template id of each prompt.
            counterfactual, reference: aligned texts, token for token as long as `texts`.
            pad: allow prompts of different lengths, filled on the right.
            bos: whether BOS (or [CLS]) stands in front; by default where the tokenizer has one, also if it adds none by itself.
            after_space: answers and foils are the tokens that these words are behind a space, also where written without one.
            several_tokens: take answers and foils that are several tokens, exactly as written (or as they are behind a space), which
                `log_odds` and `log_probability` measure.
            whole: names whose words are meant with all their tokens, as spans.

        Raises:
            PromptError: answers and foils that are no single tokens (all are named), unless several_tokens; unknown words, prompts of
                different lengths, a word that is not in its prompt, bos=True without such a token; more tokens than the model
                sees; answers to texts that mask no word, or several, where the model is a masked one.
        """
        checks.check_list(texts, "texts")
        made = cls.read(
            Reader(model, bos), texts, answers=answers, foils=foils, positions=positions, templates=templates, whole=whole,
            counterfactual=counterfactual, reference=reference, pad=pad, after_space=after_space, several_tokens=several_tokens,
        )  # fmt: skip
        for one in filter(None, (made, made.counterfactual, made.reference)):
            check_fits(model, one)
        return made

    @classmethod
    def read(
        cls,
        reader: Reader,
        texts: Texts,
        *,
        answers: Sequence[Any] | None = None,
        foils: Sequence[Any] | None = None,
        positions: Mapping[str, Sequence[Place]] | None = None,
        at_words: Mapping[str, Sequence[int]] | None = None,
        templates: Sequence[str] | None = None,
        counterfactual: Texts | None = None,
        reference: Texts | None = None,
        pad: bool = True,
        after_space: bool = True,
        several_tokens: bool = False,
        whole: Sequence[str] = (),
    ) -> "PromptSet":
        """Prompts together with their counterfactual and reference, all read in the same way: what `from_text` and the tasks do.

        Args:
            reader: the tokenizer.
            texts: one text per prompt, or its tokens.
            answers, foils: the next word (see `Reader.singles`), a list of words, or tokens as in `from_tokens`, of all three sets; None
                where nothing is predicted.
            positions: name -> for each prompt a position, several, or a word that stands in its text exactly once (its last token is
                meant). The counterfactual and the reference have it at the same position.
            at_words: name -> for each prompt the index of a word of its text, as white space parts them. The last token of the
                word is meant, which may stand at another position in the counterfactual and in the reference.
            templates: template id of each prompt.
            counterfactual, reference: aligned texts.
            pad: allow prompts of different lengths, filled on the right.
            after_space: answers and foils are the tokens that words are behind a space, also where written without one.
            several_tokens, whole: as in `from_text`; `whole` may also be names of `at_words`.

        Raises:
            PromptError: counts that do not fit; words that are unknown or no single tokens (all are named), or not in their prompt.
        """
        aligned = {name: some for name, some in (("counterfactual", counterfactual), ("reference", reference)) if some is not None}
        n, sets = len(texts), [texts, *aligned.values()]
        positions, at_words = checks.named_by_text(positions, "positions"), checks.named_by_text(at_words, "at_words")
        checks.check_counts(n, {"answers": answers, "foils": foils, **positions, **at_words})
        checks.check_aligned(n, aligned)
        check_whole(whole, {**positions, **at_words})
        every = each_read([text for some in sets for text in some], reader.rows)
        clean, *others = [every[i * n : (i + 1) * n] for i in range(len(sets))]
        asked = asked_read(reader, answers, foils, after_space=after_space, several_tokens=several_tokens)
        shared = {
            name: [place_at(reader, *one, whole=name in whole) for one in zip(clean, at, texts, strict=True)]
            for name, at in positions.items()
        }
        decode, policy = reader.decode(every, asked.every), reader.policy

        def build(rows: list[Sequence[int]], read: Texts, **made: PromptSet) -> PromptSet:
            ends = {name: at_each_word(reader, rows, at, read, whole=name in whole) for name, at in at_words.items()}
            if END not in shared | ends and reader.mask is not None:
                ends |= {name: [*at] for name, at in masked_ends(rows, reader.mask, answered=bool(asked.every)).items()}
            return cls.from_tokens(
                rows, answers=asked.answers, foils=asked.foils, positions=shared | ends, templates=templates,
                pad=reader.pad if pad else None, attention_mask=[[1] * len(row) for row in rows], decode=decode, policy=policy, **made,
            )  # fmt: skip

        return build(clean, texts, **{name: build(rows, aligned[name]) for name, rows in zip(aligned, others, strict=True)})

    def __len__(self) -> int:
        return len(self.ids)

    @usual_torch()  # tensors of inference mode could not be part of a gradient later on
    def __getitem__(self, index: slice | Sequence[int]) -> "PromptSet":
        """The chosen prompts, with their counterfactuals and references."""
        rows = list(range(len(self)))[index] if isinstance(index, slice) else [int(i) for i in index]
        if not rows:
            raise PromptError(f"no prompts are left: none of these {len(self)} was chosen")
        pick = torch.tensor(rows)
        return replace(
            self,
            tokens=self.tokens[pick],
            lengths=self.lengths[pick],
            answers=self.answers[pick] if len(self.answers) else self.answers,
            foils=self.foils[pick] if len(self.foils) else self.foils,
            answer_sets=tuple(self.answer_sets[i] for i in rows) if self.answer_sets else (),
            foil_sets=tuple(self.foil_sets[i] for i in rows) if self.foil_sets else (),
            appended=None if self.appended is None else self.appended[pick],
            positions={name: at[pick] for name, at in self.positions.items()},
            spans={name: where[pick] for name, where in self.spans.items()},
            templates=tuple(self.templates[i] for i in rows),
            ids=tuple(self.ids[i] for i in rows),
            words=tuple(self.words[i] for i in rows) if self.words else (),
            counterfactual=self.counterfactual[rows] if self.counterfactual else None,
            reference=self.reference[rows] if self.reference else None,
        )

    @property
    def unaligned(self) -> dict[str, int]:
        """ "counterfactual", "reference" -> how many of its prompts are of another length: only their named positions are aligned."""
        aligned = {"counterfactual": self.counterfactual, "reference": self.reference}
        return {name: int((other.lengths != self.lengths).sum()) for name, other in aligned.items() if other is not None}

    @property
    def sha256(self) -> str:
        """Hash of all prompts in order, with their counterfactuals and references."""
        aligned = [other.tokens.tolist() for other in (self.counterfactual, self.reference) if other is not None]
        return hashlib.sha256("\n".join([*self.ids, *map(str, aligned)]).encode()).hexdigest()


def _with_ids(other: PromptSet | None, ids: tuple[str, ...]) -> PromptSet | None:
    return None if other is None else replace(other, ids=ids)
