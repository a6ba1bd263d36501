"""Codes: other coordinates of a site's activation, which are read, changed and written back while the rest stays as it is."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import MechcheckError, SiteError

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


class Code(ABC):
    """What a site is looked at through: numbers that are read of its activation, and what a change of them changes there.

    `resid("5@END").within(code)` is a site whose activation are these numbers: it is captured, ablated, patched and steered like any
    other. What the code does not say of the activation stays as it was.
    """

    name: str
    """As it stands behind a site: "resid 5@END[gender]"."""

    @property
    @abstractmethod
    def key(self) -> str:
        """Two codes with the same key are the same."""

    @property
    @abstractmethod
    def size(self) -> tuple[int, int]:
        """How many numbers it reads, and of activations of how many components."""

    @property
    def beside(self) -> str | None:
        """Another hook of the layer, "mlp.hook_in", whose activation stands before the site's own in what is read; None: that alone."""
        return None

    @abstractmethod
    def read(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows width"]:
        """The numbers of activations."""

    @abstractmethod
    def written(
        self, x: Float[Tensor, "*rows d"], was: Float[Tensor, "*rows width"], new: Float[Tensor, "*rows width"]
    ) -> Float[Tensor, "*rows d"]:
        """The activations whose numbers are `new` in place of `was`; all else of them is kept."""

    def check(self, model: "TransformerBridge", where: str) -> None:  # noqa: B027  # most codes are at home in any model
        """Raise `SiteError` where it says nothing of this model's activations."""

    @abstractmethod
    def drawn(self, seed: int) -> "Code":
        """A random code like this one, of as many numbers: a control."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Code) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)

    def __str__(self) -> str:
        return self.name


class Linear(Code):
    """Coordinates along orthonormal directions."""

    basis: Float[Tensor, "width d"]
    """Orthonormal rows, in float64."""

    @property
    def size(self) -> tuple[int, int]:
        """Its dimension, and that of the space it lies in: d_model for the stream, d_head for a head."""
        width, d = self.basis.shape
        return width, d

    def read(self, x: Float[Tensor, "*rows d"]) -> Float[Tensor, "*rows width"]:
        """x @ basis.T"""
        return x @ self.basis.to(x).T

    def written(
        self, x: Float[Tensor, "*rows d"], was: Float[Tensor, "*rows width"], new: Float[Tensor, "*rows width"]
    ) -> Float[Tensor, "*rows d"]:
        """x + (new - was) @ basis: what is orthogonal to the basis stays."""
        return x + (new - was) @ self.basis.to(x)

    def drawn(self, seed: int) -> "RandomSubspace":
        """A subspace of the same dimension, uniformly drawn."""
        width, d = self.size
        return RandomSubspace(width, d, seed, f"random {width} of {d}")


@dataclass(frozen=True, eq=False)
class Subspace(Linear):
    """The span of directions, as `subspace` and `direction` make it, or a search."""

    basis: Float[Tensor, "width d"]
    name: str
    fitted_on: frozenset[str] = frozenset()
    """Ids and hashes of the texts that a search looked at, on which it is not to be verified; none where it was given."""
    among: Float[Tensor, "k d"] | None = None
    """What random subspaces like it are mixtures of; None: they are drawn uniformly."""

    @cached_property
    def key(self) -> str:
        """Hash of the basis."""
        return hashlib.sha256(self.basis.numpy().tobytes()).hexdigest() + self.name

    def __or__(self, other: Linear) -> "Subspace":
        """What both span together; it was found on the prompts of both."""
        found = subspace(torch.cat([self.basis, other.basis]), name=f"{self.name}+{other.name}")
        return replace(found, fitted_on=self.fitted_on | getattr(other, "fitted_on", frozenset()), among=self.among)

    def drawn(self, seed: int) -> "RandomSubspace":
        """A subspace of the same dimension: uniformly drawn, or a random mixture of what it was found among."""
        width, d = self.size
        return (
            super().drawn(seed) if self.among is None else RandomSubspace(width, d, seed, f"random {width} among activations", self.among)
        )


@dataclass(frozen=True, eq=False)
class RandomSubspace(Linear):
    """A subspace that is drawn, uniformly or as a mixture; made when it is first looked at."""

    width: int
    d: int
    seed: int
    name: str
    among: Float[Tensor, "k d"] | None = None
    """Rows that it is a random mixture of, with Gaussian weights; None: all directions are alike."""

    @cached_property
    def key(self) -> str:
        """By its seed: no two of one size are drawn alike, from the same."""
        among = "" if self.among is None else hashlib.sha256(self.among.numpy().tobytes()).hexdigest()
        return f"{self.name} {self.seed}{among}"

    @property
    def size(self) -> tuple[int, int]:
        """Known before it is made."""
        return self.width, self.d

    @cached_property
    def basis(self) -> Float[Tensor, "width d"]:  # type: ignore[override]  # made when it is first asked for
        """The orthonormal part of Gaussian rows, or of mixtures with Gaussian weights."""
        generator = torch.Generator().manual_seed(self.seed % 2**63)
        weights = torch.randn(self.width, self.d if self.among is None else len(self.among), generator=generator, dtype=torch.float64)
        return _orthonormal(weights if self.among is None else weights @ self.among)


def direction(vector: Float[Tensor, " d"] | Sequence[float], *, name: str = "direction") -> Subspace:
    """One direction; its length is of no account, its sign is that of the number read along it.

    Args:
        vector: not zero.
        name: for readers.
    """
    found = torch.as_tensor(vector)
    if found.ndim != 1:
        raise MechcheckError(f"a direction is one row of numbers, got shape {tuple(found.shape)}; several span a subspace(...)")
    return subspace(found[None], name=name)


def subspace(vectors: Float[Tensor, "k d"], *, name: str = "subspace") -> Subspace:
    """The span of several vectors, with an orthonormal basis of it; one that is orthonormal already is kept as it is.

    Args:
        vectors: linearly independent, one per row.
        name: for readers.

    Raises:
        MechcheckError: no vectors, vectors that are not finite, or some that lie in the span of the others.
    """
    rows = torch.as_tensor(vectors).detach().cpu().double()
    if rows.ndim != 2 or 0 in rows.shape:
        raise MechcheckError(f"a subspace is spanned by rows of numbers, [k, d], got shape {tuple(rows.shape)}")
    if not torch.isfinite(rows).all():
        raise MechcheckError("the directions are not finite")
    if len(rows) > rows.shape[1]:
        raise MechcheckError(f"{len(rows)} directions of {rows.shape[1]} components cannot be independent")
    if "[" in name or "]" in name or not name.strip():
        raise MechcheckError(f"a subspace's name stands in brackets behind its site, so it cannot be {name!r}")
    if float((rows @ rows.T - torch.eye(len(rows), dtype=rows.dtype)).abs().max()) < 1e-12:
        return Subspace(rows.clone(), name)
    return Subspace(_orthonormal(rows), name)


def _orthonormal(rows: Float[Tensor, "k d"]) -> Float[Tensor, "k d"]:
    """Gram-Schmidt's basis: the first row keeps its direction, sign included."""
    lengths = rows.norm(dim=1, keepdim=True)
    if bool((lengths == 0).any()):
        raise MechcheckError("a direction is zero, which points nowhere")
    q, r = torch.linalg.qr((rows / lengths).T)
    along = r.diagonal()
    if float(along.abs().min()) < 1e-6:
        raise MechcheckError("a direction lies in the span of the others: leave it out")
    return (q * along.sign()).T.contiguous()


def check_code(code: Code, model: "TransformerBridge", d: int, where: str) -> None:
    """Raise `SiteError` for a code of other activations than those that are there; `d` is how many numbers these have."""
    if code.beside is not None:
        d, where = d + model.cfg.d_model, f"{code.beside} and {where}"
    if code.size[1] != d:
        raise SiteError(f"{code.name!r} reads activations of {code.size[1]} numbers, and {where} has {d}")
    code.check(model, where)
    for seen in _watched:
        seen.setdefault(f"{code.key} {id(model)}", CodeUsed(code, model))


class CodeUsed(NamedTuple):
    """A code, and the model whose activations were looked at through it."""

    code: Code
    model: "TransformerBridge"


_watched: list[dict[str, CodeUsed]] = []


@contextmanager
def codes_used() -> Iterator[dict[str, CodeUsed]]:
    """What sites are looked at through within this context, each once."""
    seen: dict[str, CodeUsed] = {}
    _watched.append(seen)
    try:
        yield seen
    finally:
        _watched[:] = [one for one in _watched if one is not seen]
