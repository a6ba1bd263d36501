"""What the processes of a run leave, each claim's in files of its own, until they are merged."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mechcheck.base.reading import read_json
from mechcheck.evidence.store import slug, write_json

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from mechcheck.stats.measurement import Measurement


@dataclass(frozen=True)
class Parts:
    """The folder of one run; processes write to it, and `merge` reads and removes it."""

    folder: Path

    def save_record(self, record: dict[str, Any]) -> None:
        """A claim's record, in place of the one that was there."""
        write_json(self.folder / "claims" / f"{slug(record['nodeid'])}.json", record)

    def records(self) -> list[dict[str, Any]]:
        """The records of all claims."""
        return [read_json(path) for path in sorted((self.folder / "claims").glob("*.json"))]

    def save_samples(self, claim: str, samples: "Sequence[Measurement]") -> None:
        """The per-prompt values behind each expectation, by claim id; drift between runs is told by pairing them."""
        import numpy as np

        folder = self.folder / "samples"
        folder.mkdir(parents=True, exist_ok=True)
        arrays: dict[str, Any] = {}
        for i, measured in enumerate(samples):
            arrays |= {f"values_{i}": measured.values, f"ids_{i}": np.array(measured.ids), f"templates_{i}": np.array(measured.templates)}
            if measured.denominator is not None:
                arrays[f"denominator_{i}"] = measured.denominator
        np.savez_compressed(folder / f"{slug(claim)}.npz", **arrays)

    def save_sentinels(self, model: str, found: "Sequence[DataclassInstance]") -> None:
        """What this process found of a model's sentinels."""
        write_json(self.folder / "sentinels" / f"{slug(model)}-{os.getpid()}.json", [asdict(one) for one in found])
