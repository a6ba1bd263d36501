"""Gates of numbers made up for the purpose."""

import numpy as np

from mechcheck.measures.causal.gates import Gate, Sides
from mechcheck.notation.sites import heads
from mechcheck.stats.measurement import Measurement

A, B = heads("0.0 1.1"), heads("0.2@A")


def made(noised, denoised, clean=10.0, corrupted=0.0, spread=0.0, n=48):
    """A gate of these effects; `spread` of each prompt's own."""
    noise = spread * np.resize([-1.0, 1.0, -0.5, 0.5, 0.0], n)

    def measured(value, own=0.0):
        return Measurement(value + own * noise, tuple(f"p{i}" for i in range(n)), tuple(f"t{i % 12}" for i in range(n)), "m", "logits")

    sides = [Sides(measured(a), measured(b), measured(both, 1.0)) for a, b, both in (noised, denoised)]
    return Gate(A, B, measured(clean), measured(corrupted), *sides)
