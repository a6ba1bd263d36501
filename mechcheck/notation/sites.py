"""Sites: what can be intervened on, written as short text: heads("9.6 9.9@END"), mlps("8-11"), resid("5@S2")."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from mechcheck.base.errors import SiteError
from mechcheck.notation.ranges import LARGEST_NUMBER, bounded, check_name, numbers_of

if TYPE_CHECKING:
    from mechcheck.notation.codes import Code

Kind = Literal[
    "head", "q", "k", "v", "pattern", "attn_out", "mlp_out", "resid_pre", "resid_mid", "resid_post", "neuron", "embed",
    "pos_embed",
]  # fmt: skip

_HOOKS: dict[Kind, str] = {
    "head": "blocks.{layer}.attn.hook_z",
    "q": "blocks.{layer}.attn.hook_q",
    "k": "blocks.{layer}.attn.hook_k",
    "v": "blocks.{layer}.attn.hook_v",
    "pattern": "blocks.{layer}.attn.hook_pattern",
    "attn_out": "blocks.{layer}.hook_attn_out",
    "mlp_out": "blocks.{layer}.hook_mlp_out",
    "resid_pre": "blocks.{layer}.hook_resid_pre",
    "resid_mid": "blocks.{layer}.hook_resid_mid",
    "resid_post": "blocks.{layer}.hook_resid_post",
    "neuron": "blocks.{layer}.mlp.hook_post",
    "embed": "hook_embed",
    "pos_embed": "hook_pos_embed",
}
# Activations of shape [prompt, pos, head, d_head]; k and v have one head for each key/value head.
HEAD_KINDS = ("head", "q", "k", "v")
EMBEDDINGS = ("embed", "pos_embed")
# Hooks without their layer, as in "attn.hook_z", of activations of shape [prompt, pos, d] or [prompt, pos, head, d_head].
HOOK_KINDS = {hook.removeprefix("blocks.{layer}."): kind for kind, hook in _HOOKS.items() if kind not in ("pattern", *EMBEDDINGS)}
INDEXED = (*HEAD_KINDS, "pattern", "neuron")
_EXAMPLES = ("8-11 5@END", "9.6 9.9@END")
# What a kind is called in front of its numbers, as the sender of an edge.
_SENDERS: dict[Kind, str] = {"mlp_out": "mlp", "attn_out": "attn", "resid_pre": "resid", "neuron": "neuron"}
# What a site of each kind is called in text.
NOUNS: dict[Kind, str] = {
    "head": "head", "q": "query", "k": "key", "v": "value", "pattern": "pattern", "attn_out": "attn_out", "mlp_out": "mlp",
    "resid_pre": "resid", "resid_mid": "resid_mid", "resid_post": "resid_post", "neuron": "neuron", "embed": "embed",
    "pos_embed": "pos_embed",
}  # fmt: skip
_WORD = re.compile(r"(?P<layers>\d+(-\d+)?)(\.(?P<indices>\d+(-\d+)?))?(@(?P<at>\w+))?")


@dataclass(frozen=True)
class Receiver:
    """What reads the stream: a head's queries, keys or values, an MLP, or the final norm in front of the logits."""

    kind: Literal["q", "k", "v", "mlp", "logits"]
    layer: int = 0
    index: int | None = None
    """Head number; of keys and values, with grouped queries, that of the key/value head."""

    def __str__(self) -> str:
        """ "1.1.q", "mlp1", "logits"."""
        match self.kind:
            case "logits":
                return "logits"
            case "mlp":
                return f"mlp{self.layer}"
        return f"{self.layer}.{self.index}.{self.kind}"


@dataclass(frozen=True)
class Site:
    """One place in the network."""

    kind: Kind
    layer: int
    index: int | None = None
    """Head or neuron number; None for whole-layer sites, among them all heads' outputs, one behind the other, and all neurons."""
    at: str | None = None
    """Named position ("END"); None for every position."""
    code: "Code | None" = None
    """What of the activation is meant, along a subspace or as features; None: all of it."""
    to: Receiver | None = None
    """Who alone reads it as it is changed: an edge; None: all that read it."""

    @property
    def hook_name(self) -> str:
        """The TransformerLens hook whose activation this site is (a part of)."""
        return _HOOKS[self.kind].format(layer=self.layer)

    @property
    def looks_beside(self) -> bool:
        """Whether what it is read by looks at another hook too."""
        return self.code is not None and self.code.beside is not None

    @property
    def place(self) -> str:
        """Where it is, without its kind: "9.6@END", "5@S2[gender]"; "@S2" of embeddings, which belong to no layer."""
        index = "" if self.index is None else f".{self.index}"
        where = "" if self.kind in EMBEDDINGS else f"{self.layer}{index}"
        code, at = f"[{self.code}]" if self.code else "", f"@{self.at}" if self.at else ""
        if self.to is None:
            return f"{where}{at}{code}"
        sender = "input" if self.kind == "resid_pre" and self.layer == 0 else _SENDERS.get(self.kind, "") + where
        return f"{sender}{code}->{self.to}{at}"

    @property
    def named(self) -> str:
        """Its kind and where it is: "head 9.6@END", "resid 5@S2", "edge 0.3->1.1.q"."""
        if self.to is not None:
            return f"edge {self.place}"
        return f"{self.noun} {self.place}".strip() if self.kind not in EMBEDDINGS else f"{NOUNS[self.kind]}{self.place}"

    @property
    def noun(self) -> str:
        """What it is called in text; all heads, or all neurons, of a layer together in the plural."""
        return "edge" if self.to is not None else NOUNS[self.kind] + "s" * self.together

    @property
    def together(self) -> bool:
        """Whether it is all of a layer's heads, or neurons, at once."""
        return self.kind in INDEXED and self.index is None

    def __str__(self) -> str:
        """A head or an edge by its place alone, anything else with its kind: "9.6@END", "resid_post 5@S2"."""
        return self.place if (self.kind == "head" and not self.together) or self.to is not None else self.named


@dataclass(frozen=True)
class Sites:
    """A set of sites, sorted, without duplicates; `|` and `-` combine sets."""

    members: tuple[Site, ...]

    def __init__(self, members: Iterable[Site] = ()):
        object.__setattr__(self, "members", tuple(sorted(set(members), key=_order)))

    def __iter__(self) -> Iterator[Site]:
        return iter(self.members)

    def __len__(self) -> int:
        return len(self.members)

    def __contains__(self, site: object) -> bool:
        return site in self.members

    def __or__(self, other: "Sites") -> "Sites":
        return Sites((*self, *other))

    def __sub__(self, other: "Sites") -> "Sites":
        return Sites(s for s in self if s not in other)

    def __str__(self) -> str:
        """Heads alone by their places, "9.6 9.9@END"; else each kind before its sites, "head 9.6 mlp 10@END 11@END"."""
        if all((site.kind == "head" and not site.together) or site.to is not None for site in self):
            return self.places
        return " ".join(f"{noun} {Sites(some).places}".strip() for noun, some in itertools.groupby(self, key=lambda s: s.noun))

    @property
    def places(self) -> str:
        """The sites without their kind, as the kind's own function reads them: mlps("8@END 9@END")."""
        return " ".join(site.place for site in self)

    def at(self, position: str | None) -> "Sites":
        """The same sites at another named position (None: every position)."""
        check_name(position)
        return Sites(replace(s, at=position) for s in self)

    def within(self, code: "Code") -> "Sites":
        """The same sites, of whose activations only this is meant: what lies in a subspace, or some features."""
        return Sites(replace(s, code=code) for s in self)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """(layer, head) of each head site; an error where a site is no head."""
        others = [s for s in self if s.kind != "head" or s.index is None or s.to is not None]
        if others:
            raise SiteError(f"these sites are not attention heads: {Sites(others)}")
        return tuple((s.layer, s.index) for s in self if s.index is not None)


def _order(site: Site) -> tuple[bool, str, int, int, str, str, str]:
    code, index = "" if site.code is None else site.code.key, -1 if site.index is None else site.index
    return site.to is not None, site.kind, site.layer, index, str(site.to or ""), site.at or "", code


def heads(text: str | Iterable[tuple[int, int]] | Sites, *, at: str | None = None) -> Sites:
    """Attention heads' outputs z: "9.6 9.9@END", ranges "0.0-3", or (layer, head) pairs; `at` is the default position."""
    return _sites("head", text, at)


def queries(text: str | Iterable[tuple[int, int]] | Sites, *, at: str | None = None) -> Sites:
    """Attention heads' queries q, before rotary embedding: "9.6@END"."""
    return _sites("q", text, at)


def keys(text: str | Iterable[tuple[int, int]] | Sites, *, at: str | None = None) -> Sites:
    """Attention heads' keys k, before rotary embedding: "5.1@NEXT"; with grouped queries the numbers are those of key/value heads."""
    return _sites("k", text, at)


def values(text: str | Iterable[tuple[int, int]] | Sites, *, at: str | None = None) -> Sites:
    """Attention heads' values v: "5.1@NEXT"; with grouped queries the numbers are those of key/value heads."""
    return _sites("v", text, at)


def patterns(text: str | Iterable[tuple[int, int]] | Sites, *, at: str | None = None) -> Sites:
    """Attention heads' patterns: what a query gives to each key, "9.6@END"; a site names the query, every query where it names none."""
    return _sites("pattern", text, at)


def attn_outs(text: str | int, *, at: str | None = None) -> Sites:
    """Whole attention layers' outputs: "3", "2-4@END"."""
    return _sites("attn_out", text, at)


def mlps(text: str | int, *, at: str | None = None) -> Sites:
    """MLP layers' outputs: "8-11", "3@END"."""
    return _sites("mlp_out", text, at)


def neurons(text: str | Iterable[tuple[int, int]], *, at: str | None = None) -> Sites:
    """MLP neurons after the activation function: "8.42", "8.0-9@END"."""
    return _sites("neuron", text, at)


def mlp_hidden(text: str | int, *, at: str | None = None) -> Sites:
    """All of a layer's MLP neurons together, after the activation function: "8", "3@END"."""
    return Sites(Site("neuron", site.layer, None, site.at) for site in _sites("mlp_out", text, at))


def resid(text: str | int, *, at: str | None = None) -> Sites:
    """The residual stream entering a layer (resid_pre): 5, "1@S2", "0-3"."""
    return _sites("resid_pre", text, at)


def resid_mid(text: str | int, *, at: str | None = None) -> Sites:
    """The residual stream between a layer's attention and its MLP (resid_mid): 5, "1@S2", "0-3"; parallel blocks have none."""
    return _sites("resid_mid", text, at)


def embed(*, at: str | None = None) -> Sites:
    """The token embeddings, before positions are added."""
    return Sites([Site("embed", 0, None, at)])


def pos_embed(*, at: str | None = None) -> Sites:
    """The position embeddings that are added to the stream; models with rotary embeddings have none."""
    return Sites([Site("pos_embed", 0, None, at)])


def resid_post(text: str | int, *, at: str | None = None) -> Sites:
    """The residual stream leaving a layer (resid_post): 5, "1@S2", "0-3"."""
    return _sites("resid_post", text, at)


def _sites(kind: Kind, text: object, at: str | None) -> Sites:
    check_name(at)
    if isinstance(text, Sites):
        wrong = [s for s in text if s.kind != kind]
        if wrong:
            raise SiteError(f"expected sites of kind {kind}, got {wrong[0].named}")
        return Sites(replace(s, at=s.at or at) for s in text)
    if isinstance(text, int):
        text = str(text)
    if isinstance(text, str):
        return Sites(bounded(site for word in text.replace(",", " ").split() for site in _parse(kind, word, at)))
    if isinstance(text, Iterable) and not isinstance(text, bytes | Mapping) and getattr(text, "ndim", 1) != 0:
        return Sites(Site(kind, *_pair(kind, one), at) for one in bounded(text))
    raise SiteError(f"cannot read sites from {text!r:.60}; write them as text, for example {_EXAMPLES[kind in INDEXED]!r}")


def _pair(kind: Kind, one: object) -> tuple[int, int]:
    try:
        layer, index = (number.__index__() for number in one)  # type: ignore[attr-defined]
    except (TypeError, ValueError, AttributeError, RuntimeError):  # RuntimeError: torch's
        layer = index = -1
    if kind not in INDEXED or not (0 <= layer <= LARGEST_NUMBER and 0 <= index <= LARGEST_NUMBER):
        example = _EXAMPLES[kind in INDEXED]
        raise SiteError(f"cannot read sites of kind {kind} from {one!r:.60}; write them as text, for example {example!r}")
    return layer, index


def _parse(kind: Kind, word: str, at: str | None) -> Iterator[Site]:
    match = _WORD.fullmatch(word)
    if not match or (match["indices"] is not None) != (kind in INDEXED):
        raise SiteError(f"cannot read {word!r:.60} as sites of kind {kind}; write them like {_EXAMPLES[kind in INDEXED]!r}")
    for layer in numbers_of(match["layers"]):
        for index in numbers_of(match["indices"]) if match["indices"] else [None]:
            yield Site(kind, layer, index, match["at"] or at)
