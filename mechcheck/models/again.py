"""The same model in another process."""

from typing import TYPE_CHECKING

from mechcheck.base.errors import ModelError
from mechcheck.compiled import compiled_models
from mechcheck.models.loading import load_model, reinitialised
from mechcheck.models.names import embedded_models
from mechcheck.models.placing import placement
from mechcheck.models.provenance import Provenance, provenance

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge


def load_again(source: Provenance) -> "TransformerBridge":
    """The model that this is said of, loaded here; or its re-initialised twin, made here.

    Raises:
        ModelError: it is not on this machine, or what is here has other weights.
    """
    name, twin, seed = source.name.partition("#reinitialised-")
    known = name in embedded_models() or name in compiled_models() or source.revision is not None
    model = load_model(
        name if known else str(source.directory), **placement(source.device), dtype=source.dtype, revision=source.revision, offline=True,
        processing="folded" if source.not_folded else source.processing, follow_links=True,
    )  # fmt: skip
    model = reinitialised(model, int(seed)) if twin else model
    if provenance(model).weights_sha256 != source.weights_sha256:
        raise ModelError(f"the weights of {source.name!r} on this machine are not those that are wanted: bring the same files here")
    return model
