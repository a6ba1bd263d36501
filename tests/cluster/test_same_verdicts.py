"""The same claims in one process, two, and on every kind of cluster: the same verdicts, estimates, intervals and samples."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mechcheck.base.reading import read_json

ROOT = Path(__file__).resolve().parents[2]
SOME = ("claims/ioi/test_behaviour.py", "claims/ioi/test_s_inhibition.py", "--mech-profile=smoke", "--mech-model=names-gpt2-seed4")
PLACES = {
    "two processes": ("-n2",),
    "local": ("--mech-cluster=local", "--mech-workers=2"),
    "ray": ("--mech-cluster=ray", "--mech-workers=2"),
    "slurm": ("--mech-cluster=slurm:local", "--mech-workers=2", "--mech-resources={folder}"),
}
NEEDS = {"ray": "ray", "slurm": "submitit"}
_OF_A_RUN = ("duration_s", "tries", "cost")


def run(folder, *options):
    """Evidence of some shipped claims, and their samples."""
    given = [option.format(folder=f"slurm_folder={folder / 'jobs'}") for option in options]
    command = [
        sys.executable,
        "-m",
        "pytest",
        *SOME,
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        f"--mech-report={folder}",
        *given,
    ]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    evidence = read_json(folder / "evidence.json")
    assert evidence["run"]["complete"] is True
    claims = [{name: value for name, value in claim.items() if name not in _OF_A_RUN} for claim in evidence["claims"]]
    samples = {}
    for path in sorted((folder / evidence["run"]["samples"]).glob("*.npz")):
        with np.load(path, allow_pickle=False) as arrays:
            samples[path.name] = {name: arrays[name].tobytes() for name in arrays.files}
    return claims, samples, evidence["run"]["sentinels"]


@pytest.fixture(scope="module")
def alone(tmp_path_factory, shell):
    with shell.for_python():
        return run(tmp_path_factory.mktemp("alone"), "-n0")


@pytest.mark.parametrize("place", PLACES)
def test_where_claims_are_run_changes_nothing(alone, place, tmp_path, warm):
    if place in NEEDS and importlib.util.find_spec(NEEDS[place]) is None:
        pytest.skip(f"{NEEDS[place]} is not installed")
    assert len(alone[0]) > 5
    assert run(tmp_path, *PLACES[place]) == alone
