"""What only a GPU can show, skipped where there is none; `tests/engine/test_devices.py` runs every primitive there too."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import LAYOUTS, MORE_LAYOUTS, random_prompts

from mechcheck.base.device import repeat_exactly
from mechcheck.base.errors import SelfCheckWarning
from mechcheck.base.paths import data_dir
from mechcheck.engine.memory import free_bytes
from mechcheck.engine.run import plain_hooks, run, sweep
from mechcheck.engine.selfcheck import TOLERANCE
from mechcheck.engine.untouched_cache import forget_runs
from mechcheck.models.loading import load_model, reinitialised
from mechcheck.notation.interventions import Ablate, Patch, Steer
from mechcheck.notation.sites import heads, resid

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")

DEVICE = torch.device("cuda", 0)
VARIANTS = [
    [],
    [Patch(heads("0.1"))],
    [Patch(heads("0.0@B 1.2@END"))],
    [Patch(resid("1@A"))],
    [Ablate(heads("0.0 1.1"), "mean")],
    [Ablate(heads("0.2"), "resample")],
    [Ablate(heads("1.0@END"), "zero")],
]
# A file of claims for each kind of model that is shipped: trained and compiled.
CLAIMS = ("ioi/test_s_inhibition.py", "compiled/test_compiled_ablations.py")


@pytest.fixture(autouse=True)
def exactly():
    """As the plugin sets torch, and as other tests had it afterwards."""
    before = torch.are_deterministic_algorithms_enabled()
    repeat_exactly()
    yield
    torch.use_deterministic_algorithms(before)


def swept(model, prompts, variants=VARIANTS, **options) -> np.ndarray:
    """By the fast runner, which must not have to give up."""
    forget_runs()
    with warnings.catch_warnings():
        warnings.simplefilter("error", SelfCheckWarning)
        return sweep(model, prompts, variants, **options)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_sweeps_equal_plain_hooks(model_dirs, layout, dtype):
    model, prompts = load_model(model_dirs[layout], device="cuda", dtype=dtype, processing="raw"), random_prompts(4, [5, 5, 8, 8, 6, 6])
    found = swept(model, prompts)
    with plain_hooks():
        expected = sweep(model, prompts, VARIANTS)
    # Llama's norms and softmax are float32 in a float64 model too.
    within = max(TOLERANCE[getattr(torch, dtype)], 1e-5 if layout == "llama" else 0.0)
    assert np.abs(found - expected).max() < within * max(1.0, np.abs(expected).max())
    assert np.abs(expected - expected[0]).max() > 0.1


@pytest.mark.parametrize(("dtype", "within"), [("float64", 1e-6), ("float32", 1e-3)])
@pytest.mark.parametrize("layout", [*LAYOUTS, *MORE_LAYOUTS])
def test_the_gpu_gives_the_cpus_numbers(model_dirs, layout, dtype, within):
    """float32 as such: TF32 would be off by a hundredth."""
    prompts = random_prompts(5, [5, 5, 8, 8, 6, 6])
    there, here = (load_model(model_dirs[layout], device=device, dtype=dtype, processing="raw") for device in ("cuda", "cpu"))
    within = max(within, 1e-4 if layout == "llama" else 0.0)
    np.testing.assert_allclose(swept(there, prompts), swept(here, prompts), rtol=within, atol=within)


def test_random_numbers_are_the_cpus(model_dirs):
    prompts = random_prompts(6, [6, 6, 6, 6])
    there, here = (load_model(model_dirs["gpt2"], device=device) for device in ("cuda", "cpu"))
    for mine, theirs in zip(reinitialised(here, 3).parameters(), reinitialised(there, 3).parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.cpu(), rtol=1e-4, atol=1e-5)
    resampled = [Ablate(heads("0.1"), "resample", seed=1)]
    assert run(there, prompts, resampled).values == pytest.approx(run(here, prompts, resampled).values, abs=1e-3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sweep_repeats_bit_for_bit(model_dirs, layout):
    model, prompts = load_model(model_dirs[layout], device="cuda"), random_prompts(7, [5, 5, 8, 8])
    assert np.array_equal(swept(model, prompts), swept(model, prompts))


def test_memory_is_the_gpus():
    free, total = torch.cuda.mem_get_info(DEVICE)
    assert 0 < free_bytes(DEVICE) <= total / 4
    kept = torch.empty(64 * 2**20, dtype=torch.uint8, device=DEVICE)
    del kept  # torch keeps it for its next tensors: it is not lost to a batch
    assert free_bytes(DEVICE) >= 0.99 * free / 4


def test_a_batch_that_does_not_fit_is_halved(model_dirs):
    """Torch is allowed little more than it has; all variants at once take more."""
    model, prompts = load_model(model_dirs["gpt2"], device="cuda"), random_prompts(8, [20, 20, 20, 20])
    direction = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    variants = [[Steer(direction, resid("0@A"), scale)] for scale in np.linspace(0.1, 1.0, 6000)]
    expected = swept(model, prompts, variants, batch=100)
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info(DEVICE)
    torch.cuda.reset_peak_memory_stats(DEVICE)
    try:
        torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved(DEVICE) + 128 * 2**20) / total, DEVICE)
        with pytest.raises(torch.OutOfMemoryError):
            torch.empty(256 * 2**20, dtype=torch.uint8, device=DEVICE)
        found = swept(model, prompts, variants, batch=6000)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, DEVICE)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)


def test_claims_are_decided_alike(tmp_path):
    """On the CPU by one process and by two, bit for bit; and on the GPU, alone and shared by two processes."""
    ways = {
        "cpu": ["-n0", "--mech-device=cpu"],
        "cpu, two processes": ["-n2", "--mech-device=cpu"],
        "cuda": ["-n0", "--mech-device=cuda"],
        "cuda, two processes": ["-n2", "--mech-device=cuda"],
    }
    found = {name: _decided(tmp_path / name.replace(", ", "-").replace(" ", "-"), options) for name, options in ways.items()}
    verdicts = {name: {claim: verdict for claim, (verdict, _) in claims.items()} for name, claims in found.items()}
    assert len(verdicts["cpu"]) > 10
    assert set(verdicts["cpu"].values()) >= {"supported", "refuted"}
    for name in ways:
        assert verdicts[name] == verdicts["cpu"], name
    assert found["cpu, two processes"] == found["cpu"]
    assert found["cuda, two processes"] == found["cuda"]
    for claim, (_, values) in found["cuda"].items():
        # One prompt in 96 may lie so near a threshold that rounding moves it over.
        assert values == pytest.approx(found["cpu"][claim][1], rel=1e-3, abs=0.011), claim


def _decided(report: Path, options: list[str]) -> dict[str, tuple[str, list[float]]]:
    """Claim's id -> verdict, and the measured values."""
    files = [str(data_dir("claims") / name) for name in CLAIMS]
    command = [sys.executable, "-m", "pytest", *files, "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--mech-profile=smoke"]
    models = ["--mech-model=names-gpt2-seed1", "--mech-model=names-neox-seed2", "--mech-model=compiled-ioi"]
    done = subprocess.run(
        [*command, *models, *options, f"--mech-report={report}"], cwd=Path(__file__).parents[2], env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert (report / "evidence.json").exists(), done.stdout + done.stderr
    claims = json.loads((report / "evidence.json").read_text(encoding="utf-8"))["claims"]
    return {c["id"]: (c["verdict"], [e["estimate"]["value"] for e in c["expectations"]]) for c in claims if c["verdict"] != "skipped"}
