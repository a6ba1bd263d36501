"""From a directory of safetensors to a bridge as stored, of which is known what transformers makes of it."""

from pathlib import Path
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch

from mechcheck.base.errors import ModelError
from mechcheck.models.admitted import check_undamaged, read_config
from mechcheck.models.directory import architecture_named, first_line, has_tokenizer, quiet_loading
from mechcheck.models.placing import placement
from mechcheck.models.weights import Watched

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerFast

_WATCHED: "WeakKeyDictionary[torch.nn.Module, Watched]" = WeakKeyDictionary()


def boot(directory: Path, name: str, device: str, dtype: torch.dtype) -> "TransformerBridge":
    """The model as stored.

    Args:
        directory: what TransformerLens reads.
        name: of the model, for messages.
        device, dtype: where to (as `placement` reads it), and in which numbers.

    Raises:
        ModelError: weights that are missing, or whatever a library meets in the files.
    """
    from transformer_lens.model_bridge import TransformerBridge

    watched = Watched(name, device)
    try:
        with quiet_loading():
            model = TransformerBridge.boot_transformers(
                str(directory), **placement(device), dtype=dtype, model_class=watched, tokenizer=_stand_in(directory)
            )
    except ModelError:
        raise
    except Exception as error:
        check_undamaged(directory, name)
        raise ModelError(_refusal(directory, name, dtype, error, watched)) from error
    _WATCHED[model] = watched
    return _told_of_tokenizer(model, directory)


def boot_twin(directory: Path, name: str, device: str, dtype: torch.dtype, seed: int) -> "TransformerBridge":
    """As `boot`, with weights drawn anew by the architecture's own initialisation."""
    from transformer_lens.tools.analysis import random_init_bridge

    try:
        with quiet_loading():
            model = random_init_bridge(
                str(directory), seed=seed, device=device, dtype=dtype, model_class=Watched(name, device), tokenizer=_stand_in(directory)
            )
            model.unembed.to(dtype)  # its bias is a buffer, which random_init_bridge leaves in float32
    except Exception as error:
        raise ModelError(f"{name!r}: its weights cannot be drawn anew ({first_line(error)}), so it has no re-initialised twin") from error
    return _told_of_tokenizer(model, directory)


def watched(model: "TransformerBridge") -> Watched | None:
    """What was seen of a model when it was booted; None where it came by another way."""
    return _WATCHED.get(model)


def _stand_in(directory: Path) -> "PreTrainedTokenizerFast | None":
    """Where there is no tokenizer, TransformerLens must not look for one, nor transformers make up an empty one."""
    if has_tokenizer(directory):
        return None
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast

    empty = Tokenizer(models.WordLevel({"<none>": 0}, unk_token="<none>"))
    named = dict.fromkeys(("unk_token", "bos_token", "eos_token", "pad_token"), "<none>")
    return PreTrainedTokenizerFast(tokenizer_object=empty, name_or_path=str(directory), **named)


def _told_of_tokenizer(model: "TransformerBridge", directory: Path) -> "TransformerBridge":
    if not has_tokenizer(directory):
        model.tokenizer = None
    return model


def _refusal(directory: Path, name: str, dtype: torch.dtype, error: Exception, seen: Watched) -> str:
    """Why a model cannot be loaded, and what to do, from what a library said."""
    architecture = architecture_named(directory)
    if isinstance(error, ValueError) and "architecture" in str(error):
        return f"{name!r}: TransformerLens has no adapter for {architecture}; see `mechcheck support`"
    said = first_line(error)
    if "custom code" in str(error) and "auto_map" in read_config(directory / "config.json", name):
        return (
            f"{name!r} comes with code of its own (auto_map in its config.json), which is not run: it could do whatever you can. If you "
            "have read it, load the model yourself, TransformerBridge.boot_transformers(directory, trust_remote_code=True), and return it "
            "from a `model` fixture of your own"
        )
    if seen.own is not None:
        return (
            f"{name!r}: transformers computes it, but TransformerLens does not serve this variant of {architecture} ({said}). Compare its "
            "config.json with that of a model that loads; `mechcheck support` lists the layouts"
        )
    kind = str(dtype).removeprefix("torch.")
    return (
        f"{name!r} ({architecture}) cannot be loaded and run in {kind} ({said}). See whether transformers can by itself: "
        f"AutoModelForCausalLM.from_pretrained({str(directory)!r}, dtype={kind!r}); if not, its files or its config.json are at fault"
    )
