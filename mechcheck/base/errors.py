"""The errors a user can meet: each says what was wrong, why, and what to do."""


class MechcheckError(ValueError):
    """Something the user gave does not fit: sites, prompts, circuits, options."""


class ModelError(MechcheckError):
    """A model cannot be loaded, or is not the one that was asked for."""


class SiteError(MechcheckError):
    """A site does not exist in the model, or cannot be written so."""


class PromptError(MechcheckError):
    """Prompts, answers, positions or counterfactuals do not fit together."""


class CircuitError(MechcheckError):
    """A circuit file is missing, malformed, or recorded for other weights."""


class NoCircuitError(CircuitError):
    """No circuit is recorded for the model and task."""


class AbsentRoleError(CircuitError):
    """The search for a circuit found nothing for this role, and its file says why."""


class TextError(MechcheckError):
    """Generated texts are compared that ended differently."""


class ClaimError(MechcheckError):
    """A claim is written in a way that cannot be decided."""


class NoControlError(ClaimError):
    """The model has too few other sites to draw a random control from."""


class HookError(RuntimeError):
    """A requested hook did not fire, or a model was not left as it was found."""


class StateError(RuntimeError):
    """A claim left something changed that others use too: prompts, torch's settings, a function in its module."""


class NonFiniteError(ArithmeticError):
    """A measurement holds NaN or infinity, so nothing can be concluded from it."""


class CacheWarning(UserWarning):
    """The folder for what is built once cannot be used, so it is built in a temporary one."""


class SelfCheckWarning(UserWarning):
    """The fast runner's numbers differ from the plain one's, so the plain one was used."""
