"""The `@claim` decorator: what a test claims, how, and what would show that it can fail."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args

from mechcheck.base.errors import ClaimError
from mechcheck.base.outgoing import message_of
from mechcheck.base.text import did_you_mean, no_text
from mechcheck.notation.caveats import CAVEATS
from mechcheck.verdicts.grids.grid import Grid

Kind = Literal["behaviour", "structure", "necessity", "sufficiency", "specificity", "generalisation"]
Expected = Literal["supported", "refuted", "not_applicable", "method_dependent"]
Decoy = Literal["random_sites", "reinitialised"]
Expectations = Mapping[str | tuple[str, ...], Expected]
"""Model names and parameter values, or several of them as a tuple -> the verdict that counts as met."""
Test = TypeVar("Test", bound=Callable[..., Any])

MARK = "claim"
LEAST_BUDGET = 2


@dataclass(frozen=True)
class ClaimSpec:
    """Everything that `@claim` says."""

    statement: str
    source: str | None = None
    task: str | None = None
    kind: Kind | None = None
    expect: Expected | Expectations = "supported"
    decoys: tuple[Decoy | Mapping[str, Any] | None, ...] = (None,)
    """None is the default: random sites, or re-initialised weights."""
    positive_control: Mapping[str, Any] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    partners: Mapping[str, str] = field(default_factory=dict)
    """Model -> the other one, for a claim about two."""
    prompts: Mapping[str, Any] = field(default_factory=dict)
    id: str | None = None
    budget: int | None = None
    version: int = 1
    accepts: Mapping[str, str] = field(default_factory=dict)
    """Caveat -> why the claim is measured like that all the same."""
    over: Grid | None = None
    """The methods that it is run under, for one answer."""

    def about(self, model: str) -> str | None:
        """What `models` calls this model; None if the claim is not about it. A directory may be called as the last part of a hub id."""
        if model in self.models:
            return model
        return next((name for name in self.models if name.rpartition("/")[2] == model), None)

    def expected(self, model: str | None, params: Mapping[str, Any]) -> Expected:
        """The verdict that counts as met, for a model and the test's parameters."""
        if isinstance(self.expect, str):
            return self.expect
        names = {message_of(value) for value in params.values()} | {str(model), str(model and self.about(model))}
        applying = [key for key in self.expect if _parts(key) <= names]
        return self.expect[max(applying, key=lambda key: len(_parts(key)))] if applying else "supported"


def claim(
    statement: str,
    *,
    source: str | None = None,
    task: str | None = None,
    kind: Kind | None = None,
    expect: Expected | Expectations = "supported",
    decoy: Decoy | Mapping[str, Any] | Sequence[Decoy | Mapping[str, Any]] | None = None,
    positive_control: Mapping[str, Any] | None = None,
    models: Sequence[str] | Mapping[str, str] = (),
    prompts: Mapping[str, Any] | None = None,
    id: str | None = None,
    budget: int | None = None,
    version: int = 1,
    accepts: Mapping[str, str] | None = None,
    over: Grid | None = None,
) -> Callable[[Test], Test]:
    """Turn a pytest function into a claim.

    Args:
        statement: the hypothesis, in a sentence.
        source: where it comes from (a paper, an arXiv id).
        task: gives the `prompts` and `circuit` fixtures. A claim that uses `circuit` runs on the selected models that have one for the
            task; any other on all selected models, and by default on the embedded ones that have one.
        kind: what kind of evidence it is: behaviour, structure, necessity, sufficiency, specificity or generalisation.
        expect: the verdict that counts as met; or a mapping from model names and parameter values to verdicts. A tuple,
            ("names-gpt2-seed0", "mean"), applies where all its parts do. Of the keys that apply the one with most parts is
            taken, of several such the first; "supported" where none does. "method_dependent" is for a claim over a grid.
        decoy: what the same test must NOT be supported on. By default random sites for a claim that uses `circuit`, else
            the model with re-initialised weights. A mapping replaces arguments instead: {"circuit": {"role": "0.1 0.2"}},
            {"model": "name"}, or any parameter of the test. Of several, in a list, the claim must not be supported on any.
        positive_control: for a claim expected to be refuted, arguments under which the same test is supported.
        models: the models that the claim is about; all selected ones by default. For a claim about two models, a mapping from each to
            the other, which the fixture `partner` loads.
        prompts: options for the task's generator.
        id: stable name of the claim; by default made from the task and the test's name.
        budget: prompts that it may draw, a part at first and more until it is decided, in place of what the run says (`--mech-budget`, or
            all prompts of the profile at once).
        version: raised when the claim demands or measures something else under the same name, so that its earlier runs are not compared
            with its later ones.
        accepts: caveats that the claim may have (`bounded_metric`, ...) and why, for readers; --mech-strict does not fail it by these.
        over: methods that the claim is run under, every combination of them, for one answer: `grid(ablation=["zero", "mean"])`. The test
            takes each axis as an argument.

    Raises:
        ClaimError: a version that is no whole number from 1 on, a word that is not among the choices, a key of `expect` that is no text,
            or what does not go with a grid, or without one.
    """
    _check_kinds(
        expect=(expect, (str, Mapping)),
        models=(models, (list, tuple, set, Mapping)),
        prompts=(prompts, Mapping),
        positive_control=(positive_control, Mapping),
        decoy=(decoy, (str, list, tuple, Mapping)),
        kind=(kind, str),
        budget=(budget, int),
        version=(version, int),
        accepts=(accepts, Mapping),
        over=(over, Grid),
    )
    if kind is not None and kind not in get_args(Kind):
        raise ClaimError(f"unknown kind of evidence {kind!r}; choose one of {', '.join(get_args(Kind))}")
    _check_keys(() if isinstance(expect, str) else expect)
    for expected in [expect] if isinstance(expect, str) else expect.values():
        if not isinstance(expected, str) or expected not in get_args(Expected):
            raise ClaimError(f"a claim cannot be expected to be {expected!r}; choose one of {', '.join(get_args(Expected))}")
    decoys = (decoy,) if decoy is None or isinstance(decoy, str | Mapping) else tuple(decoy)
    for one in decoys:
        if one is not None and not isinstance(one, Mapping) and (not isinstance(one, str) or one not in get_args(Decoy)):
            raise ClaimError(f"unknown decoy {one!r}; choose one of {', '.join(get_args(Decoy))}, or a mapping of arguments")
    if not decoys:
        raise ClaimError("decoy=[]: a claim that was never shown able to fail is no evidence; leave decoy out for the default")
    if not isinstance(statement, str) or not statement.strip():
        raise ClaimError('a claim needs a statement: @claim("what is claimed")')
    for name, text in (("statement", statement), ("source", source), ("task", task), ("id", id)):
        if text is not None and (problem := no_text(text)):
            raise ClaimError(f"{name}: {problem}")
    if budget is not None and budget < LEAST_BUDGET:
        raise ClaimError(f"budget={budget}: prompts that the claim may draw, at least {LEAST_BUDGET}, as one shows nothing about others")
    if over is not None and budget is not None:
        raise ClaimError("budget: a claim over a grid of methods has all its prompts at once, in every cell; leave one of the two out")
    if over is not None and models and "models" in over.axes:
        raise ClaimError(f"models={models!r:.60}: the grid's axis `models` names them a second time; leave one of the two out")
    if over is None and "method_dependent" in ([expect] if isinstance(expect, str) else expect.values()):
        raise ClaimError(
            "a claim without over=grid(...) is measured by one method, and cannot be expected to depend on its method; give the methods"
        )
    if isinstance(version, bool) or version < 1:
        raise ClaimError(f"version={version!r}: a whole number from 1 on is expected")
    _check_accepted(accepts or {})
    partners = models if isinstance(models, Mapping) else {}
    spec = ClaimSpec(
        statement, source, task, kind, expect, decoys, positive_control or {}, tuple(models), partners, prompts or {}, id, budget, version,
        accepts or {},
        over,
    )  # fmt: skip

    def mark(test: Test) -> Test:
        import pytest  # the one thing here that knows it: everything else can be used without

        marked: Test = getattr(pytest.mark, MARK)(spec)(test)
        return marked

    return mark


def _check_accepted(accepts: Mapping[str, str]) -> None:
    """Refuse what is no caveat, and reasons that say nothing."""
    for about, why in accepts.items():
        if about not in CAVEATS:
            known = did_you_mean(str(about), CAVEATS) or f"; the caveats are {', '.join(CAVEATS)}"
            raise ClaimError(f"accepts={{{about!r}: ...}}: there is no such caveat{known}")
        problem = no_text(why) if isinstance(why, str) and why.strip() else "a reason is expected"
        if problem:
            raise ClaimError(f"accepts={{{about!r}: {why!r:.60}}}: {problem}, for readers of the evidence")


_Kinds = type | tuple[type, ...]


def _check_kinds(**given: tuple[object, _Kinds]) -> None:
    """Raise unless each argument that is given is of one of its types."""
    for name, (value, kinds) in given.items():
        if not isinstance(value, kinds) and (value is not None or name in ("expect", "models", "version")):
            words = " or ".join(_WORDS[kind] for kind in (kinds if isinstance(kinds, tuple) else (kinds,)))
            raise ClaimError(f"{name}={value!r:.60}: {words} is expected")


_WORDS = {str: "text", int: "a whole number", Mapping: "a mapping", list: "a list", tuple: "a tuple", set: "a set", Grid: "grid(...)"}


def _parts(key: str | tuple[str, ...]) -> set[str]:
    """What must apply for a key of `expect` to apply."""
    return {key} if isinstance(key, str) else set(key)


def _check_keys(keys: Iterable[object]) -> None:
    """Refuse keys that could never apply, as names and parameter values are compared as text."""
    for key in keys:
        if isinstance(key, str):
            continue
        if not isinstance(key, tuple) or not key or not all(isinstance(part, str) for part in key):
            raise ClaimError(
                f"expect={{{key!r}: ...}}: a key is the name of a model or a parameter's value, written as text ({str(key)!r}), or a "
                'tuple of such texts that must all apply, for example ("names-gpt2-seed0", "mean")'
            )
