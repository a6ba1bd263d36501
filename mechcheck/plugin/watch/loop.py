"""The process that watches: it looks at files and keys, begins runs, and says how long they took."""

import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from mechcheck.base.forking import why_no_copy
from mechcheck.plugin.watch.child import Told, read_told
from mechcheck.plugin.watch.choices import Known
from mechcheck.plugin.watch.files import State, changes, settled, snapshot
from mechcheck.plugin.watch.keys import ask, has_keys, next_key, single_keys
from mechcheck.plugin.watch.processes import Run, load_everything, load_model, worth_keeping

USAGE = 4
"""How pytest ends where its arguments are no good."""
LOOK_S = 0.1
"""How often files are looked at."""


class Watch:
    """What is watched, with which arguments of pytest."""

    def __init__(self, arguments: Sequence[str], why_fresh: str | None):
        self.given = list(arguments) or (["claims"] if Path("claims").is_dir() else [])
        self.options: list[str] = []
        self.roots: list[Path] = []
        self.known = Known()
        self.why_fresh = why_fresh
        self.ahead: list[tuple[str, str]] = []
        """Models to load while there is nothing else to do."""
        self.stopped = self.quitting = False
        """Ctrl-C was pressed; somebody wants to go."""
        self.took = 0.0

    def look(self) -> dict[Path, State]:
        """The files as they are."""
        return dict(snapshot(self.folders, self.known.watched))

    @property
    def folders(self) -> set[Path]:
        """What is looked in for whatever is there."""
        return {*self.roots, *self.known.folders}

    def look_on(self, seen: dict[Path, State], looked_in: set[Path]) -> dict[Path, State]:
        """What to compare the next look with after a run: what was seen before it, and as it is now what it has taught to look at.

        What lies in a folder that was looked in before and was not there has been added meanwhile, and is left for the next look.
        What no test is made of any longer is looked at no more, which is no deletion.
        """
        looked_at = self.folders | self.known.watched
        kept = {path: state for path, state in seen.items() if _lies_in(path, looked_at)}
        return {path: state for path, state in self.look().items() if not _lies_in(path, looked_in)} | kept

    def begin(self) -> bool:
        """Collect everything once; whether there is something to watch."""
        told = self.run([*self.given, "--collect-only"], silent=True)
        if told is None or not told.roots or told.status == USAGE:
            self.run([*self.given, "--collect-only"])  # to show why
            return False
        self.roots = [Path(root) for root in told.roots]
        self.options = [text for text in self.given if text not in told.arguments]
        self.known.parts = frozenset(root for root, text in zip(self.roots, told.arguments, strict=True) if "::" in text)
        return True

    def run(self, arguments: Sequence[str], silent: bool = False) -> Told | None:
        """One run; Ctrl-C stops it, and `q` stops it and the watch."""
        with tempfile.TemporaryDirectory(prefix="mechcheck-watch-") as folder:
            answer, began = Path(folder) / "told.json", time.monotonic()
            run = Run(arguments, answer, copied=self.why_fresh is None, silent=silent)
            stopped = self.stopped = False
            while not run.ended():
                if next_key(0.02) == "q":
                    stopped = self.quitting = True
                if self.stopped or stopped:
                    say("stopping the run; Ctrl-C again quits")
                    self.stopped = False
                    run.interrupt()
            told = read_told(answer)
        self.took = time.monotonic() - began
        if told is not None:
            self.known.learn(told)
            if self.why_fresh is None:
                self.ahead = worth_keeping(told.models, told.device)
        return told

    def execute(self, what: str, chosen: Sequence[str]) -> None:
        """Run what is to be run, and say that it is done."""
        if not chosen:
            say(what)
            return
        say(f"{what}: pytest {shlex.join([*(_shown(text) for text in chosen[:4]), *(['...'] if len(chosen) > 4 else []), *self.options])}")
        self.run([*chosen, *self.options])
        say(f"{self.took:.2f} s; {_MENU if has_keys() else 'watching'}")

    def everything(self) -> list[str]:
        """Arguments for all that is watched."""
        return [text for text in self.given if text not in self.options]


_MENU = "a: all  f: failed  o: one, by its name  q: quit"


def watch(arguments: Sequence[str]) -> int:
    """Watch claims until somebody quits.

    Args:
        arguments: of pytest: what to watch, and options for every run.
    """
    why_fresh = why_no_copy()
    if why_fresh is None:
        load_everything()
        why_fresh = why_no_copy()
    here = Watch(arguments, why_fresh)
    before = signal.signal(signal.SIGINT, lambda *_: setattr(here, "stopped", True))
    try:
        with single_keys():
            return _watch(here)
    finally:
        signal.signal(signal.SIGINT, before)


def _watch(here: Watch) -> int:
    if not here.begin():
        say("pytest cannot collect that, so there is nothing to watch")
        return 2
    if here.known.broken:
        here.execute("what cannot be collected", [str(path) for path in sorted(here.known.broken)])
    if here.why_fresh:
        say(f"{here.why_fresh}, so every run loads everything anew")
    seen = here.look()
    say(f"watching {len(seen)} files of {len(here.known.items)} tests; {_MENU if has_keys() else 'no terminal, so no keys: Ctrl-C quits'}")
    while not (here.quitting or here.stopped):
        key = next_key(LOOK_S)
        if key:
            looked_in = here.folders
            _press(here, key)
            seen = here.look_on(seen, looked_in)
        now = here.look()
        if now == seen:
            if here.ahead:
                load_model(*here.ahead.pop(0))
            continue
        now = dict(settled(here.look, now))
        found, seen = changes(seen, now), now
        chosen, looked_in = here.known.affected(found), here.folders
        here.known.forget(found.deleted)
        here.execute(_told(found.every, bool(chosen)), chosen)
        seen = here.look_on(seen, looked_in)  # what was saved during the run is run again
    say("bye")
    return 0


def _press(here: Watch, key: str) -> None:
    if key == "q":
        here.quitting = True
    elif key == "a":
        here.execute("all", here.everything())
    elif key == "f":
        failed = [*here.known.arguments(here.known.failed), *map(str, sorted(here.known.broken))]
        here.execute("what failed" if failed else "nothing has failed", failed)
    elif key == "o" and (name := ask("name: ", lambda: here.stopped)):
        chosen = here.known.arguments(item for item in here.known.items if name in item)
        here.execute(f"{name!r}" if chosen else f"no test is called {name!r}", chosen)


def _told(paths: "frozenset[Path]", concerned: bool) -> str:
    names = ", ".join(sorted(_shown(str(path)) for path in paths)[:3]) + (" ..." if len(paths) > 3 else "")
    return names if concerned else f"{names}: no claim is made of it"


def _lies_in(path: Path, places: set[Path]) -> bool:
    """Whether it is one of the places, or lies in one."""
    return any(place in places for place in (path, *path.parents))


def _shown(text: str) -> str:
    path, colons, rest = text.partition("::")
    try:
        return str(Path(path).resolve().relative_to(Path.cwd())) + colons + rest
    except ValueError:
        return text


def say(text: str) -> None:
    """A line of the watch's own."""
    print(f"-- {text}", flush=True, file=sys.stdout)
