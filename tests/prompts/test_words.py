"""Words are found whole, whatever a tokenizer does to them."""

from types import SimpleNamespace

import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from mechcheck.base.errors import PromptError
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.words import NEGATIONS, find_words, words_of

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
TEXT = "I know the box isn't open, and it cannot be: NOT one dog's 'no' and none-the-less won’t [MASK] a knot; nothing's unnoticed."
WORDS = "i know the box isn't open and it cannot be not one dog's no and none the less won't a knot nothing's unnoticed"
NEGATED = ["isn't", "cannot", "not", "no", "none", "won't", "nothing's"]


def wordpiece() -> Tokenizer:
    """As BERT's: apostrophes are tokens, longer words are pieces that begin with ##."""
    pieces = ["know", "the", "box", "isn", "can", "##not", "not", "no", "##ne", "noth", "##ing", "un", *"'’,:;-."]
    letters = [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    vocabulary = dict.fromkeys([*SPECIAL, *pieces, *"abcdefghijklmnopqrstuvwxyz", *letters])
    tokenizer = Tokenizer(models.WordPiece({piece: i for i, piece in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def byte_level() -> Tokenizer:
    """As GPT-2's: a space belongs to the token after it, and what is no ASCII is several tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = BpeTrainer(vocab_size=len(alphabet) + 20, initial_alphabet=alphabet, special_tokens=SPECIAL, show_progress=False)
    tokenizer.train_from_iterator([TEXT], trainer)
    return tokenizer


def metaspace() -> Tokenizer:
    """As Llama's: a mark stands for the space, and a token alone is decoded without it."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="[UNK]"))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    tokenizer.train_from_iterator([TEXT], BpeTrainer(vocab_size=60, special_tokens=SPECIAL, show_progress=False))
    return tokenizer


def model_with(tokenizer: Tokenizer) -> SimpleNamespace:
    """A model of which only the tokenizer is looked at."""
    special = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    return SimpleNamespace(tokenizer=PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special))


def prompts_of(model: SimpleNamespace, *texts: str) -> PromptSet:
    rows = [model.tokenizer.encode(f"[CLS]{text}[SEP]", add_special_tokens=False) for text in texts]
    return PromptSet.from_tokens(rows, answers=[0] * len(rows), foils=[1] * len(rows), pad=0)


@pytest.mark.parametrize("make", [wordpiece, byte_level, metaspace])
def test_the_same_words_whatever_the_tokenizer(make):
    model = model_with(make())
    prompts = prompts_of(model, TEXT)
    (words,), (negated,) = words_of(model, prompts), find_words(model, prompts)
    assert [word.text for word in words] == WORDS.split()
    assert [word.text for word in negated] == NEGATED
    assert max(len(word.positions) for word in negated) > 1
    for word in words:
        ids = prompts.tokens[0, list(word.positions)].tolist()
        assert list(word.positions) == list(range(word.positions[0], word.positions[-1] + 1))
        assert word.text in model.tokenizer.decode(ids).lower().replace(" ", "").replace("’", "'")
    taken = [position for word in words for position in word.positions]
    assert len(set(taken)) == len(taken)


def test_a_tokenizer_of_whole_words():
    vocabulary = [*SPECIAL, "the", "box", "isn't", "never", "open", "."]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    model = model_with(tokenizer)
    prompts = prompts_of(model, " the box isn't never open . ", " the box ")
    assert find_words(model, prompts) == [[("isn't", (3,)), ("never", (4,))], []]
    assert [word.text for word in words_of(model, prompts)[1]] == ["the", "box"]  # and no padding


def test_which_words_are_meant():
    model = model_with(wordpiece())
    prompts = prompts_of(model, TEXT)

    def found(*words: str) -> list[str]:
        return [word.text for word in find_words(model, prompts, words)[0]]

    assert found("no") == ["no"]
    assert found("NOTHING") == ["nothing's"]
    assert found("n’t") == ["isn't", "won't"]
    assert found("isn't") == ["isn't"]
    assert found("isn", "won", "t", "dog") == ["dog's"]
    assert [word.text for word in find_words(model, prompts, "the")[0]] == ["the", "the"]
    assert {"not", "n't", "no"} <= set(NEGATIONS)


def test_errors():
    model = model_with(wordpiece())
    prompts = prompts_of(model, TEXT)
    with pytest.raises(PromptError, match="'no one' is not one word; give words one by one"):
        find_words(model, prompts, ["not", "no one"])
    with pytest.raises(PromptError, match="no words are given to look for"):
        find_words(model, prompts, [])
    with pytest.raises(PromptError, match="came without a tokenizer"):
        find_words(SimpleNamespace(tokenizer=None), prompts)
