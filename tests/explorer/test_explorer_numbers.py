"""The explorer's numbers are those of the public functions, and what does not fit is told where it arose."""

import json

import numpy as np
import pytest

import mechcheck as m
from mechcheck.explorer import maps
from mechcheck.explorer.prediction import TOP, rank_of_foil
from mechcheck.explorer.prompt import DRAWN
from mechcheck.explorer.workbench import Workbench

METRICS = {
    "logit difference": m.logit_diff, "entropy": m.entropy, "top probability": m.top_probability,
    "KL from the untouched run": m.kl_divergence,
    "rank of the answer": m.rank, "p(answer)": m.probability, "rank of the foil": rank_of_foil, "p(foil)": m.foil_probability,
}  # fmt: skip


def numbers(found) -> dict[str, list[float]]:
    return {one["name"]: one["values"] for one in found["numbers"]}


def places(found) -> list[str]:
    return [one["where"] for one in found["problems"]]


def test_a_prompt_of_a_task_is_that_prompt(bench, body, prompts):
    drawn = m.task_prompts("ioi", bench.model, n=DRAWN, seed=0, split="discover")
    length = int(drawn.lengths[0])
    assert prompts.tokens[0].tolist() == drawn.tokens[0, :length].tolist()
    assert prompts.counterfactual.tokens[0].tolist() == drawn.counterfactual.tokens[0, :length].tolist()
    assert int(prompts.answers[0]) == int(drawn.answers[0])
    assert body["positions"] == {"IO": 11, "S1": 13, "S2": 15}
    assert len(body["references"]) == 5
    assert bench.example({"task": "ioi", "row": DRAWN})["text"] == body["text"]
    assert bench.example({"task": "ioi", "row": 1})["text"] != body["text"]


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("names-gpt2-seed4", ["greater_than", "induction", "ioi"]),
        ("years-gpt2-seed0", ["greater_than", "induction", "ioi"]),
        ("sentences-bert", ["agreement", "negation"]),
        ("compiled-induction", ["greater_than", "induction", "ioi"]),
    ],
)
def test_every_task_that_a_model_can_read_gives_its_prompts(name, tasks):
    model = m.load_model(name)
    bench = Workbench(model)
    assert bench.about["tasks"] == tasks
    for task in tasks:
        drawn = m.task_prompts(task, model, n=DRAWN, seed=0, split="discover")
        for row in (0, 7, 47):
            found = bench.example({"task": task, "row": row})
            again = bench.predict(
                {name: found[name] for name in found if name != "row"} | {"do": "none", "heads": "", "at": [], "factor": 1}
            )
            assert again["problems"] == []
            assert tuple(again["prompt"]["tokens"]) == m.token_labels(drawn, row)


@pytest.mark.parametrize("do", ["zero", "mean", "resample", "patch", "scale"])
def test_the_numbers_are_those_of_sweep_and_run(bench, body, prompts, references, do):
    sites = m.heads("0.3@END 1.1@END 1.1@S2")
    done = {
        "zero": m.Ablate(sites, "zero"),
        "mean": m.Ablate(sites, "mean", reference=references),
        "resample": m.Ablate(sites, "resample", reference=references[:1]),
        "patch": m.Patch(sites),
        "scale": m.Scale(sites, -1.5),
    }[do]
    found = bench.predict(body | {"do": do, "heads": "0.3@END 1.1@END 1.1@S2", "factor": -1.5})
    assert found["problems"] == []
    shown = numbers(found)
    assert set(shown) == set(METRICS)
    expected = m.sweep_metrics(bench.model, prompts, [[], [done]], list(METRICS.values()))
    for (name, metric), values in zip(METRICS.items(), expected, strict=True):
        np.testing.assert_allclose(shown[name], values[:, 0], atol=1e-6, rtol=1e-6, err_msg=name)
        np.testing.assert_allclose(shown[name][1], m.run(bench.model, prompts, done, metric).values[0], atol=1e-6, rtol=1e-6, err_msg=name)
    assert abs(shown["logit difference"][0] - shown["logit difference"][1]) > 0.1


def test_the_tables_agree_with_the_numbers(bench, body):
    found = bench.predict(body | {"do": "patch", "heads": "0.3@END"})
    shown = numbers(found)
    for which, rows in enumerate(found["tables"]):
        assert [row["p"] for row in rows[:TOP]] == sorted((row["p"] for row in rows[:TOP]), reverse=True)
        assert [row["rank"] for row in rows[:TOP]] == list(range(TOP))
        for what in ("answer", "foil"):
            (row,) = [row for row in rows if row["is"] == what]
            assert row["token"] == body[what]
            assert row["rank"] == shown[f"rank of the {what}"][which]
            assert row["p"] == pytest.approx(shown[f"p({what})"][which], abs=1e-5)
    assert [rows[0]["is"] for rows in found["tables"]] == ["answer", "foil"]


def test_heads_stand_at_the_chosen_positions_unless_they_name_their_own(bench, body):
    asked = body | {"do": "patch", "heads": "0.2-3 1.0@S2", "at": ["END", "S1"]}
    found = bench.predict(asked)
    assert set(found["sites"]) == {"0.2@END", "0.3@END", "0.2@S1", "0.3@S1", "1.0@S2"}
    by_hand = bench.predict(body | {"do": "patch", "heads": " ".join(found["sites"])})
    assert numbers(found) == numbers(by_hand)
    everywhere = bench.predict(asked | {"heads": "0.2-3", "at": []})
    assert everywhere["sites"] == ["0.2", "0.3"]
    assert numbers(everywhere) != numbers(found)


def test_roles_are_those_of_the_recorded_circuit(bench):
    roles = {(one["task"], one["role"]): one["heads"] for one in bench.about["roles"]}
    assert roles["ioi", "s_inhibition"] == "0.3@END"
    assert bench.first_task() == "ioi"


def test_attention_is_the_report_s_figure_before_and_after(bench, body, prompts):
    found = bench.attention(body | {"do": "patch", "heads": "0.3@END 1.0@END"})["figure"]
    drawn = json.loads(found.partition('<script type="application/json">')[2].partition("</script>")[0])
    assert [one["name"] for one in drawn] == ["before", "after"]
    for one, done in zip(drawn, ([], m.Patch(m.heads("0.3@END 1.0@END"))), strict=True):
        view = m.attention_view(bench.model, prompts, "0.3 1.0", interventions=done).data()["data"]
        assert one["patterns"] == view["patterns"]
        assert one["weighted"] == view["weighted"]
    assert drawn[0]["patterns"][1] != drawn[1]["patterns"][1]
    untouched = bench.attention(body | {"do": "none", "heads": "0.3"})["figure"]
    assert untouched.count('"patterns"') == 1
    assert bench.attention(body)["figure"] == ""


def test_each_head_s_own_effect_is_that_of_a_sweep(bench, body, prompts):
    found = bench.effects(body | {"do": "patch", "heads": "0.3", "at": ["END"]})
    assert found["name"] == "change of the logit difference"
    names = [f"{layer}.{head}" for layer in range(2) for head in range(4)]
    values = m.sweep(bench.model, prompts, [[], *(m.Patch(m.heads(name, at="END")) for name in names)])[:, 0]
    assert found["values"] == pytest.approx(dict(zip(names, values[1:] - values[0], strict=True)), abs=1e-6, rel=1e-6)
    assert min(found["values"], key=found["values"].get) == "0.3"
    assert bench.effects(body)["values"] == {}
    moved = bench.effects(body | {"do": "zero", "foil": ""})
    assert moved["name"] == "KL from the untouched run"
    assert min(moved["values"].values()) > 0
    with pytest.raises(m.MechcheckError, match="counterfactual"):
        bench.effects(body | {"do": "patch", "counterfactual": ""})


def test_maps_have_a_limit(bench, body, monkeypatch):
    monkeypatch.setattr(maps, "WEIGHTS", 3 * 20**2)
    assert bench.attention(body | {"heads": "0.0-2"})["figure"]
    with pytest.raises(m.MechcheckError, match="4 heads are to be shown, and of 20 tokens the maps of 3 are drawn"):
        bench.attention(body | {"heads": "0.0-3"})


@pytest.mark.parametrize(
    ("changed", "where", "told"),
    [
        ({"counterfactual": "Mary and John"}, "counterfactual", "4 tokens and the prompt 20"),
        ({"references": ["Mary"]}, "references", "2 tokens and the prompt 20"),
        ({"answer": "Zanzibar"}, "answer", "vocabulary"),
        ({"foil": "Lucy"}, "foil", "the foil is the answer"),
        ({"positions": {"S2": 40}}, "positions", "no such position"),
        ({"positions": {"S 2": 1}}, "positions", "no name of a position"),
        ({"positions": {"Ö": 1}}, "positions", "no name of a position"),
        ({"heads": "7.1"}, "heads", "7.1"),
        ({"heads": "the third"}, "heads", "cannot read 'the'"),
        ({"heads": "0.3@NOWHERE"}, "heads", "no position is called 'NOWHERE'"),
        ({"counterfactual": "", "heads": "0.3", "do": "patch"}, "do", "counterfactual"),
        ({"references": [], "heads": "0.3", "do": "mean"}, "do", "draws from reference prompts"),
        ({"references": [], "heads": "0.3", "do": "resample"}, "do", "draws from reference prompts"),
    ],
)
def test_what_does_not_fit_is_told_where_it_arose_and_the_rest_is_shown(bench, body, changed, where, told):
    found = bench.predict({**body, "do": "zero", **changed})
    assert places(found) == [where]
    assert told in found["problems"][0]["said"]
    assert len(found["tables"]) == 1
    assert len(found["prompt"]["tokens"]) == 20


def test_without_a_prompt_there_is_nothing(asker, body):
    for text, told in (("  ", "write a prompt"), ("Zanzibar", "vocabulary"), ("a " * 500, "tokens")):
        found = asker.ask("predict", body | {"text": text})
        assert found.status == 422
        assert found.json["problems"][0]["where"] == "text"
        assert told in found.json["problems"][0]["said"]


def test_the_counterfactual_s_other_tokens_are_marked(bench, body):
    found = bench.predict(body)["prompt"]
    assert [label for label, differs in zip(found["counterfactual"], found["differs"], strict=True) if differs] == ["Lucy_2"]
    assert found["tokens"][15] == "Seth_2"
    assert found["positions"] == {"IO": 11, "S1": 13, "S2": 15, "END": 19}


def test_only_an_answer_or_nothing_can_be_asked(bench, body):
    assert set(numbers(bench.predict(body | {"foil": ""}))) == {
        "entropy", "top probability", "KL from the untouched run", "rank of the answer", "p(answer)"
    }  # fmt: skip
    assert set(numbers(bench.predict(body | {"foil": "", "answer": ""}))) == {"entropy", "top probability", "KL from the untouched run"}


def test_words_are_completed_from_the_vocabulary(bench):
    found = bench.complete({"start": "Ma"})["words"]
    assert "Mary" in found
    assert all(word.startswith("Ma") for word in found)
    assert bench.complete({"start": ""})["words"] == []
