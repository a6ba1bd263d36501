"""Every prompt of a claim, from the run to the page: kept beside the evidence, whoever ran the claim, and shown as far as asked for."""

import json
import re
import signal
import subprocess
import sys

import numpy as np
import pytest

from mechcheck import cli
from mechcheck.evidence.samples.shown import prompts_of
from mechcheck.evidence.samples.texts import read_texts
from mechcheck.evidence.store import texts_file

HEADER = """
import os, signal
import numpy as np
import pytest
from mechcheck import claim, PromptSet
from mechcheck.stats.measurement import Measurement

WORDS = {1: "When", 2: "Mary", 3: "left", 4: "John", 5: "slept"}
NOISE = np.linspace(-0.5, 0.5, 24)

@pytest.fixture
def prompts():
    rows = [[1, 2 + i % 2, 3, 4 + i // 2 % 2] * (1 + i // 4) for i in range(24)]
    ends = [len(row) - 1 for row in rows]
    return PromptSet.from_tokens(
        rows, positions={"S": [1] * 24}, templates=[f"t{i % 8}" for i in range(24)], pad=0, decode=WORDS,
        answers=[2 + i % 2 for i in range(24)],
    )

def measured(prompts, mean, under):
    return Measurement(mean + NOISE[::-1], prompts.ids, prompts.templates, "preference", "logits", under=under)
"""

TWO = """
    @claim("It takes some of it away", decoy={"mean": 3.0})
    def test_loss(check, prompts, mean=1.0):
        check.above(measured(prompts, 3.0, "untouched") - measured(prompts, mean, "mean ablation"), 0.5)

    @claim("It is there", decoy={"mean": -1.0})
    def test_there(check, prompts, mean=1.0):
        check.above(measured(prompts, mean, "untouched"), 0.75)

    @claim("It measures nothing", decoy={"n": 1})
    def test_nothing(check, prompts, n=1):
        assert False
"""


@pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["alone", "two processes"])
def test_every_prompt_is_kept_and_shown(claims, processes):
    run = claims(TWO, *processes)
    assert run.verdicts == {"test_loss": "supported", "test_there": "supported", "test_nothing": "errored"}
    digests = {name: run.claim(name).get("texts") for name in run.verdicts}
    assert digests["test_loss"] == digests["test_there"] is not None
    assert digests["test_nothing"] is None
    (digest,) = digests["test_loss"]
    texts = read_texts(run.samples, digest)
    assert [texts.words[number] for number in texts.tokens[1]] == ["When", "left", "left", "John"]
    assert {path.name for path in run.samples.glob("prompts-*")} == {texts_file(digest)}

    told = prompts_of(run.evidence, run.report)["claims"]
    (lost,) = told["test_loss"]["checks"]
    assert [(one["name"], one["sign"]) for one in lost["operands"]] == [("preference, untouched", 1), ("preference, mean ablation", -1)]
    assert np.mean(lost["operands"][1]["values"]) == pytest.approx(1.0)
    assert (lost["decoys"]["n"], np.mean(lost["decoys"]["values"])) == (1, pytest.approx(0.0))
    assert told["test_there"]["checks"][0]["operands"] == []

    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert page.count('<section class="each" data-spec=') == 2
    assert "6 of 24 values are not on the claimed side" in page  # of 1 -+ 0.5 above 0.75
    assert re.search(r"<tr class=\"wrong\"><td>0\.5<td dir=\"auto\">When <b", page)  # the last prompt has the smallest value


@pytest.mark.parametrize("processes", [(), ("-n2",)], ids=["alone", "two processes"])
@pytest.mark.parametrize("which", ["worst", "none"])
def test_fewer_of_them(claims, which, processes):
    run = claims(TWO, f"--mech-prompts={which}", *processes)
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert "data-spec=" not in page
    assert 'class="block"' not in page
    assert page.count('<section class="each"') == (2 if which == "worst" else 0)
    assert len([*run.samples.glob("prompts-*.npz")]) == (1 if which == "worst" else 0)
    assert ("texts" in run.claim("loss")) == (which == "worst")
    assert len([*run.samples.glob("test_*.npz")]) == 2  # the values are there to be compared with in any case
    assert page.count("The first 8 of 24") == (1 if which == "worst" else 3)  # as the evidence has them, without a value


OWN = """
from mechcheck import claim, probability, run, task_prompts

@claim("On prompts that it makes itself", models=["names-gpt2-seed4"], decoy={"n": 9})
def test_own(model, check, n=8):
    some, others = (task_prompts("ioi", model, n=n, seed=seed) for seed in (1, 2))
    check.above(run(model, some), -99.0)
    check.below(run(model, others), 99.0)

@claim("On others as well", models=["names-gpt2-seed4"], decoy={"n": 9})
def test_others(model, prompts, check, n=8):
    check.above(run(model, prompts, metric=probability), -99.0)
    check.above(run(model, task_prompts("ioi", model, n=n, seed=1)), -99.0)
"""


def test_prompts_that_a_claim_makes_itself_are_shown_too(claims):
    run = claims(OWN.replace("\n", "\n    "), "--mech-profile=smoke")
    own, others = (run.claim(name) for name in ("test_own", "test_others"))
    assert own["prompts"] is None
    assert len(set(own["texts"])) == 2
    assert others["texts"][1] == own["texts"][0]  # of seed 1
    found = [read_texts(run.samples, digest) for digest in own["texts"]]
    for claim in (own, others):
        told = prompts_of(run.evidence, run.report)
        known = told["texts"][told["claims"][claim["id"]]["texts"]]["ids"]
        assert all(set(one["ids"]) <= set(known) for one in told["claims"][claim["id"]]["checks"])
    assert {len(some.ids) for some in found} == {8}
    page = (run.report / "index.html").read_text(encoding="utf-8")
    assert "texts are not kept" not in page


def test_no_other_word_is_taken(claims):
    run = claims(TWO, "--mech-prompts=some")
    assert run.evidence is None
    assert "invalid choice: 'some'" in run.result.stderr.str()


def test_what_a_killed_run_left_is_shown_too(claims, pytester, in_a_process):
    source = TWO.replace("assert False", "os.kill(os.getpid(), signal.SIGKILL)").replace("\n    ", "\n")
    pytester.makepyfile(test_claims=HEADER + source)
    assert in_a_process("-p", "no:randomly", "-n0").ret == 128 + signal.SIGKILL
    assert cli.main(["recover", "reports"]) == 0
    (folder,) = (pytester.path / "reports").glob("recovered-*")
    evidence = json.loads((folder / "evidence.json").read_text())
    told = prompts_of(evidence, folder)
    assert {name: (one["problems"], one["texts"] in told["texts"]) for name, one in told["claims"].items()} == {
        "test_loss": ([], True), "test_there": ([], True),
    }  # fmt: skip
    assert (folder / "index.html").read_text(encoding="utf-8").count('<section class="each" data-spec=') == 2


def test_the_three_lines_on_the_page_run(claims, pytester):
    run = claims(TWO)
    page = (run.report / "index.html").read_text(encoding="utf-8")
    lines = re.findall(r'<pre class="command">(.*?)</pre>', page, re.DOTALL)
    assert len(lines) == 2
    script = lines[0].replace("&#34;", '"') + "\nprint(len(values), round(sum(values) / len(values), 6))"
    done = subprocess.run([sys.executable, "-c", script], cwd=run.report, capture_output=True, text=True, check=True)
    assert done.stdout == "24 2.0\n"
    (link,) = set(re.findall(r'href="(samples/[^"]*test_loss[^"]*)"', page))
    assert (run.report / link).is_file()


def test_the_page_is_drawn_again_with_more_or_fewer(claims, pytester, capsys):
    run = claims(TWO, "--mech-prompts=worst")
    for which, specs, sections in (("all", 2, 2), ("worst", 0, 2), ("none", 0, 0)):
        assert cli.main(["report", "reports", "-o", "reports/again.html", "--prompts", which]) == 0
        page = (run.report / "again.html").read_text(encoding="utf-8")
        assert (page.count("data-spec="), page.count('<section class="each"')) == (specs, sections)
    assert cli.main(["report", "reports", "-o", "elsewhere.html"]) == 0
    assert re.search(r'href="reports/samples/[^"]*test_loss', (pytester.path / "elsewhere.html").read_text(encoding="utf-8"))
    assert cli.main(["report", "reports", "-o", "away/from/here.html"]) == 0
    away = (pytester.path / "away" / "from" / "here.html").read_text(encoding="utf-8")
    assert ("<code>samples/" in away, 'href="../' in away) == (True, False)
