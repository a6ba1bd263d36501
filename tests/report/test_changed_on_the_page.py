"""What was changed in a claim's runs, what best practice warns of, and spans among a prompt's tokens, as the page tells it."""

from types import SimpleNamespace

from page_reader import Page

from mechcheck.report import render

CHANGED = {
    "intervention": "Patch", "method": None, "sites": {"head": 1}, "at": ["END"], "scale": None, "seeds": [], "keys": None,
    "source": {"from": "other", "replaced": None}, "runs": 1, "text": "Patch of 1 site (<b>) at END",
}  # fmt: skip


def test_interventions_and_caveats(make: SimpleNamespace) -> None:
    caveat = {"about": "gaussian_noise", "text": "noise, <i>though</i> (Zhang and Nanda 2024, arXiv:2309.16042)"}
    claim = make.claim(interventions=[CHANGED, CHANGED | {"text": "another"}], caveats=[caveat])
    html = render(make.evidence([claim]))
    text = Page(html).text
    assert "changed" in text
    assert "Patch of 1 site (<b>) at END" in text
    assert "Caveat: noise, <i>though</i> (Zhang and Nanda 2024, arXiv:2309.16042)" in text
    assert '<a href="https://arxiv.org/abs/2309.16042">' in html
    assert "<dt>changed<dd><bdi>Patch of 1 site (&lt;b&gt;) at END</bdi><br><bdi>another</bdi>" in html


def test_caveats_that_fail_a_claim_or_are_accepted(make: SimpleNamespace) -> None:
    found = {"about": "gaussian_noise", "text": "noise"}
    text = Page(render(make.evidence([make.claim(caveats=[found | {"fails": True}, found | {"accepted": "it <i>was</i> so"}])]))).text
    assert "Caveat, by which this strict run fails it: noise" in text
    assert "Caveat, accepted: noise. Accepted by the claim: it <i>was</i> so" in text


def test_evidence_without_them(make: SimpleNamespace) -> None:
    for claim in (make.claim(), make.claim(interventions=[], caveats=[])):
        html = render(make.evidence([claim]))
        assert "<dt>changed" not in html
        assert "Caveat" not in html


def test_a_span_is_named_at_each_of_its_tokens(make: SimpleNamespace) -> None:
    prompt = {
        "id": "f00d", "template": "t", "tokens": ["The", "Eiffel", "Tower", "is"], "positions": {"END": 3, "LAST": 2},
        "spans": {"SUBJECT": [1, 2]}, "answer": None, "foil": None,
    }  # fmt: skip
    claim = make.claim()
    claim["prompts"]["examples"] = [prompt]
    html = render(make.evidence([claim]))
    named = {"The": "", "Eiffel": "<sub>SUBJECT</sub>", "Tower": "<sub>LAST SUBJECT</sub>", "is": "<sub>END</sub>"}
    for word, sub in named.items():
        assert f"<bdi>{word}</bdi>{sub}</span>" in html
