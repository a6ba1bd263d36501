"""What is measured on native models: circuits of weights, attribution, lens, attention and searches, against formulas written by hand."""

import math

import native_oracle as oracle
import numpy as np
import pytest
import torch

from mechcheck.base.errors import MechcheckError, PromptError
from mechcheck.circuits.greedy_search import targeted_search
from mechcheck.conformance.sentinels import sentinels
from mechcheck.engine.run import run
from mechcheck.measures.attention.patterns import attention
from mechcheck.measures.attention.scores import attention_scores
from mechcheck.measures.causal.patching import head_patching
from mechcheck.measures.heads.composition import composition
from mechcheck.measures.heads.copying import copying_scores
from mechcheck.measures.heads.vocabulary_circuits import copying_eigenvalue_scores, ov_circuit, qk_circuit
from mechcheck.measures.stream.attribution import direct_logit_attribution
from mechcheck.measures.stream.lens import logit_lens
from mechcheck.models.loading import load_model
from mechcheck.models.native import keep_native
from mechcheck.prompts.prompt_set import PromptSet

COMMON = {
    "n_layers": 2, "n_heads": 2, "d_head": 4, "d_model": 8, "n_ctx": 9, "d_vocab": 11, "d_vocab_out": 11, "d_mlp": 5, "act_fn": "relu",
    "normalization_type": None,
}  # fmt: skip
LAYOUTS = {
    "mlp": {},
    "attention alone": {"attn_only": True},
    "both ways": {"attention_dir": "bidirectional", "use_attn_scale": False},
    "one wide head": {"n_heads": 1, "d_head": 12, "attn_only": True},
    "own output": {"d_vocab_out": 7, "n_layers": 3},
    "rotary": {"positional_embedding_type": "rotary", "rotary_adjacent_pairs": True, "n_key_value_heads": 1},
    "norm": {"normalization_type": "LN"},
    "norm without weights": {"normalization_type": "LNPre", "attn_only": True},
    "rms": {"normalization_type": "RMS", "d_vocab_out": 13},
}
EXACT = 1e-9


NORMED = [name for name, changed in LAYOUTS.items() if changed.get("normalization_type")]
every_layout = pytest.mark.parametrize("config", LAYOUTS, indirect=True)
# Their weights are read as they are stored; those of the others are folded before.
without_norms = pytest.mark.parametrize("config", [name for name in LAYOUTS if name not in NORMED], indirect=True)
with_norms = pytest.mark.parametrize("config", NORMED, indirect=True)


@pytest.fixture
def config(request):
    return COMMON | LAYOUTS[request.param]


@pytest.fixture
def weights(config):
    return {name: value for name, value in oracle.random_weights(config).items() if not name.endswith((".mask", ".IGNORE"))}


@pytest.fixture
def model(tmp_path, config, weights):
    return load_model(keep_native(weights, config, tmp_path / "model"), dtype="float64")


@pytest.fixture
def prompts(config):
    out = min(config["d_vocab"], config["d_vocab_out"])
    generator = torch.Generator().manual_seed(1)

    def build(**more):
        rows = [torch.randint(out, (length,), generator=generator).tolist() for length in (5, 5, 8, 8, 3, 3)]
        answers = [i % out for i in range(6)]
        return PromptSet.from_tokens(
            rows, answers=answers, foils=[(a + 1) % out for a in answers], positions={"A": [1, 0, 3, 6, 1, 0]}, pad=0,
            attention_mask=[[1] * len(row) for row in rows], templates=["a", "a", "b", "b", "c", "c"], **more,
        )  # fmt: skip

    return build(counterfactual=build())


def seen_in(weights, config, prompts):
    seen = {}

    def keep(name, x):
        seen[name] = x
        return x

    logits = oracle.forward(weights, config, prompts.tokens, prompts.lengths, keep)
    return seen, logits[torch.arange(len(prompts)), prompts.position("END")]


def at_end(x, prompts):
    return x[torch.arange(len(prompts)), prompts.position("END")]


def part(weights, layer, name, head, config):
    """A head's own W_Q, W_K, W_V or bias, where several share one too."""
    found = next(weights[key] for key in (f"blocks.{layer}.attn.{name}", f"blocks.{layer}.attn._{name}") if key in weights)
    return found[head // (config["n_heads"] // len(found))]


def close(found, expected, atol=EXACT):
    found, expected = np.asarray(found), np.asarray(expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol * max(1.0, float(np.abs(expected).max())))


@without_norms
def test_ov_is_the_product_of_the_weights(config, model, weights):
    """W_E W_V W_O W_U for the tokens that are both read and predicted, without what is the same for every written token."""
    shared = min(config["d_vocab"], config["d_vocab_out"])
    scores = copying_eigenvalue_scores(model)
    for layer, head in ((0, 0), (config["n_layers"] - 1, config["n_heads"] - 1)):
        w_v, w_o = part(weights, layer, "W_V", head, config), weights[f"blocks.{layer}.attn.W_O"][head]
        product = weights["embed.W_E"][:shared] @ w_v @ w_o @ weights["unembed.W_U"][:, :shared]
        product = product - product.mean(-1, keepdim=True)
        found = ov_circuit(model, (layer, head))
        close(found.entries(), product)
        values = torch.linalg.eigvals(product)
        close(found.own_token_score, (values.real.sum() / values.abs().sum()).item(), 1e-6)
        close(scores[layer, head], found.own_token_score, 1e-6)


@without_norms
def test_qk_is_the_product_of_the_weights(config, model, weights):
    """By what the model itself divides scores by, for every token that it reads."""
    divisor = 1.0 if config.get("use_attn_scale") is False else math.sqrt(config["d_head"])
    for layer, head in ((0, 0), (config["n_layers"] - 1, config["n_heads"] - 1)):
        queries, keys = (weights["embed.W_E"] @ part(weights, layer, name, head, config) for name in ("W_Q", "W_K"))
        product = queries @ keys.T / divisor
        found = qk_circuit(model, (layer, head)).entries()
        close(found, product - product.mean(-1, keepdim=True))
        assert found.shape == (config["d_vocab"], config["d_vocab"])


@pytest.mark.parametrize("config", ["own output"], indirect=True)
def test_tokens_that_are_not_predicted_have_no_column(model, prompts):
    assert qk_circuit(model, (0, 0), tokens=[0, 10]).entries().shape == (2, 2)
    with pytest.raises(PromptError, match=r"tokens=\[0, 10\]: choose at least 2 different token ids from 0 to 6"):
        ov_circuit(model, (0, 0), tokens=[0, 10])
    prompts.tokens[1, 0] = 9
    with pytest.raises(PromptError, match=r"prompt 1 has token 9 at A, and this model predicts tokens 0-6: it cannot be copied"):
        copying_scores(model, prompts, at="A")


@pytest.mark.parametrize("mode", ["Q", "K", "V"])
@without_norms
def test_composition(config, model, weights, mode):
    """Frobenius norms of products; two matrices that know nothing of each other score about 1 / sqrt(d_model)."""
    n, last = config["n_heads"], config["n_layers"] - 1

    def ov(layer, head):
        return part(weights, layer, "W_V", head, config) @ weights[f"blocks.{layer}.attn.W_O"][head]

    def reads(head):
        if mode == "V":
            return ov(last, head)
        query, key = (part(weights, last, name, head, config) for name in ("W_Q", "W_K"))
        return query @ key.T if mode == "Q" else key @ query.T

    found = composition(model, mode, f"0.0-{n - 1}", f"{last}.0-{n - 1}", n=400, seed=1)
    expected = [[(ov(0, a) @ reads(b)).norm() / (ov(0, a).norm() * reads(b).norm()) for b in range(n)] for a in range(n)]
    close(found.scores, expected)
    # The mean square over uniformly random orientations is exactly 1 / dimensions.
    close((found.random**2).mean(0), np.full((n, n), 1 / config["d_model"]), 0.02)


@every_layout
def test_attribution_adds_up_and_is_what_each_part_writes(config, model, weights, prompts):
    """Without norms each head's part is z W_O read by the difference of two columns of W_U."""
    found = direct_logit_attribution(model, prompts)
    seen, end = seen_in(weights, config, prompts)
    rows = torch.arange(len(prompts))
    close(found.total.values, end[rows, prompts.answers] - end[rows, prompts.foils])
    if config["normalization_type"] is not None:
        return
    direction = (weights["unembed.W_U"][:, prompts.answers] - weights["unembed.W_U"][:, prompts.foils]).T
    for layer in range(config["n_layers"]):
        written = torch.einsum("phk,hkd->phd", at_end(seen[f"blocks.{layer}.attn.hook_z"], prompts), weights[f"blocks.{layer}.attn.W_O"])
        close(found.head_values[layer], torch.einsum("phd,pd->hp", written, direction))
        mlp = seen.get(f"blocks.{layer}.hook_mlp_out")
        close(found.mlp_values[layer], torch.zeros(len(prompts)) if mlp is None else (at_end(mlp, prompts) * direction).sum(-1))
    close(found.embedding_values, (at_end(seen["blocks.0.hook_resid_pre"], prompts) * direction).sum(-1))


@every_layout
def test_the_logit_lens(config, model, weights, prompts):
    """Every stream through the final norm and the unembedding."""
    seen, _ = seen_in(weights, config, prompts)
    last = config["n_layers"] - 1
    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(last + 1)] + [f"blocks.{last}.hook_resid_post"]
    ends = {**weights, "embed.W_E": torch.zeros_like(weights["embed.W_E"]), "pos_embed.W_pos": torch.zeros(9, 8, dtype=torch.float64)}
    found, rows = logit_lens(model, prompts), torch.arange(len(prompts))
    for state, name in enumerate(names):
        stream = at_end(seen[name], prompts)
        # A model without layers whose embedding is the stream
        logits = oracle.forward(
            ends | {"embed.W_E": stream}, config | {"n_layers": 0}, rows[:, None], torch.ones(len(prompts), dtype=torch.long)
        )[:, 0]
        close(found.logit_diff[state], logits[rows, prompts.answers] - logits[rows, prompts.foils])
        close(found.rank[state], (logits > logits[rows, prompts.answers][:, None]).sum(-1))


@every_layout
def test_attention_and_its_scores(config, model, weights, prompts):
    """Of every head: what it attends to, and the scores that this is the softmax of."""
    seen, _ = seen_in(weights, config, prompts)
    every = " ".join(f"{layer}.0-{config['n_heads'] - 1}" for layer in range(config["n_layers"]))
    found, scores = attention(model, prompts, every), attention_scores(model, prompts, every)
    patterns = torch.cat([seen[f"blocks.{layer}.attn.hook_pattern"] for layer in range(config["n_layers"])], dim=1)
    for row, length in enumerate(prompts.lengths.tolist()):
        close(found[row, :, :length, :length], patterns[row, :, :length, :length])
        close(scores[row, :, :length, :length].softmax(-1), patterns[row, :, :length, :length])


@without_norms
def test_copying(config, model, weights, prompts):
    """1 where the token at A is the one that the head writes most for its value there."""
    seen, _ = seen_in(weights, config, prompts)
    rows, at = torch.arange(len(prompts)), prompts.position("A")
    found = copying_scores(model, prompts, at="A", top=3)
    for head in range(config["n_heads"]):
        value = seen["blocks.0.attn.hook_v"]
        value = value[rows, at, head // (config["n_heads"] // value.shape[2])]
        logits = value @ weights["blocks.0.attn.W_O"][head] @ weights["unembed.W_U"] + weights["unembed.b_U"]
        token = prompts.tokens[rows, at]
        expected = (logits > logits[rows, token][:, None]).sum(-1) < 3
        assert found.values[0, head].tolist() == expected.double().tolist()


@every_layout
def test_head_patching(config, model, weights, prompts):
    """One head's output from the counterfactual, each in turn."""
    other, rows = seen_in(weights, config, prompts.counterfactual)[0], torch.arange(len(prompts))
    found = head_patching(model, prompts).values
    for layer in range(config["n_layers"]):
        for head in range(config["n_heads"]):
            name = f"blocks.{layer}.attn.hook_z"

            def patched(hook, x, name=name, head=head):
                if hook == name:
                    x = x.clone()
                    x[:, :, head] = other[name][:, :, head]
                return x

            end = at_end(oracle.forward(weights, config, prompts.tokens, prompts.lengths, patched), prompts)
            close(found[layer, head], end[rows, prompts.answers] - end[rows, prompts.foils])


@every_layout
def test_sentinels_and_a_search(config, model, prompts):
    """The instrument works on every layout, and a search for a circuit ends."""
    assert [(one.name, one.detail) for one in sentinels(model, prompts) if not one.passed] == []
    found = targeted_search(model, prompts, size=1)
    assert len(found.sites) == 1
    assert np.isfinite(run(model, prompts).values).all()


@with_norms
def test_a_model_that_was_not_folded_is_refused(tmp_path, config, weights):
    """Where there are norms, products of weights as they are stored are not what heads compute."""
    raw = load_model(keep_native(weights, config, tmp_path / "model"), dtype="float64", processing="raw")
    with pytest.raises(MechcheckError, match=r'circuits of weights need processing="folded"'):
        ov_circuit(raw, (0, 0))
