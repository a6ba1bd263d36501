"""Figures that are compared are of a kind, and can be."""

import json

import jsonschema
import numpy as np
import pytest

from mechcheck import MechcheckError
from mechcheck.evidence.store import schema
from mechcheck.measures.figures.charts import Bars, Heatmap, head_heatmap
from mechcheck.measures.figures.compared import Compared
from mechcheck.measures.figures.model import AttentionView, LensGrid

SCHEMA = schema()


def heat(values: list[list[float]], unit: str = "logits") -> Heatmap:
    return head_heatmap("unseen", np.array(values), unit)


def view(n: int, *heads: str) -> AttentionView:
    return AttentionView("unseen", [f"t{i}" for i in range(n)], {head: np.eye(n) for head in heads})


def lens(p: float, foil: bool = True) -> LensGrid:
    grid = np.full((1, 2), p)
    return LensGrid("unseen", ["a", "b"], ["out"], grid, 1 - grid if foil else None)


@pytest.mark.parametrize(
    ("figures", "kind"),
    [
        ({"clean": heat([[1.0, 2.0]]), "ablated": heat([[0.5, -1.0]])}, "heatmap"),
        ({"prompt 0": view(3, "0.0", "0.1"), "prompt 1": view(5, "0.0", "0.1")}, "attention"),
        ({"clean": lens(0.75), "corrupted": lens(0.25)}, "lens"),
    ],
)
def test_the_first_has_the_others_with_it(figures, kind) -> None:
    data = json.loads(json.dumps(Compared("title", figures).data(), allow_nan=False))
    jsonschema.validate(data, SCHEMA["$defs"]["figure"] | {"$defs": SCHEMA["$defs"]})
    first, second = figures
    assert (data["kind"], data["title"]) == (kind, "title")
    others = data["data"].pop("others")
    assert data["data"] == {"name": first} | figures[first].data()["data"]
    assert others == [{"name": second} | figures[second].data()["data"]]


@pytest.mark.parametrize(
    ("figures", "message"),
    [
        ({}, "at least one, all of a kind"),
        ({"a": heat([[1.0]]), "b": view(2, "0.0")}, "at least one, all of a kind"),
        ({"a": Bars("unseen", ["x"], [1.0])}, "heatmaps, lens grids or attention views can be compared"),
        ({"a": heat([[1.0]]), "b": heat([[1.0]], "nats")}, "'a' and 'b' cannot be compared, as they differ in: unit"),
        ({"a": view(2, "0.0"), "b": view(2, "0.1")}, "differ in: heads"),
        ({"a": lens(0.5), "b": lens(0.5, foil=False)}, "differ in: p_foil"),
    ],
)
def test_what_cannot_be_compared_is_refused(figures, message) -> None:
    with pytest.raises(MechcheckError, match=message):
        Compared("title", figures)
