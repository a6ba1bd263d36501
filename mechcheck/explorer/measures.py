"""What a claim of the page's can be about: a number of each prompt, and which way damage moves it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """A number that a claim puts a threshold to."""

    told: str
    """As a sentence of the page begins, before "is below" or "is above"."""
    metric: str
    """The public metric's name, of which "" is that of `run` itself, the logit difference."""
    share: str = ""
    """Of which prompts the share is taken; {} stands for the values. "" where their mean is."""
    rises: bool = False
    """Whether it is larger where the model does worse."""


MEASURES = {
    "logit_diff": Measure("the mean logit difference", ""),
    "foil_preferred": Measure("the share of prompts on which the foil is preferred", "", share="{} < 0", rises=True),
    "correct": Measure("the share of prompts on which the answer is the prediction", "correct", share="{}"),
    "probability": Measure("the mean probability of the answer", "probability"),
    "foil_probability": Measure("the mean probability of the foil", "foil_probability", rises=True),
    "log_probability": Measure("the mean log-probability of the whole answer", "log_probability"),
    "log_odds": Measure("the mean log-odds of whole answers to foils", "log_odds"),
    "rank": Measure("the mean rank of the answer", "rank", rises=True),
    "kl_divergence": Measure("the mean KL from the untouched model", "kl_divergence", rises=True),
    "faithful": Measure("the distance of the circuit's faithfulness from 1", ""),
}
"""By what a body calls it. The last is of a circuit that was found, with nothing done to it."""
