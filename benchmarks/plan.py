"""What `--mech-plan` says a run will take, beside what it took: on runs that its constants were not measured on.

    python benchmarks/plan.py [--only NAME ...] [--save]

Each case is claims on a model, under a profile, planned from what they took on a small model under the profile smoke, then run, each in a
process of its own with one thread. Time is the processor's, of the whole process, imports included; memory the most that was resident.
Models of other shapes have random weights and the tokenizer of a shipped one.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from comparison.shapes import directory, gpt2

if TYPE_CHECKING:
    from transformers import PretrainedConfig

ROOT = Path(__file__).resolve().parents[1]
RESULT = Path(__file__).parent / "results" / "plan.json"
TOKENIZER = ROOT / "fixtures" / "models" / "names-gpt2-seed4"
OWN = """
import pytest
from mechcheck import Ablate, claim, heads, mlps, run

@claim("It predicts something", task="ioi", kind="behaviour")
def test_untouched(model, prompts, check):
    check.above(run(model, prompts), -100)

@claim("It predicts something without its first MLP", task="ioi")
@pytest.mark.parametrize("method", ["zero", "mean"])
def test_without(model, prompts, check, method):
    check.above(run(model, prompts, Ablate(mlps("0@END"), method)), -100)
"""


class Case(NamedTuple):
    """A run that is planned."""

    name: str
    claims: str
    """A file of claims; "own": the ones above."""
    model: str
    """Embedded; or a shape of `SHAPES`."""
    profile: str
    known: str = "names-gpt2-seed4"
    """What the plan is made from: the same claims on this model under the profile smoke."""


CASES = (
    Case("name movers, same model", "claims/ioi/test_name_movers.py", "names-gpt2-seed4", "ci"),
    Case("S-inhibition, another layout", "claims/ioi/test_s_inhibition.py", "names-neox-seed2", "ci"),
    Case("induction, another seed", "claims/induction/test_induction.py", "names-gpt2-seed1", "ci"),
    Case("years", "claims/greater_than/test_greater_than.py", "years-gpt2-seed0", "full", "years-gpt2-seed0"),
    Case("an encoder", "claims/negation/test_negation_behaviour.py", "sentences-bert", "full", "sentences-bert"),
    Case("GPT-2, 6 layers of 512", "own", "gpt2-512", "ci"),
    Case("Llama, 8 layers of 512", "own", "llama-512", "smoke"),
)


def shapes() -> "dict[str, PretrainedConfig]":
    """Shapes of models that are not shipped."""
    from transformers import LlamaConfig

    words = json.loads((TOKENIZER / "config.json").read_text())["vocab_size"]
    llama = LlamaConfig(
        num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4, hidden_size=512, intermediate_size=1376, vocab_size=words,
        max_position_embeddings=256, tie_word_embeddings=False, initializer_range=0.04, bos_token_id=1, eos_token_id=0, pad_token_id=0,
    )  # fmt: skip
    return {"gpt2-512": gpt2(layers=6, heads=8, d_model=512, vocabulary=words, positions=256), "llama-512": llama}


def place(model: str) -> str:
    """The model as `--mech-model` takes it; one of other shape is made first."""
    made = shapes().get(model)
    if made is None:
        return model
    found = directory(made)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(TOKENIZER / name, found / name)
    return str(found)


def arguments(case: Case, folder: Path, model: str, profile: str) -> list[str]:
    """What pytest is given."""
    claims = case.claims
    if claims == "own":
        claims = str(folder / "test_own.py")
        Path(claims).write_text(OWN)
    return [claims, "-q", "-p", "no:randomly", "-p", "no:cacheprovider", f"--mech-model={model}", f"--mech-profile={profile}"]


def ran(command: list[str]) -> tuple[float, int]:
    """Seconds of the processor, and most bytes resident, of a process of its own."""
    process = subprocess.Popen(
        command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    said = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) not in (0, 1):
        raise SystemExit(said)
    return used.ru_utime + used.ru_stime, used.ru_maxrss * 1024


def plan(given: list[str]) -> None:
    """In a process of its own: print what `--mech-plan` makes of these arguments, in numbers."""
    import pytest

    from mechcheck.evidence.costs import plan as planning

    found: dict[str, Any] = {}
    planned, total = planning.planned, planning.total_seconds

    def noted(*told: Any) -> Any:
        plans = planned(*told)
        return found.update(claims=len(plans), memory=max(one.memory for one in plans)) or plans

    def summed(*told: Any) -> float:
        found["seconds"] = total(*told)
        return float(found["seconds"])

    planning.planned, planning.total_seconds = noted, summed
    pytest.main(given)
    print("PLANNED" + json.dumps(found))


def measure(case: Case, folder: Path) -> dict[str, Any]:
    """Run it small, plan it, run it."""
    folder.mkdir()
    ran([sys.executable, "-m", "pytest", *arguments(case, folder, place(case.known), "smoke"), "--mech-report", str(folder / "small")])
    given = arguments(case, folder, place(case.model), case.profile)
    told = subprocess.run(
        [sys.executable, __file__, "--plan", *given, f"--mech-plan={folder / 'small' / 'evidence.json'}"],
        cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    line = next((line for line in told.stdout.splitlines() if line.startswith("PLANNED")), None)
    if line is None:
        raise SystemExit(told.stdout + told.stderr)
    expected = json.loads(line.removeprefix("PLANNED"))
    seconds, memory = ran([sys.executable, "-m", "pytest", *given, "--mech-report", str(folder / "report")])
    return case._asdict() | {
        "n_claims": expected["claims"], "planned_s": round(expected["seconds"], 1), "took_s": round(seconds, 1),
        "planned_mib": expected["memory"] >> 20, "took_mib": memory >> 20, "time": round(expected["seconds"] / seconds, 2),
        "memory": round(expected["memory"] / memory, 2), "load": round(os.getloadavg()[0], 1),
    }  # fmt: skip


def main() -> None:
    if sys.argv[1:2] == ["--plan"]:
        plan(sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[case.name for case in CASES], help="these cases, beside rows that are there")
    parser.add_argument("--save", action="store_true", help="write results/plan.json")
    asked = parser.parse_args()
    rows = json.loads(RESULT.read_text())["rows"] if asked.only and RESULT.is_file() else []
    with tempfile.TemporaryDirectory() as name:
        for number, case in enumerate(case for case in CASES if not asked.only or case.name in asked.only):
            row = measure(case, Path(name) / str(number))
            rows = [other for other in rows if other["name"] != case.name] + [row]
            time, memory = (f"{row[f'planned_{unit}']} {unit}, took {row[f'took_{unit}']}" for unit in ("s", "mib"))
            print(f"{case.name:30s} {time:28s} {memory}", flush=True)
            if asked.save:
                told = {"unit": "planned / taken", "python": platform.python_version(), "rows": rows}
                RESULT.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
