"""What a dictionary recovers, against sums written by hand; perfect and useless ones; encoders, padding, one position."""

import numpy as np
import pytest
import torch
from made_dictionaries import made
from tiny import random_prompts

from mechcheck.base.errors import MechcheckError
from mechcheck.engine.run import capture, run
from mechcheck.measures.stream import loss_recovered as module
from mechcheck.measures.stream.loss_recovered import loss_recovered
from mechcheck.notation.dictionaries import Dictionary
from mechcheck.notation.interventions import Ablate, Put
from mechcheck.notation.metrics import kl_divergence, logit_diff, loss
from mechcheck.notation.sites import Sites, resid

HOOK, LENGTHS = "blocks.1.hook_resid_pre", (7, 9, 6, 9, 8, 7)


def identity(d: int, hook: str = HOOK) -> Dictionary:
    """Two features for each component, one for each sign: it reconstructs everything."""
    both = torch.cat([torch.eye(d), -torch.eye(d)]).double()
    return Dictionary(both.T, both, hook)


def test_by_hand(tiny, layout):
    model, prompts = tiny(layout), random_prompts(3, LENGTHS)
    one = made("jumprelu", HOOK, model.cfg.d_model)
    found = loss_recovered(model, prompts, one)
    (whole,) = capture(model, prompts, Sites([one.site])).values()
    clean, spliced, removed = (
        run(model, prompts, change, loss) for change in ([], Put({one.site: one.reconstruct(whole).to(whole)}), Ablate(resid("1")))
    )
    share = (removed.values - spliced.values).sum() / (removed.values - clean.values).sum()
    assert found.recovered.mean == pytest.approx(share, abs=1e-5)
    assert found.estimate().value == pytest.approx(share, abs=1e-5)
    assert found.estimate().clusters == 3
    kl = [run(model, prompts, change, kl_divergence.over("ALL")).values for change in
          (Put({one.site: one.reconstruct(whole).to(whole)}), Ablate(resid("1")))]  # fmt: skip
    assert found.kl_recovered.mean == pytest.approx(1 - kl[0].sum() / kl[1].sum(), abs=1e-5)
    x = torch.cat([whole[row, :n] for row, n in enumerate(prompts.lengths.tolist())])
    error = (x - one.reconstruct(x)).square().sum() / (x - x.mean(0)).square().sum()
    assert found.fit.explained_variance == pytest.approx(1 - float(error), abs=1e-6)
    fires = (one.encode(x) > 0).double()
    assert found.fit.l0 == pytest.approx(float(fires.sum(1).mean()))
    torch.testing.assert_close(found.fit.frequency.double(), fires.mean(0), rtol=0, atol=1e-6)
    assert f"{share:.3f} [" in repr(found)


def test_a_perfect_one_and_a_useless_one(tiny):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    perfect = loss_recovered(model, prompts, identity(model.cfg.d_model))
    assert perfect.recovered.mean == pytest.approx(1.0, abs=1e-9)
    assert perfect.fit.explained_variance == pytest.approx(1.0, abs=1e-12)
    assert perfect.fit.l0 == pytest.approx(model.cfg.d_model)
    d = model.cfg.d_model
    useless = loss_recovered(model, prompts, Dictionary(torch.zeros(d, 3), torch.zeros(3, d), HOOK))
    assert useless.recovered.mean == pytest.approx(0.0, abs=1e-9)
    assert useless.fit.explained_variance < 0
    assert useless.fit.l0 == 0.0


def test_of_an_encoder_it_is_the_prediction_and_at_a_position_that_alone(tiny):
    model, prompts = tiny("bert"), random_prompts(3, LENGTHS)
    found = loss_recovered(model, prompts, made("topk", HOOK, model.cfg.d_model))
    assert np.abs(found.clean.values).max() < 1e-12
    assert found.recovered.mean == pytest.approx(found.kl_recovered.mean)
    model = tiny("gpt2")
    one = made("topk", HOOK, model.cfg.d_model)
    there = loss_recovered(model, prompts, one, logit_diff, at="END")
    (x,) = capture(model, prompts, Sites([one.site]).at("END")).values()
    assert there.fit.l0 == pytest.approx(float((one.encode(x) > 0).sum(1).double().mean()))
    (site,) = Sites([one.site]).at("END")
    np.testing.assert_allclose(there.spliced.values, run(model, prompts, Put({site: one.reconstruct(x)})).values, atol=1e-9)


def test_of_a_transcoder_and_part_by_part(tiny, monkeypatch):
    model, prompts = tiny("gpt2"), random_prompts(3, LENGTHS)
    one = made("standard", "blocks.0.hook_mlp_out", model.cfg.d_model, reads="blocks.0.mlp.hook_in")
    whole = loss_recovered(model, prompts, one)
    monkeypatch.setattr(module, "CAPTURED", 1)  # one prompt at a time
    again = loss_recovered(model, prompts, one)
    torch.testing.assert_close(again.fit.frequency, whole.fit.frequency)
    assert again.fit[:2] == pytest.approx(whole.fit[:2])
    with pytest.raises(MechcheckError, match="expected a Dictionary"):
        loss_recovered(model, prompts, "a path")
