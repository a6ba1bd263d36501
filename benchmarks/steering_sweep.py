"""Adding a vector to the stream at every layer and nine scales, on GPT-2 small's shape: at the last position and at all."""

import torch
from comparison.alternate import alternate
from comparison.jobs import steering
from comparison.rival_transformer_lens import TransformerLens
from comparison.rivals import hugging_face_rivals
from comparison.shapes import WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options

from mechcheck import load_model

SCALES = (-4, -3, -2, -1, 0, 1, 2, 3, 4)


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("steering_sweep", "Steering at every layer and scale", chosen)
    config = gpt2()
    where = directory(config)
    model = load_model(where, device=chosen.device)
    n, measured = (8, 4) if chosen.quick else (16, 6)
    prompts = prompt_pairs(config.vocab_size, n)
    vector = torch.randn(model.cfg.d_model, generator=torch.Generator().manual_seed(0))
    rivals = [TransformerLens(model), *hugging_face_rivals(where, chosen.device)]
    page.heading(f"GPT-2 small: {n} prompts of {WIDTH} tokens")
    for at in (WIDTH - 1, None):
        job = steering(prompts, model.cfg.n_layers, SCALES, vector, at)
        page.outcome(alternate(model, job, rivals, device=chosen.device, rounds=chosen.rounds, measured=measured))
    page.save()


if __name__ == "__main__":
    main()
