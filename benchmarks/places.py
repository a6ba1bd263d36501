"""Do claims depend on where they are run? The same claims in one process, two, and on each kind of cluster, against one process.

    python benchmarks/places.py [--claims claims/ioi] [--places one two local ray slurm] [--save]

What is compared is that of `orders.py`: verdicts, estimates, intervals, decoys and counterexamples, to the last digit. Ray is three nodes
of one core on this machine, and Slurm the processes that submitit starts; where these packages are not installed, that is said.
"""

import argparse
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orders import CLAIMS, RESULTS, ROOT, run

PLACES = {
    "one": ("-n0",),
    "two": ("-n2",),
    "local": ("--mech-cluster=local", "--mech-workers=2"),
    "ray": ("--mech-cluster=ray", "--mech-workers=3"),
    "slurm": ("--mech-cluster=slurm:local", "--mech-workers=2"),
}
NEEDS = {"ray": "ray", "slurm": "submitit"}
PLAIN = ("-p", "no:randomly", "-p", "no:cacheprovider")


@contextmanager
def there(place: str, folder: Path) -> Iterator[list[str]]:
    """The options of a place, which is made first where it has to be."""
    options = [*PLAIN, *PLACES[place]]
    if place == "slurm":
        yield [*options, f"--mech-resources=slurm_folder={folder / 'jobs'}"]
        return
    if place != "ray":
        yield options
        return
    from ray.cluster_utils import Cluster

    before = dict(os.environ)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        for _ in range(2):
            cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        os.environ["RAY_ADDRESS"] = cluster.address
        yield options
    finally:
        cluster.shutdown()
        os.environ.clear()
        os.environ.update(before)


def places(names: Sequence[str], claims: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Each place: how many claims were run there, and which came out otherwise than in the first."""
    right: dict[str, Any] | None = None
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
                yield {"place": name, "not_run": f"{NEEDS[name]} is not installed"}
                continue
            with there(name, Path(folder)) as options:
                found, seconds = run(Path(folder) / name, options, claims)
            right = found if right is None else right
            differ = sorted(claim for claim in found.keys() | right.keys() if found.get(claim) != right.get(claim))
            yield {"place": name, "claims": len(found), "differ": differ, "s": seconds}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--claims", nargs="+", default=CLAIMS, help="what pytest is given (default: those of orders.py)")
    parser.add_argument("--places", nargs="+", choices=PLACES, default=list(PLACES), help="the first is what the others are compared with")
    parser.add_argument("--save", action="store_true", help="write results/places.json too, after each place")
    chosen = parser.parse_args()
    rows = []
    for row in places(chosen.places, chosen.claims):
        rows.append(row)
        print(
            row["not_run"]
            if "not_run" in row
            else f"{row['place']:6s} {row['claims']:>4} claims  {len(row['differ'])} differ  {row['s']} s"
        )
        sys.stdout.flush()
        if chosen.save:
            told = {"claims": chosen.claims, "load": round(os.getloadavg()[0], 1), "rows": rows}
            (RESULTS / "places.json").write_text(json.dumps(told, indent=1) + "\n")
    return int(any(row.get("differ") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
