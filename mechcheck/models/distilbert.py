"""DistilBERT in BERT's layout: TransformerLens has no adapter for the one, and the other computes the same function."""

import re
from pathlib import Path

import torch

from mechcheck.base.cache import built_once
from mechcheck.base.errors import ModelError
from mechcheck.models.directory import keep_model, quiet_loading

# The names of the parts, DistilBERT's and BERT's; what is in neither list has the same name in both.
_NAMES = (
    (r"^distilbert\.transformer\.", "bert.encoder."),
    (r"^distilbert\.", "bert."),
    (r"\.attention\.q_lin\.", ".attention.self.query."),
    (r"\.attention\.k_lin\.", ".attention.self.key."),
    (r"\.attention\.v_lin\.", ".attention.self.value."),
    (r"\.attention\.out_lin\.", ".attention.output.dense."),
    (r"\.sa_layer_norm\.", ".attention.output.LayerNorm."),
    (r"\.ffn\.lin1\.", ".intermediate.dense."),
    (r"\.ffn\.lin2\.", ".output.dense."),
    (r"\.output_layer_norm\.", ".output.LayerNorm."),
    (r"^vocab_transform\.", "cls.predictions.transform.dense."),
    (r"^vocab_layer_norm\.", "cls.predictions.transform.LayerNorm."),
    (r"^vocab_projector\.bias$", "cls.predictions.bias"),
    (r"^vocab_projector\.", "cls.predictions.decoder."),
)


def bert_from_distilbert(directory: str | Path, out: str | Path) -> Path:
    """Write a DistilBERT as a BERT, for `load_model` and `--mech-model`.

    DistilBERT (Sanh et al. 2019, arXiv:1910.01108) is BERT without token types and pooler: with token types that add zero, the
    logits are the same to the bit but for rounding.

    Args:
        directory: a Hugging Face directory with a masked-word head, in safetensors.
        out: a new directory.

    Raises:
        ModelError: another architecture, or weights that are missing.
    """
    from transformers import AutoConfig, AutoTokenizer, BertConfig, BertForMaskedLM, DistilBertForMaskedLM

    config = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    if config.model_type != "distilbert":
        raise ModelError(f"{Path(directory).name} is a {config.model_type}, not a DistilBERT; give it to load_model as it is")
    with quiet_loading():
        source, loading = DistilBertForMaskedLM.from_pretrained(directory, use_safetensors=True, output_loading_info=True)
        missing = sorted(loading["missing_keys"])
        if missing:
            raise ModelError(f"{Path(directory).name} lacks weights of its masked-word head ({missing[0]}), so it can predict no word")
        bert = BertForMaskedLM(
            BertConfig(
                vocab_size=config.vocab_size, hidden_size=config.dim, num_hidden_layers=config.n_layers,
                num_attention_heads=config.n_heads, intermediate_size=config.hidden_dim, hidden_act=config.activation,
                max_position_embeddings=config.max_position_embeddings, type_vocab_size=1, pad_token_id=config.pad_token_id,
                tie_word_embeddings=config.tie_word_embeddings,
            )
        )  # fmt: skip
        weights = {_renamed(name): value for name, value in source.state_dict().items()}
        weights["bert.embeddings.token_type_embeddings.weight"] = torch.zeros(1, config.dim)
        weights["cls.predictions.decoder.bias"] = weights["cls.predictions.bias"]
        bert.load_state_dict(weights)
        has_tokenizer = any((Path(directory) / name).is_file() for name in ("tokenizer.json", "vocab.txt"))
        tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False) if has_tokenizer else None
    return keep_model(bert, tokenizer, out)


def cached_bert(directory: Path, contents_sha256: str) -> Path:
    """The DistilBERT in `directory` as a BERT in the cache, written when it is first asked for."""
    return built_once("distilbert", contents_sha256[:16], lambda folder: bert_from_distilbert(directory, folder))


def _renamed(name: str) -> str:
    for pattern, new in _NAMES:
        name = re.sub(pattern, new, name)
    return name
