"""The values of single prompts, and the prompts' texts, beside the evidence: what is written is read, and nothing else is."""

import io
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from runs import OLD, claim, measurement, values, write_run
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.base.reading import read_json
from mechcheck.evidence.parts import Parts
from mechcheck.evidence.samples import texts as texts_
from mechcheck.evidence.samples.arrays import packed_arrays
from mechcheck.evidence.samples.shown import prompts_of
from mechcheck.evidence.samples.texts import joined, packed_texts, read_texts, sets_behind
from mechcheck.evidence.samples.values import packed_values, read_values
from mechcheck.evidence.store import slug, texts_file
from mechcheck.prompts.prompt_set import PromptSet

CLEAN, PATCHED = measurement(values()), replace(measurement(values(0.5)), under="Patch")
LOST = CLEAN - PATCHED
SHARE = LOST / CLEAN
DECOY = measurement(values(0.1))
PROMPTS = random_prompts(0, [4, 7, 5])


def written(tmp_path, *measured, beside=()):
    """Samples of checks on these, and the checks."""
    path = tmp_path / "a.npz"
    path.write_bytes(packed_values(measured, beside))
    return path, claim("a", *measured)["expectations"]


def test_what_a_check_was_made_of_comes_back(tmp_path):
    elsewhere = measurement(values(), first=9)
    found = read_values(
        *written(tmp_path, LOST, SHARE, beside=[{"0.1": DECOY, "other prompts": elsewhere}, {"0.1": (CLEAN - DECOY) / CLEAN}])
    )
    assert [sample.measured.name for sample in found] == ["effect - effect", "(effect - effect) / effect"]
    assert found[0].measured.values.tolist() == LOST.values.tolist()
    for sample in found:
        told = [(one.name, one.unit, one.sign) for one in sample.measured.operands]
        assert told == [("effect", "logits", 1), ("effect, Patch", "logits", -1)]
        np.testing.assert_allclose(sample.measured.operands[1].values, PATCHED.values, rtol=1e-6)
    assert found[0].decoys.keys() == {"0.1"}  # only what was measured on the same prompts stands beside them
    np.testing.assert_allclose(found[0].decoys["0.1"], DECOY.values, rtol=1e-6)
    assert found[1].decoys["0.1"].mean() == pytest.approx(((CLEAN - DECOY) / CLEAN).mean)


def test_the_same_samples_are_the_same_file():
    assert packed_values([LOST]) == packed_values([LOST])
    assert packed_values([LOST]) != packed_values([CLEAN])


def test_samples_of_earlier_versions_are_read(tmp_path):
    path = write_run(tmp_path, claim("a", LOST))
    (sample,) = read_values(tmp_path / "samples" / f"{slug('a')}.npz", read_json(path)["claims"][0]["expectations"])
    assert (sample.measured.operands, dict(sample.decoys), sample.measured.name) == ((), {}, "")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"values_0": None}, "KeyError"),
        ({"values_0": LOST.values.reshape(2, -1)}, "values_0 is no row of numbers"),
        ({"operands_0": LOST.values}, "operands_0 is no table of numbers"),
        ({"operand_signs_0": np.array([0.5, 1])}, "operand_signs_0 is no row of whole numbers"),
        ({"operand_names_0": np.array(["one"])}, "ValueError"),
        ({"decoys_0": np.zeros((1, 3))}, "3 values for 48 prompts"),
        ({"decoy_labels_0": np.array(["a", "b"])}, "ValueError"),
        ({"measured_0": np.array([], dtype=np.str_)}, "IndexError"),
        ({"ids_0": np.array([{}] * 48)}, "allow_pickle"),
        ({"values_0": LOST.values + 1}, "its samples are of another run than the evidence"),
    ],
)
def test_samples_that_are_not_what_they_should_be(tmp_path, changes, said):
    path, checks = written(tmp_path, LOST, beside=[{"0.1": DECOY}])
    with np.load(path) as stored:
        arrays = {name: changes.get(name, stored[name]) for name in stored.files}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    with pytest.raises(MechcheckError, match=said):
        read_values(path, checks)


def test_samples_of_another_run_are_told_by_their_templates_where_the_mean_is_the_same(tmp_path):
    path, (expectation,) = written(tmp_path, CLEAN)
    told = {name: {"value": value, "n": n} for name, (value, n) in CLEAN.by_template.items()}
    read_values(path, [expectation | {"by_template": told}])
    (tmp_path / "a.npz").write_bytes(packed_values([replace(CLEAN, values=CLEAN.values[::-1])]))
    read_values(path, [expectation])  # of which nothing else is known
    with pytest.raises(MechcheckError, match=r"of another run than the evidence: .* on 4 prompts of"):
        read_values(path, [expectation | {"by_template": told}])
    first = next(iter(told))
    (tmp_path / "a.npz").write_bytes(packed_values([CLEAN]))
    moved = told | {first: told[first] | {"n": told[first]["n"] - 1}, "another": {"value": 0.0, "n": 1}}
    with pytest.raises(MechcheckError, match="on 3 prompts of"):
        read_values(path, [expectation | {"by_template": moved}])
    del moved["another"]  # as where two templates have come to one name
    read_values(path, [expectation | {"by_template": moved}])


def test_operands_of_another_number_of_prompts_are_left_out(tmp_path):
    path, checks = written(tmp_path, LOST)
    with np.load(path) as stored:
        arrays = {name: stored[name] for name in stored.files} | {"operands_0": np.zeros((2, 5))}
    path.write_bytes(packed_arrays(arrays))
    assert read_values(path, checks)[0].measured.operands == ()


def test_texts_come_back(tmp_path):
    digest, content = packed_texts(PROMPTS)
    (tmp_path / texts_file(digest)).write_bytes(content)
    found = read_texts(tmp_path, digest)
    assert (found.ids, found.templates) == (list(PROMPTS.ids), list(PROMPTS.templates))
    for row in range(3):
        assert tuple(found.words[number] for number in found.tokens[row]) == PROMPTS.words[row]
        names = {name: at for at, mark in enumerate(found.marks[row]) for name in found.names[mark].split()}
        assert names == {name: int(at[row]) for name, at in PROMPTS.positions.items()}
        assert (found.answers[row], found.foils[row]) == (PROMPTS.shown("answers", row), PROMPTS.shown("foils", row))


def test_spans_and_prompts_without_answers_or_words(tmp_path):
    prompts = PromptSet.from_tokens([[5, 6, 7], [5, 8, 7]], positions={"S": [[0, 1], [1, 2]]})
    digest, content = packed_texts(prompts)
    (tmp_path / texts_file(digest)).write_bytes(content)
    found = read_texts(tmp_path, digest)
    assert [[found.words[number] for number in row] for row in found.tokens] == [["5", "6", "7"], ["5", "8", "7"]]
    assert [[found.names[mark] for mark in row] for row in found.marks] == [["S", "S", "END"], ["", "S", "S END"]]
    assert (found.answers, found.foils) == (None, None)


def test_other_names_of_the_same_prompts_are_another_file():
    other = replace(PROMPTS, positions={"C": PROMPTS.positions["A"]})
    assert (other.sha256, packed_texts(other)[0] == packed_texts(PROMPTS)[0]) == (PROMPTS.sha256, False)


def test_no_text_commands_a_terminal_or_tells_a_secret(tmp_path):
    hostile = ("\u202eevil", "a\x1b[2Jb", "hf_" + "a1" * 10, "to")
    digest, content = packed_texts(replace(PROMPTS, words=(hostile, *PROMPTS.words[1:])))
    (tmp_path / texts_file(digest)).write_bytes(content)
    found = read_texts(tmp_path, digest)
    assert [found.words[number] for number in found.tokens[0]] == ["\\u202eevil", "a\\x1b[2Jb", "***", "to"]


def spoilt(**changes):
    """A file of texts with something else in it, and its hash."""
    with np.load(io.BytesIO(packed_texts(PROMPTS)[1])) as stored:
        content = packed_arrays({name: np.array(changes.get(name, stored[name])) for name in stored.files})
    return texts_.sha256(content).hexdigest(), content


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"tokens": [0, 1]}, "2 tokens and 16 marks for prompts of 16"),
        ({"lengths": [20, -4, 0]}, "for prompts of 16"),
        ({"tokens": [999] * 16}, "tokens that are not there"),
        ({"marks": [-1] * 16}, "marks that are not there"),
        ({"templates": ["a"]}, "it is not of 3 prompts throughout"),
        ({"answers": ["a"]}, "it is not of 3 prompts throughout"),
        ({"words": [1, 2]}, "words is no row of texts"),
    ],
)
def test_texts_that_are_not_what_they_should_be(tmp_path, changes, said):
    digest, content = spoilt(**changes)
    (tmp_path / texts_file(digest)).write_bytes(content)
    with pytest.raises(MechcheckError, match=f"the texts of its prompts cannot be read .*{said}"):
        read_texts(tmp_path, digest)


def test_a_file_that_the_evidence_does_not_name_is_not_read(tmp_path):
    digest, content = packed_texts(PROMPTS)
    with pytest.raises(MechcheckError, match="the texts of its prompts are not beside the evidence"):
        read_texts(tmp_path, digest)
    (tmp_path / texts_file(digest)).write_bytes(content + b"\0")
    with pytest.raises(MechcheckError, match="it is not the file that the evidence names"):
        read_texts(tmp_path, digest)
    for name in ("../../secret", "x" * 64, ""):
        with pytest.raises(MechcheckError, match="is no hash by which"):
            read_texts(tmp_path, name)


def texts_of(prompts, tmp_path):
    digest, content = packed_texts(prompts)
    (tmp_path / texts_file(digest)).write_bytes(content)
    return read_texts(tmp_path, digest)


def said(texts, row):
    """A prompt as a reader sees it."""
    return [(texts.words[token], texts.names[mark]) for token, mark in zip(texts.tokens[row], texts.marks[row], strict=True)]


def test_several_sets_as_one(tmp_path):
    """Whatever their words and names are numbered; what is not marked stays so; of a set that is asked nothing nothing is told."""
    rows = [[3, 1, 2], [2, 2]]
    mute = PromptSet.from_tokens(rows, positions={"A": [1, 0]}, pad=0, decode={1: "one", 2: "two", 3: "three"})
    sets = [texts_of(PROMPTS, tmp_path), texts_of(mute, tmp_path)]
    both = joined(sets)
    assert (both.ids, both.templates) == ([*PROMPTS.ids, *mute.ids], [*PROMPTS.templates, *mute.templates])
    n = len(PROMPTS)
    assert [said(both, row) for row in range(n + 2)] == [*(said(sets[0], row) for row in range(n)), *(said(sets[1], row) for row in (0, 1))]
    assert said(both, n) == [("three", ""), ("one", "A"), ("two", "END")]
    assert all(mark == 0 or both.names[mark] for row in both.marks for mark in row)
    assert both.answers == [*sets[0].answers, None, None]
    assert joined(sets[:1]).tokens == sets[0].tokens


def test_whose_texts_are_kept():
    """The claim's own, also where nothing was measured on them; others only where a prompt behind a check is in no other."""
    few, one, far = PROMPTS[:2], PROMPTS[:1], random_prompts(9, [4, 7])
    assert sets_behind(few.ids, None, [one, few, far]) == [few]
    assert sets_behind(far.ids, PROMPTS, [one, few, far]) == [PROMPTS, far]
    assert sets_behind([*PROMPTS.ids, *far.ids], None, [one, far, PROMPTS]) == [PROMPTS, far]
    assert sets_behind([], None, [one]) == []
    many = [random_prompts(seed, [4]) for seed in range(20)]
    assert len(sets_behind([some.ids[0] for some in many], PROMPTS, many)) == 8


def run_with(tmp_path, **prompts):
    """A run of two claims, the first of which has texts."""
    digest, content = packed_texts(PROMPTS)
    about = {"ids_sha256": "c" * 64, "n": 48, "templates": 12, "examples": [], **prompts}
    path = write_run(tmp_path, claim("a", LOST, SHARE, prompts=about) | {"texts": [digest]}, claim("b", OLD))
    (tmp_path / "samples" / texts_file(digest)).write_bytes(content)
    (tmp_path / "samples" / f"{slug('a')}.npz").write_bytes(packed_values([LOST, SHARE], [{"0.1": DECOY, "0.2": CLEAN}]))
    return SimpleNamespace(digest=digest, evidence=read_json(path), samples=tmp_path / "samples")


def test_what_a_page_shows(tmp_path):
    run = run_with(tmp_path)
    found = prompts_of(run.evidence, tmp_path)
    assert found["texts"].keys() == {run.digest}
    a, b = found["claims"]["a"], found["claims"]["b"]
    assert (a["file"], a["texts"], a["problems"]) == (f"samples/{slug('a')}.npz", run.digest, [])
    assert (b["texts"], b["problems"], b["checks"][0]["operands"], b["checks"][0]["decoys"]) == (None, [], [], None)
    lost, share = a["checks"]
    assert lost["values"] == LOST.values.tolist()
    assert (lost["decoys"]["n"], lost["ratio"]) == (2, False)
    assert lost["decoys"]["values"] == pytest.approx(((DECOY.values + CLEAN.values) / 2).tolist())
    assert (share["ratio"], np.mean(share["values"])) == (True, pytest.approx(SHARE.mean))


def test_a_ratio_of_nothing_and_one_without_parts(tmp_path):
    share, nothing = replace(SHARE, operands=()), replace(SHARE, denominator=np.zeros(48))
    evidence = read_json(write_run(tmp_path, claim("a", share, share)))
    evidence["claims"][0]["expectations"][1]["estimate"]["value"] = None
    (tmp_path / "samples" / f"{slug('a')}.npz").write_bytes(packed_values([share, nothing]))
    first, second = prompts_of(evidence, tmp_path)["claims"]["a"]["checks"]
    assert [(one["name"], one["values"]) for one in first["operands"]] == [
        ("above the line", LOST.values.tolist()), ("below the line", CLEAN.values.tolist()),
    ]  # fmt: skip
    assert np.isnan(second["values"]).all()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: (run.samples / f"{slug('a')}.npz").unlink(), f"its samples are not beside the evidence (no samples/{slug('a')}.npz)"),
        (
            lambda run: (run.samples / f"{slug('a')}.npz").write_bytes(b"PK"),
            f"its samples cannot be read (samples/{slug('a')}.npz: BadZipFile",
        ),
        (lambda run: (run.samples / texts_file(run.digest)).unlink(), "the texts of its prompts are not beside the evidence (no prompts-"),
        (lambda run: (run.samples / texts_file(run.digest)).write_bytes(b""), "the texts of its prompts cannot be read (prompts-"),
    ],
)
def test_what_cannot_be_read_is_told_and_costs_no_other(tmp_path, spoil, said):
    run = run_with(tmp_path)
    spoil(run)
    found = prompts_of(run.evidence, tmp_path)["claims"]
    (problem,) = found["a"]["problems"]
    assert problem.startswith(said)
    assert str(tmp_path) not in problem
    assert (found["b"]["problems"], len(found["b"]["checks"])) == ([], 1)


def test_texts_are_kept_once_and_by_whoever_needs_them_again(tmp_path):
    parts, owner = Parts(tmp_path / ".run-x"), Parts(tmp_path / ".run-x")
    digest = parts.save_texts(PROMPTS)
    file = parts.folder / "samples" / texts_file(digest)
    before = file.stat().st_ino
    assert (parts.save_texts(PROMPTS), file.stat().st_ino) == (digest, before)
    parts.save_record(record := {"id": "a", "nodeid": "test.py::a", "texts": [digest]})
    owner.adopt(record)
    file.unlink()
    owner.heal()  # as when a worker is gone with what it wrote
    assert read_texts(file.parent, digest).ids == list(PROMPTS.ids)
