"""Directories of models and dictionaries."""

import json
import os
import shutil
from functools import cache
from pathlib import Path

import mechcheck as m
from fuzzing.files import json_of
from fuzzing.mutate import Rng, changed, garbled, odd, odd_path
from mechcheck.base.paths import data_dir


@cache
def model_dirs() -> list[Path]:
    """Models of several layouts, small, and one of TransformerLens' own network."""
    import tempfile

    import tiny
    import torch
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    for layout in ("gpt2", "llama", "bert"):
        tiny.save_model(layout, folder / layout)
        tiny.save_tokenizer(folder / layout)
    torch.manual_seed(0)
    settings = TransformerBridgeConfig(n_layers=2, d_model=16, n_heads=2, d_head=8, d_mlp=32, n_ctx=16, d_vocab=24, act_fn="gelu",
                                       architecture="TransformerLensNative")  # fmt: skip
    m.keep_native(TransformerBridge.boot_native(settings), None, folder / "native")
    tiny.save_tokenizer(folder / "native")
    return [folder / name for name in ("gpt2", "llama", "bert", "native")]


def model_dir(rng: Rng, folder: Path) -> str | None:
    """A directory of a model in which one file is odd."""
    directory = folder / "model"
    shutil.copytree(rng.choice(model_dirs()), directory)
    _disturb(
        directory,
        rng,
        more=("model.safetensors.index.json", "adapter_config.json", "generation_config.json", "chat_template.jinja", "vocab.txt"),
    )
    m.load_model(directory, offline=True, processing=rng.choice(("folded", "raw")))


def dictionary_dir(rng: Rng, folder: Path) -> str | None:
    """A directory of a dictionary in which one file is odd."""
    directory = folder / "dictionary"
    shutil.copytree(data_dir("fixtures") / "dictionaries" / "compiled-ioi-stream-seed0", directory)
    _disturb(directory, rng, more=("sparsity.safetensors",))
    m.load_dictionary(str(directory), hook=rng.choice((None, None, odd(rng))), norm_scaling_factor=rng.choice((None, None, 2.0, odd(rng))))


def _disturb(directory: Path, rng: Rng, more: tuple[str, ...]) -> None:
    path = rng.choice([*sorted(directory.iterdir()), directory / rng.choice(more)])
    if rng.random() < 0.3 and (directory / "config.json").exists():
        path = directory / "config.json"
    whole = path.read_bytes() if path.is_file() else b'{"weight_map": {"a": "../../x.safetensors"}}'
    path.unlink(missing_ok=True)
    if rng.random() < 0.06:
        made = odd_path(directory, rng)
        if os.path.lexists(os.fsencode(str(made).replace("\x00", ""))) and "\x00" not in str(made):
            made.rename(path)
        return
    if path.suffix == ".json" and rng.random() < 0.75:
        whole = json_of(changed(json.loads(whole), rng))
    elif path.suffix == ".safetensors" and rng.random() < 0.5:
        head = int.from_bytes(whole[:8], "little")
        about = json_of(changed(json.loads(whole[8 : 8 + head]), rng, times=1))
        whole = len(about).to_bytes(8, "little") + about + whole[8 + head :]
    else:
        whole = garbled(whole, rng)
    path.write_bytes(whole)
