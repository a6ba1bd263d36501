"""What the processes of a run leave, each claim's in files of its own, until they are merged."""

import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal, NamedTuple

from mechcheck.base.outgoing import outgoing
from mechcheck.evidence.store import RUN_FOLDER, SAMPLES, remove, slug, texts_file, write_bytes

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from mechcheck.prompts.prompt_set import PromptSet
    from mechcheck.stats.measurement import Measurement
    from mechcheck.verdicts.contrast import Beside

Json = dict[str, Any]
State = Literal["started", "interrupted", "decided"]
STATES: tuple[State, ...] = ("started", "interrupted", "decided")
"""What can be known of a claim, from little to all. One that was interrupted has ended, and nobody decided it."""

ABOUT, ROSTER, LOCK = "run.json", "roster.json", "lock"
KINDS = ("claims", SAMPLES, "sentinels")
"""The folders of what is there of claims."""


class Kept(NamedTuple):
    """A file that this process wrote, or that it keeps for one that may be gone."""

    packed: bytes
    stamp: tuple[int, ...]
    """By which it is seen, without reading it, whether the file is still the same; empty where it could not be written."""
    own: bool = True


class Left(NamedTuple):
    """What a run's processes left of its claims."""

    records: dict[str, Json]
    """Claim id -> record, of the claims that were started."""
    decided: frozenset[str]
    problems: tuple[str, ...]
    """What could not be read, and why."""


def spare_folder(run: str) -> Path:
    """Where a run's processes write what finds no room in its own folder."""
    return Path(tempfile.gettempdir()) / f"mechcheck-{run}"


@dataclass(frozen=True)
class Parts:
    """The folder of one run; processes write to it, and the one that owns the run reads it and removes it.

    What cannot be written there goes into the spare folder; what cannot be written anywhere, or was deleted or spoilt by someone, is
    kept in memory, and written when that can be done. So neither a full disk nor a deleted folder takes away what was decided.
    """

    folder: Path
    spare: Path | None = None
    kept: dict[str, Kept] = field(default_factory=dict, repr=False, compare=False)
    """What this process wrote, by the file's name."""
    holding: list[IO[bytes]] = field(default_factory=list, repr=False, compare=False)

    @property
    def run(self) -> str:
        """The run's id."""
        return self.folder.name.removeprefix(RUN_FOLDER)

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where parts can lie."""
        return (self.folder,) if self.spare is None else (self.folder, self.spare)

    @property
    def samples(self) -> list[Path]:
        """The folders that samples can lie in."""
        return [folder / SAMPLES for folder in self.folders]

    def hold(self) -> None:
        """Let others see that a process of this run is alive, for as long as this one is; where files cannot be locked, they cannot."""
        with suppress(ImportError, OSError):
            self.folder.mkdir(parents=True, exist_ok=True)
            self.holding.append((self.folder / LOCK).open("ab"))
            import fcntl

            fcntl.flock(self.holding[-1], fcntl.LOCK_SH | fcntl.LOCK_NB)

    def release(self) -> None:
        """The end of `hold`."""
        for handle in self.holding:
            handle.close()
        self.holding.clear()

    def save_about(self, run: Json, fdr: float | None) -> None:
        """About the run as a whole: what is needed to make evidence of what it leaves, should it die."""
        self._save(ABOUT, _json({"run": run, "fdr": fdr}))

    def save_roster(self, records: Mapping[str, Json], *, keep: bool = True) -> None:
        """The record of each claim that is to be run, by node id, as if it had only been started; `keep`: and see that it stays there."""
        self._save(ROSTER, _json(dict(records)))
        if not keep:
            del self.kept[ROSTER]

    def about(self) -> Json | None:
        """What `save_about` wrote; None where nothing can be read."""
        return self._read(ABOUT)

    def roster(self) -> dict[str, Json] | None:
        """What `save_roster` wrote; None where nothing can be read."""
        return self._read(ROSTER)

    def save_record(self, record: Json, state: State = "decided") -> None:
        """A claim's record, in place of the one that was there.

        Raises:
            ValueError, TypeError: JSON cannot hold it.
        """
        self._save(_record_name(record), _json({"state": state, "record": record}))

    def save_samples(self, claim: str, samples: "Sequence[Measurement]", beside: "Sequence[Beside]" = ()) -> None:
        """The per-prompt values behind each expectation, by the id in the claim's record; drift between runs is told by pairing them.

        Args:
            claim: its id.
            samples: a measurement for each expectation.
            beside: for each what the claim's contrasts gave for it.
        """
        from mechcheck.evidence.samples.values import packed_values

        self._save(_samples_name(claim), packed_values(samples, beside))

    def save_texts(self, prompts: "PromptSet") -> str:
        """The texts of prompts, which claims on the same ones share; returns the hash by which a claim's record names them."""
        from mechcheck.evidence.samples.texts import packed_texts

        digest, content = packed_texts(prompts)
        if _texts_name(digest) not in self.kept:
            self._save(_texts_name(digest), content)
        return digest

    def adopt(self, record: Json) -> None:
        """Keep what another process wrote of a claim: it may be gone when that is needed again."""
        for name in (_record_name(record), _samples_name(record["id"]), *map(_texts_name, record.get("texts", []))):
            if name not in self.kept or not self.kept[name].own:
                for content in self._on_disk(name):
                    self.kept[name] = Kept(zlib.compress(content, 1), self._stamp(name), own=False)

    def take(self, files: Mapping[str, bytes]) -> None:
        """Keep what a worker sent home, packed, under names as this class makes them."""
        for name, packed in files.items():
            kind, _, rest = name.partition("/")
            assert kind in KINDS, name
            assert Path(rest).name == rest, name
            self._save(name, zlib.decompress(packed))

    def save_sentinels(self, model: str, found: "Sequence[DataclassInstance]") -> None:
        """What this process found of a model's sentinels."""
        self._save(f"sentinels/{slug(model)}-{os.getpid()}.json", _json(outgoing([asdict(one) for one in found])))

    def left(self) -> Left:
        """What is there of the claims. What cannot be read is told, and costs no other claim anything."""
        records: dict[str, Json] = {}
        decided, problems = set(), []
        for name in self._names("claims"):
            best: tuple[int, Json] | None = None
            problem = "it is not there"
            for content in self._contents(name):
                try:
                    part = json.loads(content)
                    found = STATES.index(part["state"]), dict(part["record"])
                    found[1]["id"], found[1]["nodeid"]
                except (ValueError, KeyError, TypeError) as error:
                    problem = f"{type(error).__name__}: {error}"
                else:
                    best = found if best is None or found[0] > best[0] else best
            if best is None:
                problems.append(f"a claim's record cannot be read ({name}: {problem})")
                continue
            records[best[1]["id"]] = best[1]
            if STATES[best[0]] == "decided":
                decided.add(best[1]["id"])
        return Left(records, frozenset(decided), tuple(problems))

    def sentinels(self) -> list[Json]:
        """What processes found of their models' sentinels."""
        found: list[Json] = []
        for name in self._names("sentinels"):
            with suppress(ValueError, TypeError):
                found += next((json.loads(content) for content in self._contents(name)), [])
        return found

    def heal(self) -> None:
        """Write again what this process wrote and is not there any more as it was."""
        if self.kept and not (self.folder / LOCK).exists():
            self.hold()
        for name, (packed, stamp, own) in list(self.kept.items()):
            if stamp and stamp == self._stamp(name):
                continue
            content, there = zlib.decompress(packed), list(self._on_disk(name))
            if content in there or (not own and any(_is_whole(name, one) for one in there)):
                self.kept[name] = Kept(packed, self._stamp(name), own)  # somebody wrote the same, or a claim was run again
            else:
                self._write(name, content)

    def remove(self) -> None:
        """Remove all of it."""
        self.release()
        for folder in self.folders:
            remove(folder)

    def _save(self, name: str, content: bytes) -> None:
        if self.kept and not (self.folder / LOCK).exists():
            self.heal()  # the folder was deleted
        self.kept.pop(name, None)
        self._write(name, content)

    def _write(self, name: str, content: bytes) -> None:
        own = name not in self.kept or self.kept[name].own
        self.kept[name] = Kept(zlib.compress(content, 1), (), own)
        for place in self._places(name):
            with suppress(OSError):
                if self.spare is not None and self.spare in place.parents:
                    self.spare.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_bytes(place, content)
                self.kept[name] = self.kept[name]._replace(stamp=self._stamp(name))
                break

    def _stamp(self, name: str) -> tuple[int, ...]:
        """Of the file under a name, in whichever folder."""
        found: list[int] = []
        for place in self._places(name):
            with suppress(OSError):
                seen = place.lstat()
                found += [seen.st_ino, seen.st_size, seen.st_mtime_ns]
        return tuple(found)

    def _places(self, name: str) -> list[Path]:
        return [folder / name for folder in self.folders]

    def _names(self, kind: str) -> list[str]:
        there = {f"{kind}/{path.name}" for folder in self.folders for path in (folder / kind).glob("*.json")}
        return sorted(there | {name for name in self.kept if name.startswith(f"{kind}/")})

    def _on_disk(self, name: str) -> Iterator[bytes]:
        for place in self._places(name):
            with suppress(OSError):
                yield place.read_bytes()

    def _contents(self, name: str) -> Iterator[bytes]:
        """What can be read under a name, wherever it lies."""
        yield from self._on_disk(name)
        if name in self.kept:
            yield zlib.decompress(self.kept[name].packed)

    def _read(self, name: str) -> Any:
        for content in self._contents(name):
            with suppress(ValueError):
                return json.loads(content)
        return None


def _record_name(record: Json) -> str:
    return f"claims/{slug(record['nodeid'])}.json"


def _samples_name(claim: str) -> str:
    return f"{SAMPLES}/{slug(claim)}.npz"


def _texts_name(digest: str) -> str:
    return f"{SAMPLES}/{texts_file(digest)}"


def _is_whole(name: str, content: bytes) -> bool:
    if name.endswith(".npz"):
        return zipfile.is_zipfile(io.BytesIO(content))
    try:
        return bool(json.loads(content))
    except ValueError:
        return False


def _json(content: Any) -> bytes:
    text = json.dumps(content, allow_nan=False, ensure_ascii=False)
    return text.encode("utf-8", errors="backslashreplace")
