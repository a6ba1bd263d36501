"""Large pages: what is read only when a claim is opened is packed, once, and can be unpacked again."""

import base64
import json
import re
import zlib
from types import SimpleNamespace

import pytest
from markupsafe import Markup

from mechcheck.report import _render, render
from mechcheck.report._pack import Pack


def unpacked(html: str) -> list[str]:
    """Every part of a page, by its number."""
    blocks = re.findall(r'<script type="text/plain" class="block">([^<]*)</script>', html)
    texts = [zlib.decompress(base64.b64decode(b), -zlib.MAX_WBITS).decode().split("\x1e") for b in blocks]
    (index,) = re.findall(r'<script type="application/json" id="parts">([^<]*)</script>', html)
    return [texts[block][place] for block, place in json.loads(index)]


@pytest.fixture
def packing(monkeypatch: pytest.MonkeyPatch) -> None:
    """However small a page is, its parts are packed."""
    monkeypatch.setattr(_render, "_INLINE", -1)


def many(make: SimpleNamespace, n: int) -> list[dict]:
    """Claims with three heatmaps each and a long forest."""
    figures = [make.heatmap(12, 12, seed=i) for i in range(3)]
    forest = {f"template {i}": {"value": i / 7, "n": 3} for i in range(30)}
    return [make.claim(f"c{i}", figures=figures, expectations=[make.expectation(i / 3, by_template=forest)]) for i in range(n)]


def test_a_small_page_is_not_packed(make: SimpleNamespace) -> None:
    html = render(make.evidence(many(make, 2)))
    assert 'class="block"' not in html
    assert html.count('<figure class="heat') == 6
    assert "data-part=" not in html


def test_a_large_page_is_packed(make: SimpleNamespace) -> None:
    html = render(make.evidence(many(make, 130)))
    assert 'class="block"' in html
    assert len(html.encode()) < 500_000


def test_every_part_of_a_large_page_is_there_and_equal_ones_are_there_once(make: SimpleNamespace, packing: None) -> None:
    html = render(make.evidence(many(make, 20)))
    parts = unpacked(html)
    used = [int(number) for number in re.findall(r'data-part="(\d+)"', html)]
    assert sorted(set(used)) == list(range(len(parts)))
    figures = [number for number in set(used) if '<figure class="heat' in parts[number]]
    assert len(figures) == 1  # the heatmaps of all claims are the same
    assert used.count(figures[0]) == 20
    assert len({parts[number] for number in used}) == len(parts)


def test_verdicts_effects_and_provenance_of_a_large_page_need_no_script(make: SimpleNamespace, packing: None) -> None:
    html = re.sub(r"<script.*?</script>", "", render(make.evidence(many(make, 8))), flags=re.DOTALL)
    assert "packed, and are drawn when a claim is opened; that needs JavaScript" in html
    body = html[html.index('<div class="body" id="claim-c7"') :]
    body = " ".join(re.sub(r"<[^>]*>", " ", body[: body.index("</details>")]).split())
    for words in ("all 1 expectations hold", "effect 2.33 logits", "interval [0.98, 1.49]", "p (adjusted) 2.3e-04 (0.0012)",
                  "names-gpt2-s0 , weights abababababab", "s_inhibition, name_mover", "400 from 20 templates",
                  "repeat it pytest"):  # fmt: skip
        assert words in body, words
    assert "sha256 <code>" + "ab" * 32 in html


def test_what_is_packed_is_escaped_and_cannot_end_its_block(make: SimpleNamespace, packing: None) -> None:
    html = render(make.evidence([make.hostile_claim(), *many(make, 2)]))
    parts = unpacked(html)
    assert any("&lt;script&gt;alert(1)&lt;/script&gt;" in part for part in parts)
    for part in parts:
        assert "<script>alert" not in part
        assert not re.search(r"[\x00-\x08\x0e-\x1f\u202e]", part)


def test_parts_may_be_equal_empty_or_larger_than_a_block() -> None:
    pack = Pack()
    large = "x" * 400_000
    places = [pack.more("g", caller=lambda text=text: Markup(text)) for text in ("<b>a</b>", " ", large, "<b>a</b>", "\x1e")]
    assert places[0] == places[3]
    assert places[1] == ""
    packed = pack.packed()
    texts = [zlib.decompress(base64.b64decode(b), -zlib.MAX_WBITS).decode().split("\x1e") for b in packed.blocks]
    assert [texts[block][place] for block, place in packed.places] == ["<b>a</b>", large, "\\u001e"]
    assert Pack(inline=True).more("g", caller=lambda: Markup("<b>a</b>")) == '<div class="more"><b>a</b></div>'
