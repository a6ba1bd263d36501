"""Reports on one's own text: repeats found by hand, attention as `attention` has it, and words that the tokenizer lacks."""

import numpy as np
import pytest

from mechcheck.base.errors import PromptError
from mechcheck.measures.attention.induction_report import Repeat, induction_reports
from mechcheck.measures.attention.patterns import attention
from mechcheck.models.loading import load_model
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader

TEXT = "Mary went to the store and Mary went to"


@pytest.mark.parametrize("layout", ["gpt2", "llama"])
def test_repeats_and_attention(tiny, layout):
    model = tiny(layout)
    (report,) = induction_reports(model, TEXT, threshold=0.1)
    assert report.tokens == ("<bos>", "Mary", "went", "to", "the", "store", "and", "Mary_2", "went_2", "to_2")
    assert report.repeats == (Repeat(7, 1, 2), Repeat(8, 2, 3), Repeat(9, 3, 4))
    row = Reader(model).tokens(TEXT)
    prompts = PromptSet.from_tokens([row], answers=[3], foils=[4])
    pattern = attention(model, prompts, f"0-1.0-{model.cfg.n_heads - 1}")[0].numpy()
    expected = np.stack([pattern[:, q, k] for q, k in ((7, 2), (8, 3), (9, 4))], -1).reshape(2, model.cfg.n_heads, 3)
    np.testing.assert_allclose(report.attention, expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(report.scores, expected.mean(-1), rtol=0, atol=1e-6)
    assert set(report.flagged.pairs) == {(int(la), int(h)) for la, h in np.argwhere(expected.mean(-1) > 0.1)}
    figure = report.figure()
    np.testing.assert_allclose(figure.values, expected.reshape(-1, 3), rtol=0, atol=1e-6)
    assert figure.cols == ["Mary_2 to went", "went_2 to to", "to_2 to the"]
    assert figure.rows[-1] == f"1.{model.cfg.n_heads - 1}"


def test_the_last_earlier_occurrence_counts_and_not_the_token_itself(tiny):
    (report,) = induction_reports(tiny("gpt2"), "a b a c a a", threshold=0.1)
    # the last "a" follows an "a": what came after the earlier one is itself, so it is no repeat to score
    assert report.repeats == (Repeat(3, 1, 2), Repeat(5, 3, 4))


def test_a_trained_model_repeats_ones_own_text():
    """The induction heads of names-gpt2-seed4 are those recorded in claims/induction/circuits."""
    model = load_model("names-gpt2-seed4")
    found, other = induction_reports(model, ["wet key 28 church 73 Paul wet key 28", "wet key 28 church 73 Paul"], threshold=0.24)
    assert set(found.flagged.pairs) == {(1, 0), (1, 1), (1, 2), (1, 3)}
    assert "key_2 (at 8) after key (at 2): followed by 28; most attention there: 1." in str(found)
    assert str(found).splitlines()[0] == "10 tokens, 3 of them repeated"
    assert other.repeats == ()
    assert np.isnan(other.scores).all()
    assert not len(other.flagged)
    assert str(other).endswith("heads above 0.24: none")
    with pytest.raises(PromptError, match="repeats no token"):
        other.figure()


def test_errors(tiny):
    with pytest.raises(PromptError, match="the text is empty"):
        induction_reports(tiny("gpt2"), " ", 0.1)
    with pytest.raises(PromptError, match="'saw' is not in this tokenizer's vocabulary"):
        induction_reports(tiny("gpt2"), "Mary saw Mary", 0.1)
