"""QK and OV circuits over the vocabulary (Elhage et al. 2021): what a head matches and what it writes, read off its weights.

The matrices are vocabulary x vocabulary of rank d_head; they stay TransformerLens' FactoredMatrix and are never written out. What is
left out: position, biases, MLPs, and the scale that a LayerNorm gives each token.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from mechcheck.base.architectures import is_native, native_divisor
from mechcheck.base.errors import MechcheckError, PromptError, SiteError
from mechcheck.measures.attention.patterns import head_pairs
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.heads.spectrum import own_token_scores, spectrum
from mechcheck.models.architecture import require_folded, require_plain_writes
from mechcheck.notation.sites import Sites
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens import FactoredMatrix
    from transformer_lens.model_bridge import TransformerBridge

Head = tuple[int, int] | str | Sites
"""One head: (9, 6), "9.6" or heads("9.6")."""

# Bytes of entries that are computed at once.
_CHUNK = 64 * 2**20
_NOT_COMPUTED = "products of its weights are not what its heads compute"


@dataclass(frozen=True, eq=False)
class VocabularyCircuit:
    """A token x token matrix in factored form. Each row's mean is zero: a softmax over the row cannot see it."""

    name: str
    matrix: "FactoredMatrix"
    """[row token, column token], of rank d_head. OV: token read, token written; QK: query token, key token."""
    tokens: Int[np.ndarray, " token"]
    """The token ids of the rows, and of the columns."""
    words: tuple[str, ...]
    unit: str

    def entries(self, rows: Sequence[int] | None = None, columns: Sequence[int] | None = None) -> Float[np.ndarray, "row column"]:
        """The entries of some token ids (all that the circuit has by default, which is large for a large vocabulary).

        Raises:
            PromptError: a token that the circuit does not have.
        """
        left, right = (self._places(which) for which in (rows, columns))
        return (self.matrix.A[left] @ self.matrix.B[:, right]).cpu().numpy()

    def top(self, token: int, n: int = 5) -> list[tuple[str, float]]:
        """The `n` columns with the largest entries in a token's row: the tokens a head writes for it, or attends to from it."""
        row = self.entries([token])[0]
        return [(self.words[i], float(row[i])) for i in np.argsort(-row, kind="stable")[:n]]

    @property
    def eigenvalues(self) -> Complex[np.ndarray, " d_head"]:
        """The d_head eigenvalues that need not be zero."""
        return self.matrix.eigenvalues.cpu().numpy()

    @property
    def own_token_score(self) -> float:
        """Sum of the eigenvalues' real parts over the sum of their sizes, in -1 to 1 (Elhage et al. 2021).

        1: a token is mapped onto itself (OV copies, QK matches a token with the same one); 0: a matrix that knows nothing of
        its own token, also where its eigenvalues are all zero; below 0: away from itself. NaN where the head does nothing at all.
        """
        return float(own_token_scores(self.matrix))

    @property
    def own_token(self) -> Measurement:
        """`own_token_score` as a mean over tokens, so that it has an interval.

        The sum of eigenvalues is the trace: each token adds its own diagonal entry. The spectrum's size is taken as given.
        """
        size = float(spectrum(self.matrix)[1])
        scale = len(self.tokens) / size if size > 0 else np.nan
        return self._measurement(self._diagonal() * scale, f"{self.name}: own-token score", "share of |eigenvalues|")

    def own_token_among(self, top: int = 1) -> Measurement:
        """1.0 for each token whose own entry is among the `top` largest of its row, else 0.0; NaN where the row is all zero."""
        size = len(self.tokens)
        found = np.empty(size)
        step = max(1, _CHUNK // (8 * size))
        for start in range(0, size, step):
            rows = (self.matrix.A[start : start + step] @ self.matrix.B).cpu().numpy()
            own = rows[np.arange(len(rows)), start + np.arange(len(rows))]
            ranks = (rows > own[:, None]).sum(1)
            found[start : start + step] = np.where(rows.any(1), ranks < top, np.nan)
        return self._measurement(found, f"{self.name}: own token among the first {top}", "share of tokens")

    def heatmap(self, rows: Sequence[int], columns: Sequence[int] | None = None) -> Heatmap:
        """The entries of some token ids as a figure."""
        columns = rows if columns is None else columns
        down, across = ([self.words[int(i)] for i in self._places(which)] for which in (rows, columns))
        labels = ("reads", "writes") if self.unit == "logits written" else ("query", "key")
        return Heatmap(self.name, self.entries(rows, columns), down, across, *labels, self.unit)

    def _diagonal(self) -> Float[np.ndarray, " token"]:
        return (self.matrix.A * self.matrix.B.T).sum(-1).cpu().numpy()

    def _places(self, tokens: Sequence[int] | None) -> Int[Tensor, " token"]:
        if tokens is None:
            return torch.arange(len(self.tokens))
        place = {int(token): i for i, token in enumerate(self.tokens)}
        missing = [int(token) for token in tokens if int(token) not in place]
        if missing:
            raise PromptError(f"token {missing[0]} is not in this circuit; it has {len(place)} tokens, chosen by tokens=...")
        return torch.tensor([place[int(token)] for token in tokens])

    def _measurement(self, values: Float[np.ndarray, " token"], name: str, unit: str) -> Measurement:
        return Measurement(values, tuple(f"token {t}" for t in self.tokens), ("all",) * len(values), name, unit)


def ov_circuit(
    model: "TransformerBridge",
    head: Head,
    tokens: Sequence[int] | None = None,
    *,
    through: Head | None = None,
    embedding: Float[Tensor, "d_vocab d_model"] | None = None,
) -> VocabularyCircuit:
    """What a head writes for each token it attends to: W_E W_V W_O W_U, in logits.

    Args:
        model: from `load_model` with processing="folded".
        head: one head. With grouped queries it takes the values of its key-value head.
        tokens: the token ids of rows and columns; all but the tokenizer's special ones by default. Where the output has a vocabulary of
            its own, a token id stands for the same token in both, as far as both have it.
        through: an earlier head that carries the token there (V-composition).
        embedding: what stands for each token in the stream; W_E by default. Behind a first MLP, its output belongs to it.

    Raises:
        MechcheckError: a model whose norms are not folded into its weights, or `through` in no earlier layer.
        SiteError, PromptError: more than one head, or tokens that do not exist.
    """
    layer, index = _one(model, head)
    chosen, words = _vocabulary(model, tokens, written=True)
    read = _carried(model, _embedded(model, chosen, embedding), through, layer) @ _exact(model.OV.A[layer, index])
    written = _exact(model.OV.B[layer, index]) @ _exact(model.W_U[:, chosen])
    return _circuit(f"OV of {layer}.{index}{_behind(model, value=through)}", read, written, chosen, words, "logits written")


def qk_circuit(
    model: "TransformerBridge",
    head: Head,
    tokens: Sequence[int] | None = None,
    *,
    query_through: Head | None = None,
    key_through: Head | None = None,
    embedding: Float[Tensor, "d_vocab d_model"] | None = None,
) -> VocabularyCircuit:
    """How well each query token matches each key token in a head: W_E W_Q (W_E W_K)^T / sqrt(d_head), or unscaled where the model is.

    Rotary embedding is left out: the entries are those of a query and a key at the same place.

    Args:
        model: from `load_model` with processing="folded".
        head: one head.
        tokens: the token ids of rows and columns; all but the tokenizer's special ones by default.
        query_through, key_through: an earlier head that carries the token to the query's, or the key's, place (Q- and
            K-composition: an induction head matches a token with the one that a previous-token head has carried on).
        embedding: as for `ov_circuit`.

    Raises:
        MechcheckError, SiteError, PromptError: as for `ov_circuit`.
    """
    check_readable(model, scores=True)
    layer, index = _one(model, head)
    chosen, words = _vocabulary(model, tokens)
    state = _embedded(model, chosen, embedding)
    queries = _carried(model, state, query_through, layer) @ _exact(model.QK.A[layer, index])
    keys = _carried(model, state, key_through, layer) @ _exact(model.QK.B[layer, index]).T
    name = f"QK of {layer}.{index}{_behind(model, query=query_through, key=key_through)}"
    return _circuit(name, queries * _score_scale(model, layer), keys.T, chosen, words, "score")


def copying_eigenvalue_scores(model: "TransformerBridge", tokens: Sequence[int] | None = None) -> Float[np.ndarray, "layer head"]:
    """`own_token_score` of every head's OV circuit: 1 for a head that copies, NaN for one that writes nothing.

    Raises:
        MechcheckError, PromptError: as for `ov_circuit`.
    """
    from transformer_lens import FactoredMatrix

    check_readable(model)
    chosen, _ = _vocabulary(model, tokens, written=True)
    # The eigenvalues of E (V O) U are those of (U E V) O: the vocabulary is summed over once, for all heads.
    between = _centred(_exact(model.W_U[:, chosen])) @ _exact(model.W_E[chosen])
    return own_token_scores(FactoredMatrix(between @ _exact(model.OV.A), _exact(model.OV.B))).cpu().numpy()


def check_readable(model: "TransformerBridge", *, scores: bool = False) -> None:
    """Raise unless products of weights mean something: each norm is folded into the weights that read behind it.

    Args:
        model: from `load_model`.
        scores: the product is one of queries and keys.
    """
    require_folded(model, "circuits of weights need")
    norms = [norm for block in model.blocks if (norm := getattr(block, "ln1", None)) is not None]
    gains = [weight + 1 if norm.uses_weight_offset else weight for norm in norms if (weight := getattr(norm, "weight", None)) is not None]
    if not all(bool((gain == 1).all()) for gain in gains):
        _refuse(model, "the norms cannot be folded into the weights")
    require_plain_writes(model, _NOT_COMPUTED)
    if scores and any(hasattr(block.attn, "q_norm") for block in model.blocks if hasattr(block, "attn")):
        _refuse(model, "queries and keys pass through norms")


def _refuse(model: "TransformerBridge", why: str) -> NoReturn:
    raise MechcheckError(f"in this architecture ({model.cfg.architecture}) {why}, so {_NOT_COMPUTED}")


def _score_scale(model: "TransformerBridge", layer: int) -> float:
    """What a query times a key is multiplied with."""
    if model.cfg.architecture == "GPTNeoForCausalLM":
        return 1.0
    by_layer = layer + 1 if getattr(model.cfg, "scale_attn_by_inverse_layer_idx", False) else 1
    return 1 / native_divisor(model, layer) if is_native(model) else model.cfg.d_head**-0.5 / by_layer


def _circuit(
    name: str, left: Float[Tensor, "token d_head"], right: Float[Tensor, "d_head token"], tokens: Tensor, words: tuple[str, ...], unit: str
) -> VocabularyCircuit:
    from transformer_lens import FactoredMatrix

    return VocabularyCircuit(name, FactoredMatrix(left, _centred(right)), tokens.cpu().numpy(), words, unit)


def _centred(columns: Float[Tensor, "d token"]) -> Float[Tensor, "d token"]:
    """Without what is the same for every token."""
    return columns - columns.mean(-1, keepdim=True)


def _one(model: "TransformerBridge", head: Head) -> tuple[int, int]:
    check_readable(model)
    pairs = head_pairs(model, [head] if isinstance(head, tuple) else head)  # type: ignore[arg-type]
    if len(pairs) > 1:
        raise SiteError(f"one head has one circuit, {len(pairs)} were given")
    return pairs[0]


def _carried(
    model: "TransformerBridge", state: Float[Tensor, "token d_model"], through: Head | None, layer: int
) -> Float[Tensor, "token d_model"]:
    """What an earlier head writes for each token; the tokens themselves where there is none."""
    if through is None:
        return state
    earlier, index = _one(model, through)
    if earlier >= layer:
        raise MechcheckError(f"head {earlier}.{index} is not in a layer before {layer}, so it carries nothing there")
    return state @ _exact(model.OV.A[earlier, index]) @ _exact(model.OV.B[earlier, index])


def _behind(model: "TransformerBridge", **through: Head | None) -> str:
    """How a name says which earlier heads the tokens come through."""
    parts = ["{} behind {}.{}".format(what, *_one(model, head)) for what, head in through.items() if head is not None]
    return f" ({', '.join(parts)})" if parts else ""


def _embedded(
    model: "TransformerBridge", tokens: Int[Tensor, " token"], embedding: Float[Tensor, "d_vocab d_model"] | None
) -> Float[Tensor, "token d_model"]:
    """The tokens' rows of an embedding; of the model's own as it enters the stream, which Gemma scales."""
    if embedding is not None:
        return _exact(embedding[tokens])
    scale = 1.0 if is_native(model) else float(getattr(model.original_model.get_input_embeddings(), "embed_scale", 1.0))
    return _exact(model.W_E[tokens]) * scale


def _vocabulary(
    model: "TransformerBridge", tokens: Sequence[int] | None, *, written: bool = False
) -> tuple[Int[Tensor, " token"], tuple[str, ...]]:
    """Token ids and their texts; of a model with another vocabulary for its output, those that it both reads and writes."""
    tokenizer = model.tokenizer
    size = min(model.cfg.d_vocab, model.W_U.shape[1]) if written else model.cfg.d_vocab
    special = set() if tokenizer is None else set(tokenizer.all_special_ids)
    chosen = [t for t in range(size) if t not in special] if tokens is None else [int(t) for t in tokens]
    wrong = [t for t in chosen if not 0 <= t < size]
    if wrong or len(chosen) < 2 or len(set(chosen)) < len(chosen):
        raise PromptError(f"tokens={tokens}: choose at least 2 different token ids from 0 to {size - 1}")
    words = [str(t) for t in chosen] if tokenizer is None else tokenizer.batch_decode([[t] for t in chosen])
    return torch.tensor(chosen, device=model.W_E.device), tuple(words)


def _exact(weights: Tensor) -> Tensor:
    return weights.detach().cpu().double()
