"""Attention to and from words, against plain transformers: patterns and values read off the Hugging Face model."""

import numpy as np
import pytest
import torch

from mechcheck import PromptSet, find_words, load_model, word_attention
from mechcheck.base.errors import MechcheckError, PromptError

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "box", "is", "not", "never", "no", "open", "closed", ",", "it", ".")
TEXTS = ["the box is not never open , it is [MASK] .", "no box is [MASK]"]
# Tokens of the words in TEXTS, worked out by hand; [CLS] is 0, punctuation and [MASK] are no words.
NEGATIVE = [[4, 5], [1]]
OTHERS = [[1, 2, 3, 6, 8, 9], [2, 3]]
MASKS = [10, 4]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A BERT of random weights: as a bridge, and plain."""
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
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special).save_pretrained(folder)
    plain = BertForMaskedLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float64).eval()
    return load_model(folder, dtype="float64", processing="raw"), plain


def prompts(model, texts=TEXTS) -> PromptSet:
    n = len(texts)
    return PromptSet.from_text(model, texts, answers=["open"] * n, foils=["closed"] * n, positions={"END": ["[MASK]"] * n}, pad=True)


def maps(plain, made: PromptSet, weighting: str) -> np.ndarray:
    """[layer, prompt, head, q, k]: attention, or attention times the norm of the value as a share of the query's."""
    mask = (torch.arange(made.tokens.shape[1]) < made.lengths[:, None]).long()
    with torch.no_grad():
        out = plain(made.tokens, attention_mask=mask, output_attentions=True, output_hidden_states=True)
    found = []
    for layer, attention in enumerate(out.attentions):
        if weighting != "attention":
            block = plain.bert.encoder.layer[layer].attention
            values = block.self.value(out.hidden_states[layer]).unflatten(-1, (2, 8))  # [prompt, pos, head, d]
            if weighting == "v_o":
                values = torch.einsum("pthd,ohd->ptho", values, block.output.dense.weight.unflatten(1, (2, 8)))
            attention = attention * values.norm(dim=-1).permute(0, 2, 1)[:, :, None]
            attention = attention / attention.sum(-1, keepdim=True)
        found.append(attention.detach().numpy())
    return np.array(found)


def averages(pattern: np.ndarray, row: int, chosen: list[int], queries: list[int], direction: str) -> np.ndarray:
    """[layer, head]: the mean over queries of the mean over the chosen words, a word itself left out."""
    of_each = []
    for end in queries:
        pairs = [(end, word) if direction == "to" else (word, end) for word in chosen if word != end]
        of_each.append(np.mean([pattern[:, row, :, q, k] for q, k in pairs], axis=0))
    return np.mean(of_each, axis=0)


@pytest.mark.parametrize("weighting", ["attention", "v", "v_o"])
@pytest.mark.parametrize("direction", ["to", "from"])
@pytest.mark.parametrize("at", [None, "END"])
def test_encoder(encoder, weighting, direction, at):
    bridge, plain = encoder
    made = prompts(bridge)
    found = word_attention(bridge, made, direction=direction, at=at, weighting=weighting)
    pattern = maps(plain, made, weighting)
    assert found.words.values.shape == (2, 2, 2)
    for row in range(len(TEXTS)):
        ends = [MASKS[row]] if at else OTHERS[row]
        for scores, chosen in ((found.words, NEGATIVE), (found.others, OTHERS)):
            expected = averages(pattern, row, chosen[row], ends, direction)
            np.testing.assert_allclose(scores.values[:, :, row], expected, atol=1e-9)
    assert np.ptp(found.words.values) > 0.01


def test_names_and_units(encoder):
    made = prompts(encoder[0])
    found = word_attention(encoder[0], made, at="END")
    assert (found.words.name, found.others.name) == ("attention END to the words", "attention END to the average other word")
    assert found.words.ids == made.ids
    weighted = word_attention(encoder[0], made, direction="from", weighting="v_o")
    assert (weighted.words.name, weighted.words.unit) == ("attention x |v_o| the words to the others", "share of the norms")


def test_in_a_causal_model_a_word_sees_those_before_it(tiny, hugging_face):
    model = tiny("gpt2", processing="raw")
    text = "John gave the book to Mary the old book"
    made = PromptSet.from_text(model, [text], answers=["a"], foils=["new"])
    with torch.no_grad():
        attentions = hugging_face("gpt2")(made.tokens, output_attentions=True).attentions
    pattern = np.array([a.numpy() for a in attentions])
    to = word_attention(model, made, ["the", "to"])  # at 3, 5, 7; BOS is 0
    others = {1: [], 2: [1], 4: [1, 2], 6: [1, 2, 4], 8: [1, 2, 4, 6], 9: [1, 2, 4, 6, 8]}
    chosen = {query: [key for key in (3, 5, 7) if key < query] for query in others}
    compared = [query for query in others if others[query] and chosen[query]]
    assert compared == [4, 6, 8, 9]
    for scores, keys in ((to.words, chosen), (to.others, others)):
        expected = np.mean([pattern[:, 0, :, query, keys[query]].mean(axis=0) for query in compared], axis=0)
        np.testing.assert_allclose(scores.values[:, :, 0], expected, atol=1e-9)
    away = word_attention(model, made, ["the", "to"], "from")
    givers = {key: [query for query in (3, 5, 7) if query > key] for key in others}
    peers = {key: [query for query in others if query > key] for key in others}
    compared = [key for key in others if givers[key] and peers[key]]
    assert compared == [1, 2, 4, 6]
    for scores, queries in ((away.words, givers), (away.others, peers)):
        expected = np.mean([pattern[:, 0, :, queries[key], key].mean(axis=0) for key in compared], axis=0)
        np.testing.assert_allclose(scores.values[:, :, 0], expected, atol=1e-9)


def test_a_word_of_two_tokens_counts_as_one(encoder, monkeypatch):
    """As if "not never" were one word: the sum over its tokens when attended to, the mean when it attends."""
    from mechcheck.measures.attention import between_words
    from mechcheck.prompts.words import Word

    bridge, plain = encoder
    made = prompts(bridge, TEXTS[:1])
    joined = [[Word("notnever", (4, 5)), *(Word(str(i), (i,)) for i in OTHERS[0])]]
    monkeypatch.setattr(between_words, "words_of", lambda *_: joined)
    monkeypatch.setattr(between_words, "find_words", lambda *_: [joined[0][:1]])
    pattern = maps(plain, made, "attention")[:, 0]
    to = word_attention(bridge, made).words.values[:, :, 0]
    np.testing.assert_allclose(to, pattern[:, :, OTHERS[0]][:, :, :, [4, 5]].sum(-1).mean(-1), atol=1e-9)
    away = word_attention(bridge, made, direction="from").words.values[:, :, 0]
    np.testing.assert_allclose(away, pattern[:, :, [4, 5]][:, :, :, OTHERS[0]].mean((-1, -2)), atol=1e-9)


def test_interventions_reach_the_attention(encoder):
    from mechcheck import Ablate, heads

    made = prompts(encoder[0])
    before, after = (word_attention(encoder[0], made, interventions=what).words.values for what in ((), Ablate(heads("0.0"))))
    np.testing.assert_array_equal(before[0], after[0])
    assert np.abs(before[1] - after[1]).min() > 1e-6


def test_the_same_in_the_trained_encoder_and_in_what_is_found():
    from mechcheck import negation_prompts

    model = load_model("sentences-bert")
    made = negation_prompts(model, n=11, seed=0)
    for row, words in enumerate(find_words(model, made)):
        assert [word.positions for word in words] == [(int(made.position("SWITCH")[row]),)]
    found = word_attention(model, made, at="END").words
    assert found.mean.argmax() == 7  # head 1.3, as plain transformers has it in the model card
    assert found.mean[1, 3] > 0.8


def test_errors(encoder):
    made = prompts(encoder[0])
    with pytest.raises(PromptError, match=r"prompt 1 \(no box is\) has none of the words never; leave it out"):
        word_attention(encoder[0], made, "never")
    with pytest.raises(
        PromptError, match=r"prompt 0 .* gives nothing to compare: some other word must attend to one of the words and a further"
    ):
        word_attention(encoder[0], made, ["the", "box", "is", "not", "never", "open", "it", "no"])
    with pytest.raises(MechcheckError, match="unknown 'by' or 'attention'; choose \"to\" or \"from\""):
        word_attention(encoder[0], made, direction="by")
    with pytest.raises(PromptError, match="no position 'NOT'"):
        word_attention(encoder[0], made, at="NOT")
