"""Warnings on what was put in the place of activations: noise, those of longer prompts, means over a few."""

import pytest
import torch
from test_used import ROWS, named

from mechcheck.engine.run import run
from mechcheck.evidence.caveats.corruption import FEWEST
from mechcheck.evidence.used import Used
from mechcheck.notation.interventions import Ablate, Noise, Patch, Scale, Steer
from mechcheck.notation.metrics import correct
from mechcheck.notation.sites import embed, heads, patterns, resid
from mechcheck.prompts.prompt_set import PromptSet

HALF = Scale(heads("0.1"), 0.5)


def test_noise_where_tokens_could_be_exchanged(about, prompts):
    noise, patch = Noise(embed(at="A"), 3.0), Patch(resid("1@A"))
    assert about((prompts, noise)) == about((prompts, [noise, Patch(resid("1@END"), prompts)])) == ["gaussian_noise"]
    assert about((prompts, noise), (prompts, patch)) == []
    assert about((prompts, noise), (prompts.counterfactual, Patch(resid("1@A"), prompts))) == []
    assert about((named(ROWS), noise)) == []
    assert about((prompts, Steer(torch.ones(24), resid("1")))) == []


def test_prompts_of_another_length(about):
    uneven = named(ROWS, counterfactual=named([[1, 20, 6, 7, 8], [1, 21, 6, 7, 8, 8], [1, 22, 10, 7, 8, 9]]))
    assert about((uneven, Patch(resid("1@A")))) == ["other_lengths"]
    assert about((uneven, Ablate(resid("1@A"), "resample", uneven.counterfactual))) == ["other_lengths"]
    assert about((uneven, Ablate(resid("1@A"), "mean", uneven.counterfactual))) == []
    assert about((uneven, HALF)) == []


def test_what_they_say(tiny, prompts):
    seen = Used()
    with seen.watching():
        run(tiny("gpt2"), prompts, Noise(embed(at="A")), correct)
    noise, alone = seen.record()["caveats"][:2]
    assert noise["text"].startswith("corrupted by Gaussian noise alone, though these prompts have a counterfactual")
    assert alone["text"].startswith("the effect is read as accuracy alone")
    assert all("arXiv:2309.16042" in caveat["text"] for caveat in (noise, alone))


def many(*lengths, templates=None):
    """A prompt of each of these lengths, all different."""
    rows = [[1, *(2 + (7 * row + at) % 20 for at in range(length - 1))] for row, length in enumerate(lengths)]
    n = len(rows)
    return PromptSet.from_tokens(
        rows, answers=[2 + i % 9 for i in range(n)], foils=[12 + i % 9 for i in range(n)], templates=templates or ["t"] * n, pad=0
    )


def means(tiny, prompts, change):
    """What is said of too few prompts."""
    seen = Used()
    with seen.watching():
        run(tiny("gpt2"), prompts, change)
    return [caveat["text"] for caveat in seen.record()["caveats"] if caveat["about"] == "few_references"]


@pytest.mark.parametrize(
    ("change", "n"),
    [
        (lambda own: Ablate(heads("0.1"), "mean"), 6), (lambda own: Ablate(patterns("0.1@END"), "mean"), 6),
        # At a named position the mean is over all prompts, whatever their template and length.
        (lambda own: Ablate(heads("0.1@END"), "mean"), None),
        (lambda own: Ablate(heads("0.1@END"), "mean", reference=own[: FEWEST - 1]), 9),
        (lambda own: Ablate(heads("0.1@END"), "mean", reference=own[:FEWEST]), None),
        (lambda own: Ablate(heads("0.1"), "resample"), None), (lambda own: Ablate(heads("0.1"), "zero"), None),
        (lambda own: [Ablate(heads("0.1@END"), "mean"), Ablate(heads("0.0"), "mean")], 6),
    ],
)  # fmt: skip
def test_means_over_few_prompts(tiny, change, n):
    own = many(*[6] * 12, *[7] * 6)
    found = means(tiny, own, change(own))
    assert len(found) == (n is not None)
    assert n is None or found[0].startswith(f"mean ablation by means over {n} prompts")
    assert n is None or f"{n**-0.5:.0%} of the activations' spread" in found[0]


def test_means_at_every_position_are_of_one_length(tiny):
    """Prompts of differing length leave fewer to each mean, and no mean is over two lengths: nothing is said of lengths."""
    even, uneven = many(*[6] * 20), many(*[6, 7] * 10)
    assert means(tiny, even, Ablate(heads("0.1"), "mean")) == means(tiny, uneven, Ablate(heads("0.1"), "mean")) == []
    longer = many(*[6] * 12, *[7] * 9)
    (few,) = means(tiny, longer, Ablate(heads("0.1"), "mean"))
    assert "over 9 prompts (those of one template and length)" in few
    assert means(tiny, longer[range(12)], Ablate(heads("0.1"), "mean", reference=longer)) == [], "the group of nine is not used"
    # By the engine: each length's mean is over that length alone.
    model = tiny("gpt2")
    apart = [run(model, part, Ablate(heads("0.1"), "mean")).values for part in (longer[range(12)], longer[range(12, 21)])]
    torch.testing.assert_close(
        torch.tensor(run(model, longer, Ablate(heads("0.1"), "mean")).values), torch.tensor([*apart[0], *apart[1]]), atol=1e-4, rtol=1e-4
    )
