"""The page as a reader without JavaScript gets it: everything there, nothing but text, nothing from elsewhere."""

import base64
import hashlib
import re
from types import SimpleNamespace

from page_reader import Page, claim_html

from mechcheck.report import anchor, render
from mechcheck.report._claims import contrast_values
from mechcheck.report._grids import grids


def test_every_claim_is_there_once(rich: dict) -> None:
    page = Page(render(rich))
    ids = [a["id"] for a in page.all("div", "body")]
    assert sorted(ids) == sorted(anchor(c["id"]) for c in rich["claims"])
    assert len(list(page.all("details", "claim"))) == len(rich["claims"])
    assert page.unbalanced == []
    assert page.open == []
    all_ids = [a["id"] for _, a in page.elements if "id" in a]
    assert len(all_ids) == len(set(all_ids))


def test_links_within_the_page_lead_somewhere(rich: dict) -> None:
    page = Page(render(rich))
    ids = {a["id"] for _, a in page.elements if "id" in a}
    targets = [a["href"] for a in page.all("a") if (a["href"] or "").startswith("#")]
    assert len(targets) >= 2 * len(rich["claims"])  # from the cards and from the claims
    assert {t[1:] for t in targets if t} <= ids


def test_it_reads_without_a_script(rich: dict) -> None:
    html = render(rich)
    text = Page(re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)).text
    assert "\\u202e" in text  # the order of the text around it cannot be turned round
    for claim in rich["claims"]:
        plain = [
            claim["statement"].replace("\u202e", "\\u202e"),
            claim["reason"].replace("\x00", "\\u0000"),
            claim["command"],
            claim["nodeid"],
        ]
        for e in claim["expectations"]:
            plain += [e["label"], e["estimate"]["method"], *e["by_template"], *(e["control"]["labels"] if e["control"] else [])]
        plain += [run["label"] for run in (claim["decoys"] or {"runs": []})["runs"]]
        plain += [f["title"] for f in claim["figures"]]
        plain += list(claim["circuit"]["roles"].values()) if claim["circuit"] else []
        plain += [claim["model"]["weights_sha256"], claim["prompts"]["ids_sha256"]] if claim["model"] and claim["prompts"] else []
        for words in plain:
            assert " ".join(words.split()) in text, f"{words!r} of {claim['id']} is missing"


def test_a_large_heatmap_brings_its_values_along(make: SimpleNamespace) -> None:
    values = [[r + c / 100 for c in range(64)] for r in range(48)]
    page = Page(render(make.evidence([make.claim(figures=[make.heatmap(48, 64, values=values)])])))
    (figure,) = page.all("figure", "heat")
    assert [float(x) for x in (figure["data-values"] or "").split()] == [round(x, 2) for line in values for x in line]
    (image,) = page.all("img")
    assert (image["width"], image["height"]) == ("64", "48")


def test_everything_is_escaped(make: SimpleNamespace) -> None:
    html = render(make.evidence([make.hostile_claim()]))
    page = Page(html)
    assert len(page.scripts) == 1
    assert "alert(" not in page.scripts[0]
    assert page.text.count("<script>alert(1)</script>") >= 10
    assert {t for t, _ in page.elements} & {"b", "i", "u", "sup"} == set()
    assert list(page.all("img")) == []
    assert "{{ 7 * 7 }}" in page.text
    assert "😀" in page.text
    assert "שלום" in page.text
    assert "\x00" not in html
    assert "\u202e" not in html
    assert page.unbalanced == []
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)


def test_nothing_is_loaded_from_elsewhere(rich: dict) -> None:
    html = render(rich)
    page = Page(html)
    for tag, attributes in page.elements:
        for name in ("src", "srcset", "action", "data", "poster", "background", "xlink:href"):
            assert (attributes.get(name) or "data:").startswith("data:"), (tag, name)
        if "href" in attributes:
            assert tag == "a"
            assert re.match(r"#(claim|file|model|circuit|h)-|https://arxiv\.org/abs/|https://evil\.example/", attributes["href"] or "")
        assert tag not in {"link", "iframe", "object", "embed", "base", "use", "image"}
        assert "style" not in attributes
    style = html[html.index("<style>") : html.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_the_policy_allows_only_our_own_script(make: SimpleNamespace) -> None:
    page = Page(render(make.evidence([])))
    names = [t for t, _ in page.elements]
    (policy,) = [a["content"] or "" for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert names.index("meta") + 1 < names.index("style")  # before anything that it governs
    digest = base64.b64encode(hashlib.sha256(page.scripts[0].encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'",
        "style-src 'unsafe-inline'",
        f"script-src 'unsafe-inline' 'sha256-{digest}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
    ]


def test_arxiv_numbers_are_links(make: SimpleNamespace) -> None:
    page = Page(render(make.evidence([make.claim(source="A 2022, arXiv:2211.00593v2; B, arXiv:cs.LG/0102003.")])))
    links = {a["href"] for a in page.all("a")}
    assert {"https://arxiv.org/abs/2211.00593v2", "https://arxiv.org/abs/cs.LG/0102003"} <= links
    assert "A 2022, arXiv:2211.00593v2; B, arXiv:cs.LG/0102003." in page.text


def test_a_row_shows_effect_interval_n_and_decoys(make: SimpleNamespace) -> None:
    runs = [{"label": f"d{i}", "verdict": "refuted" if i else "supported", "values": {"x": 0.25}} for i in range(20)]
    claim = make.claim(decoys={"kind": "random sites", "n": 20, "supported": 1, "rejected": 19, "caveat": None, "runs": runs})
    text = Page(render(make.evidence([claim]))).text
    assert "names-gpt2-s0 1.25 logits [0.98, 1.49] 95% 400 (20) 19 of 20 rejected" in text
    assert "p (adjusted) 2.3e-04 (0.0012)" in text
    assert "80,512 parameters, folded weights, float32 on cpu" in text


def test_an_expected_refutation_is_as_claimed(make: SimpleNamespace) -> None:
    refuted = [make.expectation(-1.0, -1.5, -0.5, verdict="refuted")]
    decoys = {"kind": "compiled model", "n": 2, "supported": 1, "rejected": 1, "caveat": None, "runs": []}
    expected = make.claim("a", expect="refuted", verdict="refuted", met=True, expectations=refuted, decoys=decoys)
    plain = make.claim("b", verdict="refuted", met=False, expectations=refuted)
    surprise = make.claim("c", expect="refuted", verdict="supported", met=False)
    html = render(make.evidence([expected, plain, surprise]))
    text = Page(html).text
    assert "1 of 3 claims came out as claimed; 2 did not: 1 supported against expectation, 1 refuted." in text
    assert "✗ 2 refuted1 as expected" in text
    a, b, c = (Page(claim_html(html, i)).text for i in "abc")
    assert a.startswith("✗ refuted, as expected")
    assert "1 of 2 positive controls" in a
    assert "c-decoys warn" not in html
    assert b.startswith("✗ refuted Ablating")
    assert c.startswith("✓ supported, expected refuted")
    assert 'chip v-refuted met"' in claim_html(html, "a")
    assert 'chip v-supported unmet"' in claim_html(html, "c")
    none = expected | {"decoys": decoys | {"n": 1, "supported": 0}}
    assert '<span class="c-decoys warn">0 of 1 <small>positive control</small>' in render(make.evidence([none]))
    # What did not come out as claimed stands first.
    assert html.index('id="claim-b"') < html.index('id="claim-c"') < html.index('id="claim-a"')


def test_a_card_shows_what_has_been_shown_and_what_has_not(make: SimpleNamespace) -> None:
    claims = [
        make.claim("n1"),
        make.claim("n2", verdict="inconclusive", met=False),
        make.claim("b1", kind="behaviour"),
        make.claim("s1", kind="sufficiency", verdict="skipped", met=None),
        make.claim("g1", kind="generalisation", verdict="vacuous", met=False, model=make.model("other")),
    ]
    html = render(make.evidence(claims))
    first, second = (Page(part).text for part in html.split('<article class="card">')[1:])
    assert first.startswith("ioi on names-gpt2-s0")
    assert re.search(
        r"behaviour ✓.* 1 of 1 as claimed structure no claim necessity ✓.*\?.* 1 of 2 as claimed, 1 inconclusive sufficiency –.* not run",
        first,
    )
    assert "specificity no claim generalisation no claim circuit: s_inhibition 0.3@END, name_mover 1.0 1.2@END" in first
    assert second.startswith("ioi on other")
    assert "0 of 1 as claimed, 1 vacuous" in second


def test_sentinels_are_quiet_when_they_pass_and_loud_when_they_fail(make: SimpleNamespace) -> None:
    passed = {"model": "m", "name": "self patch", "passed": True, "detail": "largest change 0"}
    quiet = render(make.evidence([], sentinels=[passed]))
    assert "1 sentinel check passed on m" in Page(quiet).text
    assert not any("open" in a for a in Page(quiet).all("details"))
    loud = render(make.evidence([], sentinels=[passed, passed | {"name": "hooks", "passed": False, "detail": "2 left"}]))
    assert "! 1 of 2 sentinel checks failed on m" in Page(loud).text
    assert [a for a in Page(loud).all("details", "failed") if "open" in a]
    assert "No sentinel checks were recorded." in Page(render(make.evidence([], sentinels=[]))).text


def test_the_header_says_what_the_run_was(make: SimpleNamespace) -> None:
    text = Page(render(make.evidence([], dirty=True))).text
    for part in ("21 Nov 2026, 02:14 UTC", "commit a3cdf6409b + uncommitted changes", "profile ci", "97.5% one-sided (95% intervals)",
                 "seed 0", "complete", "pytest claims -n2", "torch 2.13.0", "This run holds no claims."):  # fmt: skip
        assert part.replace(" ", "") in text.replace(" ", ""), part
    assert "INTERRUPTED" not in text


def test_an_interrupted_run_says_so(make: SimpleNamespace) -> None:
    page = Page(render(make.evidence([make.claim()], complete=False, commit=None, dirty=None)))
    assert "INTERRUPTED. This run did not finish" in page.text
    assert "no commit" in page.text
    assert [a for a in page.all("p", "banner") if a.get("role") == "alert"]


def test_tokens_positions_answer_and_foil_are_marked(make: SimpleNamespace) -> None:
    html = render(make.evidence([make.claim()]))
    assert '<span class="tok ans pos"><bdi> Mary</bdi><sub>IO</sub></span>' in html
    assert '<span class="tok foil pos"><bdi> John</bdi><sub>S2</sub></span>' in html
    assert '<span class="tok"><bdi> and</bdi></span>' in html


def test_decoys_are_known_by_their_place_where_labels_name_sites(make: SimpleNamespace) -> None:
    expectations = [make.expectation(label="effect of 0.3"), make.expectation(label="share")]
    runs = [
        {"label": "0.1", "verdict": "refuted", "values": {"effect of 0.1": 0.125, "share": 0.5}},
        {"label": "0.2", "verdict": "refuted", "values": {"share": 0.75}},
        {"label": "0.0", "verdict": "inconclusive", "values": {}},
    ]
    claim = make.claim(
        expectations=expectations, decoys={"kind": "random sites", "n": 3, "supported": 0, "rejected": 3, "caveat": None, "runs": runs}
    )
    assert contrast_values(claim) == [[0.125, 0.5], [None, 0.75], [None, None]]
    text = Page(render(make.evidence([claim]))).text
    assert "0.1 ✗ refuted 0.12 0.50 0.2 ✗ refuted – 0.75 0.0 ? inconclusive – –" in text


def test_the_same_test_under_other_methods_and_on_other_models_is_a_grid(make: SimpleNamespace) -> None:
    def one(method: str, model: str, value: float) -> dict:
        nodeid = f"claims/test_x.py::test_x[{method}-{model}]"
        e = make.expectation(value, value - 0.5, value + 0.5)
        return make.claim(f"x[{method}-{model}]", nodeid=nodeid, params={"method": method}, model=make.model(model), expectations=[e])

    claims = [one("zero", "a", 1.0), one("mean", "a", 2.0), one("zero", "b", 3.0)]
    alone = make.claim("alone")
    grid = grids([*claims, alone])
    assert "alone" not in grid
    assert grid["x[mean-a]"].columns == ["zero", "mean"]
    assert [(model, [c and c["id"] for c in cells]) for model, cells in grid["x[mean-a]"].rows] == [
        ("a", ["x[zero-a]", "x[mean-a]"]),
        ("b", ["x[zero-b]", None]),
    ]
    text = Page(claim_html(render(make.evidence(claims)), "x[zero-b]")).text
    assert "Under each method Shown: logit difference above 0 zero mean a ✓ supported 1.00 [0.50, 1.50] ✓ supported 2.00" in text
    assert "2.00 [1.50, 2.50] b ✓ supported 3.00" in text


def test_counterexamples_are_shown_as_tokens(make: SimpleNamespace) -> None:
    """Beside the verdict, with what was measured; a search shows no interval, as it has none."""
    estimate = make.estimate(0.0, 0.0, 0.0, n=37, clusters=37, level=1.0, method="counterexample: the 37th distinct example that was tried")
    broken = make.expectation(kind="for_all", threshold=0.5, unit="", estimate=estimate, p=None, p_adjusted=None, verdict="refuted")
    found = make.counterexample(["Mary", " gave", "\n"])
    html = render(make.evidence([make.claim(expectations=[broken], counterexamples=[found], verdict="refuted", met=False)]))
    text = Page(html).text
    assert '<span class="tok ans pos"><bdi>Mary</bdi><sub>IO</sub></span>' in html
    assert "search counterexample: the 37th distinct example that was tried Counterexample, shrunk MaryIO gave⏎ asked for Mary" in text
    assert "; logit difference -0.5 logits" in text
    assert "claimed: of every example" in text
    assert "100%" not in text


def test_a_counterexample_that_is_no_prompt(make: SimpleNamespace) -> None:
    found = make.counterexample(["x"], example="('Mary', <b>)", prompts=[], n_prompts=0, values=[-0.5, 2.0])
    html = render(make.evidence([make.claim(counterexamples=[found])]))
    assert "('Mary', <b>) logit difference -0.5 logits, 2 logits" in Page(html).text
    many = make.counterexample(["Mary", "x"], n_prompts=9)
    assert "and 8 more prompts of the same example" in Page(render(make.evidence([make.claim(counterexamples=[many])]))).text


def test_prompts_that_are_not_aligned_are_told(make: SimpleNamespace) -> None:
    claim = make.claim()
    assert "aligned" not in Page(render(make.evidence([claim]))).text
    claim["prompts"] |= {"unaligned": {"counterfactual": 31, "reference": 0}, "left_out": {"'isn't' (3 tokens) for 'is' (1)": 5, "<b>": 1}}
    text = Page(render(make.evidence([claim]))).text
    assert "31 of the counterfactual are of another length, and aligned at named positions only" in text
    assert "of the reference" not in text
    assert "drawn and left out, as not aligned with the counterfactual: 'isn't' (3 tokens) for 'is' (1), 5 times; <b>, 1 times" in text


def test_an_evaluated_circuit_is_told(make: SimpleNamespace) -> None:
    worst = {"id": "0123456789abcdef", "circuit": -1.5, "model": 9.25}
    told = {
        "parts": "edges",
        "size": 9,
        "of": 110,
        "instead": "counterfactual",
        "metric": "logit difference",
        "unit": "logits",
        "model": 9.5,
    }
    checked = make.expectation(
        0.9, 0.85, 0.97, kind="faithful", threshold=[0.8, 1.2], margin=0.2, evaluated=told | {"cut": -9.0, "worst": worst}
    )
    circuit = {"source": "here", "roles": {}, "criteria": {"met": None, "unmet": {}}, "edges": "0.3->1.0.q 1.0->logits"}
    text = Page(render(make.evidence([make.claim(expectations=[checked], circuit=circuit)]))).text
    for words in (
        "9 of 110 edges", "cut edges carry counterfactual", "model 9.5, all cut -9", "0123456789: circuit -1.5, model 9.25 logits",
        "circuit 2 edges", "edges 0.3->1.0.q 1.0->logits",
    ):  # fmt: skip
        assert words in text, words


def test_of_replicates_the_rows_are_seeds(make: SimpleNamespace) -> None:
    rows = {"seed0": {"value": 0.9, "n": 4}, "seed1": {"value": 1.1, "n": 4}}
    told = [make.expectation(1.0, 0.8, 1.2, kind=kind, by_template=rows) for kind in ("replicates", "above")]
    text = Page(render(make.evidence([make.claim(expectations=told)]))).text
    assert ("By seed: 2 seeds" in text, "By template: 2 templates" in text) == (True, True)
