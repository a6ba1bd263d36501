"""Generated text, against a loop over transformers' own model: each prompt by itself, without padding, with torch's own hooks."""

from dataclasses import replace

import numpy as np
import plain
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny import LAYOUTS, VOCABULARY, alone, random_prompts, with_other_padding

from mechcheck.base.errors import MechcheckError, ModelError, NonFiniteError, PromptError, SiteError
from mechcheck.base.seeds import seed_from
from mechcheck.measures.text.generation import generate
from mechcheck.notation.interventions import Ablate, KnockOut, Noise, Patch, Permute, Put, Scale, Sparsify, Steer
from mechcheck.notation.sites import Site, Sites, heads, patterns, resid
from mechcheck.prompts.prompt_set import PromptSet

NEW_TOKENS = 4
LENGTHS = (7, 7, 10, 10, 8, 8)
# Derandomised: two logits that differ by less than a layout's float32 rotary embeddings would be a tie, which no test can call.
few = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
VECTOR = torch.randn(64, generator=torch.Generator().manual_seed(3), dtype=torch.float64)

# What each intervention makes of an activation [prompt, pos, d], written by hand; `put` is what a patch brings.
BY_HAND = {
    "zero": lambda x, put: torch.zeros_like(x),
    "scale": lambda x, put: 2.0 * x,
    "sparsify": lambda x, put: torch.where(x.abs() < 0.3, 0.0, x),
    "steer": lambda x, put: x + 1.5 * VECTOR[: x.shape[-1]],
    "patch": lambda x, put: put,
}


def intervention(how, site, width):
    sites = Sites([site])
    return {
        "zero": lambda: Ablate(sites, "zero"),
        "scale": lambda: Scale(sites, 2.0),
        "sparsify": lambda: Sparsify(sites, 0.3),
        "steer": lambda: Steer(VECTOR[:width], sites, 1.5),
        "patch": lambda: Patch(sites),
    }[how]()


def with_span(prompts: PromptSet) -> PromptSet:
    """The same with a span AB of two positions, in the counterfactual too."""
    rows = torch.arange(prompts.tokens.shape[1])
    mask = (rows == prompts.positions["A"][:, None]) | (rows == prompts.positions["B"][:, None])
    other = prompts.counterfactual and with_span(prompts.counterfactual)
    last = torch.maximum(prompts.positions["A"], prompts.positions["B"])
    return replace(prompts, spans={"AB": mask}, positions={**prompts.positions, "AB": last}, counterfactual=other)


def places(prompts, row, at, length):
    """Where a site stands in one prompt that has grown to a length, in words that the guide uses."""
    first = int(prompts.lengths[row])
    if at is None:
        return list(range(length))
    if at == "NEW":
        return list(range(first, length))
    return prompts.span(at)[row].nonzero()[:, 0].tolist()


def written(oracle, prompts, site, how, temperature=0.0, seed=0, stop=()):
    """The new tokens of each prompt."""
    found = []
    for row in range(len(prompts)):
        tokens, new = prompts.tokens[row, : prompts.lengths[row]].tolist(), []
        put = None
        if how == "patch":
            put = plain.activation(oracle, alone(prompts.counterfactual, row), site)
        for step in range(NEW_TOKENS):
            where = places(prompts, row, site.at, len(tokens)) if site else []

            def edit(x, where=where, put=put):
                x, columns = x.clone(), plain.columns(oracle, site)
                if where:
                    x[:, where, columns] = BY_HAND[how](x[:, where, columns], None if put is None else put[:, where])
                return x

            handle = plain.attach(oracle, site, edit, 1) if site else None
            with torch.no_grad():
                logits = oracle(torch.tensor([tokens])).logits[0, -1]
            if handle:
                handle.remove()
            if temperature:
                shares = (logits / temperature).softmax(-1).cumsum(-1)
                u = np.random.default_rng(seed_from(f"generate {seed} {prompts.ids[row]} {step}")).random()
                token = int((shares <= u).sum())
            else:
                token = int(logits.argmax())
            tokens.append(token)
            new.append(token)
            if token in stop:
                break
        found.append(new)
    return found


def tokens_of(generated):
    return [list(one.tokens) for one in generated]


any_site = st.builds(
    lambda kind, layer, head, at: Site(kind, layer, head if kind == "head" else None, at),
    st.sampled_from(["head", "attn_out", "mlp_out", "resid_pre", "resid_post"]), st.integers(0, 1), st.integers(0, 2),
    st.sampled_from([None, "NEW", "END", "A", "AB"]),
)  # fmt: skip


@few
@given(
    layout=st.sampled_from(LAYOUTS), how=st.sampled_from(list(BY_HAND)), site=any_site, seed=st.integers(0, 99),
    lengths=st.lists(st.integers(4, 9), min_size=1, max_size=3),
)  # fmt: skip
def test_what_is_written_is_what_a_loop_over_transformers_writes(tiny, hugging_face, layout, how, site, seed, lengths):
    if how == "patch" and site.at in (None, "NEW"):
        return
    model, oracle, prompts = tiny(layout, processing="raw"), hugging_face(layout), with_span(random_prompts(seed, lengths))
    width = model.cfg.d_head if site.kind == "head" else model.cfg.d_model
    found = generate(model, prompts, intervention(how, site, width), new_tokens=NEW_TOKENS)
    assert tokens_of(found) == written(oracle, prompts, site, how)


@pytest.mark.parametrize("where", [None, "NEW", "AB", "END"])
def test_the_places_differ(tiny, hugging_face, where):
    """The oracle of the test above tells them apart: on these prompts each place gives another text."""
    prompts, oracle = with_span(random_prompts(1, LENGTHS)), hugging_face("gpt2")
    texts = {at: written(oracle, prompts, Site("resid_pre", 1, None, at), "steer") for at in (None, "NEW", "AB", "END")}
    assert [at for at, text in texts.items() if text == texts[where]] == [where]
    assert tokens_of(generate(tiny("gpt2"), prompts, Steer(VECTOR[:24], resid("1"), 0.0), new_tokens=4)) not in texts.values()


def test_greedy_is_what_transformers_generates_with_its_cache(tiny, hugging_face, layout):
    prompts = random_prompts(2, LENGTHS)
    found = generate(tiny(layout, processing="raw"), prompts, new_tokens=9)
    for row, new in enumerate(tokens_of(found)):
        tokens = prompts.tokens[row : row + 1, : prompts.lengths[row]]
        own = hugging_face(layout).generate(tokens, max_new_tokens=9, do_sample=False, eos_token_id=None, use_cache=True)
        assert new == own[0, tokens.shape[1] :].tolist()


@few
@given(seed=st.integers(0, 99), temperature=st.sampled_from([0.3, 1.0, 3.0]), lengths=st.lists(st.integers(4, 9), min_size=1, max_size=3))
def test_draws_are_from_the_softmax_by_seed_prompt_and_step(tiny, hugging_face, seed, temperature, lengths):
    prompts, site = random_prompts(seed, lengths), Site("head", 0, 1, None)
    for how, change in ((None, ()), ("zero", Ablate(Sites([site]), "zero"))):
        found = generate(tiny("gpt2", processing="raw"), prompts, change, new_tokens=NEW_TOKENS, temperature=temperature, seed=seed)
        assert tokens_of(found) == written(hugging_face("gpt2"), prompts, how and site, how, temperature, seed)


def test_draws_have_the_model_s_probabilities(tiny):
    """2,000 prompts that differ in their ids alone: the share of each token is its probability, within 4 standard errors."""
    one = random_prompts(4, [7])
    many = replace(one[[0] * 2000], ids=tuple(map(str, range(2000))), counterfactual=None, reference=None)
    drawn = np.bincount(generate(tiny("gpt2"), many, new_tokens=1, temperature=1.5).tokens[:, 0], minlength=len(VOCABULARY)) / 2000
    with torch.no_grad():
        p = (tiny("gpt2")(one.tokens)[0, -1] / 1.5).softmax(-1).numpy()
    assert (np.abs(drawn - p) <= 4 * np.sqrt(p * (1 - p) / 2000)).all()
    other = generate(tiny("gpt2"), many[:50], new_tokens=1, temperature=1.5, seed=1).tokens
    assert (other[:, 0] != generate(tiny("gpt2"), many[:50], new_tokens=1, temperature=1.5).tokens[:, 0]).any()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_neither_other_prompts_nor_padding_change_a_text(tiny, layout, temperature):
    model, prompts = tiny(layout), random_prompts(6, LENGTHS)
    changed = [Steer(VECTOR[: model.cfg.d_model], resid("1@NEW"), 1.0), Ablate(heads("0.1@A"), "resample")]
    asked = {"new_tokens": 5, "temperature": temperature}
    asked["stop"] = [tokens_of(generate(model, prompts, changed, **asked))[2][1]]
    whole = generate(model, prompts, changed, **asked)
    assert "stop" in whole.stopped
    some = [4, 1, 2]
    assert tokens_of(generate(model, prompts[some], changed, **asked)) == [tokens_of(whole)[row] for row in some]
    assert tokens_of(generate(model, with_other_padding(prompts, 7), changed, **asked)) == tokens_of(whole)


def test_stops_end_a_text_and_belong_to_it(tiny, hugging_face):
    prompts = random_prompts(6, LENGTHS)
    free = tokens_of(generate(tiny("gpt2"), prompts, new_tokens=NEW_TOKENS))
    stop = {next(token for token in free[0][1:] if any(token not in row for row in free))}
    expected = written(hugging_face("gpt2"), prompts, None, None, stop=stop)
    found = generate(tiny("gpt2"), prompts, new_tokens=NEW_TOKENS, stop=sorted(stop))
    assert tokens_of(found) == expected
    assert found.lengths.tolist() == [len(row) for row in expected]
    assert list(found.stopped) == ["stop" if row[-1] in stop else "length" for row in expected]
    assert set(found.stopped) == {"stop", "length"}
    for row, new in zip(found.tokens, expected, strict=True):
        assert row.tolist() == new + [-1] * (NEW_TOKENS - len(new))
    assert found.texts == tuple(" ".join(VOCABULARY[token] for token in row) for row in expected)
    word = VOCABULARY[free[0][0]]
    assert tokens_of(generate(tiny("gpt2"), prompts[:1], stop=word)) == [free[0][:1]]


def test_what_a_query_of_new_tokens_sees(tiny, hugging_face):
    """Knocked out keys are minus infinity before the softmax, for new queries as for the prompt's own behind A."""
    prompts, oracle, model = random_prompts(3, LENGTHS), hugging_face("gpt2"), tiny("gpt2", processing="raw")
    behind = torch.arange(prompts.tokens.shape[1]) > prompts.positions["A"][:, None]
    behind &= torch.arange(prompts.tokens.shape[1]) < prompts.lengths[:, None]
    prompts = replace(prompts, spans={"BEHIND": behind}, positions={**prompts.positions, "BEHIND": prompts.lengths - 1})
    change = [KnockOut(patterns(f"0.0-2@{where}"), "A") for where in ("BEHIND", "NEW")]
    expected = [
        knocked_out(oracle, prompts.tokens[row, : prompts.lengths[row]].tolist(), int(at)) for row, at in enumerate(prompts.positions["A"])
    ]
    assert tokens_of(generate(model, prompts, change, new_tokens=3)) == expected
    assert tokens_of(generate(model, prompts, change[:1], new_tokens=3)) != expected
    assert tokens_of(generate(model, prompts, new_tokens=3)) != expected


def knocked_out(oracle, tokens, at):
    """Three new tokens where layer 0 sees no token `at` from behind it."""

    def masked(_, args, kwargs):
        cut = torch.full((len(tokens), len(tokens)), float("-inf"), dtype=torch.float64).triu(1)
        cut[at + 1 :, at] = float("-inf")
        return args, {**kwargs, "attention_mask": cut[None, None]}

    first = len(tokens)
    handle = plain.blocks(oracle)[0].attn.register_forward_pre_hook(masked, with_kwargs=True)
    for _ in range(3):
        with torch.no_grad():
            tokens = [*tokens, int(oracle(torch.tensor([tokens])).logits[0, -1].argmax())]
    handle.remove()
    return tokens[first:]


@pytest.mark.parametrize("at", [None, "NEW"])
@pytest.mark.parametrize(
    "change",
    [
        lambda sites, prompts: Patch(sites),
        lambda sites, prompts: Ablate(sites, "mean"),
        lambda sites, prompts: Ablate(sites, "resample"),
        lambda sites, prompts: Noise(sites),
        lambda sites, prompts: Put({site: torch.zeros(len(prompts), 10, 24) for site in sites}),
        lambda sites, prompts: Steer(torch.zeros(10), patterns("0.1", at=next(iter(sites)).at)),
    ],
    ids=["patch", "mean", "resample", "noise", "put", "steered pattern"],
)
def test_what_has_nothing_to_put_at_new_tokens_is_refused(tiny, change, at):
    prompts = random_prompts(1, LENGTHS)
    with pytest.raises(SiteError, match=r"0\.1.*has nothing to put at tokens that are yet to be generated: name a position.*0\.1@END"):
        generate(tiny("gpt2"), prompts, change(heads("0.1", at=at), prompts))
    with pytest.raises(SiteError, match=r"Permute at head 0\.1 \(every position\)"):
        generate(tiny("gpt2"), prompts, Permute(heads("0.1")))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"new_tokens": 0}, "new_tokens=0: at least one"),
        ({"new_tokens": 2.5}, "new_tokens=2.5"),
        ({"temperature": -1.0}, "temperature=-1.0: 0 for"),
        ({"temperature": float("nan")}, "temperature=nan"),
        ({"stop": 999}, "stop=999 is no token: this model has tokens 0-"),
        ({"stop": "Zebra"}, "'Zebra' is not in this tokenizer's vocabulary"),
        ({"new_tokens": 23}, "10 tokens and 23 new ones are 33, and this model sees 32 at most"),
    ],
)
def test_what_cannot_be_asked(tiny, asked, message):
    with pytest.raises(PromptError, match=message):
        generate(tiny("gpt2"), random_prompts(1, LENGTHS), **asked)


def test_who_writes_no_text(tiny):
    prompts = random_prompts(1, LENGTHS)
    with pytest.raises(ModelError, match="reads both ways, and so writes no text"):
        generate(tiny("bert"), prompts)
    with pytest.raises(PromptError, match="a position NEW, which stands for the generated tokens"):
        generate(tiny("gpt2"), replace(prompts, positions={**prompts.positions, "NEW": prompts.positions["A"]}))
    with pytest.raises(PromptError, match=r"got list: PromptSet\.from_text"):
        generate(tiny("gpt2"), ["Mary and John"])  # type: ignore[arg-type]
    with pytest.raises(MechcheckError, match="changed twice at once"):
        generate(tiny("gpt2"), prompts, [Scale(heads("0.1"), 2.0), Scale(heads("0.1@NEW"), 2.0)])
    assert len(generate(tiny("gpt2"), prompts, new_tokens=22)) == len(prompts)  # the last position that the model sees


def test_logits_that_are_not_finite_choose_nothing(tiny):
    prompts = random_prompts(1, LENGTHS)
    with pytest.raises(NonFiniteError, match=rf"logits for new token 2 of prompt 0 \({prompts.ids[0]}\) are not finite"):
        generate(tiny("gpt2"), prompts, Scale(resid("1@NEW"), 1e308))
