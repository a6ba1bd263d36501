"""Text for masked models: END is the masked word, whatever the tokenizer puts behind a text."""

from types import SimpleNamespace

import pytest
import torch

from mechcheck.base.errors import PromptError
from mechcheck.conformance.layouts import save_layout
from mechcheck.engine.run import capture, run
from mechcheck.models.loading import load_model
from mechcheck.notation.metrics import kl_divergence
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

TEXTS = ["After Mary and John went to the [MASK] ,", "[MASK] did not give a book to John"]
ASKED = {"answers": ["store", "Mary"], "foils": ["park", "Anna"]}


@pytest.fixture(scope="module", params=["bert", "distilbert"])
def encoder(request, tmp_path_factory):
    return load_model(save_layout(request.param, tmp_path_factory.mktemp(request.param)), dtype="float64")


def test_the_masked_word_is_what_is_predicted(encoder):
    """As transformers has it at the mask of each text by itself."""
    from transformers import AutoModelForMaskedLM

    from mechcheck.models.loading import provenance

    prompts = PromptSet.from_text(encoder, TEXTS, **ASKED, pad=True)
    assert prompts.positions["END"].tolist() == [8, 1]
    own = AutoModelForMaskedLM.from_pretrained(provenance(encoder).directory, dtype=torch.float64).eval()
    for row, text in enumerate(TEXTS):
        words = encoder.tokenizer.convert_tokens_to_ids(["[CLS]", *text.split(), "[SEP]"])
        ids = torch.tensor([words])
        with torch.no_grad():
            logits = own(ids).logits[0, words.index(encoder.tokenizer.mask_token_id)]
        right = logits[prompts.answers[row]] - logits[prompts.foils[row]]
        assert run(encoder, prompts).values[row] == pytest.approx(float(right), abs=1e-9)


def test_a_counterfactual_has_its_own_mask(encoder):
    other = ["After John and Mary , Anna went to the [MASK]", "[MASK] did not give a drink to Paul"]
    prompts = PromptSet.from_text(encoder, TEXTS, **ASKED, counterfactual=other, pad=True)
    assert prompts.counterfactual.positions["END"].tolist() == [10, 1]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Mary went to the store", "prompt 1 masks no words"),
        ("[MASK] went to the [MASK]", "prompt 1 masks 2 words"),
    ],
)
def test_a_text_that_masks_nothing_or_too_much(encoder, text, said):
    with pytest.raises(PromptError, match=said):
        PromptSet.from_text(encoder, [TEXTS[0], text], **ASKED, pad=True)
    named = PromptSet.from_text(encoder, [TEXTS[0], text], **ASKED, pad=True, positions={"END": [8, 1]})
    assert named.positions["END"].tolist() == [8, 1]


def test_an_end_on_the_token_behind_the_text_is_refused(encoder):
    row = Reader(encoder).tokens(TEXTS[0])
    with pytest.raises(PromptError, match=r"END of prompt 0 is \[SEP\].*the position of the mask"):
        run(encoder, PromptSet.from_tokens([row], answers=[7], foils=[8]))


def test_attention_needs_no_mask(encoder):
    prompts = PromptSet.from_text(encoder, ["Mary went to the store"])
    assert next(iter(capture(encoder, prompts, heads("0.1")).values())).shape == (1, 7, 8)
    with pytest.raises(PromptError, match="no answers"):
        run(encoder, prompts)
    assert run(encoder, prompts, (), kl_divergence).values.tolist() == [0.0]


def test_a_decoder_with_an_encoders_tokenizer_predicts_the_next_word(encoder):
    """[SEP] behind the text would be what is read."""
    decoder = SimpleNamespace(tokenizer=encoder.tokenizer, cfg=SimpleNamespace(d_vocab=99, attention_dir="causal"))
    ids = encoder.tokenizer.convert_ids_to_tokens(Reader(decoder).tokens("Mary went"))
    assert ids == ["[CLS]", "Mary", "went"]
