"""What studies find is what the library's own calls give, and what does not fit is told at the study."""

import json

import numpy as np
import pytest
import torch
from studying import SETTINGS, studied

import mechcheck as m
from mechcheck.circuits.evaluation import Cut
from mechcheck.explorer.bodies import SCHEMAS, Problem, read_body
from mechcheck.explorer.studies import search
from mechcheck.explorer.studies.patching import at_each_token
from mechcheck.explorer.studies.work import STUDIES
from mechcheck.explorer.workbench import Workbench


@pytest.fixture
def prompts(bench, body) -> m.PromptSet:
    """The page's prompt."""
    return bench.prepared(body).prompts


def drawn_values(figure: str) -> list[list[float]]:
    """The values of each heatmap of a figure."""
    return [[float(one) for one in part.partition('"')[0].split()] for part in figure.split('data-values="')[1:]]


@pytest.mark.parametrize(
    ("do", "at", "target"),
    [("patch", ["END"], ""), ("none", [], ""), ("zero", [], "Ruth"), ("mean", ["END", "S2"], ""), ("scale", ["END"], "Ruth")],
)
def test_a_targeted_search_is_the_library_s(bench, body, prompts, do, at, target):
    asked = body | {"do": do, "at": at, "factor": -1.5}
    trace, found = studied(bench, asked, "targeted", target=target)
    references = bench.prepared(body).references
    changes = {
        "patch": m.Patch, "none": m.Patch, "zero": lambda s: m.Ablate(s, "zero"), "scale": lambda s: m.Scale(s, -1.5),
        "mean": lambda s: m.Ablate(s, "mean", reference=references),
    }  # fmt: skip
    targets = m.PromptSet.from_text(bench.model, [body["text"]], answers=[target], after_space=True).answers if target else prompts.foils
    candidates = m.Sites(site for place in at or [None] for site in m.all_heads(bench.model, place))
    expected = m.targeted_search(
        bench.model, prompts, targets=targets.tolist(), share=1, size=4, candidates=candidates, intervention=changes[do]
    )
    assert found["heads"] == expected.sites.places
    assert (found["stopped"], found["evaluated"]) == (expected.stopped, expected.evaluated)
    assert [(one["stage"], one["heads"], one["evaluated"]) for one in trace] == [
        (step.stage, step.sites.places, step.evaluated) for step in expected.steps
    ]
    word = target or body["foil"]
    assert [one["numbers"][f"p({word})"] for one in trace] == pytest.approx([step.score for step in expected.steps], abs=1e-6)
    assert found["numbers"][f"p({word})"] == pytest.approx(expected.score, abs=1e-6)
    assert found["do"] == ("patch" if do == "none" else do)
    assert trace[0]["figure"].count("<tr>") < found["figures"][0].count("<tr>") or len(trace) == 1


def test_targeted_search_finds_the_s_inhibition_head_and_the_prediction_flips(bench, body):
    trace, found = studied(bench, body | {"do": "patch", "at": ["END"]}, "targeted")
    assert found["stopped"] == "target"
    assert found["heads"] == "0.3@END"
    assert trace[-1]["numbers"]["rank of Seth"] == 0
    shown = bench.predict(body | {"heads": found["heads"], "do": found["do"]})
    assert shown["tables"][1][0]["is"] == "foil"
    assert shown["tables"][1][0]["p"] == pytest.approx(found["numbers"]["p(Seth)"], abs=1e-5)
    assert found["said"].startswith("Seth is the prediction with 0.3@END.")


def test_what_is_predicted_already_needs_no_heads(bench, body):
    trace, found = studied(bench, body | {"do": "patch"}, "targeted", target=body["answer"])
    assert (trace, found["heads"], found["figures"]) == ([], "", [])
    assert "with nothing done" in found["said"]


def test_what_cannot_be_reached_says_so(bench, body):
    _, found = studied(bench, body | {"do": "zero", "at": ["S1"]}, "targeted", size=2)
    assert found["stopped"] == "size"
    assert found["said"].startswith("Seth is not the prediction: as many sites as were allowed. The nearest is")


def test_a_generic_search_is_the_library_s_and_its_trace_grows(bench, body, prompts):
    trace, found = studied(bench, body | {"do": "zero"}, "generic")
    expected = m.generic_search(bench.model, prompts, size=4, intervention=lambda sites: m.Ablate(sites, "zero"), objective=m.kl_divergence)
    assert found["heads"] == expected.sites.places
    assert [one["heads"] for one in trace] == [step.sites.places for step in expected.steps]
    assert len(trace) == 4
    assert [one["numbers"]["KL"] for one in trace] == pytest.approx([step.score for step in expected.steps], abs=1e-6)
    by_run = m.run(bench.model, prompts, m.Ablate(expected.sites, "zero"), m.kl_divergence).values[0]
    assert found["numbers"]["KL"] == pytest.approx(by_run, abs=1e-6)
    assert trace[1]["added"] == ["0.1"]
    rows = [one["figure"].count("<tr") for one in trace]
    assert rows == sorted(set(rows))
    assert "pairs of the best" in found["figures"][0]


def test_a_generic_search_needs_no_answer(bench, body):
    trace, found = studied(bench, body | {"do": "zero", "answer": "", "foil": ""}, "generic", size=1)
    assert set(trace[0]["numbers"]) == {"KL"}
    assert found["heads"] == "0.3"


def test_patching_maps_are_the_library_s(bench, body, prompts):
    _, found = studied(bench, body | {"at": ["END", "S2"]}, "patching")
    before = m.run(bench.model, prompts).values[0]
    stream, attention, mlp = drawn_values(found["figures"][0])
    placed = at_each_token(prompts)
    names = [f"position {at}" for at in range(20)]
    for values, kind in ((stream, "resid_pre"), (attention, "attn_out"), (mlp, "mlp_out")):
        expected = m.residual_patching(bench.model, placed, names, kind=kind)[..., 0] - before
        np.testing.assert_allclose(values, expected.ravel(), rtol=1e-4, atol=1e-6)
    # By hand: each is one run.
    end = m.run(bench.model, prompts, m.Patch(m.resid("1@END"))).values[0] - before
    np.testing.assert_allclose(np.reshape(stream, (2, 20))[1, 19], end, rtol=1e-4)
    after = m.run(bench.model, prompts, m.Patch(m.attn_outs("0@END"))).values[0] - before
    np.testing.assert_allclose(np.reshape(attention, (2, 20))[0, 19], after, rtol=1e-4)
    (by_head,) = drawn_values(found["figures"][1])
    expected = m.head_patching(bench.model, prompts, positions=["END", "S2"]).values[..., 0] - before
    np.testing.assert_allclose(by_head, expected.ravel(), rtol=1e-4, atol=1e-6)
    assert abs(end) > 20


def test_patching_without_a_foil_is_of_the_whole_distribution(bench, body, prompts):
    _, found = studied(bench, body | {"foil": ""}, "patching")
    (by_head,) = drawn_values(found["figures"][1])
    expected = m.head_patching(bench.model, prompts, metric=m.kl_divergence).values[..., 0]
    np.testing.assert_allclose(by_head, expected.ravel(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["eap-ig-inputs", "information-flow"])
def test_discovery_is_the_library_s(bench, body, method, tmp_path):
    _, found = studied(bench, body, "discovery", method=method, prompts=8)
    drawn = m.task_prompts("ioi", bench.model, n=240, seed=0, split="discover")[:8]
    expected = m.discover_edges(Cut(bench.model, drawn), method, resamples=0)
    assert found["edges"] == [str(edge) for edge in expected.edges]
    assert found["faithfulness"] == pytest.approx(expected.record.faithfulness, abs=1e-6)
    assert set(found["heads"].split()) == {edge.partition("->")[0] for edge in found["edges"] if edge[0].isdigit()}
    assert "0.3" in found["heads"].split()
    assert "s_inhibition" in found["figures"][0]
    # The file is a circuit's, which knows what it was found on.
    path = tmp_path / "circuit.toml"
    path.write_text(found["toml"], encoding="utf-8")
    circuit = m.load_circuit(path)
    assert circuit["discovered"].places == found["heads"]
    assert set(map(str, circuit.edges)) == set(found["edges"])
    assert circuit.notes["found_on"]["prompts_sha256"] == drawn.sha256


def test_the_lens_is_the_library_s(bench, body, prompts):
    _, found = studied(bench, body | {"heads": "0.3@END", "do": "patch"}, "lens")
    assert [figure.count("data-run") for figure in found["figures"]] == [6, 0, 0]
    for run, done in (("as it is", ()), ("changed", m.Patch(m.heads("0.3@END")))):
        expected = m.logit_lens_map(bench.model, prompts, interventions=done).p_answer[..., 0]
        pane = found["figures"][0].split(f'data-run="{run}"')[1]
        np.testing.assert_allclose(drawn_values(pane)[0], expected.ravel(), rtol=1e-3, atol=1e-6)
    assert found["said"] == "The answer is the likeliest token after the last layer alone."
    _, untouched = studied(bench, body, "lens")
    assert [figure.count("data-run") for figure in untouched["figures"]] == [3, 0]


def test_steering_is_the_library_s(bench, body, prompts):
    _, found = studied(bench, body, "steering", along="difference", reach=2)
    where = m.resid("1@END")
    vector = m.steering_vector(bench.model, prompts, where)
    curve = m.steering_curve(bench.model, prompts, vector, where, found["scales"])
    np.testing.assert_allclose(found["numbers"]["logit difference"], curve.values[:, 0], atol=1e-6)
    # -1 takes the difference to the counterfactual away, which is to patch it in.
    patched = m.run(bench.model, prompts, m.Patch(where)).values[0]
    assert found["numbers"]["logit difference"][found["scales"].index(-1)] == pytest.approx(patched, abs=1e-4)
    assert found["scales"][20] == 0
    assert found["predictions"][20] == body["answer"]
    assert found["predictions"][0] == "Seth"
    assert found["numbers"]["KL"][20] == pytest.approx(0, abs=1e-9)
    assert "interval" not in found["figures"][0]


def test_steering_by_what_is_unembedded_is_as_long_as_the_stream(bench, body, prompts):
    _, found = studied(bench, body, "steering", layer=2)
    where = m.resid_post("1@END")
    stream = m.capture(bench.model, prompts, where)[next(iter(where))][0]
    apart = bench.model.W_U[:, int(prompts.answers[0])] - bench.model.W_U[:, int(prompts.foils[0])]
    vector = torch.nn.functional.normalize(apart.detach(), dim=0) * stream.norm()
    curve = m.steering_curve(bench.model, prompts, vector, where, found["scales"])
    np.testing.assert_allclose(found["numbers"]["logit difference"], curve.values[:, 0], atol=1e-4)
    assert found["numbers"]["logit difference"][-1] > found["numbers"]["logit difference"][20]
    assert found["predictions"][0] != body["answer"]
    assert found["said"].startswith("From −")


@pytest.mark.parametrize(
    ("name", "changed", "told"),
    [
        ("targeted", {"do": "none", "counterfactual": ""}, "choose in Do what is done"),
        ("targeted", {"foil": ""}, "which token is to win"),
        ("targeted", {"target": "Zanzibar"}, "vocabulary"),
        ("targeted", {"do": "mean", "references": []}, "draws from reference prompts"),
        ("targeted", {"at": ["NOWHERE"]}, "no position is called 'NOWHERE'"),
        ("generic", {"do": "none", "counterfactual": ""}, "choose in Do what is done"),
        ("generic", {"of": "neurons"}, "too many neurons"),
        ("patching", {"counterfactual": ""}, "from a counterfactual: write one"),
        ("discovery", {"task": ""}, "take a prompt of one"),
        ("discovery", {"task": "no such task"}, "no prompts are known"),
        ("lens", {"foil": ""}, "write both"),
        ("steering", {"foil": ""}, "write both"),
        ("steering", {"layer": 3}, "no layer 3: there are 0 to 1, and 2 is what leaves"),
        ("steering", {"place": "NOWHERE"}, "no position is called 'NOWHERE'"),
        ("steering", {"along": "difference", "counterfactual": ""}, "write one"),
        ("steering", {"along": "difference", "layer": 0}, "do not differ at 0@END"),
        ("lens", {"text": "Zanzibar"}, "vocabulary"),
    ],
)
def test_what_does_not_fit_is_told(bench, body, name, changed, told):
    with pytest.raises(m.MechcheckError, match=told):
        studied(bench, body | {"do": "patch"} | changed, name, **{k: v for k, v in changed.items() if k in SETTINGS})


@pytest.mark.parametrize(
    ("changed", "change"),
    [
        ({"of": "attn_outs", "do": "patch", "at": ["END"]}, m.Patch),
        ({"of": "resid", "do": "patch", "at": ["S2", "END"]}, m.Patch),
        ({"of": "patterns", "do": "scale", "factor": 0, "at": ["END"]}, lambda sites: m.Scale(sites, 0)),
        ({"of": "heads", "do": "permute", "seed": 3}, lambda sites: m.Permute(sites, 3)),
    ],
)
def test_other_sites_and_changes_are_searched_too(bench, body, prompts, changed, change):
    _, found = studied(bench, body | changed, "generic", size=2)
    kind = getattr(m, changed["of"])
    names = "0.0-3 1.0-3" if changed["of"] in ("heads", "patterns") else "0-1"
    candidates = m.Sites(site for at in changed.get("at") or [None] for site in kind(names, at=at))
    expected = m.generic_search(
        bench.model, prompts, size=2, candidates=candidates, intervention=change, objective=m.kl_divergence, budget=search.BUDGET
    )
    assert (found["heads"], found["of"]) == (expected.sites.places, changed["of"])
    shown = bench.predict(body | changed | {"heads": found["heads"]})
    (kl,) = [one["values"][1] for one in shown["numbers"] if one["name"].startswith("KL")]
    assert kl == pytest.approx(expected.score, rel=1e-6)


def test_each_head_is_steered_along_its_own_direction(bench, body):
    _, found = studied(bench, body | {"do": "steer", "direction": "counterfactual", "at": ["END"]}, "targeted")
    assert found["heads"] == "0.3@END"
    shown = bench.predict(body | {"heads": "0.3@END", "do": "steer", "direction": "counterfactual"})
    assert shown["tables"][1][0]["is"] == "foil"


def test_there_are_not_too_many_heads_to_search(bench, body, monkeypatch):
    monkeypatch.setattr(search, "CANDIDATES", 15)
    with pytest.raises(Problem, match="16 heads at positions are too many to search, 15 at most") as raised:
        studied(bench, body | {"do": "patch", "at": ["END", "S2"]}, "generic")
    assert raised.value.where == "study"


@pytest.mark.parametrize("name", ["sentences-bert", "compiled-induction"])
def test_every_kind_of_model_has_studies_or_says_why_not(name):
    bench = Workbench(m.load_model(name))
    task = bench.about["tasks"][0] if name == "sentences-bert" else "induction"
    body = bench.example({"task": task, "row": 0})
    del body["row"]
    body |= {"do": "zero", "heads": "", "at": [], "factor": 1, "task": task}
    _, found = studied(bench, body, "generic", size=1)
    assert found["heads"]
    if body["counterfactual"]:
        _, maps = studied(bench, body, "patching")
        assert len(maps["figures"]) == 2
        assert ("Left out" in maps["said"]) == (name == "sentences-bert")


def test_a_body_of_a_study_is_looked_at(body):
    asked = body | {"task": "ioi"} | SETTINGS | {"study": "lens"}
    assert read_body("study", json.dumps(asked).encode()) == asked
    assert set(SCHEMAS["study"]["properties"]["study"]["enum"]) == set(STUDIES)
    for wrong in ({"study": "other"}, {"size": 0}, {"size": 17}, {"reach": 0}, {"method": "guess"}, {"prompts": 241}, {"faithful": 1}):
        with pytest.raises(Problem, match=next(iter(wrong))):
            read_body("study", json.dumps(asked | wrong).encode())


def test_positions_of_each_token_leave_the_others(prompts):
    placed = at_each_token(prompts)
    assert int(placed.positions["position 7"][0]) == 7
    assert int(placed.counterfactual.positions["position 7"][0]) == 7
    assert int(placed.positions["S2"][0]) == int(prompts.positions["S2"][0])
