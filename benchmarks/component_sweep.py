"""Patching every MLP and the stream that enters every layer, on GPT-2 small's shape: at every position, and position by position."""

from comparison.alternate import alternate
from comparison.jobs import every_layer
from comparison.rival_transformer_lens import TransformerLens
from comparison.rivals import hugging_face_rivals
from comparison.shapes import FIRST_CHANGE, WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options

from mechcheck import load_model


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("component_sweep", "Patching every MLP and every layer's stream", chosen)
    config = gpt2()
    where = directory(config)
    model = load_model(where, device=chosen.device)
    n, measured = (8, 4) if chosen.quick else (16, 6)
    prompts, places = prompt_pairs(config.vocab_size, n), range(FIRST_CHANGE, WIDTH)
    rivals = [TransformerLens(model), *hugging_face_rivals(where, chosen.device, patching=True)]
    page.heading(f"GPT-2 small: {n} prompt pairs of {WIDTH} tokens that first differ at position {FIRST_CHANGE}")
    layers = model.cfg.n_layers
    for job in (
        every_layer(prompts, layers, "mlp_out"),
        every_layer(prompts, layers, "mlp_out", places),
        every_layer(prompts, layers, "resid_pre", places),
    ):
        page.outcome(alternate(model, job, rivals, device=chosen.device, rounds=chosen.rounds, measured=measured))
    page.save()


if __name__ == "__main__":
    main()
