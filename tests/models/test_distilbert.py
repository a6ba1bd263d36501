"""A DistilBERT written as a BERT computes the same, and claims can be made about it."""

import pytest
import torch

from mechcheck import PromptSet, attention, load_model, provenance, run
from mechcheck.base.cache import CACHE_VARIABLE
from mechcheck.base.errors import ModelError
from mechcheck.models.distilbert import bert_from_distilbert

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "box", "is", "not", "open", "closed", ",", "it")


@pytest.fixture(scope="module", params=[True, False], ids=["tied", "untied"])
def folder(request, tmp_path_factory):
    """A DistilBERT of random weights with a word-level tokenizer."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import DistilBertConfig, DistilBertForMaskedLM, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("distilbert")
    torch.manual_seed(0)
    shape = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 12, "max_position_embeddings": 24}
    model = DistilBertForMaskedLM(DistilBertConfig(vocab_size=len(WORDS), pad_token_id=0, tie_word_embeddings=request.param, **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(path)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(path)
    return path


def test_the_same_logits_and_attention(folder, tmp_path):
    from transformers import DistilBertForMaskedLM

    model = load_model(bert_from_distilbert(folder, tmp_path / "bert"), dtype="float64", processing="raw")
    texts = ["the box is not open , it is [MASK]", "the box is open , it is not [MASK]"]
    prompts = PromptSet.from_text(model, texts, answers=["closed"] * 2, foils=["open"] * 2, positions={"END": ["[MASK]"] * 2})
    plain = DistilBertForMaskedLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    with torch.no_grad():
        out = plain(prompts.tokens, output_attentions=True)
    logits = out.logits[torch.arange(2), prompts.position("END")]
    expected = logits[torch.arange(2), prompts.answers] - logits[torch.arange(2), prompts.foils]
    assert run(model, prompts).values == pytest.approx(expected.numpy(), abs=1e-9)
    assert abs(expected[0] - expected[1]) > 1e-3
    assert (attention(model, prompts, "1.1")[:, 0] - out.attentions[1][:, 1]).abs().max() < 1e-9


def test_it_is_loaded_as_a_bert_by_itself(folder, tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    model = load_model(folder, dtype="float64")
    known = provenance(model)
    assert (known.directory, known.processing, model.cfg.architecture) == (folder.resolve(), "raw", "BertForMaskedLM")
    assert known.n_params == sum(p.numel() for p in model.parameters())
    assert [path.parent.name for path in tmp_path.glob("*/*")] == ["distilbert"]


def test_errors(folder, model_dirs, tmp_path):
    from transformers import DistilBertModel

    with pytest.raises(ModelError, match="gpt2 is a gpt2, not a DistilBERT"):
        bert_from_distilbert(model_dirs["gpt2"], tmp_path / "out")
    DistilBertModel.from_pretrained(folder).save_pretrained(tmp_path / "headless")
    with pytest.raises(ModelError, match="headless lacks weights of its masked-word head"):
        bert_from_distilbert(tmp_path / "headless", tmp_path / "out")
