"""Known defects of other tools, built in on purpose: shipped claims, decoys and built-in checks must notice each of them.

Every test runs the same claims twice, with the honest instrument and with the defective one, so that it is the defect that they notice.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import mechcheck
from mechcheck.compiled import known_circuit, truth_table
from mechcheck.conformance.truth_tables import disagreements
from mechcheck.engine import edit as _edit
from mechcheck.measures.attention import between_words
from mechcheck.measures.attention import scores as _scores
from mechcheck.measures.head_scores import HeadScores
from mechcheck.measures.heads.detection import Detection
from mechcheck.models.loading import load_model
from mechcheck.notation import sites as _sites
from mechcheck.prompts.words import words_of
from mechcheck.tasks.shipped import task_prompts

HONEST: dict[str, dict[str, str]] = {}  # the honest instrument's verdicts, once for all defects of a kind
CLAIMS = Path(__file__).resolve().parents[2] / "claims"
TRAINED, WITHOUT = "names-gpt2-seed4", "names-gpt2-seed0"


@pytest.fixture
def shipped(claims):
    """shipped(file, expression): run the claims of a shipped file that the expression selects, and give their verdicts by id."""

    def run(file: str, expression: str) -> dict[str, str]:
        return claims((CLAIMS / file).read_text(encoding="utf-8"), "-k", expression).verdicts

    return run


# 1. The wrong tensor: "head h" is a slice of the attention layer's output, behind the output projection.


def slice_of_the_output(monkeypatch: pytest.MonkeyPatch, model: str) -> None:
    honest, width = _edit.part_of, load_model(model).cfg.d_head

    def part_of(activation, site):
        if site.kind == "head":
            return activation[:, :, site.index * width : (site.index + 1) * width]
        return honest(activation, site)

    monkeypatch.setitem(_sites._HOOKS, "head", "blocks.{layer}.hook_attn_out")
    monkeypatch.setattr(_edit, "part_of", part_of)


def test_the_wrong_tensor_is_noticed_by_a_circuit_that_is_known(monkeypatch):
    model, circuit = load_model("compiled-ioi"), known_circuit("compiled-ioi")
    prompts = task_prompts("ioi", model, n=48, seed=0)
    rows = [row for row in truth_table("compiled-ioi") if row.method in ("zero", "patch")]
    assert not disagreements(model, prompts, rows, circuit)
    slice_of_the_output(monkeypatch, "compiled-ioi")
    assert len(disagreements(model, prompts, rows, circuit)) >= 5


def test_the_wrong_tensor_is_noticed_by_claims(shipped, monkeypatch):
    chosen = f"{TRAINED} and (removes_the_preference or flips_the_answer)"
    names = [f"ioi/test_ablation_removes_the_preference[{TRAINED}]", f"ioi/test_removing_flips_the_answer[{TRAINED}]"]
    assert shipped("ioi/test_s_inhibition.py", chosen) == dict(zip(names, ("supported", "method_dependent"), strict=True))
    slice_of_the_output(monkeypatch, TRAINED)
    assert shipped("ioi/test_s_inhibition.py", chosen) == dict.fromkeys(names, "refuted")


# 2. The detector that always fires: a score that is 1 / length whatever the head does, or a threshold that anything passes.


def share_of_one_token(model, prompts, interventions=()) -> HeadScores:
    shape = (model.cfg.n_layers, model.cfg.n_heads, len(prompts))
    return HeadScores(np.broadcast_to(1 / prompts.lengths.numpy(), shape), prompts.ids, prompts.templates, "induction score")


def half_the_variance(scores, method="otsu", **_) -> Detection:
    return Detection(scores, method, 0.5 * float(scores.values.var((0, 1)).mean()), "half the mean variance")


DETECTORS = {
    "score and threshold": {"induction_scores": share_of_one_token, "detect_heads": half_the_variance},
    "threshold": {"detect_heads": half_the_variance},
}


@pytest.mark.parametrize("defect", DETECTORS)
def test_a_detector_that_always_fires_is_noticed(shipped, monkeypatch, defect):
    file, chosen = "attention/test_induction_detection.py", f"variance and ({TRAINED} or {WITHOUT})"
    finds = f"induction/test_thresholds_find_the_recorded_heads[{TRAINED}-variance]"
    rejects = f"induction/test_thresholds_find_nothing_where_there_is_nothing[{WITHOUT}-variance]"
    if "detectors" not in HONEST:
        HONEST["detectors"] = shipped(file, chosen)
    assert HONEST["detectors"] == {finds: "supported", rejects: "inconclusive"}  # some prompts have heads flagged, and they are few
    for name, mutant in DETECTORS[defect].items():
        monkeypatch.setattr(mechcheck, name, mutant)
    found = shipped(file, chosen)
    assert found[rejects] == "refuted"
    if "score" in defect:
        assert found[finds] == "refuted"


# 3. The constant effect: 0.1, whatever is patched.

EFFECTS = """
    def effect(model, prompts, sites):
        return run(model, prompts) - run(model, prompts, Ablate(sites, "mean"))

    def constant(model, prompts, sites):
        return 0 * run(model, prompts) + 0.1

    @claim("S-inhibition heads have an effect", task="ioi", kind="necessity", models=["names-gpt2-seed4"])
    def test_has_an_effect(model, prompts, circuit, check):
        check.above({effect}(model, prompts, circuit["s_inhibition"]), 0.05)

    @claim("S-inhibition heads have a larger effect than random ones", task="ioi", kind="specificity", models=["names-gpt2-seed4"])
    def test_beats_random(model, prompts, circuit, check):
        check.beats_random(lambda sites: {effect}(model, prompts, sites), circuit["s_inhibition"])
"""


def test_a_constant_effect_is_noticed(claims):
    both = [f"ioi/test_{name}[{TRAINED}]" for name in ("beats_random", "has_an_effect")]
    assert claims(EFFECTS.format(effect="effect")).verdicts == {both[0]: "inconclusive", both[1]: "supported"}  # 3 other heads
    run = claims(EFFECTS.format(effect="constant"))
    assert run.verdicts[both[1]] == "vacuous"
    assert run.claim("has_an_effect")["decoys"]["supported"] == run.claim("has_an_effect")["decoys"]["n"]
    assert run.verdicts[both[0]] != "supported"
    assert run.result.ret == pytest.ExitCode.TESTS_FAILED


# 4. QK scores without scale, without mask, or averaged over heads.


def unscaled(recorded: dict) -> dict:
    return {key: value * 4 if key[0] in ("scores", "q") else value for key, value in recorded.items()}  # sqrt(d_head) is 4


def unmasked(recorded: dict) -> dict:
    products = {key: recorded["q", *key[1:]] @ recorded["k", *key[1:]].mT / 4 for key in recorded if key[0] == "scores"}
    return recorded | products


def averaged(recorded: dict) -> dict:
    mean = {name: sum(value for key, value in recorded.items() if key[0] == name) / 4 for name in ("scores", "q", "k")}
    return {key: mean.get(key[0], value) for key, value in recorded.items()}


@pytest.mark.parametrize("defect", [unscaled, unmasked, averaged])
def test_scores_that_are_not_those_of_the_head_are_noticed(claims, monkeypatch, defect: Callable[[dict], dict]):
    source = (CLAIMS / "attention/test_queries_and_keys.py").read_text(encoding="utf-8")
    chosen = ("-k", f"scores_of_the_token and {TRAINED}")
    if "scores" not in HONEST:
        HONEST["scores"] = claims(source, *chosen).verdicts
    assert list(HONEST["scores"].values()) == ["supported"]
    honest = _scores.observe

    def observe(*arguments):
        return defect(honest(*arguments))

    monkeypatch.setattr(_scores, "observe", observe)
    if defect is unmasked:
        monkeypatch.setattr(_scores, "_hide", lambda visible: lambda scores: scores)
    run = claims(source, *chosen)
    assert run.claim()["verdict"] == "errored"
    assert "is not the softmax of its scores" in run.claim()["reason"]


# 5. Words found inside of other words.

WORDS = """
    @claim("Attention to the word is attention to the place where it stands", models=["sentences-bert"], decoy={"word": "not"})
    def test_the_word_itself(model, check, word="no"):
        texts = [f"no {thing} is not open , each is [MASK] ." for thing in ("box", "door", "shop", "gate", "bag", "jar")]
        prompts = PromptSet.from_text(
            model, texts, answers=["closed"] * 6, foils=["open"] * 6, positions={"END": ["[MASK]"] * 6, "NO": [1] * 6}
        )
        everyone = heads("0-2.0-3")
        by_word = word_attention(model, prompts, [word], at="END").words.of(everyone)
        check.equivalent(by_word - attention_to(model, prompts, everyone, "END", "NO"), 1e-3)
"""


def test_a_word_found_inside_another_is_noticed(claims, monkeypatch):
    assert claims(WORDS).claim()["verdict"] == "supported"

    def substring(model, prompts, words):
        return [[word for word in row if any(part in word.text for part in words)] for row in words_of(model, prompts)]

    monkeypatch.setattr(between_words, "find_words", substring)
    assert claims(WORDS).claim()["verdict"] == "refuted"
