"""Files that do not hold the whole model, or hold something else: refused by the names of the weights, or served without a prediction."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import VOCABULARY, config, random_prompts, save_tokenizer

import mechcheck as m
from mechcheck.base.errors import ModelError
from mechcheck.engine.run import logits_at_end
from mechcheck.measures.stream.lens import read_stream

LAYOUTS = ("gpt2", "neox", "llama", "bert")


@pytest.fixture
def changed(model_dirs, tmp_path):
    """changed(layout, change): a copy of a layout's directory in which the weights were changed, as a dict, by a function."""

    def make(layout, change):
        directory = tmp_path / "changed"
        shutil.copytree(model_dirs[layout], directory)
        weights = change(load_file(directory / "model.safetensors"))
        save_file(
            {name: tensor.clone().contiguous() for name, tensor in weights.items()}, directory / "model.safetensors", {"format": "pt"}
        )
        return directory

    return make


def saved(model, directory):
    model.save_pretrained(directory)
    save_tokenizer(directory)
    return directory


def refused(directory, message):
    """Refused in the same way each time, so that nothing drawn at random was used."""
    for _ in range(2):
        with pytest.raises(ModelError, match=message):
            m.load_model(directory)


def without(part):
    return lambda weights: {name: tensor for name, tensor in weights.items() if part not in name}


@pytest.mark.parametrize(
    ("layout", "part", "named"),
    [
        ("gpt2", "h.1.attn.c_proj.bias", r"transformer\.h\.1\.attn\.c_proj\.bias"),
        ("neox", "layers.0.mlp.dense_h_to_4h.weight", r"gpt_neox\.layers\.0\.mlp\.dense_h_to_4h\.weight"),
        ("llama", "model.norm.weight", r"model\.norm\.weight"),
        ("llama", "embed_tokens", r"model\.embed_tokens\.weight"),
        ("bert", "encoder.layer.1.attention.self.key.bias", r"bert\.encoder\.layer\.1\.attention\.self\.key\.bias"),
        ("bert", "cls.predictions.transform.LayerNorm", r"cls\.predictions\.transform\.LayerNorm\.bias, cls\.predictions\.transform\.Lay"),
    ],
)
def test_a_weight_that_is_missing(changed, layout, part, named):
    refused(changed(layout, without(part)), rf"^'changed': the file lacks weights of \w+, which would be drawn at random: {named}")


@pytest.mark.parametrize("prefix", ["_orig_mod", "module"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_wrapped_model_was_saved(changed, layout, prefix):
    directory = changed(layout, lambda weights: {f"{prefix}.{name}": tensor for name, tensor in weights.items()})
    refused(directory, rf"holds weights that \w+ has no place for: {prefix}\..* more\. Save the model itself, .* keeps it in \.{prefix}\)$")


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("gpt2", "transformer.h.0.attn.lora_A.weight"),
        ("llama", "model.layers.1.self_attn.q_proj.bias"),
        ("llama", "model.layers.2.input_layernorm.weight"),
        ("bert", "bert.encoder.layer.0.adapter.weight"),
        ("gpt2", "score.weight"),
    ],
)
def test_a_weight_that_the_architecture_has_no_place_for(changed, layout, name):
    directory = changed(layout, lambda weights: weights | {name: torch.ones(3)})
    refused(
        directory, rf"^'changed': the file holds weights that \w+ has no place for, .*: {name.replace('.', '[.]')}\. Save the model anew"
    )


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("gpt2", "transformer.h.0.attn.bias"),
        ("gpt2", "transformer.h.1.attn.masked_bias"),
        ("neox", "gpt_neox.layers.0.attention.rotary_emb.inv_freq"),
        ("llama", "model.layers.0.self_attn.rotary_emb.inv_freq"),
        ("bert", "bert.embeddings.position_ids"),
        ("bert", "bert.pooler.dense.weight"),
        ("bert", "cls.seq_relationship.bias"),
    ],
)
def test_tables_of_older_versions_and_other_heads_change_nothing(changed, model_dirs, layout, name):
    model, prompts = m.load_model(changed(layout, lambda weights: weights | {name: torch.ones(2)})), random_prompts(3, (6, 8))
    assert torch.equal(logits_at_end(model, prompts), logits_at_end(m.load_model(model_dirs[layout]), prompts))


@pytest.mark.parametrize(
    ("layout", "name", "shapes"),
    [
        ("gpt2", "transformer.wpe.weight", r"\[30, 24\] and would have to be \[32, 24\]"),
        ("neox", "gpt_neox.layers.1.attention.dense.weight", r"\[30, 32\] and would have to be \[32, 32\]"),
        ("llama", "lm_head.weight", rf"\[30, 32\] and would have to be \[{len(VOCABULARY)}, 32\]"),
        ("bert", "bert.embeddings.token_type_embeddings.weight", r"\[1, 32\] and would have to be \[2, 32\]"),
    ],
)
def test_a_weight_of_another_shape(changed, layout, name, shapes):
    rows = int(shapes[2:].partition(",")[0])
    directory = changed(layout, lambda weights: weights | {name: weights[name][:rows]})
    refused(directory, rf"^'changed': weights in the file have other shapes .*: {name.replace('.', '[.]')} is {shapes}")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_classifier_predicts_no_token(tmp_path, layout):
    """It was saved without the head that would predict tokens, and with another one."""
    from transformers import AutoModelForSequenceClassification

    model = AutoModelForSequenceClassification.from_config(config(layout))
    head = "cls.predictions.bias" if layout == "bert" else "lm_head.weight"
    other = "classifier.bias" if layout == "bert" else "score.weight"
    if layout in ("gpt2", "neox"):
        other = r"(score|out_proj|classifier)\.weight"
    refused(saved(model, tmp_path), rf"drawn at random: .*{head}.* no place for: .*{other}.* save the body alone: AutoModel")


def headless(layout, directory):
    """A body alone, and transformers' own copy of it."""
    from transformers import AutoModel

    torch.manual_seed(0)
    model = AutoModel.from_config(config(layout), attn_implementation="eager").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return m.load_model(saved(model, directory)), model


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_body_without_a_head_can_be_asked_about_attention(tmp_path, layout):
    model, own = headless(layout, tmp_path)
    assert m.provenance(model).processing == "raw"
    prompts = random_prompts(4, (8, 8))
    with torch.no_grad():
        expected = own(prompts.tokens, output_attentions=True).attentions[1]
    heads = range(model.cfg.n_heads)
    found = m.attention(model, prompts, m.heads((1, head) for head in heads))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    changed = m.attention(model, prompts, "1.0", m.Ablate(m.heads((0, head) for head in heads), "zero"))
    assert (changed - found[:, :1]).abs().max() > 1e-3


NEEDS_A_PREDICTION = {
    "run": lambda model, prompts: m.run(model, prompts),
    "sweep": lambda model, prompts: m.sweep(model, prompts, [[], m.Patch(m.heads("0.1"))]),
    "metric of its own": lambda model, prompts: m.run(model, prompts, metric=lambda logits, prompts: logits[:, 0]),
    "hooks": lambda model, prompts: with_plain_hooks(model, prompts),
    "logits": lambda model, prompts: logits_at_end(model, prompts),
    "head_patching": lambda model, prompts: m.head_patching(model, prompts),
    "rank_heads": lambda model, prompts: m.ablation_effects(model, prompts),
    "search": lambda model, prompts: m.generic_search(model, prompts, size=2),
    "readout": lambda model, prompts: read_stream(model, torch.ones(1, model.cfg.d_model)),
}


def with_plain_hooks(model, prompts):
    with m.plain_hooks():
        return m.run(model, prompts)


@pytest.mark.parametrize("layout", ["llama", "bert"])
def test_what_needs_a_prediction_refuses(tmp_path, layout):
    model, _ = headless(layout, tmp_path)
    noun = "masked-word head" if layout == "bert" else "head that makes logits"
    message = rf"^'{tmp_path.name}' has no {noun} \(.*not in its files\); its attention and activations can be asked about, its predictions"
    for attempt in NEEDS_A_PREDICTION.values():
        with pytest.raises(ModelError, match=message):
            attempt(model, random_prompts(4, (8, 8)))
    twin = m.reinitialised(model, 0)
    with pytest.raises(ModelError, match=message):
        m.run(twin, random_prompts(4, (8, 8)))


def test_nothing_can_be_read_off_a_head_that_is_not_there(tmp_path):
    """Also not by what does not ask: its weights are no numbers."""
    model, _ = headless("llama", tmp_path)
    assert np.isnan(model.W_U.numpy()).all()
    assert not any(
        parameter.isnan().any() for name, parameter in model.named_parameters() if "lm_head" not in name and "unembed" not in name
    )


@pytest.mark.parametrize("layout", ["gpt2", "bert"])
def test_tied_weights_are_not_missing(tmp_path, layout):
    """A head that is the embedding is stored once."""
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    settings = config(layout)
    settings.tie_word_embeddings = True
    own = (AutoModelForMaskedLM if layout == "bert" else AutoModelForCausalLM).from_config(settings).eval()
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    prompts = random_prompts(5, (6, 6))
    directory = saved(own, tmp_path)
    assert not {"lm_head.weight", "cls.predictions.decoder.weight"} & set(load_file(directory / "model.safetensors"))
    with torch.no_grad():
        expected = own(prompts.tokens).logits[:, -1].log_softmax(-1)
    torch.testing.assert_close(logits_at_end(m.load_model(directory), prompts).log_softmax(-1), expected, rtol=0, atol=1e-4)
