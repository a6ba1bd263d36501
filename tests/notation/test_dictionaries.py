"""Dictionaries compute what their papers' formulas say, and refuse arrays that do not fit together."""

import pytest
import torch
from made_dictionaries import ARCHITECTURES, decoded_by_hand, encoded_by_hand, made

from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.notation.dictionaries import Dictionary

HOOK = "blocks.1.hook_resid_pre"
MLP = {"hook": "blocks.1.hook_mlp_out", "reads": "blocks.1.mlp.hook_in"}
VARIANTS = [
    *(pytest.param(made(kind, HOOK, 6), id=kind) for kind in ARCHITECTURES),
    *(pytest.param(made(kind, HOOK, 6, subtract_b_dec=False), id=f"{kind}-input-as-it-is") for kind in ARCHITECTURES),
    *(pytest.param(made(kind, HOOK, 6, normalise="layer_norm"), id=f"{kind}-layer-norm") for kind in ARCHITECTURES),
    *(pytest.param(made(kind, HOOK, 6, normalise="constant_norm_rescale"), id=f"{kind}-norm") for kind in ARCHITECTURES),
    *(pytest.param(made(kind, MLP["hook"], 6, d_in=5, reads=MLP["reads"]), id=f"{kind}-transcoder") for kind in ("standard", "jumprelu")),
    pytest.param(
        made("standard", MLP["hook"], 6, d_in=5, reads=MLP["reads"], W_skip=torch.arange(30.0, dtype=torch.float64).reshape(6, 5) / 30),
        id="transcoder-with-skip",
    ),
]


def rows(d: int) -> torch.Tensor:
    return torch.randn(7, 3, d, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@pytest.mark.parametrize("dictionary", VARIANTS)
def test_it_computes_what_the_formulas_say(dictionary):
    x = rows(dictionary.d_in)
    flat = x.reshape(-1, dictionary.d_in)
    features = torch.stack([encoded_by_hand(dictionary, row) for row in flat])
    assert 0 < int((features > 0).sum()) < features.numel()  # some fire, and some do not
    torch.testing.assert_close(dictionary.encode(x).reshape(-1, dictionary.d_sae), features, rtol=0, atol=1e-12)
    expected = torch.stack([decoded_by_hand(dictionary, some, row) for some, row in zip(features, flat, strict=True)])
    torch.testing.assert_close(dictionary.reconstruct(x).reshape(len(flat), -1), expected, rtol=0, atol=1e-12)
    chosen = torch.tensor([9, 2, 5])
    torch.testing.assert_close(dictionary.parts(x, chosen).features, dictionary.encode(x)[..., chosen], rtol=0, atol=1e-12)
    torch.testing.assert_close(dictionary.parts(x, torch.tensor([1])).features, dictionary.encode(x)[..., [1]], rtol=0, atol=1e-12)


def test_it_computes_in_the_more_precise_of_two_dtypes():
    stored = made("standard", HOOK, 6, dtype=torch.float32)
    assert stored.encode(rows(6)).dtype == torch.float64
    assert stored.encode(rows(6).bfloat16()).dtype == torch.float32
    torch.testing.assert_close(stored.encode(rows(6).float()), stored.encode(rows(6)).float(), rtol=0, atol=1e-5)


def test_what_it_is_of_is_read_off_its_hook():
    for hook, named in {
        "blocks.0.hook_resid_post": "resid_post 0", "blocks.2.hook_in": "resid 2", "blocks.2.hook_out": "resid_post 2",
        "blocks.1.attn.hook_z": "heads 1", "blocks.1.mlp.hook_post": "neurons 1", "blocks.3.mlp.hook_out": "mlp 3",
    }.items():  # fmt: skip
        assert made("standard", hook, 6).site.named == named
    assert str(made("standard", "blocks.1.attn.hook_z", 6, head=2).site) == "1.2"


def test_two_that_compute_the_same_have_the_same_hash():
    one, same, other = made("topk", HOOK, 6), made("topk", HOOK, 6, name="else"), made("topk", HOOK, 6, k=3)
    assert one.sha256 == same.sha256 != other.sha256
    assert made("topk", HOOK, 6, seed=1).sha256 != one.sha256


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"W_enc": torch.ones(6)}, r"W_enc is \[d_in, d_sae\]"),
        ({"W_dec": torch.ones(5, 6)}, r"W_dec has shape \[5, 6\] where \[4, 6\] fits"),
        ({"W_dec": torch.ones(4, 5)}, "writes what it reads, and this one reads 6 numbers and writes 5"),
        ({"b_enc": torch.ones(5)}, "b_enc has shape"),
        ({"b_dec": torch.tensor([1.0, torch.nan, 0, 0, 0, 0])}, "b_dec has to be finite floats"),
        ({"W_enc": torch.ones(6, 4, dtype=torch.int64)}, "W_enc has to be finite floats"),
        ({"threshold": torch.ones(4)}, "threshold is no part of a standard autoencoder"),
        ({"architecture": "jumprelu"}, "jumprelu dictionary needs threshold"),
        ({"architecture": "gated"}, "gated dictionary needs b_gate"),
        ({"architecture": "batchtopk"}, "unknown architecture 'batchtopk'"),
        ({"architecture": "topk"}, "k=None"),
        ({"architecture": "topk", "k": 5}, "1 <= k <= 4"),
        ({"k": 2}, "k=2"),
        ({"normalise": "whitening"}, "unknown normalisation"),
        ({"processing": "plain"}, "unknown processing"),
        ({"frequency": torch.ones(3)}, "frequency has shape"),
        ({"W_skip": torch.ones(6, 6)}, "W_skip is no part"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, why):
    with pytest.raises(MechcheckError, match=why):
        Dictionary(**({"W_enc": torch.ones(6, 4), "W_dec": torch.ones(4, 6), "hook": HOOK} | change))


@pytest.mark.parametrize(
    ("hooks", "why"),
    [
        ({"hook": "hook_embed"}, "no hook of a layer"),
        ({"hook": "blocks.1.ln1.hook_normalized"}, "no place that can be changed"),
        ({"hook": "blocks.1.attn.hook_pattern"}, "no place that can be changed"),
        ({"hook": HOOK, "head": 1}, "has no heads"),
        ({"hook": "blocks.1.attn.hook_q"}, "of one head"),
        ({"hook": HOOK, "reads": "blocks.1.mlp.hook_in"}, "reads what enters the MLP whose output"),
        ({"hook": "blocks.1.hook_mlp_out", "reads": "blocks.0.mlp.hook_in"}, "reads what enters the MLP whose output"),
        ({"hook": "blocks.1.hook_mlp_out", "reads": "blocks.1.hook_mlp_in"}, r"blocks\.1\.ln2\.hook_normalized"),
    ],
)
def test_hooks_that_are_no_places_are_refused(hooks, why):
    with pytest.raises(SiteError, match=why):
        Dictionary(torch.ones(6, 4), torch.ones(4, 6), **hooks)
