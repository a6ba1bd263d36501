"""When an effect began, as a claim says it beforehand."""

from collections.abc import Sequence

from mechcheck.base.errors import ClaimError


def checked_steps(steps: Sequence[int], by: int, after: int | None) -> list[int]:
    """The checkpoints at which the effect is claimed to be there: that of `by`, and all later ones.

    Raises:
        ClaimError: `by` or `after` is none of the checkpoints, or they are the wrong way round.
    """
    for name, step in (("by", by), ("after", after)):
        if (step is not None or name == "by") and step not in steps:
            raise ClaimError(f"onset({name}={step!r}): no such checkpoint; there are {', '.join(map(str, sorted(steps)))}")
    if after is not None and after >= by:
        raise ClaimError(f"onset(by={by}, after={after}): it cannot be there by {by} and begin after {after}")
    return [step for step in sorted(steps) if step >= by]
