"""Options, profiles, and what of them each process needs to know."""

import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.base.paths import trained_models
from mechcheck.base.reading import is_dir
from mechcheck.evidence.dtypes import DTYPE_NAMES
from mechcheck.evidence.parts import Parts, spare_folder
from mechcheck.evidence.status import CHANGES, words_among
from mechcheck.evidence.store import FILE, RUN_FOLDER, SAMPLES
from mechcheck.evidence.unfinished.outbox import Outbox
from mechcheck.evidence.unfinished.resuming import Interrupted, interrupted_run
from mechcheck.models.names import unlike_any
from mechcheck.plugin.options.cluster import SENT_HOME, add_options
from mechcheck.plugin.options.strictness import add_strict, strict_of
from mechcheck.verdicts.case import PROFILES, Conditions
from mechcheck.verdicts.claim import LEAST_BUDGET

VERDICTS = ("refuted", "vacuous", "errored", "method_dependent", "inconclusive", "not_applicable")
FAIL_ON = frozenset(VERDICTS[:4])
REPORT = "reports"
"""Where evidence goes unless told otherwise."""
_ROOM = 64 * 1024
"""Bytes that must find room before the first claim is run: what a full disk does not take, although it makes a file."""


@dataclass(frozen=True, kw_only=True)
class Settings(Conditions):
    """The run's settings, the same in every process: under what it measures, and what becomes of that."""

    report: Path
    """The folder that evidence and page go into."""
    parts: Parts
    """Where this run's processes leave their records until they are merged."""
    baseline: Path | None = None
    """Evidence of an earlier run to compare this one with."""
    baseline_only: bool = False
    """Whether only claims that it has are run."""
    margin: float = 0.05
    """A change since the baseline is negligible below this fraction of the effect."""
    fdr: float | None = None
    """The false discovery rate over the run at which claims are decided; None decides each alone."""
    fail_on: frozenset[str] = FAIL_ON
    """Verdicts, and changes since the baseline, that fail the run."""
    prompts: Literal["all", "worst", "none"] = "all"
    """Which prompts the page shows with their values; none: and their texts are not kept beside the evidence."""
    strict: frozenset[str] = frozenset()
    """Caveats that fail a claim, unless it accepts them."""
    resumed: Interrupted | None = None
    """The run that this one goes on with."""


SETTINGS = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("mechcheck", "circuit claims")
    group.addoption(
        "--mech-model", action="append", default=[], metavar="NAME",
        help="Model to test: embedded name, Hugging Face directory, or hub id already in the cache. Repeatable. "
        "Default: the embedded models that a claim has a circuit for.",
    )  # fmt: skip
    group.addoption(
        "--mech-circuits", default=None, metavar="DIR",
        help="Folder of circuits that `mechcheck discover --out DIR` found, for models that none is recorded for.",
    )  # fmt: skip
    group.addoption("--mech-device", default="cpu", metavar="DEVICE", help="cpu, cuda, cuda:N or mps (default: cpu).")
    group.addoption(
        "--mech-dtype", default="float32", metavar="DTYPE",
        help="float32, float64, bfloat16 or float16; several, separated by commas, run each claim in all of them and report those "
        "that are decided differently (default: float32).",
    )  # fmt: skip
    group.addoption("--mech-seed", default=0, type=int, metavar="N", help="Seed of prompts, intervals and controls (default: 0).")
    group.addoption("--mech-profile", default="ci", choices=sorted(PROFILES), help="How many prompts and decoys (default: ci).")
    group.addoption(
        "--mech-budget", default=None, type=int, metavar="N",
        help="Prompts that a claim may draw: a quarter of them at first, and more until it is decided, without deciding wrongly any more "
        "often (default: the profile's number of prompts, all at once).",
    )  # fmt: skip
    group.addoption("--mech-report", default=REPORT, metavar="DIR", help=f"Where evidence.json and index.html go (default: {REPORT}).")
    group.addoption("--mech-decoys", default=None, type=int, metavar="N", help="Decoys per claim (default: by profile).")
    group.addoption(
        "--mech-baseline", default=None, metavar="FILE",
        help="Evidence of an earlier run, with its samples/ beside it: what has drifted, flipped or gone missing since is told from noise.",
    )  # fmt: skip
    group.addoption(
        "--mech-baseline-only", action="store_true", help="Run only claims that the baseline has: those of others are deselected."
    )
    group.addoption(
        "--mech-margin", default=0.05, type=float, metavar="FRACTION",
        help="A change is negligible below this fraction of the baseline's effect, or of its distance to the threshold (default: 0.05).",
    )  # fmt: skip
    group.addoption(
        "--mech-fdr", default=None, type=float, metavar="Q",
        help="Decide only the claims that stand when p-values are adjusted for all of the run's, at this false discovery rate "
        "(Benjamini-Hochberg); the others become inconclusive (default: each claim is decided alone).",
    )  # fmt: skip
    group.addoption(
        "--mech-fail-on", default=None, metavar="LIST",
        help=f"What fails, separated by commas: {', '.join(VERDICTS)}, and, with a baseline, {', '.join(CHANGES)}. "
        f"Default: {', '.join(VERDICTS[:4])}.",
    )  # fmt: skip
    add_strict(group)
    group.addoption(
        "--mech-prompts", default="all", choices=("all", "worst", "none"),
        help="Prompts that the page shows with their values: all, the worst five of each claim, or none, and then their texts are not "
        "kept beside the evidence either (default: all).",
    )  # fmt: skip
    group.addoption(
        "--mech-plan", nargs="?", const="", default=None, metavar="EVIDENCE",
        help="Run nothing: say how long the selected claims will take, and how much memory, from what they took in that evidence, on the "
        "same model or by the shape of another (default: the evidence of the last run in --mech-report).",
    )  # fmt: skip
    group.addoption(
        "--mech-threads", default=1, type=int, metavar="N",
        help="CPU threads of torch (default: 1, which repeats bit for bit whatever else runs; 0: torch's own choice).",
    )  # fmt: skip
    add_options(group)


def make_settings(config: pytest.Config) -> Settings:
    """Read the options; in a worker process, take over the controller's folders."""
    profile = config.getoption("--mech-profile")
    n_prompts, decoys = PROFILES[profile]
    wanted = config.getoption("--mech-decoys")
    if wanted is not None and wanted < 1:
        raise pytest.UsageError("--mech-decoys must be at least 1: a claim that was never shown able to fail is no evidence")
    dtypes = _dtypes(config)
    worker = getattr(config, "workerinput", None)
    report = config.invocation_params.dir / config.getoption("--mech-report")
    run = uuid.uuid4().hex[:12]
    resumed = None
    if worker is not None:
        report, run = Path(worker["mechcheck_report"]), worker["mechcheck_run"]
    elif config.getoption("--mech-resume") and measures(config):
        resumed = interrupted_run(report)
        run = resumed.parts.run if resumed is not None else run
    return Settings(
        models=_models(config),
        device=_device(config, dtypes),
        dtypes=dtypes,
        seed=config.getoption("--mech-seed"),
        profile=profile,
        n_prompts=n_prompts,
        decoys=decoys if wanted is None else wanted,
        threads=config.getoption("--mech-threads"),
        report=report,
        parts=Outbox(run) if worker is not None and SENT_HOME in worker else Parts(report / f"{RUN_FOLDER}{run}", spare_folder(run)),
        circuits=_circuits(config),
        baseline=_baseline(config),
        baseline_only=_baseline_only(config),
        margin=_margin(config),
        quiet=config.getoption("verbose") < 0,
        fdr=_fdr(config),
        budget=_budget(config),
        fail_on=_fail_on(config),
        prompts=config.getoption("--mech-prompts"),
        strict=strict_of(config),
        resumed=resumed,
    )


def _models(config: pytest.Config) -> tuple[str, ...]:
    """The models asked for; refused where one is no name of a model, as far as can be told before any is loaded."""
    names = tuple(config.getoption("--mech-model"))
    if not set(names) <= set(trained_models()) and not hasattr(config, "workerinput"):
        from mechcheck.compiled import compiled_models

        for problem in filter(None, (unlike_any(name, (*trained_models(), *compiled_models())) for name in names)):
            raise pytest.UsageError(f"--mech-model: {problem}")
    return names


def _dtypes(config: pytest.Config) -> tuple[str, ...]:
    chosen = tuple(dict.fromkeys(name.strip() for name in config.getoption("--mech-dtype").split(",")))
    unknown = [name for name in chosen if name not in DTYPE_NAMES]
    if unknown:
        raise pytest.UsageError(f"--mech-dtype: unknown dtype {unknown[0]!r}; choose among {', '.join(DTYPE_NAMES)}")
    return chosen


def _device(config: pytest.Config, dtypes: tuple[str, ...]) -> str:
    """The device, once it is known to be there; torch is imported only to ask for another than the CPU."""
    device: str = config.getoption("--mech-device")
    if device != "cpu":
        from mechcheck.base.device import check_device

        try:
            for dtype in dtypes:
                check_device(device, dtype)
        except MechcheckError as error:
            raise pytest.UsageError(f"--mech-device: {error}") from None
    return device


def _fdr(config: pytest.Config) -> float | None:
    rate: float | None = config.getoption("--mech-fdr")
    if rate is not None and not 0 < rate < 1:
        raise pytest.UsageError(f"--mech-fdr {rate:g}: a false discovery rate lies between 0 and 1, for example 0.05")
    return rate


def _budget(config: pytest.Config) -> int | None:
    budget: int | None = config.getoption("--mech-budget")
    if budget is not None and budget < LEAST_BUDGET:
        raise pytest.UsageError(f"--mech-budget {budget}: prompts that a claim may draw, at least {LEAST_BUDGET}; for example 240")
    return budget


def _circuits(config: pytest.Config) -> Path | None:
    folder = config.getoption("--mech-circuits")
    if folder is None:
        return None
    path: Path = config.invocation_params.dir / Path(folder).expanduser()  # as the command in the evidence has it
    if not is_dir(path):
        raise pytest.UsageError(f"--mech-circuits: there is no folder {folder}; `mechcheck discover TASK MODEL --out {folder}` makes it")
    return path.resolve()


def _baseline(config: pytest.Config) -> Path | None:
    file = config.getoption("--mech-baseline")
    return None if file is None else config.invocation_params.dir / file


def _baseline_only(config: pytest.Config) -> bool:
    only: bool = config.getoption("--mech-baseline-only")
    if only and config.getoption("--mech-baseline") is None:
        raise pytest.UsageError("--mech-baseline-only needs the run whose claims are meant: --mech-baseline FILE")
    return only


def _margin(config: pytest.Config) -> float:
    margin: float = config.getoption("--mech-margin")
    if not 0 < margin < 1:
        raise pytest.UsageError(f"--mech-margin is a fraction of the effect, between 0 and 1, not {margin:g}")
    return margin


def _fail_on(config: pytest.Config) -> frozenset[str]:
    text = config.getoption("--mech-fail-on")
    if text is None:
        return FAIL_ON
    try:
        words = words_among(text, (*VERDICTS, *CHANGES))
    except MechcheckError as error:
        raise pytest.UsageError(f"--mech-fail-on: {error}") from None
    if config.getoption("--mech-baseline") is None and (unseen := sorted(words.intersection(CHANGES))):
        raise pytest.UsageError(f"--mech-fail-on: nothing can be {' or '.join(unseen)} without --mech-baseline FILE to compare with")
    return words


def check_writable(report: Path) -> None:
    """Raise where evidence could not be kept: a run without it proves nothing."""
    try:
        report.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=report) as probe:
            probe.write(bytes(_ROOM))
    except OSError as error:
        raise pytest.UsageError(
            f"--mech-report: nothing can be written to {report} ({error.strerror}); name a folder that can: --mech-report DIR"
        ) from None
    samples, file = report / SAMPLES, report / FILE
    wrong = samples if (samples.exists() or samples.is_symlink()) and not samples.is_dir() else file if file.is_dir() else None
    if wrong is not None:
        what = "no folder" if wrong == samples else "a folder"
        raise pytest.UsageError(
            f"--mech-report: {wrong} is in the way of the evidence, as it is {what}; move it away, or name another: --mech-report DIR"
        )


def measures(config: pytest.Config) -> bool:
    """Whether claims are run, and not only listed or set up."""
    option = config.option
    return not (
        option.collectonly
        or getattr(option, "mech_plan", None) is not None
        or getattr(option, "setuponly", False)
        or getattr(option, "setupplan", False)
    )


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node) -> None:
    """Tell an xdist worker where the run's records go."""
    settings = node.config.stash[SETTINGS]
    node.workerinput["mechcheck_report"] = str(settings.report)
    node.workerinput["mechcheck_run"] = settings.parts.run
