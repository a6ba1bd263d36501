"""A cached model that several find damaged at once."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from test_cache import NEW, build, names
from test_cache import folder as folder

from mechcheck.base import cache as _cache
from mechcheck.base.cache import built_once


def test_what_another_process_takes_away_in_the_middle_is_put_back(folder, monkeypatch):
    """It finds the damaged one in the way, which is gone when it looks what that is."""
    built_once("kind", NEW, build)
    (folder / NEW / "weights").write_text("damaged")
    _cache._seen_whole.clear()
    rename, refused = os.rename, []

    def late(source, target):
        if not refused and Path(target) == folder / NEW:
            with pytest.raises(OSError, match="not empty") as error:
                rename(source, target)
            refused.append(error.value)
            shutil.rmtree(folder / NEW)
            raise error.value
        rename(source, target)

    monkeypatch.setattr(os, "rename", late)
    assert built_once("kind", NEW, build) == folder / NEW
    assert len(refused) == 1
    assert (folder / NEW / "weights").read_text() == "built"


def test_many_heal_it_at_once(folder):
    built_once("kind", NEW, build)
    for _ in range(5):
        (folder / NEW / "weights").write_text("damaged")
        _cache._seen_whole.clear()
        with ThreadPoolExecutor(8) as pool:
            assert {str(path) for path in pool.map(lambda _: built_once("kind", NEW, build), range(16))} == {str(folder / NEW)}
        assert (folder / NEW / "weights").read_text() == "built"
        assert names(folder) == {NEW}
