"""Answers and foils of several tokens on the page; tokens that repeat, with every tokenizer; references, as many as asked for."""

from pathlib import Path

import pytest

import mechcheck as m
from mechcheck.explorer.prompt import DRAWN
from mechcheck.explorer.workbench import Workbench

STORIES = Path(__file__).resolve().parents[2].parent / "shared" / "models" / "stories260k"
TEXT = "When Mary and John went to the park , John gave a ring to"
OTHER = "When Mary and John went to the park , Mary gave a ring to"


def asking(**given):
    """What the page asks."""
    return {
        "text": TEXT, "counterfactual": OTHER, "references": [], "answer": "Mary and Lucy", "foil": "John and Lucy", "positions": {},
        "do": "patch", "heads": "0.3@END", "at": [], "factor": 1,
    } | given  # fmt: skip


def numbers(found) -> dict[str, list[float]]:
    return {one["name"]: one["values"] for one in found["numbers"]}


@pytest.mark.parametrize("name", ["names-gpt2-seed4", "names-neox-seed2"])
def test_whole_answers_have_the_library_s_numbers(name):
    model = m.load_model(name)
    found = Workbench(model).predict(asking())
    assert found["problems"] == []
    assert (found["prompt"]["answer"], found["prompt"]["foil"]) == (["Mary", "and", "Lucy"], ["John", "and", "Lucy"])
    prompts = m.PromptSet.from_text(
        model, [TEXT], answers=["Mary and Lucy"], foils=["John and Lucy"], counterfactual=[OTHER], after_space=True, several_tokens=True
    )
    shown, done = numbers(found), m.Patch(m.heads("0.3@END"))
    assert next(iter(shown)) == m.log_odds.name
    assert m.logit_diff.name not in shown
    assert "rank of the answer" not in shown
    metrics = [m.log_odds, m.log_probability, m.correct, m.probability, m.foil_probability, m.entropy, m.kl_divergence]
    for metric, values in zip(metrics, m.sweep_metrics(model, prompts, [[], [done]], metrics), strict=True):
        assert shown[metric.name] == pytest.approx(values[:, 0], abs=1e-6), metric.name
        assert shown[metric.name][1] == pytest.approx(m.run(model, prompts, done, metric).mean, abs=1e-4), metric.name
    before, after = shown[m.log_odds.name]
    assert before > 1 > after


def test_the_tables_mark_what_an_answer_begins_with():
    bench = Workbench(m.load_model("names-gpt2-seed4"))
    rows = bench.predict(asking(foil="John"))["tables"][0]
    assert {row["token"]: (row["is"], row["of"]) for row in rows if row["is"]} == {
        "Mary": ("answer", "answer, 1 of 3"), "John": ("foil", "foil"),
    }  # fmt: skip
    # A foil of one token beside an answer of three keeps its rank.
    assert numbers(bench.predict(asking(foil="John")))["rank of the foil"][0] == 1
    # Both may begin alike.
    rows = bench.predict(asking(foil="Mary and John"))["tables"][0]
    assert [row["of"] for row in rows if row["is"]] == ["answer, 1 of 3 and foil, 1 of 3"]


def test_each_head_s_effect_is_on_the_log_odds():
    bench = Workbench(m.load_model("names-gpt2-seed4"))
    found = bench.effects(asking(at=["END"], heads=""))
    assert found["name"] == "change of the log-odds of answer to foil"
    shown = numbers(bench.predict(asking()))["log-odds of answer to foil"]
    assert found["values"]["0.3"] == pytest.approx(shown[1] - shown[0], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "given", "where", "told"),
    [
        ("names-gpt2-seed4", {"answer": "Mary and", "foil": "Mary"}, "foil", "begin with each other"),
        ("names-gpt2-seed4", {"foil": "Mary and Lucy"}, "foil", "the foil is the answer"),
        ("names-gpt2-seed4", {"answer": "Mary Zanzibar"}, "answer", "not in this tokenizer's vocabulary"),
        ("names-gpt2-seed4", {"answer": "Mary " * 60}, "answer", "tokens, and this model sees"),
        ("names-gpt2-seed4", {"positions": {"END": 5}, "foil": ""}, "answer", "END is position 5"),
        ("sentences-bert", {"answer": "the author", "foil": "is"}, "answer", "predicts masked words"),
        ("sentences-bert", {"answer": "is", "foil": "the author"}, "foil", "predicts masked words"),
    ],
)
def test_what_the_library_refuses_is_told_at_the_field(name, given, where, told):
    bench = Workbench(m.load_model(name))
    shown = {"do": "none", "heads": ""} if name != "sentences-bert" else {"text": "the teacher near the doctor [MASK] late .", "do": "none"}
    found = bench.predict(asking(counterfactual="") | shown | given)
    assert [one["where"] for one in found["problems"]] == [where]
    assert told in found["problems"][0]["said"]
    assert found["tables"]


def test_an_end_that_is_not_the_last_token_leaves_answers_of_one_token():
    found = Workbench(m.load_model("names-gpt2-seed4")).predict(asking(positions={"END": 5}, answer="Mary", foil="John", do="none"))
    assert found["problems"] == []
    assert "logit difference" in numbers(found)


@pytest.mark.parametrize(
    ("name", "text", "repeated"),
    [
        ("names-gpt2-seed4", TEXT, {10: "John_2", 14: "to_2"}),
        ("names-neox-seed2", TEXT, {10: "John_2", 14: "to_2"}),
        ("sentences-bert", "the teacher near the doctor [MASK] late .", {4: "the_2"}),
    ],
)
def test_tokens_that_repeat_are_numbered_and_are_the_model_s_own(name, text, repeated):
    model = m.load_model(name)
    found = Workbench(model).predict(asking(text=text, counterfactual="", answer="", foil="", do="none"))["prompt"]["tokens"]
    prompts = m.PromptSet.from_text(model, [text])
    assert len(set(found)) == len(found) == int(prompts.lengths[0])
    plain = [model.tokenizer.decode([one]) for one in prompts.tokens[0].tolist()]
    assert found == tuple(repeated.get(at, word) for at, word in enumerate(plain))


@pytest.mark.skipif(not STORIES.is_dir(), reason="the stories260k model is not beside this checkout")
def test_pieces_of_words_that_repeat_are_numbered():
    bench = Workbench(m.load_model(STORIES))
    found = bench.predict(asking(text="Sue and Tom. Sue ran", counterfactual="", answer="to the park", foil="away", do="none"))
    assert found["problems"] == []
    tokens = found["prompt"]["tokens"]
    assert tokens[1:4] == ("S", "u", "e")
    assert [one for one in tokens if one.endswith("_2")] == ["S_2", "u_2", "e_2"]
    assert found["prompt"]["answer"] == ["to", "the", "p", "ar", "k"]
    prompts = m.PromptSet.from_text(
        bench.model, ["Sue and Tom. Sue ran"], answers=["to the park"], foils=["away"], after_space=True, several_tokens=True
    )
    shown = numbers(found)
    assert shown["log-odds of answer to foil"][0] == pytest.approx(m.run(bench.model, prompts, [], m.log_odds).mean, abs=1e-5)
    assert "named" in bench.complete({"start": "na"})["words"]


def test_references_are_as_many_as_are_asked_for_and_said():
    bench = Workbench(m.load_model("names-gpt2-seed4"))
    drawn = m.task_prompts("greater_than", bench.model, n=DRAWN, seed=0, split="discover")
    every = bench.example({"task": "greater_than", "row": 0, "many": 64})
    assert every["alike"] > 8
    assert len(every["references"]) == min(64, every["alike"])
    assert len(bench.example({"task": "greater_than", "row": 0})["references"]) == 8
    few = bench.example({"task": "greater_than", "row": 0, "many": 3})["references"]
    assert few == every["references"][:3]
    assert every["alike"] == sum(int(length) == int(drawn.lengths[0]) for length in drawn.lengths) - (drawn.reference is None)
