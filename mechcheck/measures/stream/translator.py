"""A tuned lens as data: an affine translator for each layer's stream."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class TunedLens:
    """h -> h + h @ weight[l] + bias[l] for the stream h entering layer l; the stream after the last layer is left alone."""

    weight: Float[Tensor, "layer d_model d_model"]
    bias: Float[Tensor, "layer d_model"]
    weights_sha256: str
    """The model it was fitted for,"""
    processing: str
    """and how that was loaded: folding changes the stream."""

    def __call__(self, state: int, stream: Float[Tensor, "... d_model"]) -> Float[Tensor, "... d_model"]:
        """The stream of one state, translated into the last one's terms."""
        if state == len(self.weight):
            return stream
        weight, bias = (part[state].to(stream.device, stream.dtype) for part in (self.weight, self.bias))
        return stream + stream @ weight + bias

    def save(self, path: Path) -> None:
        """Write it as safetensors, with the model's hash."""
        from safetensors.torch import save_file

        about = {"weights_sha256": self.weights_sha256, "processing": self.processing}
        save_file({"weight": self.weight.cpu().contiguous(), "bias": self.bias.cpu().contiguous()}, path, metadata=about)
