"""Dose and response: the preference as a head says less, or more, than it does."""

import numpy as np

from mechcheck import Lines, Scale, Sites, all_heads, claim, run, sweep

FACTORS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
STEP = 0.1


@claim(
    "The preference follows the critical head's output: nothing, half, whole and double of it give more and more",
    task="ioi", kind="necessity", models=["names-gpt2-seed4", "names-neox-seed2", "names-gpt2-seed0"],
)  # fmt: skip
def test_the_preference_follows_the_dose(model, prompts, circuit, check):
    clean = run(model, prompts)
    none, half, double = (run(model, prompts, Scale(circuit["critical"], factor)) for factor in (0.0, 0.5, 2.0))
    check.requires(clean, above=1.0, label="there is a preference to follow: logit difference > 1")
    for label, less, more in (("0 to 1/2", none, half), ("1/2 to 1", half, clean), ("1 to 2", clean, double)):
        check.above((more - less) / clean, STEP, f"gain from {label} of the output, as a share of the preference > {STEP}")
    check.figure(lambda: _curves(model, prompts, clean))


def _curves(model, prompts, clean):
    sites = all_heads(model)
    scaled = sweep(model, prompts, [Scale(Sites([site]), factor) for site in sites for factor in FACTORS]).mean(1)
    series = dict(zip(map(str, sites), np.reshape(scaled, (len(sites), -1)) / clean.mean, strict=True))
    return Lines("Scaling one head", FACTORS, series, "factor", "share of the preference")
