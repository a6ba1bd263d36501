"""What claims share: models, prompts, torch itself. A body that leaves it changed is an error, and the next claim finds it as it was."""

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechcheck.base.data_state import Changed, DataState
    from mechcheck.models.fingerprint import ModelState


class Guard:
    """Watches over what one claim shares with others; the state of models and data is taken once for all runs of its body."""

    def __init__(self, who: str = "another claim", seed: int = 0, own: Collection[str] = (), *, patched: bool = False) -> None:
        """Begin.

        Args:
            who: the claim, for those who are told that it changed something for good.
            seed: from which the global generators of random numbers start in each run.
            own: names of arguments that were made for this test alone, which the body may change as it likes; each of its runs begins
                with data as it was. Models and prompts are shared none the less: they are kept in memory.
            patched: whether the body puts other objects into the place of some by a way that takes them back when the test is over
                (pytest's `monkeypatch`): that is no error, and taken back at the end of each run.
        """
        self._who, self._seed, self._own, self._patched = who, seed, frozenset(own), patched
        self._states: dict[int, tuple[Any, ModelState | DataState]] = {}
        self._owned: dict[int, tuple[Any, DataState]] = {}

    @contextlib.contextmanager
    def untouched(self, arguments: Mapping[str, Any], contrast: str | None = None) -> Iterator[None]:
        """Raise if what runs in this context leaves something changed; after an error of its own, only put it back.

        Args:
            arguments: what the body was given.
            contrast: which contrast run it is; None for the claim's own.

        Raises:
            HookError: a model is not as it was.
            StateError: something else is not.
        """
        from mechcheck.base.data_state import DataState
        from mechcheck.base.handed import handed_to
        from mechcheck.base.surroundings import own_surroundings
        from mechcheck.base.torch_state import TorchState
        from mechcheck.models.fingerprint import ModelState

        for name, value in arguments.items():
            if name not in self._own or _comes_from_memory(value):
                self._take(name, value)
            elif _is_data(value):
                self._owned.setdefault(id(value), (value, DataState(name, value)))[1].restore()
        models = [state for _, state in self._states.values() if isinstance(state, ModelState)]
        process = TorchState(frozenset().union(*(state.classes for state in models)))
        try:
            with own_surroundings(self._seed), handed_to(lambda shared: self._take("what was loaded", shared)):
                yield
        except BaseException:
            with contextlib.suppress(Exception):  # the error of the claim's own is what the record should tell
                self._settle(process)
            raise
        if found := self._settle(process):
            raise _error(found, contrast)

    def _take(self, name: str, value: Any) -> None:
        """Take the state of a model, or of data, unless it is known or of another kind."""
        from mechcheck.base.data_state import DataState
        from mechcheck.models.fingerprint import ModelState, is_model

        if id(value) in self._states:
            return
        if is_model(value):
            self._states[id(value)] = value, ModelState(value)
        elif _is_data(value):
            self._states[id(value)] = value, DataState(name, value)

    def _settle(self, process: Any) -> "list[tuple[bool, Changed]]":
        """What was changed, each with whether it is of a model; all of it is put back."""
        from mechcheck.models.fingerprint import ModelState
        from mechcheck.models.loading import forget_models

        found = [(False, one) for one in process.changed()]
        if found:
            process.restore()
        for _, state in self._states.values():
            changed = state.changed()
            if not changed:
                continue
            found += [(isinstance(state, ModelState), one) for one in changed]
            if isinstance(state, ModelState):
                state.restore(self._who)
                forget_models()  # what was put back need not be all
            else:
                state.restore()
        return [(of_model, one) for of_model, one in found if not (self._patched and one.replaced)]


def _is_data(value: Any) -> bool:
    from mechcheck.base.data_state import is_data
    from mechcheck.verdicts.told import Told

    return is_data(value) and not isinstance(value, Told)  # a check is there to be written to


def _comes_from_memory(value: Any) -> bool:
    from mechcheck.prompts.prompt_set import PromptSet

    return isinstance(value, PromptSet) or hasattr(value, "cfg")


def _error(found: "list[tuple[bool, Changed]]", contrast: str | None) -> Exception:
    from mechcheck.base.data_state import instead, told
    from mechcheck.base.errors import HookError, StateError

    of_model, others = ([one for mine, one in found if mine == which] for which in (True, False))
    whose = f"its contrast ({contrast})" if contrast else "it"
    if not of_model:
        way = f"; use instead: {instead(others)}" if instead(others) else ""
        return StateError(f"{whose} changed what other claims use too: {told(others)}. It was put back{way}")
    text = f"{told(of_model)}; {instead(of_model)}" + (f"; and it changed {told(others)}" if others else "")
    return HookError(f"{whose} changed the model: {text}" if contrast else text)
