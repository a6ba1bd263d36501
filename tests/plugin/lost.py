"""Claims in one of which something happens."""

from pathlib import Path

from synthetic import HEADER as SYNTHETIC

from mechcheck.evidence.store import FILE

KILLED = "os.kill(os.getpid(), signal.SIGKILL)"
HEADER = SYNTHETIC + "import os, resource, shutil, signal, threading, time\n"
N = 13


def thirteen(fault, at=6):
    """Thirteen claims that hold, and something happens in one of them."""
    return f"""
    @pytest.mark.parametrize("i", range({N}))
    @claim("it is so", decoy={{"mean": -1.0}})
    def test_it(check, i, request, mean=1.0):
        if i == {at} and mean > 0:
            {fault}
        check.above(around(mean), 0)
    """


def litter(folder: Path) -> list[str]:
    """What has no business beside evidence."""
    return sorted(p.name for p in folder.iterdir() if p.name not in (FILE, "index.html", "ledger.jsonl", "samples"))
