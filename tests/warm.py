"""The commands `pytest`, `mechcheck` and `python`, in a process that has its slow imports behind it.

Each line on stdin is one command, run in a fork as its own program would run it; the answer is its exit status.
"""

import json
import os
import runpy
import sys
from pathlib import Path

import hypothesis  # noqa: F401
import pytest
import transformer_lens.model_bridge.sources.transformers  # noqa: F401
import transformers.models.gpt2.modeling_gpt2  # noqa: F401

import mechcheck as package


def mechcheck() -> int:
    from mechcheck.cli import main

    return main()


def python() -> int:
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
    return 0


PROGRAMS = {"pytest": pytest.main, "mechcheck": mechcheck, "python": python}


def run(words: list[str], directory: str, output: str) -> int:
    os.chdir(directory)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.argv = words
    sys.path.remove(str(Path(__file__).parent))
    try:
        return int(PROGRAMS[words[0]]())
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except Exception:
        sys.excepthook(*sys.exc_info())
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


def main() -> None:
    for name in package.__all__:
        getattr(package, name)
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                status = run(**json.loads(line))
            finally:
                os._exit(status)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
