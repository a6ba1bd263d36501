"""Single prompts on the page: the worst stand in it, all are packed, and what they mean is said."""

import json
import math
import re
from types import SimpleNamespace

import numpy as np
import pytest
from made_prompts import check, difference, texts, told, values
from page_reader import Page, claim_html
from test_pack import unpacked

from mechcheck.report import _prompts, _texts, _values, render
from mechcheck.report._prompts import Prompts

TEXTS = texts(12)


def page_of(make: SimpleNamespace, tmp_path, checks, expectations, known=TEXTS, which="all", **changes) -> str:
    """The page of one claim."""
    evidence = make.evidence([make.claim("c", expectations=expectations, **changes)])
    return render(evidence, told(tmp_path, known, c=checks), tmp_path, which)


def shown(make: SimpleNamespace, tmp_path, found, expectation) -> _values.Check:
    """One check, as the page has it."""
    claim = make.claim("c", expectations=[expectation])
    (made,) = Prompts(told(tmp_path, TEXTS, c=[found]), tmp_path).checks(claim)
    return made


@pytest.mark.parametrize(
    ("expectation", "order", "wrong"),
    [
        ({"kind": "above", "threshold": 0.5}, [2, 0, 3, 1], {2, 0}),
        ({"kind": "below", "threshold": 0.5}, [1, 3, 0, 2], {1, 3}),
        ({"kind": "between", "threshold": [0.0, 0.5]}, [1, 2, 3, 0], {2, 1, 3}),
        ({"kind": "equivalent", "threshold": 1.0, "margin": 1.5}, [2, 1, 0, 3], {2}),
        ({"kind": "greater", "threshold": 0.9}, [2, 0, 3, 1], {2, 0, 3}),
        ({"kind": "rate", "threshold": 0.9}, [2, 0, 3, 1], {2, 0}),
        ({"kind": "rate", "threshold": 0.9, "region": [None, 0.9]}, [1, 3, 0, 2], {1, 3}),
        ({"kind": "rate", "threshold": 0.9, "region": [None, None]}, [2, 0, 3, 1], set()),
    ],
)
def test_worst_is_what_is_furthest_on_the_wrong_side(make, tmp_path, expectation, order, wrong):
    found = shown(make, tmp_path, check([0.25, 2.0, -1.0, 0.75], TEXTS), make.expectation(**expectation))
    assert (found.order, found.wrong) == (order, wrong)


def test_what_is_on_the_threshold_is_not_on_the_claimed_side(make, tmp_path):
    assert shown(make, tmp_path, check([0.5, 0.75], TEXTS), make.expectation(threshold=0.5)).wrong == {0}


@pytest.mark.parametrize(
    ("region", "sign", "order"), [([0.9, None], 1, [1, 2, 0]), ([0.9, None], -1, [0, 2, 1]), ([None, 0.9], 1, [0, 2, 1])]
)
def test_yes_and_no_are_told_apart_by_what_was_compared(make, tmp_path, region, sign, order):
    compared = {"name": "preference", "unit": "logits", "values": [3.0, -2.0, 1.0], "sign": sign}
    found = check([1.0, 1.0, 1.0], TEXTS, operands=[compared])
    assert shown(make, tmp_path, found, make.expectation(kind="rate", threshold=0.9, region=region)).order == order


def test_values_that_are_none_stand_last(make, tmp_path):
    found = shown(make, tmp_path, check([math.nan, 2.0, math.inf, -math.inf], TEXTS), make.expectation(threshold=0.5))
    assert (found.order, found.columns[0].values) == ([3, 1, 2, 0], ["nan", "2", "inf", "-inf"])


@pytest.mark.parametrize(
    ("values", "threshold", "shown_as", "wrong"),
    [
        ([10000.1, 10000.7, 10000.4, 10001.0], 10000.4, ["10000.1", "10000.7", "10000.4", "10001.0"], {0, 2}),
        ([-1e6, -1e6 - 0.25, -1e6 + 0.5], -1e6, ["-1000000", "-1000000.2", "-999999.5"], {0, 1}),
        ([0.50000004, 0.4999999, 2.0], 0.5, ["0.50000004", "0.4999999", "2"], {1}),
        ([1 / 3, 1 / 7, -2 / 3], 0.0, ["0.3333", "0.1429", "-0.6667"], {2}),
        ([1e30, 2e-30, -1e300], 0.0, ["1e+30", "2e-30", "-1e+300"], {2}),
    ],
)
def test_rounding_puts_no_value_on_another_side_nor_all_on_one_number(make, tmp_path, values, threshold, shown_as, wrong):
    found = shown(make, tmp_path, check(values, TEXTS), make.expectation(threshold=threshold))
    texts_shown = [float(text) for text in found.columns[0].values]
    assert texts_shown == pytest.approx([float(text) for text in shown_as], rel=1e-7)
    assert (found.wrong, found.order) == (wrong, sorted(range(len(values)), key=lambda i: values[i]))
    assert max(len(text.strip("-")) for text in found.columns[0].values) <= 10


def test_the_worst_five_stand_in_the_page_with_what_they_were_made_of(make, tmp_path):
    found = difference([float(i) - 2.5 for i in range(12)], TEXTS)
    html = page_of(make, tmp_path, [found], [make.expectation(threshold=0.0, unit="logits")])
    section = re.search(r'<section class="each".*?</section>', html, re.DOTALL)[0]
    rows = re.findall(r"<tr( class=\"wrong\")?><td>(\S+?)<td dir=\"auto\">(.*)<td>(\S+?)<td>(\S+?)$", section, re.MULTILINE)
    assert [(wrong != "", value, clean) for wrong, value, _, clean, _ in rows] == [
        (True, "-2.5", "0.5"), (True, "-1.5", "1.5"), (True, "-0.5", "2.5"), (False, "0.5", "3.5"), (False, "1.5", "4.5"),
    ]  # fmt: skip
    assert {patched for *_, patched in rows} == {"3"}
    assert rows[0][2] == 'When <b class="ans"> Mary<sub>S</sub></b>  went home went <b> to<sub>END</sub></b> '
    assert "asked for <bdi> Mary</bdi>" in rows[1][2]  # which does not stand in it
    heads = re.findall(r'<th scope="col">(?:<bdi>)?([^<]*)', section)
    assert heads == ["preference (logits)", "prompt", "preference, untouched (logits)", "preference, Patch (logits)"]
    assert "The worst 5 of 12 for logit difference above 0 (> 0 logits). 3 of 12 values are not on the claimed side" in Page(section).text


@pytest.mark.parametrize("which", ["all", "worst"])
def test_the_worst_need_no_script_on_a_large_page_either(make, tmp_path, monkeypatch, which):
    monkeypatch.setattr("mechcheck.report._render._INLINE", -1)
    html = page_of(make, tmp_path, [difference(values(12), TEXTS)], [make.expectation()], which=which)
    assert re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL).count("went home went") == 5
    assert ("data-spec=" in html) == (which == "all")


def test_all_of_them_are_packed_and_what_is_equal_is_packed_once(make, tmp_path):
    clean = values(12)
    pair = [difference(clean, TEXTS), difference(clean, TEXTS)]
    evidence = make.evidence([make.claim(name, expectations=[make.expectation()]) for name in "ab"])
    html = render(evidence, told(tmp_path, TEXTS, a=pair[:1], b=pair[1:]), tmp_path)
    parts = unpacked(html)
    first, second = (json.loads(parts[int(number)]) for number in re.findall(r'data-spec="(\d+)"', html))
    assert first["checks"] == second["checks"]
    assert (first["texts"], first["file"], second["file"]) == (second["texts"], "samples/r/a.npz", "samples/r/b.npz")
    names, columns = zip(*first["checks"][0]["columns"], strict=True)
    assert names == ("preference (logits)", "preference, untouched (logits)", "preference, Patch (logits)", "decoys, mean of 2 (logits)")
    assert [float(x) for x in parts[columns[0]].split()] == pytest.approx(clean, rel=5e-4)
    assert first["checks"][0]["rows"] is None  # those of the set, in its order
    known = json.loads(parts[first["texts"]])
    assert (known["between"], known["words"][:2], known["tokens"][1]) == ("", ["When", " Mary"], "0 2 3 4 3 5")


def test_prompts_of_another_order_or_without_texts(make, tmp_path):
    found = check([1.0, 2.0, 3.0], TEXTS) | {"ids": [TEXTS["ids"][4], "somewhere else", TEXTS["ids"][0]]}
    html = page_of(make, tmp_path, [found], [make.expectation()])
    parts = unpacked(html)
    (told_of,) = json.loads(parts[int(re.search(r'data-spec="(\d+)"', html)[1])])["checks"]
    assert parts[told_of["rows"]] == "4 -1 0"
    assert json.loads(parts[told_of["unknown"]])[1] == ["template 1", "somewhere else"]
    assert "somewhere , template 1" in Page(page_of(make, tmp_path, [found], [make.expectation()], known=None)).text


def test_each_check_has_its_own_values_and_the_deciding_one_is_shown(make, tmp_path):
    checks = [check([1.0] * 12, TEXTS), difference(values(12), TEXTS), check([], TEXTS)]
    expectations = [
        make.expectation(label="one"),
        make.expectation(label="two"),
        make.expectation(label="three", kind="for_all", threshold=0.5),
    ]
    html = page_of(make, tmp_path, checks, expectations, deciding=1)
    spec = json.loads(unpacked(html)[int(re.search(r'data-spec="(\d+)"', html)[1])])
    assert ([one["title"] for one in spec["checks"]], spec["chosen"]) == (["check 1 of 3: one", "check 2 of 3: two"], 1)
    assert "The worst 5 of 12 for check 2 of 3: two" in Page(html).text
    assert "samples[&#34;ids_1&#34;], samples[&#34;values_1&#34;]" in html


@pytest.mark.parametrize(
    ("found", "expectation", "said"),
    [
        (
            {"ratio": True},
            {"kind": "above"},
            "A ratio of means has no value for a single prompt: shown is what each adds to it, to first order",
        ),
        ({}, {"kind": "rate", "threshold": 0.5}, "what is claimed is their share, not each of them"),
        ({"values": [1.0, 2.0]}, {"kind": "above"}, "All 2 values are on the claimed side"),
        ({"values": [1.0, math.nan]}, {"kind": "above"}, "1 of 2 values are undefined. All others are on the claimed side"),
        ({"values": [math.nan, -1.0]}, {"kind": "above"}, "1 of 2 values are undefined. 1 of 2 values are not on the claimed side"),
        ({"values": [math.nan, math.nan]}, {"kind": "above"}, "(> 0 logits). 2 of 2 values are undefined."),
        ({}, {"kind": "rate", "threshold": 0.5, "region": [None, None]}, "The lowest 2 of 2 for logit difference above 0"),
    ],
)
def test_what_they_mean_is_said(make, tmp_path, found, expectation, said):
    html = page_of(make, tmp_path, [check([-1.0, 2.0], TEXTS) | found], [make.expectation(**expectation)])
    assert said in Page(html).text
    assert ("All 2 values" in Page(html).text) == said.startswith("All 2 values")


def test_a_positive_control_is_no_decoy(make, tmp_path):
    found = check([1.0, 2.0], TEXTS, decoys={"n": 1, "values": [0.0, 0.0]})
    html = page_of(make, tmp_path, [found], [make.expectation()], expect="refuted", verdict="refuted")
    spec = json.loads(unpacked(html)[int(re.search(r'data-spec="(\d+)"', html)[1])])
    assert spec["checks"][0]["columns"][1][0] == "positive control (logits)"


def test_where_there_are_very_many_the_worst_are_on_the_page(make, tmp_path, monkeypatch):
    for module in (_prompts, _values):
        monkeypatch.setattr(module, "MOST", 4)
    html = page_of(make, tmp_path, [check([9.0, 1.0, 8.0, 2.0, 3.0, -1.0], TEXTS)], [make.expectation()])
    parts = unpacked(html)
    (told_of,) = json.loads(parts[int(re.search(r'data-spec="(\d+)"', html)[1])])["checks"]
    assert (parts[told_of["columns"][0][1]], parts[told_of["rows"]], told_of["n"]) == ("1 2 3 -1", "1 3 4 5", 6)
    assert "The page has the worst 4 of them." in told_of["meaning"]
    assert told_of["bins"] == {"low": -1.0, "high": 9.0, "least": -1.0, "most": 9.0, "counts": [1, 1, 1, 1, 0, 0, 0, 2]}


def test_the_middle_of_a_long_prompt_is_left_out(make, tmp_path, monkeypatch):
    monkeypatch.setattr(_texts, "_LONGEST", 4)
    html = page_of(make, tmp_path, [check([1.0], TEXTS)], [make.expectation()])
    assert 'When <b class="ans"> Mary<sub>S</sub></b> […] went <b> to' in html


def test_hostile_texts_are_written_out(make, tmp_path):
    script, turned = "<script>alert(1)</script>", "\u202eevil"
    known = texts(2, words=[script, turned, "\n", "</script>", "\x1b", "to"])
    known["names"][1], known["templates"][0] = script, f"{script}\x1e"
    found = difference([1.0, 2.0], known, name=script)
    html = page_of(make, tmp_path, [found], [make.expectation(label=script, unit=turned)], known=known)
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert" in html
    parts = unpacked(html)
    spec = json.loads(parts[int(re.search(r'data-spec="(\d+)"', html)[1])])
    sets = json.loads(parts[spec["texts"]])
    assert (sets["words"][:2], sets["words"][4]) == ([script, "\\u202eevil"], "\\u001b")
    assert (sets["names"][1], sets["templates"][0]) == (script, f"{script}\\u001e")
    for part in parts:
        assert not re.search(r"[\x00-\x08\x0e-\x1f\u202e]", part)


def test_problems_are_told_beside_what_there_is(make, tmp_path):
    evidence = make.evidence([make.claim("c")])
    found = told(tmp_path, None, c=[])
    found["claims"]["c"]["problems"] = ["its samples are not beside the evidence (no <b>)"]
    html = claim_html(render(evidence, found, tmp_path), "c")
    assert "Not every prompt is shown: its samples are not beside the evidence (no <b>)" in Page(html).text
    assert "The first 1 of 400" in Page(html).text  # as the evidence has them


def test_the_samples_are_linked_to_where_they_lie_below_the_page(make, tmp_path):
    evidence = make.evidence([make.claim("c", expectations=[make.expectation()])])
    found = told(tmp_path / "a b", TEXTS, c=[check([1.0], TEXTS)])
    for folder, link in ((tmp_path, "a%20b/samples/r/c.npz"), (tmp_path / "a b", "samples/r/c.npz"), (tmp_path / "c", None), (None, None)):
        html = render(evidence, found, folder)
        assert re.findall(r'<a href="([^"]*npz)"', html) == ([] if link is None else [link])
        assert "<code>samples/r/c.npz</code>" in html


def test_columns_that_are_called_the_same_are_numbered(make, tmp_path):
    one = {"name": "preference, mean ablation", "unit": "logits", "values": [1.0], "sign": 1}
    found = check([1.0], TEXTS, operands=[one, one | {"name": "loss"}, one | {"sign": -1}])
    names = [column.name for column in shown(make, tmp_path, found, make.expectation()).columns]
    assert names == ["preference", "preference, mean ablation, number 1", "loss", "preference, mean ablation, number 2"]


def test_three_lines_load_every_value_also_of_prompts_that_were_drawn_twice(make, tmp_path, monkeypatch):
    claim = make.claim("c", expectations=[make.expectation(), make.expectation()], deciding=1)
    found = told(tmp_path, TEXTS, c=[check([5.0], TEXTS), check([1.0, 2.0, 4.0], TEXTS)])
    (tmp_path / "samples" / "r").mkdir(parents=True)
    np.savez(tmp_path / "samples" / "r" / "c.npz", values_0=[5.0], ids_0=["a"], values_1=[1.0, 2.0, 4.0], ids_1=["a", "b", "a"])
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    exec(Prompts(found).python(claim), names)
    assert (names["ids"].tolist(), names["values"].tolist()) == (["a", "b", "a"], [1.0, 2.0, 4.0])


def test_prompts_without_a_value_are_counted(make, tmp_path):
    """A claim's own prompts come first among the known ones; here the last two of twelve are others."""
    own = make.claim()["prompts"] | {"n": 10}

    def said(found, **changes):
        return Page(page_of(make, tmp_path, [found], [make.expectation()], **{"prompts": own} | changes)).text

    some = check([1.0, 2.0, 3.0], TEXTS)
    other = some | {"ids": TEXTS["ids"][-2:], "values": [1.0, 2.0], "templates": TEXTS["templates"][-2:]}
    assert "7 of the claim's 10 prompts have no value here." in said(some)
    assert "These are other prompts than the claim's 10." in said(other)
    unknown = "Their texts are not kept: their ids and templates are known alone."
    for found, changes in ((some, {"known": None}), (some, {"known": None, "prompts": None}), (some | {"ids": ["a", "b", "c"]}, {})):
        assert unknown in said(found, **changes)
    for found, changes in ((check(values(10), TEXTS), {}), (check(values(12), TEXTS), {}), (some, {"prompts": None})):
        whole = said(found, **changes)
        for words in ("have no value here", "other prompts", "not kept"):
            assert words not in whole
    twice = TEXTS | {"ids": [*TEXTS["ids"][:9], TEXTS["ids"][0], *TEXTS["ids"][10:]]}
    for n, left in ((10, ""), (9, ""), (8, "1 of the claim's 10 prompts have no value here.")):
        text = said(check(values(n), twice), known=twice)
        assert "".join(re.findall(r"\d+ of the claim's .*? here\.", text)) == left


def test_decoys_that_decided_nothing_and_tries_that_are_not_recorded_are_told(make):
    decoys = make.rich_claims()[0]["decoys"]
    for rejected, supported, said in (
        (8, 0, "8 of 8 rejected."),
        (5, 1, "5 of 8 rejected, 1 satisfied the claim too, 2 decided nothing."),
        (5, 0, "5 of 8 rejected, 3 decided nothing."),
    ):
        claim = make.claim("c", decoys=decoys | {"rejected": rejected, "supported": supported})
        text = Page(render(make.evidence([claim]))).text
        assert said in text
        assert "tried how often is not recorded" in text
    assert (
        "not recorded"
        not in Page(render(make.evidence([make.claim("c", verdict="skipped", met=None, expectations=[], deciding=None)]))).text
    )
