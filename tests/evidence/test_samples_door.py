"""Files of samples that are made to be too much for whoever opens them."""

import io
import zipfile
from hashlib import sha256

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.samples.texts import read_texts
from mechcheck.evidence.store import texts_file


def test_a_bomb_is_not_unpacked(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as members, members.open("words.npy", "w", force_zip64=True) as stream:
        for _ in range(33):
            stream.write(bytes(1 << 24))
    digest = sha256(packed.getvalue()).hexdigest()
    (tmp_path / texts_file(digest)).write_bytes(packed.getvalue())
    with pytest.raises(MechcheckError, match="unpacked it would have 553,"):
        read_texts(tmp_path, digest)


@pytest.mark.parametrize(("kind", "size"), [("<U0", 2**33), ("|i1", 2**26 + 1)])
def test_more_values_than_samples_have_are_not_let_in(tmp_path, kind, size):
    """Empty texts take no room in a file, nor in memory before they are taken out one by one."""
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({size},), }}".ljust(117) + "\n"
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as members:
        content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
        members.writestr("words.npy" if kind == "<U0" else "tokens.npy", content + bytes(size if kind == "|i1" else 0))
    digest = sha256(packed.getvalue()).hexdigest()
    (tmp_path / texts_file(digest)).write_bytes(packed.getvalue())
    assert len(packed.getvalue()) < 100_000
    with pytest.raises(MechcheckError, match=f"it has {size:,} values, and samples have 67,108,864 at most"):
        read_texts(tmp_path, digest)
