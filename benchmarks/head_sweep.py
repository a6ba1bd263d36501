"""Patching every head: at every position, at the last one, and position by position.

On GPT-2 small's shape against TransformerLens, nnsight and pyvene; on a GPT-NeoX and a Llama shape of its size and on an embedded
model against TransformerLens. --quick leaves position by position out.
"""

from comparison.alternate import alternate
from comparison.jobs import Job, every_head
from comparison.rival_transformer_lens import TransformerLens
from comparison.rivals import hugging_face_rivals
from comparison.shapes import EMBEDDED, FIRST_CHANGE, SHAPES, WIDTH, directory, prompt_pairs
from comparison.tables import Page, options

from mechcheck import PromptSet, ioi_prompts, load_model

LAST = WIDTH - 1


def jobs(prompts: PromptSet, layers: int, heads: int, *, by_position: bool) -> list[Job]:
    """Earlier positions are the same in both runs, so that there is nothing to patch."""
    places = [(None,), (LAST,), *([range(FIRST_CHANGE, WIDTH)] if by_position else [])]
    return [every_head(prompts, layers, heads, at=at) for at in places]


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("head_sweep", "Patching every head", chosen)
    n, measured = (8, 4) if chosen.quick else (16, 12)
    how = {"device": chosen.device, "rounds": chosen.rounds, "measured": measured}
    for name, make in SHAPES.items():
        config = make()
        where = directory(config)
        model = load_model(where, device=chosen.device)
        prompts = prompt_pairs(config.vocab_size, n)
        page.heading(f"{name}: {n} prompt pairs of {WIDTH} tokens that first differ at position {FIRST_CHANGE}")
        gpt2 = config.model_type == "gpt2"
        others = hugging_face_rivals(where, chosen.device, patching=True, every_way=True) if gpt2 else []
        for job in jobs(prompts, model.cfg.n_layers, model.cfg.n_heads, by_position=gpt2 and not chosen.quick):
            page.outcome(alternate(model, job, [TransformerLens(model), *others], **how))
    model = load_model(EMBEDDED, device=chosen.device)
    prompts = ioi_prompts(model, n=64, seed=0)
    page.heading(f"{EMBEDDED}: {len(prompts)} IOI prompts of {int(prompts.lengths.min())} to {int(prompts.lengths.max())} tokens")
    page.outcome(alternate(model, every_head(prompts, model.cfg.n_layers, model.cfg.n_heads), [TransformerLens(model)], **how))
    page.save()


if __name__ == "__main__":
    main()
