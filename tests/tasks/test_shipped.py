"""The prompts that tasks generate are what they say: positions, counterfactuals, references, splits."""

from types import SimpleNamespace

import native_oracle as oracle
import pytest

from mechcheck.base.errors import PromptError
from mechcheck.models.loading import load_model
from mechcheck.models.names import embedded_models
from mechcheck.models.native import keep_native
from mechcheck.tasks.induction import induction_prompts, repeated_tokens
from mechcheck.tasks.ioi import ioi_prompts
from mechcheck.tasks.registry import task_names
from mechcheck.tasks.shipped import task_prompts


@pytest.fixture(scope="module")
def names_model():
    """An embedded model of the language "names"."""
    known = [name for name in embedded_models() if name.startswith("names")]
    if not known:
        pytest.skip("no embedded model of the language 'names' is there")
    return load_model(known[0])


def differing(row, other) -> list[int]:
    return [i for i, (a, b) in enumerate(zip(row.tolist(), other.tolist(), strict=True)) if a != b]


def test_ioi(names_model):
    prompts = ioi_prompts(names_model, n=24, seed=0)
    assert len(set(prompts.templates)) == 24
    flipped, abc = prompts.counterfactual, prompts.reference
    for i, (row, length) in enumerate(zip(prompts.tokens, prompts.lengths.tolist(), strict=True)):
        io, s1, s2, end = (int(prompts.positions[name][i]) for name in ("IO", "S1", "S2", "END"))
        assert row[io] == prompts.answers[i]
        assert row[s1] == row[s2] == prompts.foils[i] != row[io]
        assert max(io, s1) < s2 < end == length - 1
        assert (row[:length] == row[io]).sum() == 1
        assert (io < s1) == prompts.templates[i].startswith("ABBA")
        assert differing(row, flipped.tokens[i]) == [s2]
        assert flipped.tokens[i, s2] == row[io]
        assert differing(row, abc.tokens[i]) == sorted([io, s1, s2])
        assert len({*abc.tokens[i, [io, s1, s2]].tolist(), int(row[io]), int(row[s1])}) == 5
    assert flipped.answers.tolist() == prompts.answers.tolist()


def test_ioi_splits_share_nothing(names_model):
    discover, verify = (ioi_prompts(names_model, n=48, seed=0, split=split) for split in ("discover", "verify"))
    assert not set(discover.templates) & set(verify.templates)
    pairs = [{frozenset(pair) for pair in zip(some.answers.tolist(), some.foils.tolist(), strict=True)} for some in (discover, verify)]
    assert not pairs[0] & pairs[1]


def test_ioi_is_repeatable(names_model):
    assert ioi_prompts(names_model, n=12, seed=0).sha256 == ioi_prompts(names_model, n=12, seed=0).sha256
    assert ioi_prompts(names_model, n=12, seed=1).sha256 != ioi_prompts(names_model, n=12, seed=0).sha256


def test_ioi_errors(tiny, names_model):
    with pytest.raises(PromptError, match="unknown order ABAB; choose from ABBA, BABA"):
        ioi_prompts(names_model, n=2, seed=0, orders=["ABAB"])
    with pytest.raises(PromptError, match=r"words are not single tokens for this tokenizer: .* \(unknown\)"):
        ioi_prompts(tiny("gpt2"), n=12, seed=0)


def test_repeated_tokens(tiny, layout):
    prompts = repeated_tokens(tiny(layout), n=5, length=9, seed=0, repeated=4)
    assert prompts.tokens.shape == (5, 14)
    for i, row in enumerate(prompts.tokens):
        first, following = (int(prompts.positions[name][i]) for name in ("FIRST", "NEXT"))
        assert (int(row[0]), following) == (1, first + 1)
        assert len(set(row[1:10].tolist())) == 9
        assert row[10:].tolist() == row[1:5].tolist()
        assert row[first] == row[-1]
        assert row[following] == prompts.answers[i] != prompts.foils[i]
        assert prompts.foils[i] in row[1:10]
        assert differing(row, prompts.counterfactual.tokens[i]) == [first]
        assert prompts.counterfactual.tokens[i, first] not in row


@pytest.mark.parametrize("rows", [-5, 0, 13])
def test_induction_draws_tokens_that_are_known(tiny, rows):
    """As in Pythia, whose embedding has more rows than its tokenizer has tokens; or the other way round."""
    model = tiny("gpt2")
    sizes = SimpleNamespace(d_vocab=model.cfg.d_vocab + rows, n_ctx=model.cfg.n_ctx)
    prompts = induction_prompts(SimpleNamespace(tokenizer=model.tokenizer, cfg=sizes), n=96, seed=0)
    drawn = prompts.reference.tokens[:, 1:][prompts.reference.tokens[:, 1:] > 2]  # behind BOS, before padding
    special = len(model.tokenizer.all_special_ids)
    assert set(drawn.tolist()) == set(range(special, len(model.tokenizer) + min(rows, 0)))
    if rows >= 0:
        assert prompts.sha256 == induction_prompts(model, n=96, seed=0).sha256


def test_induction_mixes_shapes(tiny):
    prompts = induction_prompts(tiny("gpt2"), n=30, seed=0)
    assert len(set(prompts.templates)) == 27, "9 lengths, and of each a quarter, a half or three quarters again"
    for row, (length, answer) in zip(prompts.tokens, zip(prompts.lengths.tolist(), prompts.answers.tolist(), strict=True), strict=True):
        earlier = (row[: length - 1] == row[length - 1]).nonzero()[:, 0].tolist()
        assert [int(row[k + 1]) for k in earlier] == [answer]
    assert prompts.sha256 != induction_prompts(tiny("gpt2"), n=30, seed=0, split="discover").sha256


def test_induction_in_segments_of_other_lengths(tiny):
    prompts = induction_prompts(tiny("gpt2"), n=12, seed=0, lengths=(17, 18))
    assert set(prompts.templates) == {f"{length} tokens, {length * part // 4} repeated" for length in (17, 18) for part in (1, 2, 3)}
    assert set(prompts.lengths.tolist()) == {1 + length + length * part // 4 for length in (17, 18) for part in (1, 2, 3)}
    for lengths in ((3, 8), (9, 8), (0, 0)):
        with pytest.raises(PromptError, match=f"segments of {lengths[0]} to {lengths[1]} tokens; choose 4 or more"):
            induction_prompts(tiny("gpt2"), n=2, seed=0, lengths=lengths)
    with pytest.raises(PromptError, match="prompts of 36 tokens do not fit: the model sees 32 positions"):
        induction_prompts(tiny("gpt2"), n=60, seed=0, lengths=(4, 20))


def test_repeated_tokens_errors(tiny):
    with pytest.raises(PromptError, match="repeated=9 of a segment of 9 tokens; choose 1 to 8"):
        repeated_tokens(tiny("gpt2"), n=1, length=9, seed=0, repeated=9)
    with pytest.raises(PromptError, match="prompts of 46 tokens do not fit: the model sees 32 positions"):
        repeated_tokens(tiny("gpt2"), n=1, length=30, seed=0)


def test_tasks(tiny):
    assert {"ioi", "induction"} <= set(task_names())
    assert task_prompts("induction", tiny("gpt2"), n=3, seed=0).sha256 == induction_prompts(tiny("gpt2"), n=3, seed=0).sha256
    with pytest.raises(PromptError, match=r"no prompts are known for task 'addition'; known: .*induction, ioi"):
        task_prompts("addition", tiny("gpt2"), n=3, seed=0)


def test_repeated_tokens_without_a_tokenizer(tmp_path):
    """A native model's: no BOS, and every token that it both reads and predicts is as good as another."""
    config = {
        "n_layers": 1, "n_heads": 1, "d_model": 4, "d_head": 4, "n_ctx": 20, "d_vocab": 14, "d_vocab_out": 12, "attn_only": True,
        "normalization_type": None,
    }  # fmt: skip
    model = load_model(keep_native(oracle.random_weights(config), config, tmp_path))
    prompts = repeated_tokens(model, n=40, length=9, seed=0, repeated=4)
    assert prompts.words == ()
    assert set(prompts.tokens.flatten().tolist()) == set(prompts.reference.tokens.flatten().tolist()) == set(range(12))
    for i, row in enumerate(prompts.tokens.tolist()):
        assert row[:4] == row[9:]
        assert (row[3], row[4]) == (row[int(prompts.position("FIRST")[i])], row[int(prompts.position("NEXT")[i])])
        assert int(prompts.answers[i]) == row[4]
        assert differing(prompts.tokens[i], prompts.counterfactual.tokens[i]) == [3]
    with pytest.raises(PromptError, match=r"prompts of 26 tokens do not fit: the model sees 20 positions, 12 tokens to draw from"):
        repeated_tokens(model, n=1, length=15, seed=0, repeated=10)
