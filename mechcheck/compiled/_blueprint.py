"""Blueprints: what a compiled model is made of.

The residual stream is a set of named registers. Some are filled by the embeddings (which word stands here, where it stands),
the others by heads. An attention head is declared by what it compares (`Match`) and what it moves (`Move`):

- its score between a query and a key position is the sum over its matches of gain * <query register, key register>;
- to every register it moves to, it adds gain * the attended position's register.

Whatever is not declared does not exist, so the circuit is known: `Blueprint.circuit_roles` and `Blueprint.edges` read it off.
Hand-set transformers of this kind are the idea of RASP and Tracr (Weiss et al. 2021, arXiv:2106.06981; Lindner et al. 2023,
arXiv:2301.05062); here, heads are declared directly, so that a claim can name them.
"""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

from mechcheck.base.errors import MechcheckError
from mechcheck.notation.sites import Site, Sites

ALWAYS = "always"
"""As a query: the same at every position."""
LOGITS = "logits"
"""The reader of the output registers."""


class CompileError(MechcheckError):
    """A blueprint that cannot be compiled."""


@dataclass(frozen=True, eq=False)
class Register:
    """A named subspace of the residual stream."""

    name: str
    width: int
    words: tuple[str, ...] = ()
    """Words whose embedding fills it; none for a register that heads fill."""
    code: Float[np.ndarray, "word width"] | None = None
    """What each of the words writes."""
    positional: bool = False
    """Filled by the position's embedding: position p (from 1) is the unit vector p - 1. Position 0 leaves it empty, so that
    what is read from BOS is zero."""

    @property
    def embedded(self) -> bool:
        """Filled by the embeddings, and not by heads."""
        return self.positional or self.code is not None


def words(name: str, of: Sequence[str]) -> Register:
    """Which of these words stands here: one dimension for each."""
    return Register(name, len(of), tuple(of), np.eye(len(of)))


def codes(name: str, of: Sequence[str], width: int, *, overlap: float = 0.4, seed: int = 0) -> Register:
    """Which of these words stands here, in fewer dimensions than words: unit vectors of +-1/sqrt(width).

    Two words' inner product is at most `overlap`, so a match (1) stays apart from everything else.

    Raises:
        CompileError: too few dimensions for so many words.
    """
    rng, found = random.Random(f"codes {seed}"), np.zeros((0, width))
    for _ in range(200 * len(of)):
        drawn = np.array([rng.choice((-1.0, 1.0)) for _ in range(width)]) / width**0.5
        if not len(found) or np.abs(found @ drawn).max() <= overlap:
            found = np.vstack([found, drawn])
        if len(found) == len(of):
            return Register(name, width, tuple(of), found)
    raise CompileError(f"register {name!r}: no {len(of)} codes of width {width} with inner products up to {overlap}; make it wider")


def flag(name: str, of: Sequence[str]) -> Register:
    """Whether one of these words stands here: one dimension, 1 or 0."""
    return Register(name, 1, tuple(of), np.ones((len(of), 1)))


def positions(name: str, context: int) -> Register:
    """Where a token stands: one dimension for each position but that of BOS."""
    return Register(name, context - 1, positional=True)


def scratch(name: str, like: Register | int = 1) -> Register:
    """A register that heads write to, as wide as another one (default: a single number)."""
    return Register(name, like if isinstance(like, int) else like.width)


@dataclass(frozen=True)
class Match:
    """A term of a head's attention score: gain * <query's register, key's register>; a negative gain repels."""

    query: str
    """Register read at the query position, or ALWAYS."""
    key: str
    """Register read at the key position."""
    gain: float
    offset: int = 0
    """For positions: the wanted key stands this far from the query (-1: the previous token)."""


@dataclass(frozen=True)
class Move:
    """What a head carries: gain * the attended position's `read` is added to `to`."""

    read: str
    to: str
    gain: float = 1.0


@dataclass(frozen=True)
class Head:
    """An attention head. Without matches it attends everywhere alike; without moves it writes nothing."""

    role: str
    """What it is called in the circuit; several heads may share a role."""
    at: str | None
    """The named position at which it acts in its task."""
    matches: tuple[Match, ...] = ()
    moves: tuple[Move, ...] = ()


class Edge(NamedTuple):
    """One head's output read by another head, or by the unembedding."""

    writer: str
    reader: str
    by: Literal["query", "key", "value", "logits"]
    register: str


@dataclass(frozen=True)
class Blueprint:
    """A whole model: registers, heads ("layer.head" -> Head) and what is read out as logits."""

    name: str
    registers: tuple[Register, ...]
    heads: Mapping[str, Head]
    outputs: Mapping[str, str]
    """Register -> register of words: a word's logit is the inner product of the first with the word's code in the second."""
    context: int = 40
    d_model: int | None = None
    """None: as many dimensions as are needed."""
    balance: float = 1000.0
    """Size of the two balance dimensions; see the compiler."""
    by_name: Mapping[str, Register] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {register.name: register for register in self.registers})
        if len(self.by_name) < len(self.registers) or ALWAYS in self.by_name:
            raise CompileError(f"{self.name}: registers need different names, and none may be called {ALWAYS!r}")
        if not self.heads:
            raise CompileError(f"{self.name}: a blueprint needs heads")
        for place, head in self.placed:
            self._check_head(place, head)
        for out, vocabulary in self.outputs.items():
            if self._register(vocabulary, "the logits").code is None:
                raise CompileError(f"{self.name}: logits need a register of words, and {vocabulary!r} is none")
            self._check_widths("the logits", out, vocabulary)

    @property
    def placed(self) -> list[tuple[tuple[int, int], Head]]:
        """((layer, head), Head) in order."""
        return sorted(((_place(name), head) for name, head in self.heads.items()), key=lambda found: found[0])

    @property
    def n_layers(self) -> int:
        """Layers: up to the last one with a head."""
        return 1 + max(layer for (layer, _), _ in self.placed)

    @property
    def n_heads(self) -> int:
        """Heads in each layer; places without a declared head are blank."""
        return 1 + max(head for (_, head), _ in self.placed)

    @property
    def circuit_roles(self) -> dict[str, Sites]:
        """Role -> its heads, at the position where they act."""
        found: dict[str, list[Site]] = {}
        for (layer, index), head in self.placed:
            found.setdefault(head.role, []).append(Site("head", layer, index, head.at))
        return {role: Sites(sites) for role, sites in found.items()}

    @property
    def edges(self) -> frozenset[Edge]:
        """Every connection between roles: one head writes a register that a later head, or the unembedding, reads."""
        found = {Edge(head.role, LOGITS, "logits", move.to) for _, head in self.placed for move in head.moves if move.to in self.outputs}
        for (layer, _), writer in self.placed:
            written = {move.to for move in writer.moves}
            for (later, _), reader in self.placed:
                if later > layer:
                    found |= {Edge(writer.role, reader.role, by, name) for by, name in _reads(reader) if name in written}
        return frozenset(found)

    def _check_head(self, place: tuple[int, int], head: Head) -> None:
        where = f"head {place[0]}.{place[1]}"
        for match in head.matches:
            self._check_widths(where, match.query, match.key)
            if match.offset and not (self._register(match.key, where).positional and match.query == match.key):
                raise CompileError(f"{self.name}: {where} matches {match.query!r} at an offset, which only positions have")
        for move in head.moves:
            self._check_widths(where, move.read, move.to)
            if self._register(move.to, where).embedded:
                raise CompileError(f"{self.name}: {where} writes to {move.to!r}, which the embeddings fill; use a scratch register")
        earlier = {move.to for (layer, _), other in self.placed if layer < place[0] for move in other.moves}
        for _, name in _reads(head):
            if name != ALWAYS and not self.by_name[name].embedded and name not in earlier:
                raise CompileError(f"{self.name}: {where} reads {name!r}, which no head of an earlier layer writes")

    def _check_widths(self, where: str, one: str, other: str) -> None:
        widths = [1 if name == ALWAYS else self._register(name, where).width for name in (one, other)]
        if widths[0] != widths[1]:
            raise CompileError(f"{self.name}: {where} joins {one!r} ({widths[0]} wide) and {other!r} ({widths[1]} wide)")

    def _register(self, name: str, where: str) -> Register:
        if name not in self.by_name:
            raise CompileError(f"{self.name}: {where} uses register {name!r}; there are {', '.join(self.by_name)}")
        return self.by_name[name]


def _reads(head: Head) -> Iterable[tuple[Literal["query", "key", "value"], str]]:
    for match in head.matches:
        yield "query", match.query
        yield "key", match.key
    for move in head.moves:
        yield "value", move.read


def _place(name: str) -> tuple[int, int]:
    try:
        layer, head = (int(part) for part in name.split("."))
    except ValueError as error:
        raise CompileError(f"a head's place is written layer.head, for example 0.1, and not {name!r}") from error
    return layer, head
