"""Attribution patching beside patching: every head's effect from one backward pass. Thresholds were fixed on discovery prompts."""

import numpy as np
import pytest

from mechcheck import Bars, Measurement, Patch, Sites, all_heads, capture, claim, gradients, sweep

SYED = "Syed et al. 2023, arXiv:2310.10348; Kramar et al. 2024, arXiv:2403.00745"


def effects(model, prompts, order):
    """What the logit difference loses by each head's output at END from the counterfactual, to first order and exactly: [prompt, head]."""
    heads = all_heads(model).at("END")
    slopes = gradients(model, prompts, heads)
    clean, other = (capture(model, some, heads) for some in (prompts, prompts.counterfactual))
    lost = [((clean[site] - other[site]) * slopes[site]).sum(-1).cpu().numpy() for site in heads]
    unpatched, *patched = sweep(model, prompts, [[], *(Patch(Sites([site])) for site in heads)])
    return np.stack(lost[::-1] if order == "reversed" else lost, 1), np.stack([unpatched - one for one in patched], 1)


def rank_correlations(estimated, exact):
    """Spearman's, over the heads, of each prompt."""
    import scipy

    a, b = (scipy.stats.rankdata(values, axis=1) for values in (estimated, exact))
    a, b = (values - values.mean(1, keepdims=True) for values in (a, b))
    return (a * b).sum(1) / np.sqrt((a**2).sum(1) * (b**2).sum(1))


@pytest.mark.parametrize("order", ["as they are"])
@claim(
    "One backward pass ranks the heads at END as patching them one by one does, but takes the strongest for weaker than it is",
    source=SYED, task="ioi", kind="structure", decoy={"order": "reversed"},
)  # fmt: skip
def test_attribution_ranks_the_heads(model, prompts, check, order):
    """To first order: behind the softmax of attention and the norms, the way to the counterfactual bends upwards."""
    estimated, exact = effects(model, prompts, order)
    strongest = exact.mean(0).argmax()

    def of(values, name, unit="logits"):
        return Measurement(values, prompts.ids, prompts.templates, name, unit)

    check.above(of(rank_correlations(estimated, exact), "rank correlation over heads", ""), 0.9)
    check.greater(0.8 * of(exact[:, strongest], "exact"), of(estimated[:, strongest], "to first order"))
    names = [f"{site}{how}" for site in all_heads(model).at("END") for how in ("", ", to first order")]
    values = np.stack([exact.mean(0), estimated.mean(0)], 1).ravel()
    check.figure(Bars("Logit difference lost by each head", names, values.tolist(), unit="logits"))
