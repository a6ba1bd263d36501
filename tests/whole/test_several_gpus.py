"""A model whose layers are on several GPUs says what it says on one; skipped where there are fewer than two."""

import numpy as np
import pytest
import torch

from mechcheck import Ablate, Patch, heads, ioi_prompts, load_model, resid, sweep
from mechcheck.engine.selfcheck import TOLERANCE

pytestmark = pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch sees fewer than two GPUs")

MODEL = "names-gpt2-seed4"
PARTS = {"transformer.wte": 0, "transformer.wpe": 0, "transformer.h.0": 0, "transformer.h.1": 1, "transformer.ln_f": 0, "lm_head": 0}


@pytest.mark.parametrize("device_map", [PARTS, "balanced"], ids=["parts", "balanced"])
def test_sharded_and_whole_say_the_same(device_map):
    variants = [[], [Patch(heads("0.1"))], [Patch(heads("1.0@END"))], [Ablate(heads("0.0"), "zero")], [Patch(resid("1@S2"))]]
    sharded, whole = load_model(MODEL, device_map=device_map), load_model(MODEL, device="cuda:0")
    prompts = ioi_prompts(whole, n=8, seed=0)
    found, expected = sweep(sharded, prompts, variants), sweep(whole, prompts, variants)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE[torch.float32] * np.abs(expected).max())
