"""Files that somebody gives: what is no file, or no text, or never ends, is refused in words before it is read."""

import os
import socket
import time

import pytest

from mechcheck.base.reading import DEEPEST, check_file, is_dir, parse_json, read_bytes, read_json, read_text, read_toml


@pytest.fixture(params=["pipe", "socket", "device", "directory", "endless", "terminal"])
def no_file(request, tmp_path, monkeypatch):
    """A path at which something is that is no file, and how a message calls it."""
    path = tmp_path / "odd"
    match request.param:
        case "pipe":
            os.mkfifo(path)
            return path, "a named pipe"
        case "socket":
            monkeypatch.chdir(tmp_path)  # names of sockets are short
            with socket.socket(socket.AF_UNIX) as bound:
                bound.bind("odd")
            return path, "a socket"
        case "device" | "endless" | "terminal":
            path.symlink_to({"device": "/dev/null", "endless": "/dev/zero", "terminal": "/dev/ptmx"}[request.param])
            return path, "a device"
    path.mkdir()
    return path, "a directory"


@pytest.mark.parametrize("read", [check_file, read_bytes, read_text, read_json, read_toml])
def test_what_is_no_file_is_refused_at_once(no_file, read):
    path, called = no_file
    began = time.monotonic()
    with pytest.raises(OSError, match=f"^it is {called}, and no file$"):
        read(path)
    assert time.monotonic() - began < 1


def test_a_link_to_a_file_is_that_file(tmp_path):
    (tmp_path / "there").write_text("{}", encoding="utf-8")
    (tmp_path / "here").symlink_to("there")
    assert read_json(tmp_path / "here") == {}


def test_sizes(tmp_path):
    path = tmp_path / "large"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # which takes no room on the disk, and would take all of the memory
    for read in (read_bytes, read_text, read_json, read_toml):
        with pytest.raises(OSError, match="it has 1,099,511,627,776 bytes, and such a file has"):
            read(path)
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345"
    with pytest.raises(OSError, match="it has 5 bytes, and such a file has 4 at most"):
        read_bytes(path, 4)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="no /proc")
def test_a_file_that_says_it_is_empty_and_is_not(tmp_path):
    (tmp_path / "maps").symlink_to("/proc/self/maps")
    with pytest.raises(OSError, match="it holds more than the system says"):
        read_bytes(tmp_path / "maps")


@pytest.mark.parametrize("name", ["n" * 300, "a\0b", "\udcff", "missing"])
def test_names_that_no_file_has(tmp_path, name):
    with pytest.raises((OSError, ValueError)):
        read_bytes(tmp_path / name)
    assert not is_dir(tmp_path / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "lie in each other over more than 64 levels"),
        ('{"a":' * 1000 + "1" + "}" * 1000, "lie in each other over more than 64 levels"),
        ("[" * (DEEPEST + 1) + "1" + "]" * (DEEPEST + 1), "lie in each other over more than 64 levels"),
        ("NaN", "NaN is no JSON"),
        ('{"a": [-Infinity]}', "-Infinity is no JSON"),
        ("1e999", "a number in it is inf"),
        ("9" * 400, "a number in it is larger than any float"),
        ("9" * 5000, "4300"),
        ("", "Expecting value"),
    ],
)
def test_json_that_is_none(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_json_as_deep_as_it_may_be():
    found = parse_json("[" * DEEPEST + "1" + "]" * DEEPEST)
    for _ in range(DEEPEST - 1):
        (found,) = found
    assert found == [1]


@pytest.mark.parametrize("data", [b"\xff\xfe{}", b'{"a": "\xed\xa0\x80"}', b"\x80"])
def test_what_is_no_utf8(tmp_path, data):
    path = tmp_path / "x"
    path.write_bytes(data)
    for read in (read_text, read_json, read_toml):
        with pytest.raises(UnicodeDecodeError, match="in position"):
            read(path)


class TestToml:
    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("a." * 40_000 + "b = 1", "a key in it has more than 64 parts"),
            ("[" + "a." * 40_000 + "b]", "a key in it has more than 64 parts"),
            ("x = '''a.b''' \n" + '"q"."r" . ' * 70 + "s = 1", "a key in it has more than 64 parts"),
            ("a = " + "[" * 50_000, "lie in each other over more than 64 levels"),
            ("a = " + "9" * 5000, "4300"),
            ("a = " + "9" * 400, "larger than any float"),
        ],
    )
    def test_what_would_take_long(self, tmp_path, text, message):
        path = tmp_path / "x.toml"
        path.write_text(text, encoding="utf-8")
        began = time.process_time()
        with pytest.raises(ValueError, match=message):
            read_toml(path)
        assert time.process_time() - began < 2

    @pytest.mark.parametrize(
        "value", ['"' + "a." * 3000 + '"', '"""' + "a." * 3000 + '"""', "'''" + "a.\n" * 3000 + "'''", "1 # " + "a." * 3000]
    )
    def test_a_text_may_have_any_number_of_full_stops(self, tmp_path, value):
        path = tmp_path / "x.toml"
        path.write_text(f"a = {value}\nb.c = nan", encoding="utf-8")
        assert read_toml(path)["b"].keys() == {"c"}

    @pytest.mark.parametrize("text", ["x" * 1_000_000, '"""' + '\\"""' * 200_000, "'" * 1_000_001, '"a' * 400_000, "a" + " " * 1_000_000])
    def test_looking_for_long_keys_takes_no_time_itself(self, tmp_path, text):
        path = tmp_path / "x.toml"
        path.write_text(text, encoding="utf-8")
        began = time.process_time()
        with pytest.raises(ValueError):  # noqa: PT011  # whatever tomllib says of it
            read_toml(path)
        assert time.process_time() - began < 4
