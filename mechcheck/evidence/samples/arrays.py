"""The door for samples: arrays of a file that may come from anywhere."""

import io
import zipfile
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from mechcheck.base.reading import LARGEST_DATA, read_bytes

_MOST = LARGEST_DATA // 8
"""Values of all arrays together."""
_NUMBERS, _WHOLE = "iufb", "iu"
_KINDS = {
    "values": (_NUMBERS, 1), "denominator": (_NUMBERS, 1), "operands": (_NUMBERS, 2), "decoys": (_NUMBERS, 2), "operand_signs": (_WHOLE, 1),
    "lengths": (_WHOLE, 1), "tokens": (_WHOLE, 1), "marks": (_WHOLE, 1),
}  # fmt: skip
"""What stands in an array, by its name without the number of the check, and in how many dimensions; in any other a row of texts."""
_WHAT = {_NUMBERS: "numbers", _WHOLE: "whole numbers", "U": "texts"}


def read_arrays(path: Path, digest: str | None = None) -> dict[str, np.ndarray]:
    """The arrays of an npz; nothing in it is run, and nothing is unpacked beyond a limit.

    Args:
        path: the file.
        digest: the sha256 that it must have.

    Raises:
        FileNotFoundError: it is not there.
        Exception: of as many kinds as zip files, and arrays in them, can be damaged in.
    """
    content = read_bytes(path, LARGEST_DATA)
    if digest is not None and sha256(content).hexdigest() != digest:
        raise ValueError("it is not the file that the evidence names")
    packed = io.BytesIO(content)
    with zipfile.ZipFile(packed) as members:
        unpacked = sum(member.file_size for member in members.infolist())
        if unpacked > LARGEST_DATA:
            raise ValueError(f"unpacked it would have {unpacked:,} bytes, and samples have {LARGEST_DATA:,} at most")
    packed.seek(0)
    with np.load(packed, allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    # Empty texts take no bytes, and small numbers become large ones on the way to a page.
    if (many := sum(array.size for array in arrays.values())) > _MOST:
        raise ValueError(f"it has {many:,} values, and samples have {_MOST:,} at most")
    for name, array in arrays.items():
        stem, _, number = name.rpartition("_")
        kinds, dimensions = _KINDS.get(stem if number.isdecimal() else name, ("U", 1))
        if array.ndim != dimensions or array.dtype.kind not in kinds:
            raise ValueError(f"{name} is no {'row' if dimensions == 1 else 'table'} of {_WHAT[kinds]}")
    return arrays


def packed_arrays(arrays: Mapping[str, Any]) -> bytes:
    """The same arrays give the same bytes."""
    packed = io.BytesIO()
    np.savez_compressed(packed, **dict(arrays))
    return packed.getvalue()
