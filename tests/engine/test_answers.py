"""Answers of several tokens, several right ones: against transformers on each answer behind its prompt, one at a time."""

import random
from dataclasses import replace

import numpy as np
import plain
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_reading import with_span
from tiny import HUGGING_FACE, LAYOUTS, SAME_FORWARD, VOCABULARY, random_prompts, with_other_padding

from mechcheck.engine.drawn import partners
from mechcheck.engine.run import capture, plain_hooks, run, sweep, sweep_metrics
from mechcheck.measures.causal.patching import head_patching
from mechcheck.notation.interventions import Ablate, KnockOut, Noise, Patch, Permute, Put, Scale, Steer
from mechcheck.notation.metrics import (
    answer_log_odds,
    answer_log_probability,
    correct,
    foil_probability,
    kl_divergence,
    log_odds,
    log_probability,
    logit_diff,
    probability,
    rank,
)
from mechcheck.notation.sites import Site, Sites, heads, patterns, resid, resid_post
from mechcheck.prompts.prompt_set import PromptSet

pytestmark = pytest.mark.filterwarnings("error::mechcheck.base.errors.SelfCheckWarning")
LENGTHS = (7, 7, 10, 10, 8, 8)
few = settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def made(seed: int) -> PromptSet:
    """Prompts with a span M, which the counterfactual and the reference have too."""
    prompts = random_prompts(seed, LENGTHS)
    others = {name: with_span(getattr(prompts, name), seed) for name in ("counterfactual", "reference")}
    return with_span(replace(prompts, **others), seed)


def asking(prompts: PromptSet, answers, foils=None) -> PromptSet:
    """The same prompts with other answers and foils."""
    rows = [row[:n].tolist() for row, n in zip(prompts.tokens, prompts.lengths, strict=True)]
    places = {name: at for name, at in prompts.positions.items() if name not in prompts.spans}
    places |= {name: [at.nonzero()[:, 0].tolist() for at in where] for name, where in prompts.spans.items()}
    return PromptSet.from_tokens(
        rows, answers=answers, foils=foils, positions=places, templates=prompts.templates, pad=0,
        counterfactual=prompts.counterfactual, reference=prompts.reference,
    )  # fmt: skip


def drawn_answers(seed: int, n: int, most: int = 3):
    """For each prompt one to `most` answers and foils of one to three tokens, no two of which begin alike."""
    rng = random.Random(seed)

    def some(first: list[int]):
        found = [(one, *(rng.randrange(3, len(VOCABULARY)) for _ in range(rng.randrange(3)))) for one in first]
        return found if len(found) > 1 else found[0]

    firsts = [rng.sample(range(3, len(VOCABULARY)), 2 * most) for _ in range(n)]
    return tuple([some(row[start : start + rng.randint(1, most)]) for row in firsts] for start in (0, most))


def behind(prompts: PromptSet, row: int, answer) -> PromptSet:
    """A prompt by itself, and an answer."""
    return PromptSet.from_tokens([[*prompts.tokens[row, : prompts.lengths[row]].tolist(), *answer]])


def value(model, prompts: PromptSet, row: int, answer, site: Site, method: str) -> torch.Tensor:
    """[pos, d] that an intervention puts in, of the prompt and the answer."""
    if method == "zero":
        return torch.zeros_like(plain.activation(model, behind(prompts, row, answer), site)[0])
    if method in ("patch", "resample"):
        source = prompts.counterfactual if method == "patch" else prompts.reference
        return plain.activation(model, behind(source, row, answer), site)[0]
    references = [plain.activation(model, behind(prompts.reference, i, ()), site)[0] for i in range(len(prompts))]
    if site.at == "END":
        mean = torch.stack([one[at] for one, at in zip(references, prompts.positions["END"].tolist(), strict=True)]).mean(0)
        return mean.expand(int(prompts.lengths[row]) + len(answer), -1)
    alike = [i for i, template in enumerate(prompts.templates) if template == prompts.templates[row]]
    if site.at is not None:
        return torch.stack([references[i] for i in alike]).mean(0)
    there = [plain.activation(model, behind(prompts.reference, i, prompts.candidates("answers")[i][0]), site)[0] for i in alike]
    length = int(prompts.lengths[row]) + len(answer)
    return torch.stack([torch.stack([one[at] for one in there if at < len(one)]).mean(0) for at in range(length)])


def by_hand(model, prompts: PromptSet, site: Site, method: str, what: str) -> list[list[list[float]]]:
    """Log-probabilities [prompt][answer][token], by a hook on transformers' own modules."""
    found: list[list[list[float]]] = []
    for row, answers in enumerate(prompts.candidates(what)):
        found.append([])
        for answer in answers:
            whole, n = behind(prompts, row, answer), int(prompts.lengths[row])
            put = value(model, prompts, row, answer, site, method)
            at = {None: range(n + len(answer)), "END": [n - 1], "M": prompts.spans["M"][row].nonzero()[:, 0].tolist()}[site.at]

            def edit(x, put=put, at=at):
                x = x.clone()
                for position in at:
                    x[0, position, plain.columns(model, site)] = put[position]
                return x

            handle = plain.attach(model, site, edit, 1)
            logp = plain.forward(model, whole).logits[0].log_softmax(-1)
            handle.remove()
            found[-1].append([float(logp[n - 1 + i, token]) for i, token in enumerate(answer)])
    return found


def any_of(values: list[list[list[float]]]) -> np.ndarray:
    """The logarithm of the summed probability of each prompt's answers."""
    return np.array([np.logaddexp.reduce([sum(each) for each in row]) for row in values])


@few
@given(
    layout=st.sampled_from(LAYOUTS),
    method=st.sampled_from(["zero", "patch", "resample"]),
    site=st.builds(
        lambda kind, layer, at: Site(kind, layer, 1 if kind == "head" else None, at),
        st.sampled_from(["head", "attn_out", "resid_pre", "resid_post"]),
        st.integers(0, 1),
        st.sampled_from([None, "END", "M"]),
    ),
    seed=st.integers(0, 99),
)
def test_metrics_are_those_of_transformers(tiny, hugging_face, layout, method, site, seed):
    """Under an intervention at END, at a span and everywhere; by the suffix runner and by hooks; whatever the padding."""
    prompts = asking(made(seed), *drawn_answers(seed, 6, most=2))
    model, oracle = tiny(layout, processing="raw"), hugging_face(layout)
    answers, foils = (by_hand(oracle, prompts, site, method, what) for what in ("answers", "foils"))
    right, wrong = any_of(answers), any_of(foils)
    wanted = [
        (log_odds, right - wrong),
        (log_probability, right),
        (probability, np.exp(right)),
        (foil_probability, np.exp(wrong)),
        (answer_log_probability("mean"), [np.mean([sum(each) for each in row]) for row in answers]),
        (answer_log_probability("per token"), [np.mean([np.mean(each) for each in row]) for row in answers]),
    ]
    variants = [Patch(Sites([site])) if method == "patch" else Ablate(Sites([site]), method), []]
    found = sweep_metrics(model, prompts, variants, [metric for metric, _ in wanted])
    for (_, expected), values in zip(wanted, found, strict=True):
        np.testing.assert_allclose(values[0], expected, rtol=0, atol=HUGGING_FACE[layout])
    with plain_hooks():
        slow = sweep_metrics(model, prompts, variants, [metric for metric, _ in wanted])
    padded = sweep_metrics(model, with_other_padding(prompts, 5), variants, [metric for metric, _ in wanted])
    for values, by_hooks, otherwise in zip(found, slow, padded, strict=True):
        np.testing.assert_allclose(by_hooks, values, rtol=0, atol=SAME_FORWARD[layout])
        np.testing.assert_allclose(otherwise, values, rtol=0, atol=SAME_FORWARD[layout])


@pytest.mark.parametrize("at", [None, "END", "M"])
def test_mean_ablation(tiny, hugging_face, layout, at):
    """At every position: of the prompts of a template, each followed by its own answer, those that have a token there."""
    prompts = asking(made(3), [(5, 6), (7, 8), (9, 4, 5), (6, 3, 7), (5, 7, 9), (8, 8, 8)])
    site = Site("head", 0, 1, at)
    expected = any_of(by_hand(hugging_face(layout), prompts, site, "mean", "answers"))
    model, ablated = tiny(layout, processing="raw"), Ablate(Sites([site]), "mean")
    np.testing.assert_allclose(run(model, prompts, ablated, log_probability).values, expected, rtol=0, atol=HUGGING_FACE[layout])
    with plain_hooks():
        np.testing.assert_allclose(run(model, prompts, ablated, log_probability).values, expected, rtol=0, atol=HUGGING_FACE[layout])
    outside = Ablate(Sites([site]), "mean", prompts.reference)
    np.testing.assert_allclose(run(model, prompts, outside, log_probability).values, expected, rtol=0, atol=HUGGING_FACE[layout])


def interventions(model, prompts: PromptSet):
    """One of each kind, at every position where it can be."""
    captured = capture(model, prompts.counterfactual, heads("0.1@END") | resid("1@M"))
    return [
        [], Ablate(heads("0.1")), Ablate(heads("0.0 1.1"), "mean"), Ablate(heads("1.0"), "mean", prompts.counterfactual),
        Ablate(heads("0.1"), "resample"), Ablate(heads("0.1"), "resample", prompts.counterfactual), Patch(resid("1")),
        Patch(heads("0.1@M")), Patch(resid_post("0"), prompts.reference), Scale(heads("0.1"), 2.0), Noise(resid("0"), 1.0),
        Noise(heads("0.0@M"), 1.0), Permute(heads("0.1"), 3), KnockOut(patterns("0.1"), "M"), KnockOut(patterns("1.0@END"), "A", only=True),
        Steer(torch.randn(6, model.cfg.d_model, generator=torch.Generator().manual_seed(0)), resid("1@END")), Put(captured),
        Patch(patterns("0.1")),
    ]  # fmt: skip


def test_what_follows_changes_nothing_before_it(tiny, layout):
    """The first token of an answer is as likely as if it were the whole answer, under interventions of all kinds.

    So what is put in at the prompts' own positions, what is drawn at random and what is averaged is the same with an answer behind
    them; for the resample without a reference too, whose partners are those of the prompts.
    """
    model, prompts, first = tiny(layout), made(4), [5, 6, 7, 8, 9, 10]
    alone, longer = asking(prompts, first), asking(prompts, [(5, 8), (6, 9), (7, 4, 4), (8, 5, 6), (9, 7), (10, 11)])
    longer = replace(longer, ids=alone.ids)  # by which noise is drawn
    of_the_first = replace(log_probability, whole=log_probability.whole._replace(of=lambda scores: scores.values[..., 0, 0]))
    done = interventions(model, prompts)
    expected = sweep(model, alone, done, log_probability)
    np.testing.assert_allclose(sweep(model, longer, done, of_the_first), expected, rtol=0, atol=SAME_FORWARD[layout])
    alone, longer = (replace(some, reference=None) for some in (alone, longer))
    drawn = [Ablate(heads("0.1"), "resample", seed=2), Ablate(heads("0.1"), "mean")]
    others = sweep(model, alone, drawn, log_probability)
    np.testing.assert_allclose(sweep(model, longer, drawn, of_the_first), others, rtol=0, atol=SAME_FORWARD[layout])
    every = np.concatenate([expected, others])
    assert len(np.unique(every.round(9), axis=0)) == len(every), "each does something of its own"


def test_partners_are_followed_by_the_answer_of_the_prompt_they_stand_for(tiny):
    """So resampling among the prompts is resampling from a reference of the partners, which stand in their places."""
    model = tiny("gpt2")
    prompts = replace(asking(made(4), *drawn_answers(4, 6)), reference=None)
    others = replace(prompts[partners(prompts, 2)], ids=prompts.ids)
    head = heads("0.1")
    among, given = sweep(model, prompts, [Ablate(head, "resample", seed=2), Ablate(head, "resample", others)], log_odds)
    np.testing.assert_allclose(among, given, rtol=0, atol=1e-9)


def test_an_answer_is_one_of_all_that_begin_alike(tiny):
    """The probability of a token is the sum of those of all pairs that begin with it."""
    model, prompts, ablated = tiny("gpt2"), random_prompts(4, LENGTHS), Ablate(heads("0.1"))
    pairs = asking(prompts, [[(token, other) for other in range(len(VOCABULARY))] for token in range(5, 11)])
    expected = run(model, asking(prompts, list(range(5, 11))), ablated, probability).values
    np.testing.assert_allclose(run(model, pairs, ablated, probability).values, expected, rtol=0, atol=1e-9)


def test_one_token_each_is_as_ever(tiny, layout):
    """The log-odds are the logit difference, and answers written as sets are those written as tokens."""
    model, prompts = tiny(layout), random_prompts(5, LENGTHS)
    variants = [[], Ablate(heads("0.1")), Patch(heads("1.1"))]
    as_sets = asking(prompts, [[(int(a),)] for a in prompts.answers], [(int(f),) for f in prompts.foils])
    assert as_sets.ids == prompts.ids
    for metric in (log_odds, logit_diff, answer_log_odds("per token"), answer_log_odds("mean")):
        np.testing.assert_array_equal(sweep(model, as_sets, variants, metric), sweep(model, prompts, variants))
    both = sweep_metrics(model, prompts, variants, [log_probability, foil_probability])
    np.testing.assert_allclose(both[0] - np.log(both[1]), sweep(model, prompts, variants), rtol=0, atol=SAME_FORWARD[layout])


def test_several_right_answers_of_one_token(tiny, layout):
    """Read at END, or wherever, without another run: any of them, the best of them."""
    model, prompts = tiny(layout), random_prompts(6, LENGTHS)
    answers = [[(5,), (6,)], [(7,), (8,), (9,)], 4, [(10,), (11,)], 12, [(13,), (14,)]]
    several = asking(prompts, answers, [20, [(21,), (22,)], 23, 24, 25, 26])
    singly = {t: asking(prompts, [t] * 6) for t in range(4, 27)}
    variants = [[], Ablate(heads("0.1"))]
    ids = [[one[0] for one in row] for row in several.candidates("answers")]
    wrong = [[one[0] for one in row] for row in several.candidates("foils")]

    metrics = [log_probability, rank, probability.over("A")]
    tables = {t: dict(zip(metrics, sweep_metrics(model, asked, variants, metrics), strict=True)) for t, asked in singly.items()}

    def of(metric, rows, reduce):
        return np.stack([reduce([tables[t][metric][:, row] for t in tokens], axis=0) for row, tokens in enumerate(rows)], axis=1)

    found = sweep_metrics(model, several, variants, [log_probability, log_odds, rank, correct, probability.over("A"), kl_divergence])
    right = of(log_probability, ids, np.logaddexp.reduce)
    np.testing.assert_allclose(found[0], right, rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_allclose(found[1], right - of(log_probability, wrong, np.logaddexp.reduce), rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_array_equal(found[2], of(rank, ids, np.min))
    np.testing.assert_array_equal(found[3], found[2] == 0)
    np.testing.assert_allclose(found[4], of(metrics[2], ids, np.sum), rtol=0, atol=SAME_FORWARD[layout])
    np.testing.assert_allclose(found[5], sweep(model, prompts, variants, kl_divergence), rtol=0, atol=SAME_FORWARD[layout])


def test_correct_is_what_greedy_decoding_says(tiny, layout):
    model, prompts = tiny(layout), random_prompts(7, LENGTHS)
    said = []
    for row, length in enumerate(prompts.lengths.tolist()):
        tokens = prompts.tokens[row, :length].tolist()
        for _ in range(3):
            tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        said.append(tuple(tokens[length:]))
    other = [(*one[:2], (one[2] + 1) % len(VOCABULARY)) for one in said]
    asked = asking(prompts, [said[0], other[1], [other[2], said[2]], said[3][:2], other[4], (said[5][0],)])
    assert run(model, asked, metric=correct).values.tolist() == [1, 0, 1, 1, 0, 1]


def test_other_metrics_beside_them(tiny):
    """Each is what it is alone, in the order in which they were asked for."""
    model, prompts = tiny("gpt2"), asking(random_prompts(8, LENGTHS), *drawn_answers(8, 6))
    variants = [[], Ablate(heads("0.1"))]
    metrics = [log_odds, kl_divergence, log_probability, foil_probability]
    together = sweep_metrics(model, prompts, variants, metrics, batch=1)
    for metric, values in zip(metrics, together, strict=True):
        np.testing.assert_allclose(values, sweep(model, prompts, variants, metric), rtol=0, atol=1e-12)
    scores = head_patching(model, prompts, metric=log_odds)
    np.testing.assert_allclose(scores.values[0, 1], run(model, prompts, Patch(heads("0.1")), log_odds).values, rtol=0, atol=1e-9)
    assert (scores.unit, run(model, prompts, metric=answer_log_odds("per token")).unit) == ("nats", "nats per token")


def test_nothing_of_the_model_is_hidden(tiny):
    """What overflows is no number, and does not pass for one."""
    model, prompts = tiny("gpt2"), asking(random_prompts(9, LENGTHS), *drawn_answers(9, 6))
    nan = Scale(resid("1@END"), 1e308)
    for metric in (log_odds, correct):
        assert not np.isfinite(sweep(model, prompts, [nan, nan], metric)).any()
