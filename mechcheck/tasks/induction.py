"""Induction (Olsson et al. 2022): repeated random tokens, "... A B ... A" -> B."""

import random
from typing import TYPE_CHECKING, Any

from mechcheck.base.architectures import is_native
from mechcheck.base.errors import PromptError
from mechcheck.base.loaded import check_loaded
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

LENGTHS = (8, 16)
"""The shortest and the longest segment, in tokens."""
SHORTEST = 4


@task("induction")
def induction_prompts(
    model: "TransformerBridge", *, n: int, seed: int, split: Split = "verify", lengths: tuple[int, int] = LENGTHS
) -> PromptSet:
    """Repeated random tokens, of each length a quarter, a half or three quarters again; see `repeated_tokens` for the positions.

    Args:
        model: gives the tokenizer.
        n: number of prompts, spread evenly over the templates: lengths, and how much of a segment is repeated.
        seed: the tokens are drawn with it.
        split: the halves share no prompt.
        lengths: the shortest and the longest segment, in tokens. Some heads look back no farther than so many tokens, others need
            more of them than these before they find anything.

    Raises:
        PromptError: lengths that are none, or of which the model cannot see as many tokens.
    """
    shortest, longest = lengths
    if not SHORTEST <= shortest <= longest:
        raise PromptError(f"segments of {shortest} to {longest} tokens; choose {SHORTEST} or more, the shorter length first")
    shapes = [(length, length * part // 4) for length in range(shortest, longest + 1) for part in (1, 2, 3)]
    return _repeated(model, [shapes[i % len(shapes)] for i in range(n)], f"{seed} {split}")


def repeated_tokens(model: "TransformerBridge", *, n: int, length: int, seed: int, repeated: int | None = None) -> PromptSet:
    """`n` prompts of BOS, `length` different random tokens, and the first `repeated` of them again (half, unless given).

    Tokens are drawn from all that the tokenizer knows and the model has, but for special ones; a native model without a tokenizer has
    no BOS, and every token is as good as another.
    At END the answer is the token that followed END's token the first time; the foil is another token of the segment.
    Positions: FIRST, where END's token stood first; NEXT, the token after it, which an induction head attends to; the spans SEGMENT
    and REPEAT, the tokens and those that come again (`loss.over("REPEAT")` is the loss on the second copy).
    The counterfactual has another token at FIRST, so that nothing is there to be repeated; the reference has fresh
    random tokens throughout.
    """
    repeated = length // 2 if repeated is None else repeated
    if not 1 <= repeated < length:
        raise PromptError(f"repeated={repeated} of a segment of {length} tokens; choose 1 to {length - 1}")
    return _repeated(model, [(length, repeated)] * n, str(seed))


def _repeated(model: "TransformerBridge", shapes: list[tuple[int, int]], seed: str) -> PromptSet:
    reader, pool = _pool(model)
    longest = max(length + repeated for length, repeated in shapes) + 1
    if longest > model.cfg.n_ctx or max(length for length, _ in shapes) + 1 > len(pool):
        raise PromptError(
            f"prompts of {longest} tokens do not fit: the model sees {model.cfg.n_ctx} positions, {len(pool)} tokens to draw from"
        )
    rng, bos = random.Random(f"induction {seed}"), [] if reader is None else reader.tokens("")[:1]
    clean, broken, fresh, answers, foils = [], [], [], [], []
    for length, repeated in shapes:
        segment = rng.sample(pool, length + 1)
        spare = segment.pop()
        first = repeated - 1
        clean.append(bos + segment + segment[:repeated])
        broken.append(bos + segment[:first] + [spare] + segment[first + 1 :] + segment[:repeated])
        fresh.append(bos + [rng.choice(pool) for _ in range(length + repeated)])
        answers.append(segment[repeated])
        foils.append(rng.choice([t for t in segment if t not in (segment[repeated], segment[first])]))
    shared: dict[str, Any] = {
        "answers": answers, "foils": foils, "templates": [f"{length} tokens, {repeated} repeated" for length, repeated in shapes],
        "positions": {
            "FIRST": [len(bos) + r - 1 for _, r in shapes], "NEXT": [len(bos) + r for _, r in shapes],
            "SEGMENT": [range(len(bos), len(bos) + n) for n, _ in shapes],
            "REPEAT": [range(len(bos) + n, len(bos) + n + r) for n, r in shapes],
        },
    }  # fmt: skip
    if reader is not None:
        return PromptSet.read(reader, clean, counterfactual=broken, reference=fresh, **shared)
    shared |= {"pad": 0, "attention_mask": [[1] * len(row) for row in clean]}  # any token can be drawn, and that which fills is one
    other, drawn = (PromptSet.from_tokens(rows, **shared) for rows in (broken, fresh))
    return PromptSet.from_tokens(clean, counterfactual=other, reference=drawn, **shared)


def _pool(model: "TransformerBridge") -> tuple[Reader | None, list[int]]:
    """What reads for the model, if it has a tokenizer, and the tokens to draw from: those that it both reads and predicts."""
    check_loaded(model)
    size, out = model.cfg.d_vocab, getattr(model.cfg, "d_vocab_out", None) or -1
    size = min(size, out) if out > 0 else size
    if model.tokenizer is None and is_native(model):
        return None, list(range(size))
    reader = Reader(model)
    # A model can have rows that are no token (their number rounded up), and a tokenizer tokens that the model has no row for.
    known = set(reader.tokenizer.get_vocab().values()) - set(reader.tokenizer.all_special_ids)
    return reader, sorted(token for token in known if token < size)
