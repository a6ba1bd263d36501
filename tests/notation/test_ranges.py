"""Notation is bounded: no text makes more sites than a machine can hold, and nothing of another kind ends in a traceback."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch

import mechcheck as m
from mechcheck.base.errors import MechcheckError, SiteError
from mechcheck.notation.edges import path_of, to
from mechcheck.notation.features import features
from mechcheck.notation.ranges import MOST_SITES, bounded, numbers_of

TAKEN = (m.heads, m.queries, m.keys, m.values, m.patterns, m.attn_outs, m.mlps, m.neurons, m.mlp_hidden, m.resid, m.resid_mid, m.resid_post)
INDEXED = (m.heads, m.queries, m.keys, m.values, m.patterns, m.neurons)
ODD = (
    None,
    1.5,
    b"x",
    {"a": 1},
    {1},
    object(),
    print,
    Path("x"),
    [1],
    [(1,)],
    [(1, 2, 3)],
    [("a", "b")],
    [(-1, 0)],
    [(0, 10**30)],
    [None],
    np.array(3),
    np.array([1.5]),
    np.array(["a"], dtype=object),
    torch.tensor(1.0),
    torch.ones(2, 2),
    torch.empty(2, device="meta"),
    "\ud800",
    "9" * 5000,
)


def test_numbers():
    assert list(numbers_of("3")) == [3]
    assert list(numbers_of("0-3")) == [0, 1, 2, 3]
    for text in ("9" * 5000, "0-99999999999"):
        with pytest.raises(SiteError, match="no model has a number of more than 7 digits"):
            numbers_of(text)
    with pytest.raises(SiteError, match="the range 3-1 runs backwards; write 1-3"):
        numbers_of("3-1")


def test_bounds():
    assert len(list(bounded(range(MOST_SITES)))) == MOST_SITES
    with pytest.raises(SiteError, match="these are more than 131,072 sites"):
        list(bounded(range(MOST_SITES + 1)))


@pytest.mark.parametrize("take", TAKEN)
@pytest.mark.parametrize("text", ["0-99999999999", "0-9999999", "0-9999999.0-9999999", "0-999.0-999"])
def test_ranges_that_nobody_means(take, text):
    text = text if (take in INDEXED) == ("." in text) or "." in text else f"0.{text}"
    began = time.process_time()
    with pytest.raises(SiteError):
        take(text)
    assert time.process_time() - began < 4


@pytest.mark.parametrize(
    "text", ["0-9999999.0->logits", "0-999.0-99->9.0-99.q", "0.0->0-9999999.0.q", "mlp0-9999999->logits", "0-999.0-999->1000-1999.0-9.q"]
)
def test_edges_that_nobody_means(text):
    began = time.process_time()
    with pytest.raises(SiteError, match="more than 131,072 sites"):
        m.edges(text)
    assert time.process_time() - began < 4


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: f"{type(odd).__name__}-{odd!r:.12}".encode("ascii", "replace").decode())
def test_what_is_no_notation(odd):
    dictionary = m.load_dictionary("compiled-ioi-stream-seed0")
    taken = [*TAKEN, m.edges, path_of, lambda text: to(m.heads("0.0"), text), lambda text: to(text, "logits")]
    if odd not in ([1], {1}) if isinstance(odd, list | set) else True:  # which are features
        taken.append(lambda text: features(dictionary, text))
    for take in taken:
        with pytest.raises(MechcheckError):
            take(odd)
    for take in (*TAKEN, m.edges):
        if odd is not None and not isinstance(odd, str):
            with pytest.raises(SiteError):
                take("0.0" if take in INDEXED else "0.0->logits" if take is m.edges else "0", at=odd)


@pytest.mark.parametrize(
    "odd", [None, "x", 1j, float("nan"), 10**400, torch.ones(2), torch.tensor(float("inf")), np.array(["a"]), [1.0], True]
)
def test_numbers_of_interventions(odd):
    where = m.heads("0.0")
    for make in (
        lambda: m.Scale(where, odd),
        lambda: m.Steer(torch.ones(4), where, odd),
        lambda: m.Sparsify(where, odd),
        lambda: m.Noise(where, odd),
    ):
        with pytest.raises(MechcheckError):
            make()


@pytest.mark.parametrize("given", [2, 2.0, np.float32(2), torch.tensor(2.0), np.array(2)])
def test_numbers_of_other_libraries_are_numbers(given):
    assert m.Scale(m.heads("0.0"), given).factor == 2


def test_what_interventions_are_not_made_of():
    where, odd = m.heads("0.0"), torch.ones(2)
    for make in (
        lambda: m.Ablate(where, odd),
        lambda: m.Ablate(where, "mean", "prompts"),
        lambda: m.Ablate(where, "resample", seed="0"),
        lambda: m.Patch(where, "prompts"),
        lambda: m.Steer(["a"], where),
        lambda: m.Steer(torch.empty(2, device="meta"), where),
        lambda: m.Put({"0.0": odd}),
        lambda: m.Put(None),
        lambda: m.KnockOut(m.patterns("0.0"), odd),
        lambda: m.logit_diff.over(odd),
    ):
        with pytest.raises(MechcheckError):
            make()
