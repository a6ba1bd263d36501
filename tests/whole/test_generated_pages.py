"""What the pages have from the code is what the code says, as one reads it on the repository."""

import sys
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
sys.path.insert(0, str(DOCS))

import gallery  # noqa: E402
import generated  # noqa: E402


def test_no_page_is_stale():
    assert [page.name for page in generated.stale()] == [], "python docs/generated.py writes them anew"


def test_a_stale_page_is_noticed_and_mended():
    page = "# Options\n\n<!-- generated: profiles -->\n\n| old |\n\n<!-- end -->\n\nBelow.\n"
    mended = generated.filled(page)
    assert "| old |" not in mended
    assert "| `smoke` | 96 | 16 |" in mended
    assert mended.endswith("<!-- end -->\n\nBelow.\n")
    assert generated.filled(mended) == mended


def test_two_places_on_a_page_keep_what_stands_between_them():
    page = "<!-- generated: profiles -->\n\nBetween.\n\n<!-- generated: plugin_options -->\n"
    mended = generated.filled(page)
    assert mended.count("<!-- end -->") == 2
    assert "<!-- end -->\n\nBetween.\n\n<!-- generated: plugin_options -->" in mended


@pytest.mark.parametrize("said", ["`--mech-model NAME`", "`--mech-seed N`"])
def test_options_stand_on_their_page(said):
    assert f"| {said} |" in (DOCS / "reference/options.md").read_text(encoding="utf-8")


def test_an_entry_has_signature_arguments_and_errors():
    text = (DOCS / "reference/api/engine.md").read_text(encoding="utf-8")
    entry = text.partition("### `sweep`")[2].partition("\n### ")[0]
    assert "    executor: Executor | None = None,\n" in entry
    assert "    *,\n    batch: int | None = None,\n" in entry
    assert "\nRaises:\n\n- `" in entry


def test_a_class_has_what_its_private_bases_give_it():
    assert "#### `Check.faithful`" in (DOCS / "reference/api/claims.md").read_text(encoding="utf-8")


def test_every_public_name_stands_on_a_page():
    pages = "\n".join(page.read_text(encoding="utf-8") for page in (DOCS / "reference/api").glob("*.md"))
    names = [name for group in generated.export_groups().values() for name, _ in group]
    assert len(names) > 200
    assert [name for name in names if f"### `{name}`\n" not in pages] == []


def test_every_folder_of_claims_is_in_the_gallery():
    text = (DOCS / "gallery.md").read_text(encoding="utf-8")
    assert [folder for folder in gallery.folders() if f"<!-- generated: gallery {folder} -->" not in text] == []


def test_an_example_has_all_that_it_needs():
    example = gallery.source_of("claims/induction/test_induction.py::test_ablation_destroys_copying")
    code = example.removeprefix("```python\n").removesuffix("```")
    names: dict[str, object] = {}
    exec(compile(code, "example", "exec"), names)
    assert names["NOTHING_TO_LOSE"] == {"names-gpt2-seed0": "not_applicable", "stories260k": "not_applicable"}
