"""What counts as saved, and which files a test file is made of."""

import os
from pathlib import Path

import pytest

from mechcheck.plugin.watch.files import changes, settled, snapshot
from mechcheck.plugin.watch.imports import made_of
from mechcheck.plugin.watch.loop import Watch


def test_changed_added_deleted_and_nothing_else(tmp_path):
    for name in ("same.py", "edited.py", "renamed.toml", "gone.json", "notes.md", ".hidden.py"):
        (tmp_path / name).write_text("1")
    for folder in ("__pycache__", ".cache", "reports"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text("1")
    before = snapshot([tmp_path])
    assert {path.name for path in before} == {"same.py", "edited.py", "renamed.toml", "gone.json"}
    (tmp_path / "edited.py").write_text("22")
    stat = (tmp_path / "renamed.toml").stat()
    (tmp_path / "other").write_text("1")  # of the same size and time, but another file
    os.utime(tmp_path / "other", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(tmp_path / "other", tmp_path / "renamed.toml")
    (tmp_path / "gone.json").unlink()
    (tmp_path / "new.py").write_text("1")
    found = changes(before, snapshot([tmp_path]))
    assert [{path.name for path in some} for some in found] == [{"edited.py", "renamed.toml"}, {"new.py"}, {"gone.json"}]
    assert not changes(before, before).every


def test_a_single_file_and_files_elsewhere(tmp_path):
    (tmp_path / "test_it.py").write_text("1")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "helper.py").write_text("1")
    found = snapshot([tmp_path / "test_it.py"], [tmp_path / "elsewhere" / "helper.py", tmp_path / "not_there.py"])
    assert {path.name for path in found} == {"test_it.py", "helper.py"}


def test_what_is_saved_in_several_steps_is_seen_once():
    file = Path("it.py")
    looks = iter([{}, {file: (1, 0, 0)}, {file: (2, 5, 0)}, {file: (2, 5, 0)}])
    assert settled(lambda: next(looks), {file: (0, 9, 0)}) == {file: (2, 5, 0)}


def test_what_is_looked_at_no_longer_was_not_deleted(tmp_path):
    """A claim's circuits lie elsewhere, and are looked at as long as it is there; in its own folder a file is gone that is gone."""
    own, circuits = tmp_path / "claims", tmp_path / "shipped"
    for folder in (own, circuits):
        folder.mkdir()
    for file in (own / "test_it.py", own / "gone.json", circuits / "model.toml"):
        file.write_text("1")
    watch = Watch(["claims"], None)
    watch.roots = [own]
    item = {"file": str(own / "test_it.py"), "model": "m", "dtype": "float32", "alone": True, "circuits": [str(circuits)]}
    watch.known.items = {"test_it.py::test_it[m]": item}
    seen, looked_in = watch.look(), watch.folders
    assert {path.name for path in seen} == {"test_it.py", "gone.json", "model.toml"}
    watch.known.items = {"test_it.py::test_it": item | {"circuits": []}}
    (own / "gone.json").unlink()
    (own / "new.json").write_text("1")
    found = changes(watch.look_on(seen, looked_in), watch.look())
    assert [{path.name for path in some} for some in found] == [set(), {"new.json"}, {"gone.json"}]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A test file with a conftest, and what they import in all ways there are."""
    monkeypatch.syspath_prepend(tmp_path / "claims")
    files = {
        "conftest.py": "import pytest",
        "claims/conftest.py": "from from_conftest import thing",
        "claims/from_conftest.py": "thing = 1",
        "claims/test_it.py": "import torch\nimport direct, package.inner\n\ndef test_it():\n    from late import x",
        "claims/direct.py": "from indirect import *",
        "claims/indirect.py": "import direct",
        "claims/late.py": "x = 1",
        "claims/package/__init__.py": "",
        "claims/package/inner.py": "from . import sibling\nfrom ..outside import y",
        "claims/package/sibling.py": "",
        "claims/package/unused.py": "",
        "claims/test_other.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path.resolve()


def test_made_of(project):
    found = {path.relative_to(project).as_posix() for path in made_of(project / "claims" / "test_it.py", project)}
    inside = {"test_it.py", "conftest.py", "from_conftest.py", "direct.py", "indirect.py", "late.py"}
    package = {"package/__init__.py", "package/inner.py", "package/sibling.py"}
    assert found == {"conftest.py", *(f"claims/{name}" for name in inside | package)}


def test_a_file_that_is_broken_is_made_of_itself(project):
    (project / "claims" / "direct.py").write_text("from indirect import (")
    found = {path.name for path in made_of(project / "claims" / "test_it.py", project)}
    assert "direct.py" in found
    assert "indirect.py" not in found


@pytest.mark.parametrize("where", ["base/lib/python3.9/site-packages", "usr/lib/python3/dist-packages", "filled-by-pip", "project/.deps"])
def test_what_was_installed_elsewhere_is_not_the_users_own(tmp_path, monkeypatch, where):
    """Packages of a base environment, a system, or `pip --target`, on the path by a .pth or PYTHONPATH: torch's files are thousands."""
    root, installed = tmp_path / "project", tmp_path / where
    for folder in (root, installed / "big", installed / "big-1.0.dist-info"):
        folder.mkdir(parents=True, exist_ok=True)
    (installed / "big" / "__init__.py").write_text("import big.inside")
    (installed / "big" / "inside.py").write_text("")
    (installed / "single.py").write_text("")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared" / "helper.py").write_text("import single")  # the user's own, though it is not below the root
    (root / "own-1.0.dist-info").mkdir()  # as some builds leave it: what lies here is still the user's own
    (root / "beside.py").write_text("")
    (root / "test_it.py").write_text("import big, single, helper, beside")
    for folder in (installed, tmp_path / "shared", root):
        monkeypatch.syspath_prepend(folder)
    assert {path.name for path in made_of(root / "test_it.py", root)} == {"test_it.py", "helper.py", "beside.py"}
