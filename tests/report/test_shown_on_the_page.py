"""The page shows what was decided: by which check, on which side, of which quantity; and where nothing could be."""

import re
from types import SimpleNamespace

from page_reader import Page, claim_html

from mechcheck.report import render


def test_a_grid_never_mixes_quantities(make: SimpleNamespace) -> None:
    """Where its claims were decided by different checks, or in different units, each cell says which it shows."""

    def one(method: str, verdict: str, unit: str = "logits") -> dict:
        checks = [
            make.expectation(label="has an effect"),
            make.expectation(-3.0, -3.5, -2.5, label="flips <it>", verdict="refuted", unit=unit),
        ]
        nodeid = f"claims/test_x.py::test_x[{method}]"
        return make.claim(
            f"x[{method}]", nodeid=nodeid, params={"method": method}, verdict=verdict, met=verdict == "supported", expectations=checks
        )

    def text(*claims: dict) -> str:
        return Page(claim_html(render(make.evidence(list(claims))), claims[0]["id"])).text

    same = text(one("zero", "refuted"), one("mean", "refuted"))
    assert "Shown: check 2 of 2: flips <it> zero mean names-gpt2-s0 ✗ refuted -3.00 [-3.50, -2.50] ✗ refuted -3.00 [-3.50, -2.50] " in same
    mixed = text(one("zero", "supported"), one("mean", "refuted"))
    assert "Shown:" not in mixed
    assert "✓ supported 1.25 [0.98, 1.49] check 1 of 2: has an effect ✗ refuted -3.00 [-3.50, -2.50] check 2 of 2: flips <it>" in mixed
    units = text(one("zero", "refuted"), one("mean", "refuted", "nats"))
    assert units.count("[-3.50, -2.50] check 2 of 2: flips <it>") == 2


def test_a_claim_that_is_not_applicable(make: SimpleNamespace) -> None:
    nothing = make.estimate(None, None, None, caveat="the denominator is not told from zero")
    share = make.expectation(label="share lost", unit="share", verdict="undefined", estimate=nothing, p=None, p_adjusted=None)
    share["by_template"] = {"a": {"value": 1.0, "n": 2}, "b": {"value": 2.0, "n": 2}}
    needed = make.expectation(-1.0, -1.5, -0.5, label="clean above 0", role="precondition", verdict="refuted")
    claims = [
        make.claim("undefined", verdict="not_applicable", met=False, expectations=[make.expectation(), share], deciding=1),
        make.claim("needed", verdict="not_applicable", met=True, expect="not_applicable", expectations=[needed, share], deciding=0),
        make.claim("other", verdict="supported", met=False, expect="not_applicable"),
    ]
    html = render(make.evidence(claims))
    page = Page(html)
    assert page.unbalanced == []
    undefined, needed, other = (Page(claim_html(html, name)).text for name in ("undefined", "needed", "other"))
    assert undefined.startswith("∘ not applicable Ablating")
    assert "decided by check 2 of 2: share lost names-gpt2-s0 undefined share – 400 (20) –" in undefined
    assert (
        "∘ undefined check 2 of 2: share lost claimed: > 0 share (above); this one decided effect undefined share 95% interval –"
        in undefined
    )
    assert "the denominator is not told from zero" in undefined
    assert "data-effect" not in claim_html(html, "undefined").split("<summary")[0]
    assert needed.startswith("∘ not applicable, as expected")
    assert "decided by check 1 of 2, a precondition: clean above 0" in needed
    assert "required: > 0 logits (above); this one decided" in needed
    assert other.startswith("✓ supported, expected not applicable")
    assert "∘ 2 not applicable1 as expected" in page.text
    assert {"value": "not_applicable"} in list(page.all("option"))
    assert [c["class"] for c in page.all("span", "v-not_applicable")][:1] == ["chip v-not_applicable"]
    assert ".v-not_applicable" in html


def test_an_interval_that_is_not_valid_says_why(make: SimpleNamespace) -> None:
    doubtful = make.expectation(verdict="inconclusive", estimate=make.estimate(1.0, 0.5, 1.5, valid=False, caveat="4 templates, skewed"))
    text = Page(render(make.evidence([make.claim(verdict="inconclusive", met=False, expectations=[doubtful])]))).text
    assert "Nothing is decided on this interval: 4 templates, skewed" in text


def test_a_circuit_whose_criteria_were_not_met_says_so(make: SimpleNamespace) -> None:
    """On its card, beside any other circuit of the task, and where it is described."""
    nearest = {
        "source": "studies", "roles": {"critical": "1.0", "essential": "0.3"},
        "criteria": {"met": False, "unmet": {"critical": "more than <half> (0.2)"}},
    }  # fmt: skip
    html = render(make.evidence([make.claim("a"), make.claim("b", circuit=nearest)]))
    (card,) = html.split('<article class="card">')[1:]
    text = Page(card[: card.index("</article>")]).text
    assert "circuit: s_inhibition 0.3@END, name_mover 1.0 1.2@END circuit: critical 1.0, essential 0.3 Criteria not met:" in text
    assert text.count("Criteria not met: nothing satisfies what was asked of critical before the search.") == 1
    assert "critical 1.0 criterion not met: more than <half> (0.2) essential 0.3" in Page(html).text
    assert "critical, essential (criteria not met: critical)" in Page(claim_html(html, "b")).text
    assert "not met" not in Page(claim_html(html, "a")).text


def test_the_deciding_expectation_is_the_one_in_the_row(make: SimpleNamespace) -> None:
    expectations = [make.expectation(), make.expectation(-3.0, -3.5, -2.5, label="the culprit", verdict="refuted")]
    html = render(make.evidence([make.claim(verdict="refuted", met=False, expectations=expectations)]))
    summary = Page(html[html.index('<summary class="line">') : html.index('<div class="body"')]).text
    assert "decided by check 2 of 2: the culprit" in summary
    assert "-3.00 logits [-3.50, -2.50]" in summary


def test_what_alternatives_say_of_each_check(make: SimpleNamespace) -> None:
    told = {
        "kind": "random sites", "decision": "vacuous", "text": "vacuous: 3 of all 3 alternatives satisfy it", "satisfied": 3, "failed": 0,
        "neither": 0, "alternatives": 3, "share": [1.0, 1.0], "contrast": make.estimate(0.5, 0.4, 0.6), "separating": 0.75,
    }  # fmt: skip
    decoys = {"kind": "random sites", "n": 3, "supported": 0, "rejected": 2, "caveat": "logits: vacuous", "runs": []}
    html = render(make.evidence([make.claim(expectations=[make.expectation(specificity=[told])], decoys=decoys)]))
    assert "vacuous: 3 of all 3 alternatives satisfy it" in html
    numbers_in_a_row = re.findall(r'<dl class="wide">(.*?)</dl>', html, re.DOTALL)  # as wide as what they say
    assert numbers_in_a_row
    assert not any("alternatives" in row for row in numbers_in_a_row)
    assert "the claim less its alternatives: 0.50 [0.40, 0.60]" in html
    assert "a threshold of 0.75 would tell them apart" in html
    assert "2 of 3 rejected" in html
    assert "logits: vacuous" in html


def test_the_expected_share_of_false_verdicts(make: SimpleNamespace) -> None:
    about = {"tested": 250, "decided": 40, "nulls": 0.9, "false_share": 0.21, "fdr": None, "undone": 0}
    assert "about 21% of 40 decided claims are expected to be false" in render(make.evidence([make.claim()], multiplicity=about))
    bounded = about | {"false_share": 0.05, "fdr": 0.05, "undone": 12}
    assert "(bounded by --mech-fdr at 5%, 12 undecided by it)" in render(make.evidence([make.claim()], multiplicity=bounded))
    none_left = bounded | {"decided": 0, "false_share": None}
    assert "none of 12 claims stands at --mech-fdr 5%" in render(make.evidence([make.claim()], multiplicity=none_left))


def test_a_dictionary_is_shown_with_what_it_recovers(make: SimpleNamespace) -> None:
    share = {"value": 0.983, "low": 0.97, "high": 1.004, "level": 0.95}
    good = {
        "name": "<sae>", "sha256": "ab" * 32, "architecture": "topk", "kind": "autoencoder", "hook": "blocks.0.hook_resid_pre",
        "features": 24576, "model": "gpt2", "used": ["f3", "f5,error"], "loss_recovered": share, "prediction_recovered": 0.994,
        "explained_variance": 0.91, "features_per_token": 32.0, "caveat": None,
    }  # fmt: skip
    nothing = dict.fromkeys(("loss_recovered", "prediction_recovered", "explained_variance", "features_per_token"))
    lost = good | nothing | {"name": "other", "caveat": "the claim makes its own prompts"}
    undefined = good | {"name": "third", "prediction_recovered": None, "loss_recovered": share | {"value": None, "low": None, "high": None}}
    claim = make.claim(dictionaries=[good, lost, undefined])
    page = claim_html(render(make.evidence([claim])), claim["id"])
    text = Page(page).text
    assert (
        "dictionary <sae> (topk autoencoder, 24,576 features at blocks.0.hook_resid_pre, sha256 abababababab; used: f3; f5,error)" in text
    )
    assert "loss recovered 0.983 [0.970, 1.004], prediction recovered 0.994, variance explained 0.91, 32 features a token" in text
    assert (
        "other (topk autoencoder, 24,576 features at blocks.0.hook_resid_pre, sha256 abababababab; used: f3; f5,error); the claim" in text
    )
    assert "loss recovered undefined, prediction recovered undefined" in text
    assert "<sae>" not in page
    assert "dictionary" not in Page(claim_html(render(make.evidence([make.claim()])), make.claim()["id"])).text
