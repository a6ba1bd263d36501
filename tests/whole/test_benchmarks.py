"""The benchmarks compare like with like: every rival gives mechcheck's numbers, and the counted operations are those that run. Nothing
here is timed."""

import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from devices import pretend
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

BENCHMARKS = str(Path(__file__).resolve().parents[2] / "benchmarks")

if BENCHMARKS not in sys.path:
    sys.path.insert(0, BENCHMARKS)

import gpu  # noqa: E402
from comparison import flops  # noqa: E402
from comparison.alternate import Disagreement, Spread, alternate  # noqa: E402
from comparison.jobs import every_head, every_layer, ours, random_circuits, steering  # noqa: E402
from comparison.rival_transformer_lens import TransformerLens  # noqa: E402
from comparison.running import Clock, run  # noqa: E402
from comparison.shapes import prompt_pairs  # noqa: E402
from comparison.tables import Page, options  # noqa: E402

from mechcheck.engine.arithmetic.model import arithmetic  # noqa: E402
from mechcheck.engine.edits import capture_all, edits_of  # noqa: E402
from mechcheck.engine.reading import read_by  # noqa: E402
from mechcheck.engine.run import plain_hooks  # noqa: E402
from mechcheck.engine.sweep import capture_fast, run_sweep  # noqa: E402
from mechcheck.models.loading import load_model  # noqa: E402

WIDTH, FIRST_CHANGE, LAST = 9, 5, 8
JOBS = (
    "heads",
    "heads at END",
    "heads by position",
    "mlps",
    "mlps by position",
    "stream",
    "zero",
    "mean at END",
    "circuits",
    "steer",
    "steer at END",
    "loss",
    "loss, patched",
)
OF_LOGITS = tuple(name for name in JOBS if not name.startswith("loss"))  # what the other tools are asked for


def job_of(name: str, model):
    """A small job of each kind that the benchmarks have."""
    prompts = prompt_pairs(model.cfg.d_vocab, 3, WIDTH, FIRST_CHANGE)
    layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    vector = torch.linspace(-2, 1, model.cfg.d_model)
    match name:
        case "heads":
            return every_head(prompts, layers, n_heads)
        case "heads at END":
            return every_head(prompts, layers, n_heads, at=[LAST])
        case "heads by position":
            return every_head(prompts, layers, n_heads, at=range(FIRST_CHANGE, WIDTH))
        case "mlps":
            return every_layer(prompts, layers, "mlp_out")
        case "mlps by position":
            return every_layer(prompts, layers, "mlp_out", range(FIRST_CHANGE, WIDTH))
        case "stream":
            return every_layer(prompts, layers, "resid_pre", range(FIRST_CHANGE, WIDTH))
        case "zero":
            return every_head(prompts, layers, n_heads, "zero")
        case "mean at END":
            return every_head(prompts, layers, n_heads, "mean", [LAST])
        case "circuits":
            return random_circuits(prompts, layers, n_heads, 3, 4, None)
        case "loss" | "loss, patched":
            return every_head(prompts, layers, n_heads, "zero" if name == "loss" else "patch", measure="loss")
        case "steer":
            return steering(prompts, layers, [-1, 0, 2], vector, None)
    return steering(prompts, layers, [-1, 0, 2], vector, LAST)


def all_values(rival, job):
    """Every variant's numbers by a rival."""
    rival.prepare(job)
    return rival.values(job, range(len(job.variants))).double().numpy()


def by_plain_hooks(model, job):
    """Mechcheck's numbers without its fast runner, so that no two things that may share a mistake are compared."""
    with plain_hooks():
        values = ours(model, job)
    assert values.std(0).max() > 0.1
    return values


@pytest.mark.parametrize("name", JOBS)
def test_transformer_lens_gives_the_same_numbers(tiny, layout, name):
    model = tiny(layout, "float32", "raw")
    job = job_of(name, model)
    np.testing.assert_allclose(all_values(TransformerLens(model), job), by_plain_hooks(model, job), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["heads by position", "stream", "mean at END", "steer"])
def test_transformer_lens_on_an_accelerator(tiny, model_dirs, layout, name):
    """Neither it nor mechcheck mixes what is on the device with what is on the CPU; both give the CPU's numbers."""
    job = job_of(name, tiny(layout, "float32", "raw"))
    expected = by_plain_hooks(tiny(layout, "float32", "raw"), job)
    with pretend() as device:
        model = load_model(model_dirs[layout], device=device, processing="raw")
        rival = TransformerLens(model)
        rival.prepare(job)
        found = rival.values(job, range(len(job.variants))).cpu().numpy()
        own = ours(model, job)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
    np.testing.assert_allclose(own, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_nnsight_gives_the_same_numbers(tiny, model_dirs, name):
    pytest.importorskip("nnsight")
    from comparison.rival_nnsight import NNsight, load

    model, wrapped = tiny("gpt2", "float32", "raw"), load(model_dirs["gpt2"], "cpu")
    job = job_of(name, model)
    expected = by_plain_hooks(model, job)
    for rival in (NNsight(wrapped), NNsight(wrapped, 4), NNsight(wrapped, 2, last_logits=True)):
        np.testing.assert_allclose(all_values(rival, job), expected, rtol=0, atol=1e-4, err_msg=rival.name)


@pytest.mark.parametrize("name", OF_LOGITS)
def test_pyvene_gives_the_same_numbers(tiny, model_dirs, name):
    pytest.importorskip("pyvene")
    from comparison.rival_pyvene import Pyvene, load

    model, hooked = tiny("gpt2", "float32", "raw"), load(model_dirs["gpt2"], "cpu")
    job = job_of(name, model)
    expected = by_plain_hooks(model, job)
    for rival in (Pyvene(hooked), Pyvene(hooked, collected=True)):
        np.testing.assert_allclose(all_values(rival, job), expected, rtol=0, atol=1e-4, err_msg=rival.name)


def counted(work) -> int:
    """The operations that torch counts, attention's among them where it is made of matrix products."""
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH), torch.no_grad():
        work()
    return counter.get_total_flops()


@pytest.mark.parametrize("last_logits", [False, True])
def test_operations_of_a_full_forward(tiny, hugging_face, layout, last_logits):
    model = tiny(layout)
    tokens = prompt_pairs(model.cfg.d_vocab, 3, WIDTH, FIRST_CHANGE).tokens
    kept = {"logits_to_keep": 1} if last_logits else {}
    expected = flops.full_forward(flops.shape_of(model), *tokens.shape, last_logits=last_logits).total()
    assert counted(lambda: hugging_face(layout)(tokens, **kept)) == expected


@pytest.mark.parametrize("name", JOBS)
def test_operations_that_are_needed(tiny, layout, name):
    """The fast runner does these and no others, but for the two logits and values of a single position, which are no matrix product.

    Where a variant changes next to nothing (a vector that is scaled by 0), that it does so has to be told from rounding besides.
    """
    model = tiny(layout)
    job, known = job_of(name, model), arithmetic(model)

    def work():
        captures = capture_all(model, job.prompts, job.interventions(), partial(capture_fast, known, job.prompts))
        edits = [edits_of(model, job.prompts, variant, captures) for variant in job.interventions()]
        swept = run_sweep(model, known, job.prompts, edits, read=read_by([job.metric], job.prompts))
        if job.measure == "loss":
            swept.values([job.metric])

    shape = flops.shape_of(model)
    needed = flops.needed(shape, job)
    told = flops.rounding(shape, job) if name.startswith("steer") or name.endswith("by position") else 0
    least = needed.total() - flops.multiplied(shape, job) - (0 if job.measure == "loss" else needed["unembed"])
    assert counted(work) - least in {0, told}


class Stub:
    """A rival whose numbers are off by a constant."""

    name, last_logits = "stub", False

    def __init__(self, model, off: float):
        self._model, self._off = model, off

    def forwards(self, job) -> int:
        return 2

    def prepare(self, job) -> None:
        pass

    def values(self, job, numbers):
        return torch.from_numpy(ours(self._model, job)[list(numbers)]) + self._off


def test_other_numbers_end_the_benchmark(tiny):
    model = tiny("gpt2")
    for off in (0.002, float("nan")):
        with pytest.raises(Disagreement, match="stub gives other numbers"):
            alternate(model, job_of("heads", model), [Stub(model, off)], device="cpu", rounds=1, measured=2)


def test_times_are_extrapolated_from_the_measured_variants(tiny, monkeypatch):
    """Two rounds; of six variants two are measured: a rival takes 1 + 3 * 6 / 2 seconds where mechcheck takes 2, then 4."""
    from comparison import alternate as module

    taken = iter([2.0, 1.0, 3.0, 4.0, 1.0, 3.0])
    monkeypatch.setattr(module, "timed", lambda device, work: (next(taken), work()))
    monkeypatch.setattr(module, "floor", lambda shape, needed, device: 0.5)
    model = tiny("gpt2")
    outcome = alternate(model, job_of("heads", model), [Stub(model, 1e-4)], device="cpu", rounds=2, measured=2)
    (against,) = outcome.against
    assert outcome.seconds == Spread(2.0, 3.0, 4.0)
    assert outcome.over_floor == Spread(4.0, 6.0, 8.0)
    assert against.seconds == Spread(10.0, 10.0, 10.0)
    assert against.ratio == Spread(2.5, 3.75, 5.0)
    assert (against.measured, against.variants) == (2, 6)
    assert against.difference == pytest.approx(1e-4)


def test_the_gpu_page_quotes_transformer_lens(tiny, monkeypatch, tmp_path, capsys):
    """From what a benchmark's own page prints, whatever stands in its columns."""
    monkeypatch.setattr(sys, "argv", ["x", "--save", "--results", str(tmp_path / "new")])
    page = Page("x", "Something", options(None))
    page.heading("GPT-2 small: 3 prompts")
    model = tiny("gpt2")
    rivals = [TransformerLens(model), Stub(model, 1e-4)]
    page.outcome(alternate(model, job_of("heads", model), rivals, device="cpu", rounds=1, measured=2))
    page.save()
    printed = capsys.readouterr().out
    (found,) = gpu._beside_transformer_lens(printed)
    line = next(line for line in printed.splitlines() if "TransformerLens" in line)
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert found == ("GPT-2 small", "patch every head, all positions", cells[2], cells[3], cells[4], cells[6])
    assert (tmp_path / "new" / "x.cpu.md").read_text().strip() == printed.strip()


def test_each_step_writes_its_own_part_of_the_page(tmp_path):
    page = tmp_path / "results" / "gpu.cuda.md"
    gpu._write(page, "Benchmarks", ["fast"])
    gpu._write(page, "Tests", ["all passed", "", "| a |"])
    gpu._write(page, "Benchmarks", ["faster"])
    assert page.read_text() == "# On a GPU\n\n## Tests\n\nall passed\n\n| a |\n\n## Benchmarks\n\nfaster\n"


def test_outcomes_of_tests(tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 1 == 2, 'b is off'\n"
        "@pytest.mark.skip\ndef test_c(): pass\n@pytest.fixture\ndef bad(): raise OSError('no')\ndef test_d(bad): pass\n"
    )
    junit = tmp_path / "junit.xml"
    ran = run([*gpu._PYTEST, str(tmp_path), f"--junitxml={junit}", f"--rootdir={tmp_path}"], 60, "cpu")
    assert (ran.ended, ran.code, ran.gpu) == (True, 1, None)
    assert ran.rss > 2**24
    counts, failed = gpu._outcomes(junit)
    assert counts == Counter(passed=1, failed=2, skipped=1)
    assert [name for name, _ in failed] == ["test_b", "test_d"]
    assert "b is off" in failed[0][1]
    assert gpu._outcomes(tmp_path / "none.xml") == (Counter(), [])


def test_a_program_that_takes_too_long_is_stopped(monkeypatch):
    """With all that it started; and what was not begun is said to be."""
    monkeypatch.setattr("comparison.running.LEAST", 0.1)
    sleeper = "import subprocess, sys; print('began', flush=True); subprocess.run([sys.executable, '-c', 'import time; time.sleep(99)'])"
    ran = run([sys.executable, "-c", sleeper], 2.0, "cpu")
    assert not ran.ended
    assert ran.seconds < 90  # it would have slept for 99
    assert "began" in ran.output
    assert gpu._seconds(ran).startswith("stopped after ")
    assert gpu._seconds(run(["never"], Clock(0.0).left(), "cpu")) == "not run: out of time"


@pytest.mark.parametrize(("claim", "alike"), [("supported", True), ("refuted", False)])
def test_claims_that_are_decided_otherwise(monkeypatch, tmp_path, claim, alike):
    """Verdicts are compared claim by claim, and any difference is named."""
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--quick", "--workers", "2"])
    chosen = gpu._options()
    assert (chosen.profile, chosen.steps) == ("smoke", ["tests", "claims", "benchmarks"])
    ran = gpu.Ran("", 3.0, True, 0, 2**30, None)
    monkeypatch.setattr(gpu, "run", lambda *_: ran)
    given = iter([{"a": ("supported", [1.0]), "b": ("refuted", [])}, {"a": (claim, [1.5]), "b": ("refuted", [])}])
    monkeypatch.setattr(gpu, "_verdicts", lambda _: next(given))
    lines, fine = gpu._claims(chosen, Clock(100.0))
    assert fine is alike
    text = "\n".join(lines)
    assert f"{1 + alike} of 2 claims are decided alike; largest difference of a measured value: 0.5." in text
    assert ("- `a`: supported on cpu, refuted on cpu" in text) is not alike
    assert "| cpu | 2 | 1 | 1 | 0 | 0 | 0 | 0 | 3 | 1024 | - |" in text
