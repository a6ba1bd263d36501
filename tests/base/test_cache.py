"""The cache of built directories: built once, and what nobody has used for long is removed without disturbing anybody."""

import errno
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mechcheck.base import cache as _cache
from mechcheck.base.cache import CACHE_VARIABLE, UNUSED_DAYS, built_once, kept
from mechcheck.base.errors import CacheWarning, MechcheckError

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
    (path / _cache.SUMS).write_text(_cache._sums(path))
    used = time.time() - days * 24 * 3600
    os.utime(path, (used, used))
    return path


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(_cache, "_seen_whole", {})
    monkeypatch.setattr(_cache, "_warned_of", set())


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


DAMAGE = {
    "cut short": lambda path: (path / "weights").write_text("bui"),
    "edited": lambda path: (path / "weights").write_text("dliub"),
    "taken away": lambda path: (path / "weights").unlink(),
    "something added": lambda path: (path / "more").write_text("x"),
    "its sums edited": lambda path: (path / _cache.SUMS).write_bytes(b"\xff"),
    "its sums taken away": lambda path: (path / _cache.SUMS).unlink(),
    "empty": lambda path: [one.unlink() for one in path.iterdir()],
    "a file in its place": lambda path: ([one.unlink() for one in path.iterdir()], path.rmdir(), path.write_text("x")),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_damaged_is_built_again(folder, damage):
    DAMAGE[damage](built_once("kind", NEW, build))
    _cache._seen_whole.clear()  # as in another process
    assert (built_once("kind", NEW, build) / "weights").read_text() == "built"
    assert names(folder) == {NEW}
    assert built_once("kind", NEW, refuse) == folder / NEW


def test_damage_in_the_same_process_is_seen_by_size_or_time(folder):
    (built_once("kind", NEW, build) / "weights").write_text("longer than it was")
    assert (built_once("kind", NEW, build) / "weights").read_text() == "built"


def test_it_is_hashed_once_in_a_process(folder, monkeypatch):
    built_once("kind", NEW, build)
    built_once("kind", NEW, refuse)
    monkeypatch.setattr(_cache, "_sums", refuse)
    assert built_once("kind", NEW, refuse)


def test_a_killed_build_leaves_nothing_that_is_used(folder, tmp_path):
    code = f"""
import os, signal
from mechcheck.base.cache import built_once
def build(path):
    path.mkdir()
    (path / "weights").write_text("bu")
    os.kill(os.getpid(), signal.SIGKILL)
built_once("kind", {NEW!r}, build)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    (litter,) = names(folder)
    assert litter.startswith(f".{NEW}-")
    assert (built_once("kind", NEW, build) / "weights").read_text() == "built"
    old = time.time() - 2 * 24 * 3600
    os.utime(folder / litter, (old, old))
    built_once("kind", OLD, build)
    assert names(folder) == {NEW, OLD}


def full(path: Path) -> None:
    path.mkdir()
    (path / "weights").write_text("half")
    if _cache._root("kind") in path.parents:
        raise OSError(errno.ENOSPC, "No space left on device")
    (path / "weights").write_text("built")


@pytest.mark.parametrize("place", ["a file", "below a file", "no folder can be made there", "full"])
def test_a_cache_that_cannot_be_used(tmp_path, monkeypatch, place):
    chosen = {
        "a file": tmp_path / "file", "below a file": tmp_path / "file" / "cache", "no folder can be made there": Path("/proc/mechcheck"),
        "full": tmp_path / "full",
    }[place]  # fmt: skip
    (tmp_path / "file").write_text("mine")
    monkeypatch.setenv(CACHE_VARIABLE, str(chosen))
    with pytest.warns(CacheWarning, match=rf"cannot be used \(.*\): {NEW} was built in a temporary folder.*\$MECHCHECK_CACHE"):
        found = built_once("kind", NEW, full if place == "full" else build)
    assert (found / "weights").read_text() == "built"
    assert chosen not in found.parents
    assert built_once("kind", NEW, refuse if place != "full" else full) == found  # said once
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_the_temporary_folder_goes_with_the_process(tmp_path):
    code = """
import warnings
from pathlib import Path
from mechcheck.base.cache import built_once
warnings.simplefilter("ignore")
print(built_once("kind", "model-fedcba9876543210", lambda path: path.mkdir()))
"""
    (tmp_path / "file").write_text("x")
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {CACHE_VARIABLE: str(tmp_path / "file"), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert run.stdout.startswith(str(tmp_path / "mechcheck-"))
    assert names(tmp_path) == {"file"}


def test_nowhere_to_build(tmp_path, monkeypatch):
    def refused(path: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    said = r"can be built neither in the cache .*No space left.* nor in a temporary folder .*\$MECHCHECK_CACHE"
    with pytest.raises(MechcheckError, match=said):
        built_once("kind", "never-0000000000000007", refused)
    assert names(tmp_path / "kind") == set()


def test_an_error_of_what_it_is_built_from_is_told_as_it_is(folder):
    def wrong(path: Path) -> None:
        raise MechcheckError("no such model")

    with pytest.raises(MechcheckError, match=r"^no such model$"):
        built_once("kind", NEW, wrong)
    assert names(folder) == set()


def test_files_are_kept_where_they_can_be(folder, monkeypatch, tmp_path):
    assert kept("kind") == folder
    assert folder.is_dir()
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path / "file"))
    assert kept("kind") is None
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # it cannot be written
    assert kept("kind") is None
