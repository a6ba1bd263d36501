"""Mean ablation of random sets of 26 heads, the size of the IOI circuit: what a random control costs.

At the last position and, where everything after the first layer's heads has to be computed anyway, at all positions.
"""

from comparison.alternate import alternate
from comparison.jobs import random_circuits
from comparison.rival_transformer_lens import TransformerLens
from comparison.rivals import hugging_face_rivals
from comparison.shapes import WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options

from mechcheck import load_model

SIZE = 26


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("random_circuits", f"Random sets of {SIZE} heads, mean-ablated", chosen)
    config = gpt2()
    where = directory(config)
    model = load_model(where, device=chosen.device)
    n, circuits = (8, 40) if chosen.quick else (64, 200)
    prompts = prompt_pairs(config.vocab_size, n)
    rivals = [TransformerLens(model), *hugging_face_rivals(where, chosen.device)]
    page.heading(f"GPT-2 small: {n} prompts of {WIDTH} tokens, means over {n} others")
    for at in (WIDTH - 1, None):
        job = random_circuits(prompts, model.cfg.n_layers, model.cfg.n_heads, SIZE, circuits, at)
        page.outcome(alternate(model, job, rivals, device=chosen.device, rounds=chosen.rounds, measured=4))
    page.save()


if __name__ == "__main__":
    main()
