"""Does the instrument work on this model? Asked once per model, process and run."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

from mechcheck.plugin.settings import SETTINGS

if TYPE_CHECKING:
    from mechcheck.conformance.sentinels import Sentinel

_KNOWN = pytest.StashKey[dict[tuple[str, ...], "list[Sentinel]"]]()


def examine(config: pytest.Config, arguments: Mapping[str, Any]) -> None:
    """Run the sentinels of the claim's model on its prompts; of a model that no loader has seen, first look at its weights.

    Raises:
        HookError: one of them failed.
        ModelError: weights that are NaN or infinite.
    """
    if "model" not in arguments:
        return
    from mechcheck.base.errors import HookError
    from mechcheck.conformance.sentinels import sentinels
    from mechcheck.models.loading import provenance
    from mechcheck.models.weights import check_finite
    from mechcheck.prompts.prompt_set import PromptSet

    model, prompts = arguments["model"], arguments.get("prompts")
    if provenance(model).directory is None:
        check_finite(dict(model.named_parameters()), provenance(model).name)
    if not isinstance(prompts, PromptSet):
        return
    source, known = provenance(model), config.stash.setdefault(_KNOWN, {})
    key = (source.name, source.weights_sha256, source.dtype, source.device)
    if key not in known:
        known[key] = sentinels(model, prompts)
        config.stash[SETTINGS].parts.save_sentinels(source.name, known[key])
    failed = [s for s in known[key] if not s.passed]
    if failed:
        raise HookError(f"the instrument does not work on this model: {'; '.join(f'{s.name} ({s.detail})' for s in failed)}")
