"""How the cost of patching every head at all positions grows with heads, prompts, length and layers, and that against TransformerLens."""

from typing import NamedTuple

from comparison.alternate import Outcome, alternate
from comparison.flops import needed, shape_of
from comparison.jobs import every_head
from comparison.rival_transformer_lens import TransformerLens
from comparison.shapes import directory, gpt2, prompt_pairs
from comparison.tables import Page, options, spread

from mechcheck import load_model

VOCABULARY, D_MODEL = 10000, 512


class Size(NamedTuple):
    """One point; prompts first differ at two thirds of their length."""

    heads: int = 8
    prompts: int = 16
    length: int = 24
    layers: int = 6


GROWTH = {"heads": (4, 8, 16, 32), "prompts": (4, 16, 64), "length": (12, 24, 48, 96), "layers": (3, 6, 12)}
QUICK = {"heads": (4, 8, 16), "prompts": (4, 16), "length": (12, 24, 48), "layers": (3, 6)}
COLUMNS = (
    "value",
    "variants",
    "mechcheck, s",
    "times the first",
    "operations, times the first",
    "TransformerLens / mechcheck",
    "FLOP ratio",
)


def measure(size: Size, device: str, rounds: int) -> tuple[Outcome, int]:
    """The outcome, and the operations that are needed."""
    config = gpt2(size.layers, size.heads, D_MODEL, VOCABULARY, positions=256)
    model = load_model(directory(config), device=device)
    job = every_head(prompt_pairs(VOCABULARY, size.prompts, size.length, 2 * size.length // 3), size.layers, size.heads)
    outcome = alternate(model, job, [TransformerLens(model)], device=device, rounds=rounds, measured=6)
    return outcome, needed(shape_of(model), job).total()


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("scaling", "How the cost of a head sweep grows", chosen)
    base = Size()
    fixed = ", ".join(f"{value} {name}" for name, value in base._asdict().items())
    page.say(f"Of {fixed} one grows at a time; d_model {D_MODEL} (heads share it), vocabulary {VOCABULARY}.")
    for name, values in (QUICK if chosen.quick else GROWTH).items():
        page.heading(name, COLUMNS)
        first: tuple[float, int] | None = None
        for value in values:
            outcome, operations = measure(base._replace(**{name: value}), chosen.device, chosen.rounds)
            (against,) = outcome.against
            first = first or (outcome.seconds.middle, operations)
            page.row(
                (
                    str(value), str(against.variants), f"{outcome.seconds.middle:.3g}", f"{outcome.seconds.middle / first[0]:.3g}",
                    f"{operations / first[1]:.3g}", spread(against.ratio), f"{against.flop_ratio:.3g}",
                )
            )  # fmt: skip
    page.save()


if __name__ == "__main__":
    main()
