"""Features of a dictionary, and its reconstruction error, as sites: read, ablated, patched and steered like any other."""

import itertools
import random
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, NoControlError, SiteError
from mechcheck.base.loaded import processing_of
from mechcheck.notation.codes import Code
from mechcheck.notation.dictionaries import Dictionary
from mechcheck.notation.ranges import numbers_of
from mechcheck.notation.sites import Sites

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

_WORD = re.compile(r"\d+(-\d+)?")
_ERROR = "error"
_LISTED = 6
"""Runs of features that a name lists."""


@dataclass(frozen=True, eq=False)
class Features(Code):
    """Some features' activations, and behind them the reconstruction error where it is among them.

    A change of them adds (new - was) @ W_dec to the activation, and (new - was) of the error: features that are not among them, and
    the error where it is not, stay as they were.
    """

    dictionary: Dictionary
    chosen: tuple[int, ...]
    error: bool = False

    @cached_property
    def name(self) -> str:  # type: ignore[override]  # made of the others
        """ "f12,f40-42", "f12,error", "error"."""
        runs = [f"f{a}" if a == b else f"f{a}-{b}" for a, b in _runs(self.chosen)]
        if len(runs) > _LISTED:
            runs = [*runs[:_LISTED], f"and {len(self.chosen)} in all"]
        return ",".join([*runs, *([_ERROR] if self.error else [])])

    @property
    def key(self) -> str:
        """By what the dictionary computes."""
        return f"{self.dictionary.sha256} {self.chosen} {self.error}"

    @property
    def beside(self) -> str | None:
        """The hook that a transcoder reads; its activation stands before the site's own in what is read."""
        return self.dictionary.read_hook

    @property
    def size(self) -> tuple[int, int]:
        """A number for each feature, and the error's components; of what the dictionary reads, and behind it what it reconstructs."""
        d = self.dictionary
        return len(self.chosen) + (d.d_out if self.error else 0), d.d_out + (d.d_in if d.reads else 0)

    def read(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows width"]:
        """The features' activations, and the error."""
        read, written = self._split(x)
        found = [self.dictionary.parts(read, None if self._all else self._index).features] if self.chosen else []
        if self.error:
            found.append(written - self.dictionary.reconstruct(read))
        return torch.cat(found, dim=-1) if len(found) > 1 else found[0]

    def written(
        self, x: Float[Tensor, "*rows d"], was: Float[Tensor, "*rows width"], new: Float[Tensor, "*rows width"]
    ) -> Float[Tensor, "*rows d_out"]:
        """The activation after the change, in its own dtype."""
        read, written = self._split(x)
        change, n = new - was, len(self.chosen)
        added = change[..., n:] if self.error else 0.0
        if n:
            added = added + (change[..., :n].to(directions := self._directions(change)) @ directions) * self.dictionary.scale(read)
        return (written + added).to(x.dtype)

    def drawn(self, seed: int) -> "Features":
        """As many other features of the same dictionary; of those that fire, where it says which do.

        Raises:
            NoControlError: there are too few; or the error is among these, which is one of its kind.
        """
        if self.error:
            raise NoControlError("there is one reconstruction error only, so it has no random control: name another contrast")
        frequency = self.dictionary.frequency
        pool = sorted(set(range(self.dictionary.d_sae)) - set(self.chosen))
        if frequency is not None:
            pool = [feature for feature in pool if frequency[feature] > 0]
        if len(pool) < len(self.chosen):
            which = "others" if frequency is None else "others that fire"
            raise NoControlError(f"{self.dictionary.name} has {len(pool)} {which}, and a control needs {len(self.chosen)}")
        return Features(self.dictionary, tuple(sorted(random.Random(f"features {seed}").sample(pool, len(self.chosen)))))

    def check(self, model: "TransformerBridge", where: str) -> None:
        """Raise `SiteError` where the model was processed otherwise than the one that the dictionary is of, and it matters."""
        d = self.dictionary
        now, then = processing_of(model), d.processing
        if then is None or now is None or now == then:
            return
        centred = str(model.cfg.normalization_type).startswith("LN")
        if not centred and d.reads is None and d.site.kind in ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out"):
            return  # nothing is centred where norms subtract no mean, so these are the same
        raise SiteError(
            f"{d.name} is of the {then} model, and this one was loaded {now}, in which {where} is another vector (weights are centred, and "
            f'norms and value biases folded): use load_model(..., processing="{then}")'
        )

    @property
    def _all(self) -> bool:
        return len(self.chosen) == self.dictionary.d_sae

    @cached_property
    def _index(self) -> Tensor:
        return torch.tensor(self.chosen, dtype=torch.long)

    def _directions(self, like: Tensor) -> Float[Tensor, "some d_out"]:
        directions = self.dictionary.weights(like)["W_dec"]
        return directions if self._all else directions[self._index.to(like.device)]

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What is encoded, and what is written to."""
        if self.beside is None:
            return x, x
        return x[..., : self.dictionary.d_in], x[..., self.dictionary.d_in :]


def features(dictionary: Dictionary, which: str | int | Iterable[int], *, at: str | None = None) -> Sites:
    """Features as one site, at the place that the dictionary is of.

    What is not among them stays: the other features' activations, and the reconstruction error. Ablating them zero takes what they
    write out of the activation; `Steer(amounts, features(...))` adds amounts to their activations.

    Args:
        dictionary: from `load_dictionary`, or made of arrays.
        which: "12 40 100-103", a number, or numbers; the word "error" among them is the reconstruction error.
        at: a named position; every position where None.

    Raises:
        SiteError: text that cannot be read so, none at all, or features that the dictionary does not have.
    """
    if not isinstance(dictionary, Dictionary):
        raise MechcheckError(f"expected a Dictionary, from load_dictionary or Dictionary(...), got {type(dictionary).__name__}")
    if not isinstance(which, str | int | Iterable) or isinstance(which, bytes | Mapping) or not getattr(which, "ndim", 1):
        raise SiteError(f'cannot read features from {which!r:.60}; write them like "12 40 100-103"')
    words = which.replace(",", " ").split() if isinstance(which, str) else [which] if isinstance(which, int) else list(which)
    chosen: set[int] = set()
    for word in words:
        some = _parsed(word)
        # Asked before they are counted out: a range is written in a moment, and may be as long as none is.
        beyond = [feature for feature in (some[:1], some[-1:]) if feature and not 0 <= feature[0] < dictionary.d_sae]
        if beyond:
            raise SiteError(f"no feature {beyond[0][0]}: {dictionary.name} has features 0-{dictionary.d_sae - 1}")
        chosen |= set(some)
    error = any(isinstance(word, str) and word == _ERROR for word in words)
    if not chosen and not error:
        raise SiteError("no features: this site would be empty")
    return Sites([dictionary.site]).at(at).within(Features(dictionary, tuple(sorted(chosen)), error))


def reconstruction_error(dictionary: Dictionary, *, at: str | None = None) -> Sites:
    """What a dictionary's features leave of the activation, as a site: x minus its reconstruction.

    Ablating it zero puts the reconstruction in the place of the activation.

    Args:
        dictionary, at: as for `features`.
    """
    return features(dictionary, _ERROR, at=at)


def _parsed(word: str | int) -> Sequence[int]:
    if not isinstance(word, str):
        try:
            return (int(word.__index__()),)
        except (AttributeError, TypeError, ValueError, RuntimeError) as wrong:  # RuntimeError: torch's
            raise SiteError(f"a feature is a number, got {word!r:.60}") from wrong
    if word == _ERROR:
        return ()
    if not _WORD.fullmatch(word.removeprefix("f")):
        raise SiteError(f'cannot read {word!r} as features; write them like "12 40 100-103", and "error" for the reconstruction error')
    return numbers_of(word.removeprefix("f"))


def _runs(chosen: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    """Numbers that follow each other, as first and last."""
    start = None
    for here, following in itertools.zip_longest(chosen, chosen[1:]):
        start = here if start is None else start
        if following != here + 1:
            yield start, here
            start = None
