"""The cache of built directories: built once, and what nobody has used for long is removed without disturbing anybody."""

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mechcheck.base import cache as _cache
from mechcheck.base.cache import CACHE_VARIABLE, UNUSED_DAYS, built_once, kept

OLD, NEW = "model-0123456789abcdef", "model-fedcba9876543210"


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """Where directories of the kind "kind" are kept."""
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    return tmp_path / "kind"


def build(path: Path) -> None:
    path.mkdir()
    (path / "weights").write_text("built")


def refuse(path: Path) -> None:
    raise AssertionError(f"{path} is there already")


def used_before(folder: Path, name: str, days: float) -> Path:
    """A directory with a file that was last used so many days ago."""
    path = folder / name
    path.mkdir(parents=True)
    (path / "weights").write_text("kept")
    used = time.time() - days * 24 * 3600
    os.utime(path, (used, used))
    return path


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_is_built_once(folder):
    assert built_once("kind", NEW, build) == folder / NEW
    assert (built_once("kind", NEW, refuse) / "weights").read_text() == "built"


def test_what_was_not_used_for_long_is_removed_when_another_is_built(folder):
    used_before(folder, OLD, UNUSED_DAYS + 1)
    used_before(folder, "0123456789abcdef", UNUSED_DAYS + 1)
    used_before(folder, f".{OLD}-x7_1", UNUSED_DAYS + 1)
    recent = used_before(folder, "model-00000000000000ff", UNUSED_DAYS - 1)
    building = used_before(folder, f".{OLD}-y3", 0)
    built_once("kind", NEW, build)
    assert names(folder) == {NEW, recent.name, building.name}


def test_nothing_is_removed_where_nothing_is_built(folder):
    built_once("kind", NEW, build)
    used_before(folder, OLD, UNUSED_DAYS + 1)
    built_once("kind", NEW, refuse)
    assert names(folder) == {NEW, OLD}


def test_use_keeps_a_directory(folder):
    used_before(folder, OLD, UNUSED_DAYS + 1)
    assert (built_once("kind", OLD, refuse) / "weights").read_text() == "kept"
    built_once("kind", NEW, build)
    assert names(folder) == {NEW, OLD}


def test_what_is_not_ours_stays(folder, tmp_path):
    """A cache folder that somebody chose may hold other things."""
    others = {used_before(folder, name, 1000).name for name in ("photos", "model-v1", "model-0123456789ABCDEF", ".git")}
    elsewhere = used_before(tmp_path / "elsewhere", "model-0000000000000001", 1000)
    (folder / "model-0000000000000002").symlink_to(elsewhere)
    (folder / "model-0000000000000003").write_text("a file")
    os.utime(folder / "model-0000000000000003", (0, 0))
    built_once("kind", NEW, build)
    assert names(folder) == {NEW, "model-0000000000000002", "model-0000000000000003", *others}
    assert (elsewhere / "weights").exists()


def test_a_directory_that_comes_into_use_while_it_is_removed_is_put_back(folder, monkeypatch):
    old, rename = used_before(folder, OLD, UNUSED_DAYS + 1), os.rename

    def used_meanwhile(source, target):
        if Path(source) == old:
            os.utime(source)
        rename(source, target)

    monkeypatch.setattr(_cache.os, "rename", used_meanwhile)
    built_once("kind", NEW, build)
    assert (old / "weights").read_text() == "kept"
    assert names(folder) == {NEW, OLD}


def test_what_another_process_may_be_removing_is_not_moved_away_from_it(folder, monkeypatch):
    """Two that removed one directory once took it from each other, and left it behind."""
    hidden = used_before(folder, f".{OLD}-4711", UNUSED_DAYS + 1)
    rename, moved = os.rename, []
    monkeypatch.setattr(_cache.os, "rename", lambda source, target: (moved.append(Path(source).name), rename(source, target)))
    built_once("kind", NEW, build)
    assert hidden.name not in moved
    assert names(folder) == {NEW}


def test_what_cannot_be_removed_is_no_error(folder, monkeypatch, caplog):
    used_before(folder, OLD, UNUSED_DAYS + 1)
    used_before(folder, "model-00000000000000ff", UNUSED_DAYS + 1)

    def busy(source, target):
        if Path(source).parent == folder:
            raise PermissionError("in use")
        rename(source, target)

    rename = os.rename
    monkeypatch.setattr(_cache.os, "rename", busy)
    with caplog.at_level(logging.DEBUG, "mechcheck.base.cache"):
        assert built_once("kind", NEW, build).is_dir()
    assert sum("is out of use and cannot be removed: in use" in record.message for record in caplog.records) == 2


def test_a_cache_that_cannot_be_written_is_used_as_it_is(folder, monkeypatch, caplog):
    used_before(folder, OLD, 1)

    def forbidden(path):
        raise PermissionError("not yours")

    monkeypatch.setattr(_cache.os, "utime", forbidden)
    with caplog.at_level(logging.DEBUG, "mechcheck.base.cache"):
        assert built_once("kind", OLD, refuse) == folder / OLD
    assert "cannot be marked as used: not yours" in caplog.text


def test_many_at_once(folder):
    """All get what they asked for, and the old ones are removed once."""
    for number in range(30):
        used_before(folder, f"old-{number:016x}", UNUSED_DAYS + 1)
    wanted = [f"model-{number % 3:016x}" for number in range(24)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda name: (built_once("kind", name, build) / "weights").read_text(), wanted))
    assert found == ["built"] * len(wanted)
    assert names(folder) == set(wanted)


def test_files_are_kept_where_they_can_be(folder, monkeypatch, tmp_path):
    assert kept("kind") == folder
    assert folder.is_dir()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    assert kept("kind") is None
    monkeypatch.delenv(CACHE_VARIABLE)
    monkeypatch.setattr(_cache, "_user_cache", lambda: tmp_path / "file")  # no home that can be written to
    assert kept("kind") is None


def test_nothing_is_kept_in_what_cannot_be_written(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert kept("kind") is None
