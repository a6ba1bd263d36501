"""What is written in Python: notation, interventions, prompts, claims."""

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
_GRAMMAR = ("0", "1", "3", "11", "0-3", "2-1", ".", "0.0", "1.1", "0.0-3", "@", "@END", "@S2", " ", ",", "->", "1.1.q", "1.1.qkv", "mlp", "mlp1", "attn0",
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


def tokens(rng: Rng, folder: Any) -> None:
    """Prompts that are given as tokens, and one run on those that can be made."""
    n, length = rng.randrange(0, 4), rng.randrange(0, 6)

    def ids(*shape: int) -> Any:
        if len(shape) == 1:
            return [rng.choice((0, 1, 5, 300, rng.randrange(400))) if rng.random() < 0.9 else odd_object(rng) for _ in range(shape[0])]
        return [ids(length if rng.random() < 0.9 else rng.randrange(4)) for _ in range(shape[0])]

    def row(usual: Any) -> Any:
        return usual if rng.random() < 0.7 else rng.choice((None, odd_object(rng), ids(n)))

    def held(rows: Any) -> Any:
        try:
            return (
                torch.tensor(rows) if rng.random() < 0.5 else torch.tensor(rows, dtype=rng.choice((torch.float32, torch.int8, torch.bool)))
            )
        except Exception:
            return rows

    given = ids(n, length) if rng.random() < 0.8 else odd_object(rng)
    given = held(given) if rng.random() < 0.3 else given
    made = m.PromptSet.from_tokens(
        given, answers=row(ids(n)), foils=row(ids(n)), positions=row({"S2": ids(n)} if rng.random() < 0.5 else {"S2": ids(n, 2), "ALL": 1}),
        templates=row(["t"] * n), pad=rng.choice((None, 0, odd_object(rng))), attention_mask=row(None), counterfactual=row(None), decode=row(None),
    )  # fmt: skip
    if rng.random() < 0.1:
        m.run(model(), made, (), m.logit_diff)


def written(rng: Rng, folder: Any) -> None:
    """Prompts that are given as text."""
    right = ["When Mary and John went to the store , John gave a drink to", "When Anna and Paul went to the park , Paul gave a book to"]

    def one() -> Any:
        if rng.random() < 0.5:
            return rng.choice(right)
        return rng.choice(
            (rng.choice(WORDS), "".join(rng.choice(WORDS[:40]) for _ in range(3)), rng.choice(right)[: rng.randrange(30)], odd_object(rng))
        )

    n = rng.randrange(0, 4)
    texts = [one() for _ in range(n)] if rng.random() < 0.9 else odd_object(rng)

    def per(*usual: Any) -> Any:
        return rng.choice((None, [rng.choice(usual) for _ in range(n)], [odd(rng) for _ in range(n)], odd_object(rng)))

    m.PromptSet.from_text(
        model(), texts, answers=per(" Mary", "Anna"), foils=per(" John", "Paul"), positions=rng.choice((None, {"S": per("John", 3)}, odd_object(rng))),
        templates=per("t"), counterfactual=per(*right), pad=rng.random() < 0.5, bos=rng.choice((None, True, False)), after_space=rng.random() < 0.5,
        several_tokens=rng.random() < 0.5, whole=rng.choice(((), ["S"], "S", odd_object(rng))),
    )  # fmt: skip


def claims(rng: Rng, folder: Any) -> None:
    """What @claim is given."""
    words = {
        name: odd_object(rng)
        for name in ("source", "task", "kind", "expect", "decoy", "positive_control", "models", "prompts", "id", "budget")
    }
    chosen = rng.sample(sorted(words), rng.randrange(3))
    claim(some(rng, "It is so"), **{name: words[name] for name in chosen})(lambda check: None)
