"""Options, profiles, and what of them each process needs to know."""

import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

PROFILES = {
    # prompts per claim, bootstrap resamples, decoys per claim
    "smoke": (48, 1000, 2),
    "ci": (240, 2000, 4),
    "full": (960, 9999, 10),
}


@dataclass(frozen=True)
class Settings:
    """The run's settings, the same in every process."""

    models: tuple[str, ...]
    device: str
    dtype: str
    seed: int
    profile: str
    n_prompts: int
    resamples: int
    decoys: int
    threads: int
    report: Path
    parts: Path
    """Where this run's processes leave their records until they are merged."""

    confidence: float = 0.975
    """One-sided, in every profile: intervals have level 0.95."""


SETTINGS = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mechcheck", "circuit claims")
    group.addoption(
        "--mech-model", action="append", default=[], metavar="NAME",
        help="Model to test: embedded name, Hugging Face directory, or hub id already in the cache. Repeatable. "
        "Default: the embedded models that a claim has a circuit for.",
    )  # fmt: skip
    group.addoption("--mech-device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:N or mps (default: cpu).")
    group.addoption("--mech-dtype", default="float32", metavar="DTYPE", help="float32, float64, bfloat16 or float16 (default: float32).")
    group.addoption("--mech-seed", default=0, type=int, metavar="N", help="Seed of prompts, intervals and controls (default: 0).")
    group.addoption("--mech-profile", default="ci", choices=sorted(PROFILES), help="How many prompts, resamples and decoys (default: ci).")
    group.addoption("--mech-report", default="reports", metavar="DIR", help="Where evidence.json and index.html go (default: reports).")
    group.addoption("--mech-decoys", default=None, type=int, metavar="N", help="Decoys per claim (default: by profile).")
    group.addoption(
        "--mech-threads", default=1, type=int, metavar="N",
        help="CPU threads of torch (default: 1, which repeats bit for bit whatever else runs; 0: torch's own choice).",
    )  # fmt: skip


def make_settings(config: pytest.Config) -> Settings:
    """Read the options; in a worker process, take over the controller's folders."""
    profile = config.getoption("--mech-profile")
    n_prompts, resamples, decoys = PROFILES[profile]
    wanted = config.getoption("--mech-decoys")
    if wanted is not None and wanted < 1:
        raise pytest.UsageError("--mech-decoys must be at least 1: a claim that was never shown able to fail is no evidence")
    worker = getattr(config, "workerinput", None)
    report = config.invocation_params.dir / config.getoption("--mech-report")
    parts = report / f".run-{uuid.uuid4().hex[:12]}"
    if worker is not None:
        report, parts = Path(worker["mechcheck_report"]), Path(worker["mechcheck_parts"])
    return Settings(
        models=tuple(config.getoption("--mech-model")),
        device=config.getoption("--mech-device"),
        dtype=config.getoption("--mech-dtype"),
        seed=config.getoption("--mech-seed"),
        profile=profile,
        n_prompts=n_prompts,
        resamples=resamples,
        decoys=decoys if wanted is None else wanted,
        threads=config.getoption("--mech-threads"),
        report=report,
        parts=parts,
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell an xdist worker where the run's records go."""
    settings = node.config.stash[SETTINGS]
    node.workerinput["mechcheck_report"] = str(settings.report)
    node.workerinput["mechcheck_parts"] = str(settings.parts)
