"""Words of a claim that name nothing: an error when it is collected, with the nearest word that does name something."""

import inspect
from collections.abc import Collection, Generator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mechcheck.base.outgoing import message_of
from mechcheck.base.text import did_you_mean, nearest
from mechcheck.models.names import model_name, unlike_any
from mechcheck.plugin import fixtures
from mechcheck.plugin.cases import spec_of
from mechcheck.plugin.settings import SETTINGS
from mechcheck.verdicts.claim import MARK, ClaimSpec

_A_SLIP = 0.8
"""From which likeness on a word that might name something unknown is taken for a slip all the same."""
_MADE = frozenset(("model", "prompts", "prompts_for", "circuit", "replicas", "check"))
"""Our fixtures that are of one cell."""


@pytest.hookimpl(wrapper=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> Generator[None, None, None]:
    """Look at a claim's words once all its parameters are known, whichever of its tests are chosen later."""
    yield
    mark = metafunc.definition.get_closest_marker(MARK)
    if mark is None:
        return
    problems = list(_Words(metafunc, spec_of(mark)).problems())
    if problems:
        raise pytest.Collector.CollectError("\n".join(f"{metafunc.definition.nodeid}: {problem}" for problem in problems))


@dataclass(frozen=True)
class _Words:
    """What a claim's words can mean."""

    metafunc: pytest.Metafunc
    spec: ClaimSpec

    def problems(self) -> Iterator[str]:
        yield from self._task()
        yield from filter(None, (unlike_any(name, self._embedded) for name in self._named_models()))
        yield from self._expected()
        yield from self._contrasts()
        yield from self._grid()

    @property
    def _calls(self) -> list[Mapping[str, Any]]:
        """The parameters of each of the claim's tests."""
        return [call.params for call in self.metafunc._calls]

    @property
    def _near(self) -> Path:
        return self.metafunc.definition.path.parent

    @property
    def _given(self) -> Path | None:
        return self.metafunc.config.stash[SETTINGS].circuits

    @property
    def _embedded(self) -> tuple[str, ...]:
        from mechcheck.models.names import embedded_models

        return embedded_models()

    @property
    def _changes(self) -> list[Mapping[str, Any]]:
        """The arguments that decoys and positive control replace."""
        return [changes for changes in (*self.spec.decoys, self.spec.positive_control) if isinstance(changes, Mapping)]

    def _is_ours(self, fixture: str) -> bool:
        """Whether the claim gets the plugin's fixture of that name, and nobody's own."""
        found = self.metafunc.definition._fixtureinfo.name2fixturedefs.get(fixture, ())
        return len(found) > 0 and inspect.unwrap(found[-1].func).__module__ == fixtures.__name__

    def _task(self) -> Iterator[str]:
        task = self.spec.task
        if task is None:
            return
        from mechcheck.base.errors import PromptError
        from mechcheck.circuits.recorded import models_with_circuit
        from mechcheck.tasks.registry import check_task, task_names

        try:
            check_task(task)
        except PromptError as error:
            if self._is_ours("make_prompts"):
                yield str(error)
            elif not models_with_circuit(task, self._near, self._given) and (near := nearest(task, task_names(), _A_SLIP)):
                yield f"unknown task {task!r}; did you mean {near!r}?"

    def _named_models(self) -> Iterator[str]:
        yield from self.spec.models
        yield from self.spec.partners.values()
        yield from () if self.spec.over is None else self.spec.over.axes.get("models", ())
        yield from (name for changes in self._changes if isinstance(name := changes.get("model"), str))

    def _expected(self) -> Iterator[str]:
        """Parts of the keys of `expect` that no model and no parameter is called; a model that nobody knows yet may be called anything."""
        if isinstance(self.spec.expect, str):
            return
        values = {message_of(value) for params in [*self._calls, *self._changes] for value in params.values()}
        known = values | {model_name(value) for value in values}
        # A claim over several models at once is expected to come to one thing, whichever of them it is in.
        takes_model = "model" in self.metafunc.fixturenames and (self.spec.over is None or "models" not in self.spec.over.axes)
        if takes_model:
            known |= self._known_models()
        for part in dict.fromkeys(part for key in self.spec.expect for part in ((key,) if isinstance(key, str) else key)):
            some_model = takes_model and not self.spec.models
            if part in known or (some_model and ("/" in part or not (nearest(part, values) or nearest(part, known, _A_SLIP)))):
                continue
            yield (
                f"expect: {part!r} is no value of a parameter of this test, and no model that it is about{did_you_mean(part, known)}"
                + (" If there is such a model, choose it with --mech-model or name it in models=." if some_model else "")
            )

    def _known_models(self) -> set[str]:
        from mechcheck.circuits.recorded import models_with_circuit

        asked = {model_name(name) for name in self.metafunc.config.stash[SETTINGS].models}
        about = {*self.spec.models, *(name.rpartition("/")[2] for name in self.spec.models)}
        recorded = models_with_circuit(self.spec.task, self._near, self._given) if self.spec.task else ()
        return {*self._embedded, *asked, *about, *recorded}

    def _contrasts(self) -> Iterator[str]:
        takes = inspect.signature(self.metafunc.function).parameters
        for changes in self._changes:
            for name in changes.keys() - takes.keys():
                yield f"the contrast changes {name}, which the test does not take{did_you_mean(name, takes)}"
            roles = changes.get("circuit")
            if isinstance(roles, Mapping) and (known := self._known_roles()):
                yield from (
                    f"the contrast changes the role {role!r}, which the circuit does not have{did_you_mean(role, known)}"
                    for role in roles.keys() - known
                )

    def _grid(self) -> Iterator[str]:
        """Axes of a grid that the test cannot be run over."""
        if self.spec.over is None:
            return
        takes, info = inspect.signature(self.metafunc.function).parameters, self.metafunc.definition._fixtureinfo
        given = {name for params in self._calls for name in params}
        for axis in self.spec.over.names:
            if axis not in takes:
                yield f"over: the test takes no argument {axis!r}{did_you_mean(axis, takes)}"
            elif axis in given:
                yield f"over: {axis!r} is parametrized as well: either each value is a claim of its own, or all of them make one"
            elif info.name2fixturedefs.get(axis):
                yield f"over: {axis!r} is a fixture, which the cells of a grid do not change; call the axis otherwise"
        renewed = sorted(set(self.spec.over.axes) - self.spec.over.names)
        if renewed and "model" not in takes:
            yield f"over: the axis {renewed[0]!r} changes the test's `model` and `prompts`, and the test takes no `model`"
        if renewed and "replicas" in takes:
            yield f"over: the axis {renewed[0]!r} does not change the models of `replicas`, nor their prompts; each cell would be the same"
        if "seeds" in renewed and not {"prompts", "prompts_for"} & set(takes):
            yield "over: the axis 'seeds' changes the test's `prompts`, and the test takes none; each cell would be the same"
        if renewed and (made := self._made_once()):
            yield f"over: the axis {renewed[0]!r} would not change what the fixture {made!r} made of the first model and its prompts"

    def _made_once(self) -> str | None:
        """A fixture of the user's own that is made from ours, once."""
        used = {name: found[-1] for name, found in self.metafunc.definition._fixtureinfo.name2fixturedefs.items() if found}
        own = (name for name, fixture in used.items() if fixture.func.__module__ != fixtures.__name__ and name != "make_prompts")
        return next((name for name in own if _MADE & set(used[name].argnames)), None)

    def _known_roles(self) -> Collection[str]:
        """The roles of all circuits that are recorded for the claim's task; none where nobody can tell before it runs."""
        if self.spec.task is None or not self._is_ours("circuit"):
            return ()
        from mechcheck.circuits.recorded import circuit_path, models_with_circuit, roles_at

        known: set[str] = set()
        for name in models_with_circuit(self.spec.task, self._near, self._given):
            path = circuit_path(self.spec.task, name, self._near, self._given)
            if path is not None:
                known |= roles_at(path)
        return known
