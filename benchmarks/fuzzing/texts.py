"""What is written in Python: notation, interventions, prompts, claims."""

import contextlib
from functools import cache
from typing import Any

import torch

import mechcheck as m
from fuzzing.mutate import WORDS, Rng, odd, odd_object
from mechcheck.notation.edges import path_of, to
from mechcheck.notation.features import features
from mechcheck.notation.site_checks import check_sites
from mechcheck.verdicts.claim import claim

_SITES = (
    m.heads,
    m.queries,
    m.keys,
    m.values,
    m.patterns,
    m.attn_outs,
    m.mlps,
    m.neurons,
    m.mlp_hidden,
    m.resid,
    m.resid_mid,
    m.resid_post,
)
_GRAMMAR = ("0", "1", "3", "11", "0-3", "2-1", ".", "0.0", "1.1", "0.0-3", "@", "@END", "@S2", " ", ",", "->", "1.1.q", "1.1.qkv", "mlp",
    "mlp1", "attn0",
            "resid2", "input", "logits", "f12", "error", "-")  # fmt: skip
_MODEL = "names-gpt2-seed0"


def text(rng: Rng) -> str:
    """Something like the text of sites or edges."""
    words = [rng.choice(_GRAMMAR) if rng.random() < 0.85 else rng.choice(WORDS) for _ in range(rng.randrange(1, 8))]
    return rng.choice(("", "", " ")).join(words)


def sound(rng: Rng, indexed: bool, edge: bool) -> str:
    """The text of sites, or of edges, in their grammar, though a model need not have them."""

    def number(most: int) -> str:
        low = rng.randrange(most)
        return f"{low}-{low + rng.randrange(4)}" if rng.random() < 0.3 else str(low)

    def word() -> str:
        at = rng.choice(("", "", "@END", "@S2", "@x_1"))
        if not edge:
            return f"{number(13)}{f'.{number(13)}' if indexed else ''}{at}"
        sender = rng.choice((f"{number(3)}.{number(4)}", f"mlp{number(3)}", f"attn{number(3)}", f"resid{number(3)}", "input"))
        receiver = rng.choice((f"{number(6)}.{number(4)}.{rng.choice(('q', 'k', 'v', 'qkv'))}", f"mlp{number(6)}", "logits"))
        return f"{sender}->{receiver}{at}"

    return rng.choice((" ", ", ")).join(word() for _ in range(rng.randrange(1, 5)))


def some(rng: Rng, usual: Any) -> Any:
    """What is usual, or what is odd."""
    return usual if rng.random() < 0.5 else odd_object(rng)


@cache
def model() -> Any:
    """A model that everything else here is asked of."""
    return m.load_model(_MODEL, offline=True)


@cache
def dictionary() -> Any:
    """A dictionary of features."""
    return m.load_dictionary("compiled-ioi-stream-seed0")


@cache
def usual_prompts() -> Any:
    """Prompts with a counterfactual."""
    return m.task_prompts("ioi", model(), n=4, seed=0)


def sites(rng: Rng, folder: Any) -> None:
    """Sites, edges, paths and features, and what is asked of them."""
    kind, take = rng.randrange(6), rng.choice(_SITES)
    indexed = take in (m.heads, m.queries, m.keys, m.values, m.patterns, m.neurons)
    usual = sound(rng, indexed, kind in (0, 1)) if rng.random() < 0.6 else text(rng)
    given, at = usual if rng.random() < 0.8 else odd_object(rng), rng.choice((None, None, None, "END", None, odd_object(rng)))
    match kind:
        case 0:
            m.edges(given, at=at)
        case 1:
            path_of(given)
        case 2:
            to(some(rng, m.heads("0.0-3")), given)
        case 3:
            features(dictionary(), given, at=at)
        case _:
            found = take(given, at=at)
            _ = str(found), found.places, found | found, found - found
            check_sites(model(), found)


def interventions(rng: Rng, folder: Any) -> None:
    """Interventions, and a run with those that can be made."""

    def where() -> Any:
        return m.heads("0.0 1.1") if rng.random() < 0.6 else some(rng, m.resid("1@END"))

    n = odd_object(rng) if rng.random() < 0.7 else 0.5
    made = rng.choice(
        (
            lambda: m.Ablate(where(), some(rng, "mean"), some(rng, None), some(rng, 0)),
            lambda: m.Patch(where(), some(rng, None)),
            lambda: m.Steer(some(rng, torch.ones(64)), where(), n),
            lambda: m.Scale(where(), n),
            lambda: m.Sparsify(where(), n),
            lambda: m.Permute(where(), some(rng, 0)),
            lambda: m.KnockOut(some(rng, m.patterns("0.0")), some(rng, "S2")),
            lambda: m.Noise(where(), n, some(rng, 0)),
            lambda: m.Put(odd_object(rng)),
            lambda: m.Put({next(iter(m.resid("1@END"))): torch.ones(rng.choice((1, 4, 64)))}),
        )
    )()
    m.run(model(), usual_prompts(), [made], m.logit_diff)


def metrics(rng: Rng, folder: Any) -> None:
    """Where a metric reads."""
    metric = rng.choice((m.logit_diff, m.loss, m.probability, m.correct, m.rank, m.log_odds))
    where = rng.choice(("END", "S2", "ALL", "S1", rng.choice(WORDS), odd_object(rng)))
    m.run(model(), usual_prompts(), (), metric.over(where))


def seldom(rng: Rng, usual: Any, *others: Any) -> Any:
    """What is usual, nearly always; else one of the others, or what is odd."""
    return usual if rng.random() < 0.88 else rng.choice((*others, odd_object(rng)))


def tokens(rng: Rng, folder: Any) -> None:
    """Prompts that are given as tokens, and a run on some of those that can be made."""
    n, length = rng.randrange(1, 4) if rng.random() < 0.95 else 0, rng.randrange(1, 6)

    def ids(count: int) -> list[Any]:
        return [seldom(rng, rng.randrange(1, 40), 0, -1, 400, 2**40) if rng.random() < 0.2 else rng.randrange(1, 40) for _ in range(count)]

    rows: Any = [ids(length if rng.random() < 0.95 else rng.randrange(4)) for _ in range(n)]
    if rng.random() < 0.2:
        with contextlib.suppress(Exception):
            rows = torch.tensor(rows, dtype=rng.choice((torch.long, torch.float32, torch.int8, torch.bool, torch.float16)))
    several = [[rng.choice(((1,), (2, 3), (2, 3, 4), 5, ())) for _ in range(rng.randrange(3))] for _ in range(n)]
    places = [rng.randrange(length) for _ in range(n)]
    spans = [[rng.randrange(length + 1) for _ in range(rng.randrange(1, 3))] for _ in range(n)]
    made = m.PromptSet.from_tokens(
        seldom(rng, rows), answers=seldom(rng, ids(n), None, several), foils=seldom(rng, ids(n), None, several),
        positions=seldom(rng, None, {"S2": places}, {"S2": spans}, {"S2": seldom(rng, places)}, {"ALL": places}, {"END": places}),
        templates=seldom(rng, None, ["t"] * n, [rng.choice(WORDS) for _ in range(n)]), pad=seldom(rng, None, 0, 41),
        attention_mask=seldom(rng, None, [[1] * length] * n, [[rng.randrange(2) for _ in range(length)] for _ in range(n)]),
        counterfactual=seldom(rng, None), reference=seldom(rng, None), decode=seldom(rng, None, {1: "a"}),
    )  # fmt: skip
    _ = made.sha256, made[:1], made.unaligned
    if rng.random() < 0.05:
        m.run(model(), made, (), m.logit_diff)


@cache
def sentences() -> list[str]:
    """Texts that the model's tokenizer knows every word of."""
    return [" ".join(word.strip() for word in row[1:]) for row in usual_prompts().words]


def written(rng: Rng, folder: Any) -> None:
    """Prompts that are given as text."""
    n = rng.randrange(1, 4)

    def one(usual: str) -> Any:
        return seldom(
            rng, usual, rng.choice(WORDS), "".join(rng.choice(WORDS[:40]) for _ in range(3)), usual[: rng.randrange(30)], usual.upper()
        )

    def per(usual: Any, *others: Any) -> Any:
        return seldom(rng, [usual] * n, None, [rng.choice((usual, *others)) for _ in range(n)], [odd(rng) for _ in range(n)])

    texts = [rng.choice(sentences())] * n
    words = texts[0].split()
    m.PromptSet.from_text(
        model(), seldom(rng, [one(text) for text in texts]), answers=per(rng.choice(words), " x", [words[0]]),
            foils=per(rng.choice(words), ""),
        positions=seldom(rng, None, {"S": [rng.choice(words)] * n}, {"S": [rng.randrange(9)] * n}, {"S": per(2, "x")}),
        templates=seldom(rng, None, ["t"] * n), counterfactual=seldom(rng, None, texts, [one(text) for text in texts]),
        reference=seldom(rng, None, texts[:1]), pad=rng.random() < 0.5, bos=rng.choice((None, True, False)), after_space=rng.random() < 0.5,
        several_tokens=rng.random() < 0.5, whole=seldom(rng, (), ["S"], "S"),
    )  # fmt: skip


def claims(rng: Rng, folder: Any) -> None:
    """What @claim is given."""
    words = {
        name: odd_object(rng)
        for name in ("source", "task", "kind", "expect", "decoy", "positive_control", "models", "prompts", "id", "budget")
    }
    chosen = rng.sample(sorted(words), rng.randrange(3))
    claim(some(rng, "It is so"), **{name: words[name] for name in chosen})(lambda check: None)
