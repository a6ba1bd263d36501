"""The logit lens on the page's prompt: what each layer's stream would predict, as it is and as it is changed."""

from dataclasses import replace

from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.change import changes, chosen_heads
from mechcheck.explorer.figures import html
from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.workbench import Workbench
from mechcheck.measures.figures.compared import Compared
from mechcheck.measures.figures.model import LensGrid
from mechcheck.measures.stream.lens import LensMap, logit_lens_map
from mechcheck.notation.interventions import Intervention
from mechcheck.prompts.labels import token_labels
from mechcheck.prompts.prompt_set import END

TOP = 3
"""Foremost tokens of each cell."""


def lens(bench: Workbench, body: Json, turn: Turn) -> Json:
    """How probable answer and foil are after each layer, at each token and at the end of the prompt.

    Raises:
        Problem: no answer, no foil.
    """
    prepared = bench.prepared(body)
    prompts = prepared.prompts
    if not len(prompts.answers) or not len(prompts.foils):
        raise Problem("study", "the lens follows an answer and a foil, of one token each: write both")
    done = changes(chosen_heads(bench.model, body), prepared, body)
    runs: dict[str, list[Intervention]] = {"as it is": [], **({"changed": done} if done else {})}
    read: dict[str, LensMap] = {}
    for number, (name, one) in enumerate(runs.items()):
        turn.part(number, len(runs), f"the prompt, {name}")
        read[name] = logit_lens_map(bench.model, prompts, interventions=one, top=TOP)
    tokens = token_labels(prompts, 0)
    grids: dict[str, LensGrid] = {name: replace(found.figure(0, name), tokens=tokens) for name, found in read.items()}
    end = str(int(prompts.position(END)[0]))
    curves = [html(found.at(end).figure(f"At the end of the prompt, {name}")) for name, found in read.items()]
    at, layers = int(read["as it is"].at(end).resolution().values[0]), bench.model.cfg.n_layers
    if at > layers:
        said = "The answer is not the likeliest token, after any layer."
    elif at == layers:
        said = "The answer is the likeliest token after the last layer alone."
    else:
        said = f"The answer is the likeliest token of what enters layer {at}, and from there on."
    return {"figures": [html(Compared("Logit lens", grids)), *curves], "heads": "", "said": said}
