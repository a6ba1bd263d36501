"""Hypotheses for causal scrubbing: a small tree of what each value of a model reads, and of what matters to it in the prompt."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mechcheck.base.errors import CircuitError
from mechcheck.notation.edges import edges as edges_of
from mechcheck.notation.graph import Graph
from mechcheck.notation.site_checks import check_sites
from mechcheck.notation.sites import Receiver, Site, Sites
from mechcheck.prompts.one import Prompt

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

Feature = Callable[[Prompt], Hashable]
"""What matters of a prompt: prompts of which it is the same may stand for each other."""
ROOT = "logits"


def everything(prompt: Prompt) -> Hashable:
    """All tokens matter: only the same prompt will do."""
    return prompt.tokens


def nothing(prompt: Prompt) -> Hashable:
    """Nothing matters: any other prompt will do."""
    return ()


@dataclass(frozen=True, eq=False)
class Node:
    """A value in a model, what matters to it, and what it reads (Chan et al. 2022, "Causal scrubbing").

    `Node("0.2->1.0.k@NEXT", matters="FIRST")` says of what head 0.2 writes at NEXT, as head 1.0 reads it in its key, that the token at
    FIRST is all that matters. A node that reads nothing further is what it is on another prompt that agrees with this one on what
    matters. A node that reads others is computed: from their values, and for everything else that its heads and MLPs read from
    prompts drawn at random.
    """

    edges: Sites | str | None = None
    """From the senders whose value it is to what reads it, as `edges` writes them; None: the logits, where a hypothesis begins."""
    matters: str | Sequence[str] | Feature = everything
    """A named position, whose token matters; several of them; or a function of one `Prompt`, hashable. `everything` and `nothing` too."""
    reads: Sequence["Node"] = ()
    """The values that it is computed from; their edges lead into this node's heads and MLPs, or into the logits."""

    def __post_init__(self) -> None:
        found = edges_of(self.edges) if isinstance(self.edges, str) else self.edges
        if found is not None and (not isinstance(found, Sites) or not len(found) or any(site.to is None for site in found)):
            raise CircuitError(f'a node is named by edges into what reads it, for example "0.2->1.0.k@NEXT", got {self.edges!r:.60}')
        object.__setattr__(self, "edges", found)
        object.__setattr__(self, "reads", tuple(self.reads))
        names = () if callable(self.matters) else (self.matters,) if isinstance(self.matters, str) else self.matters
        if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
            raise CircuitError(f"what matters is a named position, several, or a function of a prompt, got {self.matters!r:.60}")
        others = [one for one in self.reads if not isinstance(one, Node)]
        if others:
            raise CircuitError(f"a node reads nodes, Node(edges, matters, reads), got {type(others[0]).__name__}")

    def __str__(self) -> str:
        """Its edges; "logits"."""
        return ROOT if self.edges is None else str(self.edges)

    @property
    def feature(self) -> Feature:
        """What matters, as a function."""
        if callable(self.matters):
            return self.matters
        names = (self.matters,) if isinstance(self.matters, str) else tuple(self.matters)
        return lambda prompt: tuple(prompt[name] for name in names)

    @property
    def every(self) -> Iterator[tuple[str, "Node"]]:
        """This node and all below it, the readers first, each with its path from here."""
        yield str(self), self
        for child in self.reads:
            yield from ((f"{self} < {path}", node) for path, node in child.every)

    @property
    def along(self) -> Sites:
        """Its edges; none of the logits."""
        return self.edges if isinstance(self.edges, Sites) else Sites()

    @property
    def senders(self) -> Sites:
        """Whose value it is."""
        return Sites(replace(edge, to=None) for edge in self.along)

    def into(self, known: Graph, sender: Site | None) -> Sites:
        """The edges into a sender, or into the logits (None), from all that this node reads."""
        return Sites(edge for child in self.reads for edge in child.along if belongs(known, edge.to, sender))


def belongs(known: Graph, receiver: Receiver | None, sender: Site | None) -> bool:
    """Whether what reads is a part of what sends; None: of the logits."""
    if receiver is None or sender is None or receiver.kind == "logits":
        return sender is None and receiver is not None and receiver.kind == "logits"
    if receiver.layer != sender.layer:
        return False
    match sender.kind:
        case "mlp_out" | "neuron":
            return receiver.kind == "mlp"
        case "attn_out":
            return receiver.kind != "mlp"
        case "head":
            group = 1 if receiver.kind == "q" else known.n_heads // known.n_kv_heads
            return receiver.kind != "mlp" and (sender.index is None or sender.index // group == receiver.index)
    return False


def check_hypothesis(model: "TransformerBridge", known: Graph, root: Node) -> None:
    """Raise where a hypothesis does not fit together, or not to the model.

    Raises:
        CircuitError: it does not begin at the logits; a node's edges lead into something else than what reads it; an edge is there twice;
            a stream that is a sum is to be computed from its parts.
        SiteError: edges that the model does not have.
    """
    if root.edges is not None:
        raise CircuitError(f"a hypothesis begins at the logits, Node(reads=[...]), and this one at {root}")
    for path, node in root.every:
        taken: list[Site] = []
        own: list[Site | None] = [None] if node.edges is None else [*node.senders]
        for child in node.reads:
            if child.edges is None:
                raise CircuitError(f"{path} reads a node without edges: the logits are read by nobody")
            check_sites(model, child.along)
            for edge in child.along:
                if not any(belongs(known, edge.to, sender) for sender in own):
                    raise CircuitError(f"{edge.named} does not lead into {node}, which is to read it")
                if any(_same_place(edge, other) for other in taken):
                    raise CircuitError(f"{edge.named} is there twice among what {node} reads")
                taken.append(edge)


def _same_place(one: Site, other: Site) -> bool:
    """Whether two edges carry the same, at a place that they have in common."""
    alike = (one.kind, one.layer, one.to) == (other.kind, other.layer, other.to)
    return alike and all(a == b or None in (a, b) for a, b in ((one.index, other.index), (one.at, other.at)))
