"""What is on the page becomes a pytest file: what it says, where it goes, and what pytest makes of it."""

import ast
import json
import os
import subprocess
import sys

import pytest

import mechcheck as m
from mechcheck.explorer.prompt import example
from mechcheck.explorer.saving import save

EVIL = [
    "it's", 'say "no"', "a\nb", "c:\\new\\x", '"""', "'''\"\"\"\\", "Größe 图 é", "\u202eevil\u2066", "{task} %s",
    '", id="x")\nimport os #', "\x00\x85\u2028",
    "\\", '\\"""', "\ud800",
]  # fmt: skip


def constants(source: str) -> dict:
    """What the names at the top of a file are."""
    found = {}
    exec(compile(ast.Module([one for one in ast.parse(source).body if isinstance(one, ast.Assign)], []), "made", "exec"), found)
    return found


def statement_of(source: str) -> str:
    """What the one claim of a file says."""
    (call,) = (one for one in ast.walk(ast.parse(source)) if isinstance(one, ast.Call) and getattr(one.func, "id", "") == "claim")
    return ast.literal_eval(call.args[0])


def verdict_of(folder, name: str) -> dict:
    """What pytest makes of a file."""
    subprocess.run(
        [sys.executable, "-m", "pytest", name, "-q", "-c", os.devnull, f"--rootdir={folder}", "--mech-report=rep", "--mech-profile=smoke"],
        cwd=folder, check=False, capture_output=True,
    )  # fmt: skip
    (claim,) = json.loads((folder / "rep" / "evidence.json").read_text())["claims"]
    return claim


@pytest.mark.parametrize("said", EVIL)
def test_what_the_user_wrote_is_a_literal(bench, wanted, said):
    source = bench.claim(wanted | {"statement": said})["source"]
    assert statement_of(source) == said.strip()
    plain = bench.claim(wanted | {"statement": "plain"})["source"]
    assert [type(one) for one in ast.parse(source).body] == [type(one) for one in ast.parse(plain).body]
    assert source == plain.replace("'plain'", repr(said.strip()))
    assert source.encode().decode() == source


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "check.below(changed, THRESHOLD)"),
        ({"expects": "above", "do": "mean"}, 'Ablate(circuit[ROLE], "mean")'),
        ({"measure": "foil_preferred", "expects": "above", "threshold": ".75"}, "check.rate(changed < 0, above=THRESHOLD)"),
        ({"do": "scale", "factor": 3, "heads": "0.1 0.2"}, 'Scale(circuit["chosen"], 3.0)'),
    ],
)
def test_the_file_does_what_the_page_does(bench, wanted, given, expected):
    asked = wanted | given
    found = bench.claim(asked)
    assert found["problems"] == []
    assert expected in found["source"].replace("'", '"')
    known = constants(found["source"])
    assert known["THRESHOLD"] == float(asked["threshold"])
    assert (known["ROLE"] == "s_inhibition") if asked["heads"] == "0.3@END" else (known["SITES"] == "0.1 0.2")
    shown = m.task_prompts("ioi", bench.model, n=240, seed=0, split="discover")
    assert known["EXPLORED"] == {"task": "ioi", "split": "discover", "seed": 0, "ids": list(shown.ids)}


@pytest.mark.parametrize(
    ("given", "places"),
    [
        ({"statement": " \n"}, ["statement"]),
        ({"statement": "x" * 501}, ["statement"]),
        ({"threshold": ""}, ["threshold"]),
        ({"threshold": "nan"}, ["threshold"]),
        ({"threshold": "1e999"}, ["threshold"]),
        ({"threshold": "1", "measure": "foil_preferred"}, ["threshold"]),
        ({"file": "../test_x.py"}, ["file"]),
        ({"file": "conftest.py"}, ["file"]),
        ({"file": "test_x.py\n"}, ["file"]),
        ({"heads": ""}, ["heads"]),
        ({"heads": "9.9"}, ["heads"]),
        ({"do": "none"}, ["do"]),
        ({"task": ""}, ["claim"]),
        ({"row": 1}, ["claim"]),
        ({"foil": "Megan"}, ["claim"]),
        ({"positions": {"IO": 4, "S1": 6, "S2": 11}}, ["claim"]),
        ({"positions": {"IO": 4, "S1": 6, "S2": 12, "here": 2}, "heads": "0.3@here"}, ["heads"]),
        ({"task": "no such task"}, ["task"]),
        ({"threshold": "1", "measure": "correct"}, ["threshold"]),
        ({"threshold": "2", "measure": "faithful"}, ["threshold", "circuit"]),
        ({"threshold": ".2", "measure": "faithful", "expects": "above"}, ["expects", "circuit"]),
        ({"circuit": "source = 1"}, ["circuit"]),
        ({"circuit": "\ud800"}, ["circuit"]),
        ({"statement": "", "threshold": "x", "heads": ""}, ["statement", "threshold", "heads"]),
    ],
)
def test_what_does_not_fit_is_told_at_its_field(bench, wanted, given, places):
    found = bench.claim(wanted | given)
    assert [one["where"] for one in found["problems"]] == places
    assert found["source"] == ""


@pytest.mark.parametrize(
    ("given", "change", "metric", "shown"),
    [
        ({}, m.Patch(m.heads("0.3@END")), m.logit_diff, "logit difference"),
        (
            {"heads": "0.1", "do": "zero", "measure": "probability", "expects": "above", "threshold": "0.01"},
            m.Ablate(m.heads("0.1"), "zero"), m.probability, "p(answer)",
        ),
    ],
    ids=["role patched", "heads ablated"],
)  # fmt: skip
def test_pytest_estimates_what_the_page_says_of_the_same_prompts(bench, wanted, given, change, metric, shown, tmp_path, warm):
    """Two runs of pytest, each of some seconds: the imports alone are two."""
    source = bench.claim(wanted | given)["source"]
    save(tmp_path, "test_flips.py", source, False)
    (one,) = verdict_of(tmp_path, "test_flips.py")["expectations"]
    drawn = m.task_prompts("ioi", bench.model, n=96, seed=1)
    assert not set(drawn.ids) & set(constants(source)["EXPLORED"]["ids"])
    assert one["estimate"]["value"] == pytest.approx(m.run(bench.model, drawn, change, metric).mean, abs=1e-6)
    # The page, which reads each prompt from its text, says the same on the mean.
    said = []
    for row in range(len(drawn)):
        there = example(bench.model, drawn, row)
        asked = wanted | given | {name: there[name] for name in ("text", "counterfactual", "answer", "foil", "positions", "references")}
        numbers = {found["name"]: found["values"] for found in bench.predict(asked)["numbers"]}
        said.append(numbers[shown][1])
    assert sum(said) / len(said) == pytest.approx(one["estimate"]["value"], abs=1e-6)


def test_prompts_that_were_shown_are_left_out(bench, wanted, tmp_path, warm):
    fresh = m.task_prompts("ioi", bench.model, n=96, seed=1)
    source = bench.claim(wanted)["source"].replace('"ids": """', f'"ids": """\n{" ".join(fresh.ids[:40])}')
    save(tmp_path, "test_flips.py", source, False)
    (one,) = verdict_of(tmp_path, "test_flips.py")["expectations"]
    assert one["estimate"]["n"] == 56
    assert one["estimate"]["value"] == pytest.approx(m.run(bench.model, fresh[40:], m.Patch(m.heads("0.3@END"))).mean, abs=1e-6)


def test_end_that_was_put_elsewhere_is_no_position_of_fresh_prompts(bench, wanted):
    found = bench.claim(wanted | {"positions": wanted["positions"] | {"END": 3}})
    assert found["problems"] == [{"where": "claim", "said": "END stands elsewhere here than in the prompts of ioi"}]


@pytest.mark.parametrize("measure", ["logit_diff", "foil_preferred"])
def test_no_claim_where_nothing_is_predicted(bench, wanted, measure):
    found = bench.claim(wanted | {"do": "scale", "factor": 1e39, "heads": "0.3", "measure": measure, "threshold": "0.5"})
    assert [one["where"] for one in found["problems"]] == ["do"]
    assert found["source"] == ""
