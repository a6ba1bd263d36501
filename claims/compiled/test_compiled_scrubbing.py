"""Causal scrubbing of a model whose mechanism is known: the hypothesis that it was built by explains it, and its decoys do not."""

from functools import lru_cache

import pytest

from mechcheck import Bars, Node, causal_scrubbing, claim, hypothesis_decoys, repeated_tokens
from mechcheck.compiled import known_circuit

CHAN = "Chan et al. 2022, Causal scrubbing"
MODEL = "compiled-induction"
LENGTH, PROMPTS, POOL, POOL_SEED, DRAWS = 12, 96, 1200, 10_000, 3


@pytest.fixture
def make_prompts():
    """Random tokens of one shape, so that prompts can stand for each other; no two splits share a seed."""
    return lambda model, *, n, seed, split: repeated_tokens(model, n=n, length=LENGTH, seed=2 * seed + (split == "verify"))


@lru_cache(maxsize=2)
def pool(model):
    """More prompts of the same shape: there are hundreds of tokens, and few prompts agree on one."""
    return repeated_tokens(model, n=POOL, length=LENGTH, seed=POOL_SEED)


def built():
    """The induction head matches the token at END with what the previous-token head wrote at NEXT, and says what stands there."""
    circuit = known_circuit(MODEL)
    ((layer, head),), ((below, previous),) = circuit["induction"].pairs, circuit["previous_token"].pairs
    inputs = [
        Node(f"{below}.{previous}->{layer}.{head}.k@NEXT", "FIRST"),
        Node(f"input->{layer}.{head}.q@END", "END"),
        Node(f"input->{layer}.{head}.v@NEXT", "NEXT"),
    ]
    return Node(reads=[Node(f"{layer}.{head}->logits@END", reads=inputs)])


def scrubbed(model, prompts, hypothesis, seed):
    return causal_scrubbing(model, prompts[:PROMPTS], hypothesis, pool=pool(model), draws=DRAWS, seed=seed)


@pytest.mark.parametrize("tree", ["built"])
@claim(
    "The hypothesis that the model was built by explains nine tenths of the preference for what followed the last time",
    source=CHAN, kind="structure", models=[MODEL], decoy=[{"tree": "swapped"}, {"tree": "other heads"}],
)  # fmt: skip
def test_the_built_hypothesis_explains_the_model(model, prompts, check, tree):
    decoys = hypothesis_decoys(model, pool(model), built(), n=1, seed=check.seed)
    chosen = {"built": built(), "swapped": decoys.swapped[0], "other heads": decoys.random[0]}
    found = scrubbed(model, prompts, chosen[tree], check.seed)
    check.above(found.recovered, 0.9)
    check.figure(
        lambda: Bars(
            "What each hypothesis recovers", list(chosen),
            [scrubbed(model, prompts, one, check.seed).recovered.mean for one in chosen.values()], unit="share",
        )
    )  # fmt: skip
