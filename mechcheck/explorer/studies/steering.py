"""Steering: a direction is added to the stream at one place, by more and more, and the prediction is followed."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechcheck.base.architectures import is_encoder
from mechcheck.drawing.text import token, visible
from mechcheck.engine.run import capture, sweep_metrics
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.figures import html
from mechcheck.explorer.prompt import tokens_said
from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.workbench import Workbench
from mechcheck.measures.stream.curves import SteeringCurve, steering_figure
from mechcheck.measures.stream.steering import random_directions, steering_vector
from mechcheck.notation.interventions import Steer
from mechcheck.notation.metrics import Metric, foil_probability, kl_divergence, logit_diff, probability
from mechcheck.notation.sites import Sites, resid, resid_post
from mechcheck.prompts.prompt_set import PromptSet

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

STEPS = 20
"""Coefficients on either side of 0."""
CONTROLS = 8
"""Random directions."""
DIRECTIONS = {"unembedding": "answer − foil, as they are unembedded", "difference": "prompt − counterfactual, at that place"}
"""Where a direction comes from -> what the page calls it."""

# The token itself, so that the page can say it at each coefficient.
_likeliest = Metric("the most likely token", "token", lambda logits, prompts, untouched: logits.argmax(-1))


def steering(bench: Workbench, body: Json, turn: Turn) -> Json:
    """The logit difference against the coefficient, beside random directions of the same length; and the prediction at each.

    Raises:
        Problem: no answer or foil, no counterfactual for a difference, a layer or position that is not there.
    """
    model, prompts = bench.model, bench.prepared(body).prompts
    if not len(prompts.answers) or not len(prompts.foils):
        raise Problem("study", "what is followed is the logit difference of an answer and a foil, of one token each: write both")
    where = place(model, prompts, body["layer"], body["place"])
    vector = direction(model, prompts, where, body["along"])
    scales = np.linspace(-body["reach"], body["reach"], 2 * STEPS + 1).tolist()
    vectors = [vector, *random_directions(vector, CONTROLS, seed=0)]
    followed = [logit_diff, kl_divergence, probability, foil_probability, _likeliest]
    turn.part(0, 1, "coefficients")
    variants = [Steer(one, where, scale) for one in vectors for scale in scales]
    values = sweep_metrics(model, prompts, variants, followed)
    curves = [
        SteeringCurve(tuple(scales), found, prompts.ids, prompts.templates, logit_diff.name, logit_diff.unit)
        for found in values[0].reshape(len(vectors), len(scales), 1)
    ]
    title = f"Steered at {where.places} by {DIRECTIONS[body['along']]}"
    figure = steering_figure(title, {"this direction": curves[0]}, {"random directions": curves[1:]})
    answer, foil = tokens_said(prompts, "answers"), tokens_said(prompts, "foils")
    called = [logit_diff.name, "KL", f"p({answer})", f"p({foil})"]
    numbers = {name: found[: len(scales), 0].tolist() for name, found in zip(called, values, strict=False)}
    said = [visible(token(model.tokenizer.decode([int(one)]).strip())) for one in values[-1][: len(scales), 0]]
    away = _first_other(scales, said)
    told = "The prediction stays the same."
    if away is not None:
        first = f"{away:+.3g}".replace("-", "−")
        told = f"From {first} on the prediction is {said[scales.index(away)]}."
    return {"figures": [html(figure)], "heads": "", "said": told, "scales": scales, "numbers": numbers, "predictions": said}


def place(model: "TransformerBridge", prompts: PromptSet, layer: int, name: str) -> Sites:
    """The stream entering a layer, or, with as many as there are layers, the one after the last, at a named position.

    Raises:
        Problem: there is no such layer or position.
    """
    last = model.cfg.n_layers
    if layer > last:
        raise Problem("study", f"no layer {layer}: there are 0 to {last - 1}, and {last} is what leaves the last one")
    if name not in prompts.positions:
        known = ", ".join(prompts.positions)
        raise Problem("study", f"no position is called {name!r}; this prompt has {known}: press a token to name it")
    return resid(f"{layer}@{name}") if layer < last else resid_post(f"{last - 1}@{name}")


def direction(model: "TransformerBridge", prompts: PromptSet, where: Sites, kind: str) -> Float[Tensor, " d_model"]:
    """A vector, of which 1 times is added for a coefficient of 1.

    What is unembedded has a length of its own, which says nothing of the stream: it is brought to the stream's.

    Raises:
        Problem: no counterfactual, or one that does not differ there.
    """
    if kind == "difference":
        if prompts.counterfactual is None:
            raise Problem("study", "the difference is that of the prompt and a counterfactual: write one, as long as the prompt")
        found = steering_vector(model, prompts, where)
        if not found.any():
            raise Problem("study", f"prompt and counterfactual do not differ at {where.places}: take a later position or layer")
        return found
    if is_encoder(model):
        raise Problem("study", "this model's prediction is not read off its stream by one map: take the counterfactual's direction")
    apart = model.W_U[:, int(prompts.answers[0])] - model.W_U[:, int(prompts.foils[0])]
    (stream,) = capture(model, prompts, where).values()
    return torch.as_tensor(apart / apart.norm() * stream[0].norm()).detach()


def _first_other(scales: list[float], said: list[str]) -> float | None:
    """The coefficient nearest to 0 at which something else is said than at 0."""
    middle = said[len(said) // 2]
    others = [scale for scale, one in zip(scales, said, strict=True) if one != middle]
    return min(others, key=abs, default=None)
