"""The loss per token over all positions under zero ablation, and under patching, of every head, on GPT-2 small's shape.

All positions need all logits, so that little can be saved: what lies before the head in depth, and before the first change in position.
The table shows how near mechcheck comes to what is left, and how far TransformerLens' own loop is from it. Patched prompts differ from
position 21 on.
"""

from comparison.alternate import alternate
from comparison.jobs import every_head
from comparison.rival_transformer_lens import TransformerLens
from comparison.shapes import directory, gpt2, prompt_pairs
from comparison.tables import Page, options

from mechcheck import load_model

WIDTH, FIRST_CHANGE = 32, 21


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("loss_sweep", "The loss without each head", chosen)
    config = gpt2()
    model = load_model(directory(config), device=chosen.device)
    n, measured = (4, 4) if chosen.quick else (8, 6)
    prompts = prompt_pairs(config.vocab_size, n, WIDTH, FIRST_CHANGE)
    page.heading(f"GPT-2 small: {n} prompts of {WIDTH} tokens, loss over all positions")
    for method in ("zero", "patch"):
        job = every_head(prompts, model.cfg.n_layers, model.cfg.n_heads, method, measure="loss")
        page.outcome(alternate(model, job, [TransformerLens(model)], device=chosen.device, rounds=chosen.rounds, measured=measured))
    page.save()


if __name__ == "__main__":
    main()
