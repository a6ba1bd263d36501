"""Everything that only a GPU can show, in one table: the tests, the claims beside the CPU's, and the benchmarks.

Each step writes its own part of the page, so that they can be run one at a time; what a step's time does not suffice for is named.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import torch
from comparison.running import Clock, Ran, run
from comparison.tables import RESULTS, processor, row

TESTS = ("tests/whole/test_cuda.py", "tests/engine/test_devices.py")
SCRIPTS = ("head_sweep", "memory", "component_sweep", "ablation_sweep", "loss_sweep", "steering_sweep", "scaling", "random_circuits")
PACKAGES = ("torch", "transformers", "transformer-lens", "pytest")
MIB = 2**20
TITLES = {"tests": "Tests", "claims": "Claims", "benchmarks": "Benchmarks"}


def main() -> int:
    """Run the steps, write the page; 1 where a test failed or a claim was decided otherwise."""
    chosen = _options()
    page = chosen.results / f"gpu.{torch.device(chosen.device).type}.md"
    steps: dict[str, Callable[[argparse.Namespace, Clock], tuple[list[str], bool]]] = {
        "tests": _tests, "claims": _claims, "benchmarks": _benchmarks,
    }  # fmt: skip
    good = True
    for step in chosen.steps:
        lines, fine = steps[step](chosen, Clock(chosen.limit))
        head = [f"`{_command(chosen, step)}`, {datetime.now(UTC):%Y-%m-%d}", "", _machine(chosen.device), ""]
        _write(page, TITLES[step], [*head, *lines])
        print("\n".join([f"\n## {TITLES[step]}", "", *lines]), flush=True)
        good = good and fine
    print(f"\n{page}")
    return 0 if good else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda", help="cuda or cuda:N; cpu only rehearses the writing of the page (default: cuda)")
    parser.add_argument("--steps", default="tests,claims,benchmarks", help="some of tests, claims, benchmarks, separated by commas")
    parser.add_argument("--limit", type=float, default=540, help="seconds for each step (default: 540)")
    parser.add_argument("--profile", default="smoke", help="of the claims (default: smoke; others may want a larger --limit)")
    parser.add_argument("--claims", nargs="+", default=["claims"], help="files or folders of claims (default: all)")
    parser.add_argument("--scripts", default=",".join(SCRIPTS), help="which benchmarks, in this order (default: all)")
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="processes for the claims, on either device")
    parser.add_argument("--quick", action="store_true", help="quick benchmarks, of one round")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the pages go (default: benchmarks/results)")
    chosen = parser.parse_args()
    chosen.steps, chosen.scripts = chosen.steps.split(","), chosen.scripts.split(",")
    chosen.results = chosen.results.resolve()
    for kind, known in (("steps", TITLES), ("scripts", SCRIPTS)):
        if unknown := sorted(set(getattr(chosen, kind)) - set(known)):
            parser.error(f"--{kind}: unknown {unknown[0]!r}; choose among {', '.join(known)}")
    if chosen.device != "cpu" and not torch.cuda.is_available():
        parser.error(f"--device {chosen.device}: torch {torch.__version__} sees no GPU; --device cpu rehearses")
    return chosen


def _command(chosen: argparse.Namespace, step: str) -> str:
    words = ["python benchmarks/gpu.py", f"--device {chosen.device}", f"--steps {step}", f"--limit {chosen.limit:g}"]
    if step == "claims":
        words += [f"--profile {chosen.profile}", f"--workers {chosen.workers}"]
        words += [] if chosen.claims == ["claims"] else [f"--claims {' '.join(chosen.claims)}"]
    return " ".join([*words, *(["--quick"] if chosen.quick else [])])


def _tests(chosen: argparse.Namespace, clock: Clock) -> tuple[list[str], bool]:
    """What a file's tests came to."""
    lines = [row(("file", "passed", "failed", "skipped", "s", "MiB on the GPU")), row(["---"] * 6)]
    fine, said = True, []
    for file in TESTS:
        with tempfile.TemporaryDirectory() as folder:
            junit = Path(folder) / "junit.xml"
            ran = run([*_PYTEST, file, f"--junitxml={junit}"], clock.left(), chosen.device)
            counts, failed = _outcomes(junit)
        lines.append(row((file, *(str(counts[kind]) for kind in ("passed", "failed", "skipped")), _seconds(ran), _gpu(ran))))
        said += [f"- failed: `{name}`: {why}" for name, why in failed]
        said += [] if counts else _last_words(f"No results of {file}.", ran)
        fine = fine and ran.ended and ran.code == 0
    return [*lines, "", *said], fine


def _outcomes(junit: Path) -> tuple[Counter[str], list[tuple[str, str]]]:
    """How many passed, failed and were skipped; and the failed ones with the first line of their reason."""
    counts: Counter[str] = Counter()
    failed = []
    for case in ElementTree.parse(junit).iter("testcase") if junit.exists() else ():
        bad = next((found for kind in ("failure", "error") if (found := case.find(kind)) is not None), None)
        kind = "failed" if bad is not None else "skipped" if case.find("skipped") is not None else "passed"
        counts[kind] += 1
        if bad is not None:
            failed.append((case.get("name", ""), (bad.get("message") or "").split("\n")[0][:300]))
    return counts, failed


def _claims(chosen: argparse.Namespace, clock: Clock) -> tuple[list[str], bool]:
    """The same claims on the CPU and on the device, by as many processes; and every claim that was decided otherwise."""
    lines = [
        row(("device", "claims", *_VERDICTS, "s", "MiB of the largest process", "MiB on the GPU")),
        row(["---"] * (5 + len(_VERDICTS))),
    ]
    decided, said, fine = [], [], True
    with tempfile.TemporaryDirectory() as folder:
        for number, device in enumerate(("cpu", chosen.device)):
            report = Path(folder) / str(number)
            options = [f"--mech-device={device}", f"--mech-profile={chosen.profile}", f"--mech-report={report}", "-n", str(chosen.workers)]
            ran = run([*_PYTEST, *chosen.claims, *options], clock.left() / (2 - number), device)
            found = _verdicts(report / "evidence.json")
            decided.append(found)
            counts = Counter(verdict for verdict, _ in found.values())
            cells = (device, str(len(found)), *(str(counts[verdict]) for verdict in _VERDICTS))
            lines.append(row((*cells, _seconds(ran), str(ran.rss // MIB), _gpu(ran))))
            if not found:
                said += _last_words(f"No evidence on {device}.", ran)
            fine = fine and ran.ended and bool(found)
    first, second = decided
    common = sorted(set(first) & set(second))
    otherwise = [claim for claim in common if first[claim][0] != second[claim][0]]
    gap = max((abs(a - b) for claim in common for a, b in zip(first[claim][1], second[claim][1], strict=False)), default=0.0)
    said += [
        "",
        f"{len(common) - len(otherwise)} of {len(common)} claims are decided alike; largest difference of a measured value: {gap:.2g}.",
    ]
    said += [f"- `{claim}`: {first[claim][0]} on cpu, {second[claim][0]} on {chosen.device}" for claim in otherwise]
    said += [f"- only on one of them: `{claim}`" for claim in sorted(set(first) ^ set(second))[:20]]
    return [*lines, *said], fine and not otherwise


_PYTEST = (sys.executable, "-m", "pytest", "-q", "-p", "no:randomly", "-p", "no:cacheprovider")
_VERDICTS = ("supported", "refuted", "inconclusive", "vacuous", "errored", "skipped")


def _verdicts(evidence: Path) -> dict[str, tuple[str, list[float]]]:
    """Claim's id -> verdict and measured values."""
    if not evidence.exists():
        return {}
    claims = json.loads(evidence.read_text(encoding="utf-8"))["claims"]
    return {c["id"]: (c["verdict"], [e["estimate"]["value"] for e in c["expectations"]]) for c in claims}


def _benchmarks(chosen: argparse.Namespace, clock: Clock) -> tuple[list[str], bool]:
    """Each script's page is saved beside this one; here what they say of TransformerLens' own patching on the same device."""
    lines = [
        row(("model", "job", "TransformerLens / mechcheck (min, median, max)", "FLOP ratio", "mechcheck, s", "TransformerLens, s")),
        row(["---"] * 6),
    ]
    pages = [row(("script", "s", "MiB of the process", "MiB on the GPU", "page")), row(["---"] * 5)]
    said, fine = [], True
    for script in chosen.scripts:
        options = [
            "--device",
            chosen.device,
            "--save",
            "--results",
            str(chosen.results),
            *(["--quick", "--rounds", "1"] if chosen.quick else []),
        ]
        ran = run([sys.executable, f"benchmarks/{script}.py", *options], clock.left(), chosen.device)
        lines += [row(cells) for cells in _beside_transformer_lens(ran.output)]
        name, done = f"{script}.{torch.device(chosen.device).type}.md", ran.ended and ran.code == 0
        pages.append(row((f"`{script}`", _seconds(ran), str(ran.rss // MIB), _gpu(ran), f"[{name}]({name})" if done else "-")))
        if ran.ended and ran.code:
            said += _last_words(f"{script} failed.", ran)
        fine = fine and done
    return [*lines, "", *pages, *said], fine


def _beside_transformer_lens(output: str) -> Iterator[tuple[str, ...]]:
    """The rows of a page (`tables.COLUMNS`) that are about TransformerLens."""
    heading = ""
    for line in output.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("## "):
            heading = line.removeprefix("## ")
        elif len(cells) > 6 and cells[1].startswith("TransformerLens "):
            job, _, ratio, flops, own, _, theirs, *_ = cells
            yield heading.partition(":")[0], job, ratio, flops, own, theirs


def _write(page: Path, title: str, lines: Sequence[str]) -> None:
    """Put a part in its place, beside the parts that other steps wrote."""
    parts = re.split(r"^## (.*)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:] if page.exists() else []
    known = dict(zip(parts[::2], parts[1::2], strict=True)) | {title: "\n".join(lines)}
    page.parent.mkdir(parents=True, exist_ok=True)
    written = [f"## {name}\n\n{known[name].strip()}" for name in TITLES.values() if name in known]
    page.write_text("\n\n".join(["# On a GPU", *written]) + "\n", encoding="utf-8")


def _machine(device: str) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    words = f"{os.cpu_count()} cores of {processor()}; Python {platform.python_version()}, {versions}"
    if device == "cpu":
        return f"A rehearsal without a GPU: {words}"
    found = torch.cuda.get_device_properties(device)
    return f"{found.name}, {found.total_memory / 2**30:.0f} GiB, driver {_driver()}, CUDA {torch.version.cuda}; {words}"


def _driver() -> str:
    try:
        asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
        return subprocess.run(asked, capture_output=True, text=True, check=True, timeout=30).stdout.split("\n")[0].strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def _seconds(ran: Ran) -> str:
    if ran.ended:
        return f"{ran.seconds:.0f}"
    return f"stopped after {ran.seconds:.0f}" if ran.seconds else "not run: out of time"


def _gpu(ran: Ran) -> str:
    return "-" if ran.gpu is None else str(ran.gpu // MIB)


def _last_words(what: str, ran: Ran) -> list[str]:
    return ["", f"{what} Its last words:", "", "```", *ran.output.splitlines()[-25:], "```"]


if __name__ == "__main__":
    sys.exit(main())
