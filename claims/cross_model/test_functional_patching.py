"""The S-inhibition heads of one model in the place of another's, and predictions read with another model's vocabulary.

Thresholds were fixed on the prompts that the maps were chosen on.
"""

import numpy as np
import pytest

from mechcheck import (
    Ablate,
    Bars,
    Heatmap,
    Patch,
    activations,
    align,
    between_heads,
    claim,
    fit_linear_map,
    functional_patch,
    random_sites,
    resid,
    resid_post,
    run,
    shared_vocabulary,
    translate,
    vocabulary_map,
)

MODELS = {
    "names-gpt2-seed4": "names-neox-seed2",
    "names-neox-seed2": "names-gpt2-seed4",
    "gpt2": "EleutherAI/pythia-410m",
    "EleutherAI/pythia-410m": "gpt2",
}
SOURCE = "the idea: heads exchanged, and vocabularies shared, between GPT-2 and Pythia; the claims are ours"


def behind(model, sites):
    """The stream at END that has everything the heads wrote."""
    layer = max(site.layer for site in sites) + 1
    return resid(layer, at="END") if layer < model.cfg.n_layers else resid_post(layer - 1, at="END")


def last(model):
    return resid_post(model.cfg.n_layers - 1, at="END")


def shuffled(prompts, seed):
    """The same prompts in another order."""
    return prompts[np.random.default_rng(seed).permutation(len(prompts)).tolist()]


@pytest.mark.parametrize("through", ["heads", "stream"])
@pytest.mark.parametrize("given", ["s_inhibition"])
@claim(
    "The S-inhibition heads of another model, put in the place of this one's, do their work: the answer stays with the clean prompt's "
    "output and turns with that of the flipped one",
    source=SOURCE, task="ioi", kind="sufficiency", models=MODELS, decoy={"given": "other heads"},
)  # fmt: skip
def test_heads_do_their_counterparts_work(model, prompts, circuit, prompts_for, bridge, others_circuit, check, given, through):
    """By a map fitted between the heads' outputs, or by the one between the streams behind them alone."""
    found, own = bridge(model, "giver"), circuit["s_inhibition"]
    recorded = others_circuit(found.source)
    theirs = recorded["s_inhibition"]
    if given == "other heads":
        theirs = random_sites(found.source, theirs, outside=recorded.sites, n=1, seed=check.seed)[0]
    parts, ridge = (found.here, found.there), found.best.ridge
    if through == "heads":
        across = align(found.source, model, parts, (theirs, own), ridge=ridge)
    else:
        stream = align(found.source, model, parts, (behind(found.source, theirs), behind(model, own)), ridge=ridge)
        across = between_heads(stream, found.source, found.here, theirs, model, found.there, own)

    def with_heads_of(source_prompts):
        return run(model, prompts, functional_patch(found.source, source_prompts, theirs, across, own))

    read = prompts_for(found.source)
    kept, turned, mixed = (with_heads_of(some) for some in (read, read.counterfactual, shuffled(read, check.seed)))
    check.rate(kept > 0, above=0.75, label="with the heads of the clean prompt: share that prefers the receiver > 0.75")
    check.rate(turned < 0, above=0.75, label="with the heads of the flipped prompt: share that prefers the giver > 0.75")
    check.greater(kept, mixed, margin=1.0, label="the prompt's own heads > those of another prompt + 1")
    if check.draws:
        shown = {
            "untouched": run(model, prompts), "other model's, same prompt": kept, "other model's, another prompt": mixed,
            "mean ablated": run(model, prompts, Ablate(own, "mean")), "other model's, flipped prompt": turned,
            "its own, flipped prompt": run(model, prompts, Patch(own)),
        }  # fmt: skip
        check.figure(Bars("Logit difference by what the heads hold", list(shown), [one.mean for one in shown.values()], unit="logits"))


def map_to_last(found, model, site, across, seed):
    """From the source's stream to the target's last one."""
    import torch

    if across == "unembeddings":
        return vocabulary_map(found.source, model, shared_vocabulary(found.source, model))
    tried = {(one.sites_from, one.sites_to, one.ridge): one.map for one in found.ranked}
    if across == "fitted":
        return tried[site, last(model), found.best.ridge]
    x, y = activations(found.source, found.here, site).cpu(), activations(model, found.there, last(model)).cpu()
    return fit_linear_map(x, y[torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))], ridge=found.best.ridge)


def reader(found, model, prompts, prompts_for, seed):
    """read(site, across): the source's stream there, read with the model's unembedding."""
    theirs = prompts_for(found.source)
    shared = shared_vocabulary(found.source, model, theirs)

    def read(site, across):
        return translate(found.source, model, (theirs, prompts), site, map_to_last(found, model, site, across, seed), shared)

    return read


@pytest.mark.parametrize("across", ["fitted"])
@claim(
    "Read with this model's unembedding, the other model's mapped last stream predicts what the other does, on four prompts of five",
    source=SOURCE, task="ioi", kind="structure", models=MODELS, decoy={"across": "shuffled pairs"},
)  # fmt: skip
def test_stream_is_read_with_this_vocabulary(model, prompts, prompts_for, bridge, check, across):
    found = bridge(model, "receiver")
    read = reader(found, model, prompts, prompts_for, check.seed)
    seen = read(last(found.source), across)
    check.rate(seen.agreement("source"), above=0.8)
    if check.draws:
        places = list(found.vectors)
        by_layer = [read(site, across) for site in places]
        layers = [f"{one.kind} {one.layer}" for site in places for one in site]
        agreed = np.array([[one.agreement(side).mean for side in ("source", "target")] for one in by_layer])
        check.figure(Heatmap("Agreement of the translated prediction", agreed, layers, ["source", "target"], "layer", "with", "share"))
        lost = np.array([[one.kl(side).mean for side in ("source", "target")] for one in by_layer])
        check.figure(Heatmap("Divergence of the translated prediction", lost, layers, ["source", "target"], "layer", "from", "nats"))


@pytest.mark.parametrize("across", ["fitted"])
@claim(
    "A map fitted to prompts reads the other model's stream better than the unembeddings alone, or than one of shuffled pairs",
    source=SOURCE, task="ioi", kind="specificity", models=MODELS, decoy={"across": "unembeddings"},
)  # fmt: skip
def test_fitted_map_reads_better_than_unembeddings(model, prompts, prompts_for, bridge, check, across):
    """The vocabulary by itself is no bridge: what the one model's unembedding tells apart, the other's rows do not span alike."""
    found = bridge(model, "receiver")
    read = reader(found, model, prompts, prompts_for, check.seed)
    site, kinds = last(found.source), (across, "unembeddings", "shuffled pairs")
    fitted, bare, shuffled = (read(site, kind) for kind in kinds)
    check.greater(fitted.agreement(), bare.agreement(), margin=0.1, label="agreement: fitted > unembeddings + 0.1")
    check.greater(fitted.agreement(), shuffled.agreement(), margin=0.1, label="agreement: fitted > shuffled pairs + 0.1")
    check.greater(bare.kl(), fitted.kl(), label="KL: unembeddings > fitted")
    check.figure(Bars("Agreement with the source's own prediction", kinds, [one.agreement().mean for one in (fitted, bare, shuffled)]))
