"""The site: it builds without a warning, its links lead somewhere, and every public name has its entry."""

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from urllib.parse import unquote, urldefrag

import pytest
from blocks import PAGES, ROOT

import mechcheck


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning is an error."""
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-E", "-q", "-b", "html", ROOT / "docs", folder / "html"]
    done = subprocess.run([*build, "-d", folder / "doctrees"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return folder / "html"


class Links(HTMLParser):
    """The ids of a page, and where its links, pictures, styles and scripts are."""

    def __init__(self, text: str):
        super().__init__()
        self.ids: set[str] = set()
        self.targets: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        self.targets |= {found[name] for name in ("href", "src") if found.get(name)}


def test_every_link_of_the_site_leads_somewhere(site):
    pages = {page: Links(page.read_text(encoding="utf-8")) for page in site.rglob("*.html")}
    broken = []
    for page, links in pages.items():
        for target in links.targets:
            path, anchor = urldefrag(target)
            if re.match(r"[a-z]+:", path):
                continue
            file = (page.parent / unquote(path.partition("?")[0])).resolve() if path else page
            if not file.is_file() or (anchor and file in pages and unquote(anchor) not in pages[file].ids):
                broken.append(f"{page.relative_to(site)}: {target}")
    assert not broken


def test_a_reader_of_the_site_asks_no_other_server(site):
    loaded = re.compile(r'<(?:script|img|link|iframe)[^>]*(?:src|href)="(?:https?:)?//', re.IGNORECASE)
    assert not [page.name for page in site.rglob("*.html") if loaded.search(page.read_text(encoding="utf-8"))]


def test_every_public_name_has_its_entry(site):
    from sphinx.util.inventory import InventoryFile

    with (site / "objects.inv").open("rb") as stream:
        known = InventoryFile.load(stream, "", os.path.join)
    described = {name for kind, names in known.items() if kind.startswith("py:") for name in names}
    assert {f"mechcheck.{name}" for name in mechcheck.__all__} <= described


def test_the_pages_whose_code_is_tested_are_built(site):
    built = {page.relative_to(site).with_suffix(".md").as_posix() for page in site.rglob("*.html")}
    assert {page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:]} <= built
