"""What edges cost on GPT-2 small's shape: all of them by EAP, and exactly those into the logits and into one layer's queries.

EAP stands beside two forward passes and a backward one of the model as transformers runs it (logits of the last position alone,
gradients of activations alone), of prompts that differ from the first word on and of such that differ from position 10 on; exact edges
beside the operations that they need, at this machine's rate of matrix products. All in alternating runs on one thread, captures and
self-check in them.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from comparison import flops
from comparison.alternate import Spread
from comparison.jobs import Cell, Job
from comparison.shapes import FIRST_CHANGE, WIDTH, directory, gpt2, prompt_pairs
from comparison.tables import Page, options, spread
from comparison.timing import floor, timed

from mechcheck import Patch, PromptSet, Sites, edges, graph, load_model, logit_diff, sweep
from mechcheck.circuits.edge_scores import carried
from mechcheck.engine.graphs.gradients import gradient_scores
from mechcheck.engine.graphs.senders import senders_of
from mechcheck.engine.untouched_cache import forget_runs

COLUMNS = ("job", "edges", "mechcheck, s", "what it stands beside, s", "over it (min, median, max)")


def main() -> None:
    """Measure and print."""
    chosen = options(__doc__)
    page = Page("graph_costs", "What edges cost", chosen)
    config = gpt2()
    where = directory(config)
    model = load_model(where, device=chosen.device)
    n = 16 if chosen.quick else 64
    layers, heads = model.cfg.n_layers, model.cfg.n_heads
    page.heading(f"GPT-2 small: {n} prompt pairs of {WIDTH} tokens", COLUMNS)

    def row(job: str, n_edges: int, own: list[float], beside: list[float]) -> None:
        seconds, other = (f"{Spread.of(taken).middle:.3g}" for taken in (own, beside))
        page.row((job, str(n_edges), seconds, other, spread(Spread.of([a / b for a, b in zip(own, beside, strict=True)]))))

    for first in (1, FIRST_CHANGE):
        prompts = prompt_pairs(config.vocab_size, n, first_change=first)
        instead = carried(senders_of(model), "counterfactual", prompts)

        def eap(prompts: PromptSet = prompts, instead: Patch = instead) -> Any:
            forget_runs()
            return gradient_scores(model, prompts, instead, logit_diff, "eap", 1)

        own, beside = alternate(eap, passes(where, prompts, chosen.device), chosen)
        row(
            f"EAP, prompts that differ from position {first} on, beside two forward passes and a backward one",
            len(graph(model)),
            own,
            beside,
        )
    shape, layer = flops.shape_of(model), layers * 3 // 4
    into = f"{layer}.0-{heads - 1}.q"
    every = f"0-{layers - 1}.0-{heads - 1}->logits mlp0-{layers - 1}->logits input->logits"
    before = f"0-{layer - 1}.0-{heads - 1}->{into} mlp0-{layer - 1}->{into} input->{into}"
    prompts = prompt_pairs(config.vocab_size, n if chosen.quick else n // 2)
    for name, text in (("into the logits", every), (f"into the queries of layer {layer}", before)):
        sites = [Sites([site]) for site in edges(text)]
        # What a query changes begins at its head's output; the sum that the final norm reads is known, so that it begins nowhere.
        cells = tuple((Cell("head", layer, one.to.index),) for some in sites for one in some if one.to and one.to.kind == "q")
        needed = flops.needed(shape, Job(name, prompts, "patch", cells))

        def exact(sites: list[Sites] = sites, prompts: PromptSet = prompts) -> Any:
            forget_runs()
            return sweep(model, prompts, [Patch(some) for some in sites])

        rounds = [(timed(chosen.device, exact)[0], floor(shape, needed, chosen.device)) for _ in range(chosen.rounds + 1)][1:]
        row(
            f"exact edges {name}, beside their floor ({len(prompts)} pairs)",
            len(sites),
            *(list(taken) for taken in zip(*rounds, strict=True)),
        )
    page.save()


def passes(where: Path, prompts: PromptSet, device: str) -> Callable[[], Any]:
    """A forward pass of the other prompts, and one of these with the gradients at what it reads."""
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(where).eval().to(device)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    assert prompts.counterfactual is not None
    tokens, other, answers, foils = (
        some.to(device) for some in (prompts.tokens, prompts.counterfactual.tokens, prompts.answers, prompts.foils)
    )

    def run() -> Any:
        with torch.no_grad():
            model(other, logits_to_keep=1)
        entered = model.get_input_embeddings()(tokens).requires_grad_()
        last = model(inputs_embeds=entered, logits_to_keep=1).logits[:, 0]
        total = (last.gather(1, answers[:, None]) - last.gather(1, foils[:, None])).sum()
        return torch.autograd.grad(total, entered)

    return run


def alternate(one: Callable[[], Any], other: Callable[[], Any], chosen: Any) -> tuple[list[float], list[float]]:
    """Seconds of both, in turn, after a round that does not count."""
    rounds = [tuple(timed(chosen.device, work)[0] for work in (one, other)) for _ in range(chosen.rounds + 1)]
    return [a for a, _ in rounds[1:]], [b for _, b in rounds[1:]]


if __name__ == "__main__":
    main()
