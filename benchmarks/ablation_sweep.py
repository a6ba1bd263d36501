"""Zero and mean ablation of every head, on GPT-2 small's shape: at all positions and at the last one."""

from comparison.alternate import alternate
from comparison.jobs import every_head
from comparison.rival_transformer_lens import TransformerLens
from comparison.rivals import hugging_face_rivals
from comparison.shapes import WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options

from mechcheck import load_model


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("ablation_sweep", "Ablating every head", chosen)
    config = gpt2()
    where = directory(config)
    model = load_model(where, device=chosen.device)
    n, measured = (4, 4) if chosen.quick else (16, 6)
    prompts = prompt_pairs(config.vocab_size, n)
    rivals = [TransformerLens(model), *hugging_face_rivals(where, chosen.device)]
    page.heading(f"GPT-2 small: {n} prompts of {WIDTH} tokens, means over {n} others")
    for method in ("zero", "mean"):
        for at in (None, WIDTH - 1):
            job = every_head(prompts, model.cfg.n_layers, model.cfg.n_heads, method, [at])
            page.outcome(alternate(model, job, rivals, device=chosen.device, rounds=chosen.rounds, measured=measured))
    page.save()


if __name__ == "__main__":
    main()
