"""Which version of a task made prompts: a number that is raised when the same seed no longer gives the same ones."""

_VERSIONS: dict[str, int] = {}


def set_version(name: str, version: int) -> None:
    """What the task's generator is from now on."""
    _VERSIONS[name] = version


def task_version(name: str | None) -> int | None:
    """None where no generator of that name was registered."""
    return None if name is None else _VERSIONS.get(name)
