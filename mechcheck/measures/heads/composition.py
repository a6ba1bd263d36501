"""Composition scores (Elhage et al. 2021): how much of what one head writes is read by another, against random orientations."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from jaxtyping import Float

from mechcheck.base.architectures import takes_out_mean
from mechcheck.base.errors import MechcheckError
from mechcheck.measures.attention.patterns import head_pairs
from mechcheck.measures.figures.charts import Heatmap
from mechcheck.measures.heads.vocabulary_circuits import check_readable
from mechcheck.notation.sites import Sites
from mechcheck.stats.measurement import Measurement

if TYPE_CHECKING:
    from transformer_lens import FactoredMatrix
    from transformer_lens.model_bridge import TransformerBridge

Mode = Literal["Q", "K", "V"]


@dataclass(frozen=True, eq=False)
class Composition:
    """Scores of some writing heads with some reading heads, and what random orientation would give."""

    mode: Mode
    writers: tuple[tuple[int, int], ...]
    readers: tuple[tuple[int, int], ...]
    scores: Float[np.ndarray, "writer reader"]
    """|W_OV W| / (|W_OV| |W|) in Frobenius norms, W being what the reader's query, key or value reads with."""
    random: Float[np.ndarray, "draw writer reader"]
    """The same with the reader's weights turned at random: its singular values, and so its shape and norm, are kept."""

    @property
    def excess(self) -> Measurement:
        """For each draw, the mean score minus the mean of the random ones: its mean is the score above the baseline.

        The interval is that of the baseline's mean, which more draws make as narrow as wanted; whether the score could be random is
        what `beats_random` says.
        """
        return self._measurement(self.scores.mean() - self.random.mean((1, 2)), f"{self.mode}-composition above random", "score")

    @property
    def beats_random(self) -> Measurement:
        """For each draw, 1.0 where the mean score is above the mean of the random ones: their mean is 1 - p of a permutation test."""
        return (self.excess > 0).named(f"{self.mode}-composition beats random", "share of draws")

    def heatmap(self) -> Heatmap:
        """The scores above the mean of the random ones, as a figure."""
        rows, columns = ([f"{layer}.{head}" for layer, head in pairs] for pairs in (self.writers, self.readers))
        title = f"{self.mode}-composition above random"
        return Heatmap(title, self.scores - self.random.mean(0), rows, columns, "writes", "reads", "score")

    def _repr_html_(self) -> str:
        return self.heatmap()._repr_html_()

    def _measurement(self, values: Float[np.ndarray, " draw"], name: str, unit: str) -> Measurement:
        return Measurement(values, tuple(f"draw {i}" for i in range(len(values))), ("all",) * len(values), name, unit)


def composition(
    model: "TransformerBridge", mode: Mode, writers: Sites | str, readers: Sites | str, *, n: int = 200, seed: int = 0
) -> Composition:
    """How strongly the readers' queries, keys or values depend on what the writers write, from the weights alone.

    TransformerLens' scores, with the baseline that Elhage et al. 2021 subtract from them made exact: whatever their singular values,
    two matrices whose orientations have nothing to do with each other score about 1 / sqrt(d_model), and not 0. Rotary
    embedding, norms' scales and MLPs are left out.

    Args:
        model: from `load_model` with processing="folded".
        mode: "Q", "K" or "V".
        writers, readers: heads; positions do not matter. Every writer stands in an earlier layer than every reader.
        n: random orientations.
        seed: draws them.

    Raises:
        MechcheckError: another mode, a writer that is not before a reader, fewer than 2 draws, or a model whose norms are not
            folded.
        SiteError: no heads, or heads the model does not have.
    """
    from transformer_lens.utilities.matrix import composition_scores

    if mode not in ("Q", "K", "V"):
        raise MechcheckError(f'unknown mode {mode!r}; choose "Q", "K" or "V"')
    if n < 2:
        raise MechcheckError(f"n={n}: a baseline needs at least 2 random orientations")
    check_readable(model, scores=mode != "V")
    write, read = head_pairs(model, writers), head_pairs(model, readers)
    if max(write)[0] >= min(read)[0]:
        raise MechcheckError(
            f"{_name(max(write))} does not stand in a layer before {_name(min(read))}, so it writes nothing that the other could read"
        )
    writes, reads = _stacked(model.OV, write), _stacked({"Q": model.QK, "K": model.QK.T, "V": model.OV}[mode], read)
    dims = model.cfg.d_model - (1 if takes_out_mean(model.ln_final) else 0)  # LayerNorm takes out the direction of the mean
    generator = torch.Generator().manual_seed(seed)
    random = [[_random_scores(a, b, dims, n, generator) for b in reads.S] for a in writes.S]
    scores = composition_scores(writes, reads).numpy()
    return Composition(mode, tuple(write), tuple(read), scores, np.moveaxis(np.array(random), -1, 0))


def _stacked(circuits: "FactoredMatrix", pairs: list[tuple[int, int]]) -> "FactoredMatrix":
    """The circuits of some heads, [head, d_model, d_model]."""
    from transformer_lens import FactoredMatrix

    layers, indices = map(list, zip(*pairs, strict=True))
    return FactoredMatrix(circuits.A[layers, indices].cpu().double(), circuits.B[layers, indices].cpu().double())


def _random_scores(
    writes: Float[torch.Tensor, " rank"], reads: Float[torch.Tensor, " rank"], dims: int, n: int, generator: torch.Generator
) -> Float[np.ndarray, " draw"]:
    """Scores of two matrices with these singular values, one of them turned uniformly at random in `dims` dimensions.

    Seen from the writer's singular directions, the reader's are the first rows of a random orthonormal frame.
    """
    writes, reads = writes[:dims], reads[:dims]  # the others are zero: a head of more dimensions than the stream
    frames = torch.linalg.qr(torch.randn(n, dims, len(reads), generator=generator, dtype=torch.float64))[0]
    overlaps = writes[:, None] * frames[:, : len(writes)] * reads
    return (overlaps.flatten(1).norm(dim=1) / (writes.norm() * reads.norm())).numpy()


def _name(head: tuple[int, int]) -> str:
    return f"{head[0]}.{head[1]}"
