"""Where SAELens is installed: it and mechcheck read each other's directories, and compute the same of them."""

import pytest
import torch
from made_dictionaries import ARCHITECTURES, made

from mechcheck.models.dictionary_files import keep_dictionary, load_dictionary

sae_lens = pytest.importorskip("sae_lens", reason="SAELens is not installed")
X = torch.randn(64, 24, generator=torch.Generator().manual_seed(2))
MLP = {"hook_name": "blocks.1.mlp.hook_in", "hook_name_out": "blocks.1.hook_mlp_out"}
SETTINGS = [
    *(
        {"architecture": kind, "apply_b_dec_to_input": minus, "normalize_activations": norm}
        for kind in ARCHITECTURES
        for minus in (True, False)
        for norm in ("none", "layer_norm", "constant_norm_rescale")
    ),
    {"architecture": "topk", "rescale_acts_by_decoder_norm": True},
    *({"architecture": f"{kind}transcoder"} for kind in ("", "skip_", "jumprelu_", "jumprelu_skip_")),
]


def written_by_saelens(settings, path):
    transcoder = "transcoder" in settings["architecture"]
    config = {
        "d_in": 24, "d_sae": 60, "k": 7, "metadata": MLP if transcoder else {"hook_name": "blocks.1.hook_resid_pre"},
        **({"d_out": 24, "apply_b_dec_to_input": False} if transcoder else {}), **settings,
    }  # fmt: skip
    torch.manual_seed(0)
    sae = sae_lens.SAE.from_dict(config)
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.normal_(0.0, 0.3)
            if name == "threshold":
                parameter.abs_()
    sae.save_model(path)
    return sae_lens.SAE.load_from_disk(path)


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: "-".join(map(str, settings.values())))
@pytest.mark.filterwarnings("ignore")
def test_what_saelens_writes(settings, tmp_path):
    sae = written_by_saelens(settings, tmp_path / "theirs")
    ours = load_dictionary(tmp_path / "theirs")
    with torch.no_grad():
        features, out = sae.encode(X), sae(X)
    assert 0 < int((features > 0).sum()) < features.numel()
    torch.testing.assert_close(ours.encode(X), features, rtol=1e-6, atol=2e-6)
    torch.testing.assert_close(ours.reconstruct(X), out, rtol=1e-6, atol=5e-6)
    again = sae_lens.SAE.load_from_disk(keep_dictionary(ours, tmp_path / "ours"))
    with torch.no_grad():
        torch.testing.assert_close(again(X), out, rtol=1e-6, atol=5e-6)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_error_term_is_what_saelens_keeps(architecture, tmp_path):
    """`use_error_term`: features are changed in the reconstruction, and what it left out is added again."""
    ours = made(architecture, "blocks.1.hook_resid_pre", 24, dtype=torch.float32)
    sae = sae_lens.SAE.load_from_disk(keep_dictionary(ours, tmp_path))
    sae.use_error_term = True

    def silenced(features, hook):
        features[:, [3, 7]] = 0.0
        return features

    with torch.no_grad(), sae.hooks(fwd_hooks=[("hook_sae_acts_post", silenced)]):
        expected = sae(X)
    from mechcheck.notation.features import Features

    code = Features(ours, (3, 7))
    was = code.read(X)
    assert float(was.max()) > 0
    torch.testing.assert_close(code.written(X, was, torch.zeros_like(was)), expected, rtol=1e-6, atol=5e-6)
