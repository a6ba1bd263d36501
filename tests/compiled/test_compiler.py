"""The compiler: a blueprint's weights do what the blueprint says, and what cannot be built is refused with the reason."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interpreter import compiled_run, interpret

import mechcheck.compiled
from mechcheck import PromptSet, load_model, provenance, run
from mechcheck.base.cache import CACHE_VARIABLE
from mechcheck.base.errors import ModelError
from mechcheck.compiled import (
    ALWAYS,
    Blueprint,
    CompileError,
    Head,
    Match,
    Move,
    blueprint,
    codes,
    compile_weights,
    compiled_directory,
    compiled_models,
    flag,
    known_circuit,
    lay_out,
    positions,
    save_model,
    scratch,
    token_ids,
    words,
)
from mechcheck.compiled._directories import built
from mechcheck.models.names import embedded_models

WORDS = ("Mary", "John", "Anna", "gave", "to", "the")
NAME, PLACE = words("name", WORDS[:3]), positions("place", 12)
EMBEDDED = (NAME, PLACE, flag("small", WORDS[2:5]), flag("bos", ["<bos>"]))
SCRATCH = (scratch("seen", like=NAME), scratch("where", like=PLACE), scratch("noted"), scratch("answer", like=NAME))
OF_WIDTH = {3: ("name", "seen"), 11: ("place", "where"), 1: ("small", "bos", "noted")}
TARGETS = {3: ("seen", "answer"), 11: ("where",), 1: ("noted",)}


def head_reading(known):
    """A random head that reads these registers."""
    gains = st.floats(-20, 20).map(lambda gain: round(gain, 2))
    readable = [[name for name in names if name in known] for names in OF_WIDTH.values()]
    pairs = [(query, key) for names in readable for query in names for key in names]
    matches = st.builds(lambda pair, gain: Match(*pair, gain), st.sampled_from(pairs), gains)
    always = st.builds(lambda key, gain: Match(ALWAYS, key, gain), st.sampled_from(["small", "bos"]), gains)
    shifted = st.builds(lambda gain, offset: Match("place", "place", gain, offset), gains, st.integers(-3, 3))
    carried = [(name, to) for width, names in OF_WIDTH.items() for name in names if name in known for to in TARGETS[width]]
    moves = st.builds(lambda pair, gain: Move(*pair, round(gain, 2)), st.sampled_from(carried), st.floats(-3, 3))
    lists = (st.lists(st.one_of(matches, always, shifted), max_size=4), st.lists(moves, max_size=3))
    return st.builds(lambda compared, moved: Head("some", None, tuple(compared), tuple(moved)), *lists)


@st.composite
def blueprints(draw):
    """Random models of two layers with one or two heads each."""
    known = {register.name for register in EMBEDDED}
    heads = {}
    for layer in range(2):
        for index in range(draw(st.integers(1, 2))):
            heads[f"{layer}.{index}"] = draw(head_reading(known))
        known |= {move.to for head in heads.values() for move in head.moves}
    return Blueprint("random", EMBEDDED + SCRATCH, heads, {"answer": "name"}, context=12)


@settings(max_examples=60, deadline=None)
@given(blueprints(), st.lists(st.sampled_from(WORDS), min_size=1, max_size=11))
def test_weights_do_what_the_blueprint_says(declared, text):
    text = ["<bos>", *text]
    patterns, logits = compiled_run(declared, text)
    expected, answers = interpret(declared, text)
    for (layer, index), pattern in expected.items():
        np.testing.assert_allclose(patterns[layer][index], pattern, atol=5e-3)
    ids = token_ids()
    np.testing.assert_allclose(logits[:, [ids[word] for word in NAME.words]], answers["answer"], atol=0.05)


@pytest.mark.parametrize("name", compiled_models())
def test_shipped_models_do_what_their_blueprints_say(name, compiled):
    _, prompts, _ = compiled(name)
    word_of = {token: word for word, token in token_ids().items()}
    for tokens, length in zip(prompts.tokens[:4].tolist(), prompts.lengths.tolist(), strict=False):
        text = [word_of[token] for token in tokens[:length]]
        patterns, _ = compiled_run(blueprint(name), text)
        expected, _ = interpret(blueprint(name), text)
        for (layer, index), pattern in expected.items():
            np.testing.assert_allclose(patterns[layer][index], pattern, atol=2e-3)


def test_layer_norm_is_the_identity(compiled):
    """Up to the small share that the balance dimensions leave."""
    _, prompts, _ = compiled("compiled-ioi")
    raw = load_model("compiled-ioi", processing="raw")
    layout = lay_out(blueprint("compiled-ioi"))
    of_registers, weight = slice(0, layout.spill), (2 * blueprint("compiled-ioi").balance ** 2 / layout.d_model) ** 0.5
    _, cache = raw.run_with_cache(prompts.tokens[:8])
    for layer in range(4):
        before, after = (cache[f"blocks.{layer}.{hook}"][..., of_registers] for hook in ("hook_resid_pre", "ln1.hook_normalized"))
        assert (after * weight - before).abs().max() < 2e-3


@pytest.mark.parametrize("name", compiled_models())
def test_folded_and_raw_agree(name, compiled):
    model, prompts, _ = compiled(name)
    raw = load_model(name, processing="raw")
    real = torch.arange(prompts.tokens.shape[1]) < prompts.lengths[:, None]
    with torch.no_grad():
        one, other = (some(prompts.tokens).log_softmax(-1)[real] for some in (model, raw))
    assert (one - other).abs().max() < 1e-3


def test_the_same_bytes_every_time(tmp_path):
    for name in compiled_models():
        for folder in ("one", "other"):
            save_model(blueprint(name), tmp_path / folder)
        one, other = ((tmp_path / folder / "model.safetensors").read_bytes() for folder in ("one", "other"))
        assert one == other == (compiled_directory(name) / "model.safetensors").read_bytes()


def test_many_may_build_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(built, [blueprint("compiled-negative")] * 4))
    assert len(found) == 1
    assert [path.name for path in (tmp_path / "compiled").iterdir()] == [found.pop().name]


def test_a_failed_build_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    broken = replace(blueprint("compiled-negative"), name="broken", d_model=2)
    with pytest.raises(CompileError):
        built(broken)
    assert list((tmp_path / "compiled").iterdir()) == []


def test_without_a_place_to_write(tmp_path, monkeypatch):
    """Where the user has no cache folder, the model is built for this process alone."""
    (tmp_path / "file").touch()
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert (built(blueprint("compiled-negative")) / "model.safetensors").is_file()


def test_loaded_as_any_model():
    for name in compiled_models():
        source = provenance(load_model(name))
        assert (source.name, source.revision) == (name, None)
        assert source.weights_sha256 == known_circuit(name).weights_sha256
    assert set(compiled_models()) < set(embedded_models())
    assert embedded_models()[0].startswith("names")
    with pytest.raises(ModelError, match="no compiled model 'compiled-x'; there are compiled-induction, compiled-ioi"):
        known_circuit("compiled-x")


def test_the_example_of_the_package(tmp_path, monkeypatch):
    """The docstring's own circuit, as it stands there: built, saved, loaded and run."""
    monkeypatch.chdir(tmp_path)
    example = mechcheck.compiled.__doc__.split("just before:")[1]
    known = {**vars(mechcheck.compiled), "Path": Path, "load_model": load_model}
    exec("\n".join(line.strip() for line in example.splitlines()), known)
    model = known["model"]
    prompts = PromptSet.from_text(model, ["Mary gave", "John to"], answers=["Mary", "John"], foils=["John", "Mary"])
    np.testing.assert_allclose(run(model, prompts).values, 10.0, atol=0.01)


def test_unused_words_get_no_logits():
    others = [token for word, token in token_ids().items() if word not in blueprint("compiled-ioi").by_name["name"].words]
    weights = compile_weights(blueprint("compiled-ioi"), token_ids())["lm_head.weight"]
    assert not weights[others].any()


HEAD = Head("some", None, (Match("name", "name", 1.0),), (Move("name", "seen"),))


def small(**changes):
    given = {
        "name": "small",
        "registers": EMBEDDED + SCRATCH,
        "heads": {"0.0": HEAD, "0.1": HEAD},
        "outputs": {"answer": "name"},
        "context": 12,
    }
    return Blueprint(**{**given, **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"d_model": 20}, r"d_model=20 for 37 dimensions \(name 3, place 11, small 1, bos 1, .*, and 3 for LayerNorm\)"),
        ({"d_model": 39}, "d_model=39 cannot be shared out to 2 heads; choose a multiple of 2"),
        (
            {"d_model": 40, "heads": {f"0.{i}": Head("wide", None, (Match("place", "place", 1.0),)) for i in range(4)}},
            r"heads have 10 dimensions, and 0.3 \(wide\) needs 11; choose d_model=44 or more",
        ),
    ],
)
def test_too_few_dimensions(changes, message):
    with pytest.raises(CompileError, match=message):
        compile_weights(small(**changes), token_ids())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": {}}, "a blueprint needs heads"),
        ({"heads": {"first": HEAD}}, "written layer.head, for example 0.1, and not 'first'"),
        ({"heads": {"0.0": Head("a", None, (Match("nam", "name", 1.0),))}}, "head 0.0 uses register 'nam'; there are name, place"),
        ({"heads": {"0.0": Head("a", None, (Match("name", "place", 1.0),))}}, r"head 0.0 joins 'name' \(3 wide\) and 'place' \(11 wide\)"),
        ({"heads": {"0.0": Head("a", None, (Match(ALWAYS, "name", 1.0),))}}, r"joins 'always' \(1 wide\) and 'name' \(3 wide\)"),
        ({"heads": {"0.0": Head("a", None, (Match("name", "name", 1.0, -1),))}}, "at an offset, which only positions have"),
        ({"heads": {"0.0": Head("a", None, (), (Move("name", "name"),))}}, "writes to 'name', which the embeddings fill"),
        ({"heads": {"0.0": Head("a", None, (Match("seen", "name", 1.0),))}}, "reads 'seen', which no head of an earlier layer writes"),
        ({"outputs": {"answer": "seen"}}, "logits need a register of words, and 'seen' is none"),
        ({"registers": (NAME, NAME)}, "registers need different names"),
    ],
)
def test_blueprints_that_make_no_sense(changes, message):
    with pytest.raises(CompileError, match=message):
        small(**changes)


def test_words_and_codes_that_do_not_fit():
    with pytest.raises(CompileError, match="small: 'Zork' not in the tokenizer's vocabulary"):
        compile_weights(small(registers=(*EMBEDDED, *SCRATCH, flag("odd", ["Zork"]))), token_ids())
    with pytest.raises(CompileError, match="'place' knows 12 positions of 20"):
        compile_weights(small(context=20), token_ids())
    with pytest.raises(CompileError, match=r"no 30 codes of width 4 with inner products up to 0\.4; make it wider"):
        codes("code", [str(i) for i in range(30)], 4)
