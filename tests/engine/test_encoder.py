"""Models that read in both directions: padding is masked, and the engine's interventions are exact there too."""

import pytest
import torch

from mechcheck import Ablate, PromptSet, capture, heads, load_model, run
from mechcheck.engine.hooks import record

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "box", "is", "not", "very", "open", "closed", ",", "it", "so")
TEXTS = ["the box is not open , it is [MASK]", "the box is open , so it is not [MASK]", "it is very [MASK]"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT of random weights with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    shape = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 12, "max_position_embeddings": 24}
    model = BertForMaskedLM(BertConfig(vocab_size=len(WORDS), pad_token_id=0, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    return load_model(folder, dtype="float64", processing="raw"), model.double().eval()


def prompts(model, texts=TEXTS):
    n = len(texts)
    return PromptSet.from_text(
        model, texts, answers=["closed"] * n, foils=["open"] * n, positions={"END": ["[MASK]"] * n}, templates=list("abc")[:n], pad=True
    )


def test_text_stands_between_cls_and_sep(encoder):
    made = prompts(encoder[0])
    assert made.words[2] == ("[CLS]", "it", "is", "very", "[MASK]", "[SEP]")
    assert made.position("END").tolist() == [9, 10, 4]


def test_padding_changes_nothing(encoder):
    together = record(encoder[0], prompts(encoder[0])).logits
    alone = torch.cat([record(encoder[0], prompts(encoder[0], [text])).logits for text in TEXTS])
    assert (together - alone).abs().max() < 1e-9


def test_ablation_equals_a_plain_hook(encoder):
    """Zeroing head 1.0 is zeroing the first half of what enters layer 1's output projection."""
    bridge, plain = encoder
    made = prompts(bridge, TEXTS[:1])
    ablated = run(bridge, made, Ablate(heads("1.0"), "zero"))

    def silence(module, inputs):
        changed = inputs[0].clone()
        changed[..., :8] = 0
        return (changed, *inputs[1:])

    handle = plain.bert.encoder.layer[1].attention.output.dense.register_forward_pre_hook(silence)
    with torch.no_grad():
        logits = plain(made.tokens).logits[0, made.position("END")[0]]
    handle.remove()
    assert ablated.values[0] == pytest.approx((logits[made.answers[0]] - logits[made.foils[0]]).item(), abs=1e-9)
    assert ablated.values[0] != pytest.approx(run(bridge, made).values[0], abs=1e-3)


def test_activations_of_real_tokens_do_not_depend_on_padding(encoder):
    (together,) = capture(encoder[0], prompts(encoder[0]), heads("0.1")).values()
    (alone,) = capture(encoder[0], prompts(encoder[0], TEXTS[2:]), heads("0.1")).values()
    assert (together[2, :6] - alone[0]).abs().max() < 1e-9
