"""Data that was changed is told by name, and put back in place, whatever it is and however it was changed."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechcheck.base import data_state
from mechcheck.base.data_state import DataState, instead, is_data, same_bits, told
from mechcheck.base.handed import GROWS
from mechcheck.notation.circuit import Circuit, traced
from mechcheck.notation.sites import heads
from mechcheck.prompts.prompt_set import PromptSet


def prompts() -> PromptSet:
    other = PromptSet.from_tokens([[3, 2], [2, 3]])
    made = PromptSet.from_tokens([[1, 2], [2, 1]], answers=[1, 2], foils=[2, 1], positions={"S": [0, 1]}, counterfactual=other)
    return made


@dataclass
class Held:
    tensor: torch.Tensor
    array: np.ndarray
    table: dict[str, Any]
    words: list[str]
    seen: set[int] = field(default_factory=set, metadata=GROWS)
    _known: dict[str, int] = field(default_factory=dict)


def held() -> Held:
    return Held(torch.arange(4.0), np.arange(3), {"a": torch.zeros(2), "b": [1, float("nan")], "c": defaultdict(list, x=[1])}, ["x", "y"])


def say(value: Any) -> str:
    return repr(value)


CHANGES = {
    "it.tensor": ["it.tensor.add_(1)", "it.tensor.requires_grad_(True)", "it.tensor.data = torch.ones(9)", "it.tensor = torch.arange(4.0)"],
    "it.array": ["it.array[0] = 7", "it.array = it.array.copy()", "it.array.sort(); it.array[:] = it.array[::-1].copy()"],
    "it.table": ["it.table['d'] = 1", "del it.table['b']", "it.table.clear()", "it.table['a'] = torch.zeros(2)"],
    "it.table['a']": ["it.table['a'][1] = 5"],
    "it.table['b']": ["it.table['b'].append(1)", "it.table['b'][0] = 2", "it.table['b'].reverse()"],
    "it.table['c']": ["it.table['c']['y']"],
    "it.table['c']['x']": ["it.table['c']['x'].pop()"],
    "it.words": ["it.words.sort(reverse=True)", "it.words = list(it.words)", "it.words[:] = []"],
}


@given(st.lists(st.sampled_from([(name, change) for name, changes in CHANGES.items() for change in changes]), min_size=1, max_size=4))
def test_any_sequence_of_changes_is_told_and_put_back(changes):
    it = held()
    before, ids = say(it), {name: id(part) for name, part in vars(it).items()}
    state = DataState("it", it)
    assert state
    assert not state.changed()
    for _, change in changes:
        try:
            exec(change)
        except (KeyError, IndexError, RuntimeError):  # an earlier one has taken away what it is about
            continue
    names = {found.what for found in state.changed()}
    assert changes[0][0] in names or len(changes) > 1  # a later one can undo an earlier one
    state.restore()
    assert (say(it), {name: id(part) for name, part in vars(it).items()}) == (before, ids)
    assert not state.changed()


@pytest.mark.parametrize("change", [change for changes in CHANGES.values() for change in changes])
def test_each_change_is_told_by_its_name(change):
    it = held()
    state = DataState("it", it)
    exec(change)
    (found,) = state.changed()
    assert change in CHANGES[found.what]
    assert found.instead == "a copy of it"


def test_what_is_there_to_be_written_to_is_nobodys_state():
    it = held()
    state = DataState("it", it)
    it.seen.add(5)
    it._known["a"] = 1
    assert not state.changed()
    circuit = traced(Circuit({"movers": heads("0.1")}))
    state = DataState("circuit", circuit)
    assert circuit["movers"]
    assert not state.changed()
    circuit.roles["movers"] = heads("0.0")
    assert told(state.changed()) == "circuit.roles"


PROMPTS = {
    "prompts.tokens": "prompts.tokens[0, 0] = 9",
    "prompts.answers": "prompts.answers.copy_(prompts.foils.clone())",
    "prompts.positions": "prompts.positions['S'] = prompts.positions['END']",
    "prompts.positions['S']": "prompts.positions['S'].zero_()",
    "prompts.counterfactual.tokens": "prompts.counterfactual.tokens.zero_()",
    "prompts.ids": "object.__setattr__(prompts, 'ids', ('a', 'b'))",
}


@pytest.mark.parametrize("what", PROMPTS)
def test_prompts(what):
    made = prompts()
    sha = made.sha256
    state = DataState("prompts", made)
    exec(PROMPTS[what], {"prompts": made})
    assert told(state.changed()) == what
    state.restore()
    assert made.sha256 == sha
    assert not state.changed()


def test_tensors_of_inference_mode():
    with torch.inference_mode():
        it = torch.zeros(3)
        state = DataState("it", it)
        it += 1
    assert told(state.changed()) == "it"
    state.restore()
    assert it.tolist() == [0, 0, 0]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64])
def test_bits(dtype):
    a = torch.tensor([0, 1, 1]).to(dtype)
    b = a.clone()
    assert same_bits(a, b)
    b[0] = 1
    assert not same_bits(a, b)
    if dtype.is_floating_point:
        a[1], c = torch.nan, a.clone()
        c[1] = torch.nan
        assert same_bits(a, c)
        assert not same_bits(torch.tensor([0.0], dtype=dtype), torch.tensor([-0.0], dtype=dtype))
    assert not same_bits(a, a.reshape(3, 1))


def test_large_ones_are_told_and_not_copied(monkeypatch):
    monkeypatch.setattr(data_state, "COPIED", 3)
    tensor, array = torch.zeros(4), np.zeros((2, 4))[:, ::2]
    state = DataState("it", {"tensor": tensor, "array": array})
    assert not state.changed()
    tensor[0], array[1, 1] = 1, 1
    assert told(state.changed()) == "it['tensor'], it['array']"
    state.restore()
    assert tensor[0] == array[1, 1] == 1


def test_what_has_no_state():
    assert not DataState("it", ("a", 1, 2.0, None, frozenset({1})))
    assert not any(map(is_data, ("a", 1, None, len, object(), Held)))
    assert all(map(is_data, (torch.zeros(1), np.zeros(1), {}, [], (), set(), held())))


def test_a_structure_that_holds_itself():
    it: list = [1]
    it.append(it)
    state = DataState("it", it)
    it.append(3)
    assert told(state.changed()) == "it"


def test_many_are_told_in_a_line():
    it = {str(n): torch.zeros(1) for n in range(7)}
    state = DataState("it", it)
    for one in it.values():
        one += 1
    assert told(state.changed()) == "it['0'], it['1'], it['2'], it['3'], and 3 more"
    assert instead(state.changed()) == "a copy of it"
