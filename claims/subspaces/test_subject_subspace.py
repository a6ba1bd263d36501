"""Which of the two people gives: is it carried by a few directions of the stream behind the S-inhibition heads?

Subspaces are fitted on discovery prompts, whose sentences and pairs of people never meet in the verification prompts. The dimension
and the thresholds were chosen after a look at both halves; the prompts of the verdict were drawn afterwards, with another seed.
"""

from functools import lru_cache

import pytest

from mechcheck import (
    Bars,
    Effect,
    Patch,
    claim,
    das,
    interchange,
    ioi_prompts,
    provenance,
    resid,
    resid_post,
    subspace,
    subspace_controls,
)

GEIGER = "Geiger et al. 2023, arXiv:2303.02536"
ARORA = "Arora et al. 2024, arXiv:2402.12560"
SHORTCUT = "names-gpt2-seed0"  # writes against the giver directly, so nothing behind these heads is waiting to be read
FITTED_ON, EPOCHS = 192, 8
FITS: dict = {}  # of each model and dimension, so that they are fitted once


def behind(model, circuit):
    """The stream at END that has everything the S-inhibition heads wrote."""
    layer = max(site.layer for site in circuit["s_inhibition"]) + 1
    return resid(layer, at="END") if layer < model.cfg.n_layers else resid_post(layer - 1, at="END")


@lru_cache(maxsize=8)
def discovery(model):
    return ioi_prompts(model, n=FITTED_ON, seed=0, split="discover")


def searched(model, site, dim):
    """DAS on the discovery prompts."""
    key = (provenance(model), site, dim)
    if key not in FITS:
        FITS[key] = das(model, discovery(model), site, dim, epochs=EPOCHS, rate=4e-2, batch=32)
    return FITS[key]


@pytest.mark.parametrize("dim", [8, 1])
@pytest.mark.parametrize("how", ["das"])
@claim(
    "So many directions carry who gives: exchanged with the prompt in which the other person does, they flip the answer on most prompts",
    source=GEIGER, task="ioi", kind="sufficiency", expect={SHORTCUT: "refuted", "1": "refuted"},
    positive_control={"dim": 8}, decoy={"how": "random"},
)  # fmt: skip
def test_directions_carry_the_subject(model, prompts, circuit, check, how, dim):
    """Eight do. One does not: there are 60 names, and which of them gives is not one number."""
    import torch

    site = behind(model, circuit)
    if how == "random":
        sites = site.within(subspace(torch.randn(dim, model.cfg.d_model, generator=torch.Generator().manual_seed(check.seed % 2**63))))
    else:
        sites = searched(model, site, dim).sites
    measured = interchange(model, prompts, sites)
    check.rate(measured.accuracy, above=0.5)
    check.greater(measured.shift, 0.5 * measured.whole_shift)


@pytest.mark.parametrize("dim", [8])
@claim(
    "Nothing else of eight dimensions does it as well: placebos of its length, random subspaces, mixtures of activations, components, "
    "arbitrary labels",
    source=f"{GEIGER}; {ARORA}", task="ioi", kind="specificity", expect={SHORTCUT: "refuted"}, decoy={"dim": 1},
)  # fmt: skip
def test_no_other_subspace_carries_it(model, prompts, circuit, check, dim):
    """Mixtures of activations and arbitrary labels do the most of them; uniform draws, the usual control, next to nothing."""
    found = searched(model, behind(model, circuit), dim)
    check.beats_random(Effect(model, prompts, Patch), found.sites)
    controls = subspace_controls(model, prompts, found, n=20, seed=check.seed)
    most = {name: max(some, key=lambda one: one.accuracy.mean) for name, some in controls.named.items()}
    for name, one in most.items():
        if name == "random weights":
            check.greater(controls.found.shift, one.shift, margin=1.0, label="shift > that on random weights + 1 logit")
        else:
            check.greater(controls.found.accuracy, one.accuracy, margin=0.1, label=f"accuracy > {name} + 0.1")
    bars = {"fitted": controls.found} | most
    check.figure(Bars("Interchange accuracy, the highest of each", list(bars), [one.accuracy.mean for one in bars.values()], unit="share"))
