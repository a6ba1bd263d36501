"""Figures become evidence: plain JSON in the shape that the schema asks for."""

import base64
import json
import math

import jsonschema
import numpy as np
import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.evidence.store import schema
from mechcheck.measures.figures.charts import Bars, Heatmap, Lines, Table, head_heatmap
from mechcheck.measures.figures.model import AttentionView, CircuitEdge, CircuitGraph, CircuitNode, LensGrid, SearchTrace

SCHEMA = schema()


def valid(figure) -> dict:
    """The figure's data after a round trip through strict JSON, checked against the schema."""
    data = json.loads(json.dumps(figure.data(), allow_nan=False))
    jsonschema.validate(data, SCHEMA["$defs"]["figure"] | {"$defs": SCHEMA["$defs"]})
    return data


def test_heatmap():
    values = np.array([[1 / 3, math.nan, -math.inf], [0, 123456.789, 1e-9]], dtype=np.float32)
    data = valid(Heatmap("title", values, ["IO", "S"], ["0", "1", "2"], "position", "layer", "logits"))
    assert (data["kind"], data["title"]) == ("heatmap", "title")
    assert data["data"] == {
        "values": [[0.33333, None, None], [0, 123460, 1e-9]], "rows": ["IO", "S"], "cols": ["0", "1", "2"],
        "row_label": "position", "col_label": "layer", "unit": "logits",
    }  # fmt: skip


def test_labels_must_fit():
    with pytest.raises(MechcheckError, match=r"a heatmap of shape \(2, 3\) with 3 row and 2 column labels"):
        Heatmap("title", np.zeros((2, 3)), ["a", "b", "c"], ["0", "1"], "", "", "")


def test_head_heatmap():
    data = valid(head_heatmap("scores", np.arange(6).reshape(2, 3), "attention"))["data"]
    assert (data["rows"], data["cols"], data["unit"]) == (["0", "1"], ["0", "1", "2"], "attention")
    assert (data["row_label"], data["col_label"]) == ("layer", "head")
    assert data["values"][1][2] == 5


def test_lines():
    data = valid(Lines("lens", np.arange(2), {"p": [0.5, math.nan], "q": np.array([1.0, 2.0])}, "layer", "p"))["data"]
    assert data["x"] == [0, 1]
    assert data["series"] == [{"label": "p", "y": [0.5, None]}, {"label": "q", "y": [1, 2]}]
    assert (data["x_label"], data["y_label"]) == ("layer", "p")
    assert "bands" not in data


def test_lines_with_bands():
    bands = {"p": ([0.25, math.nan], [0.75, 1.0]), "random directions": (np.zeros(2), np.ones(2))}
    data = valid(Lines("steering", [0, 1], {"p": [0.5, 0.5]}, "scale", "p", bands))["data"]
    assert data["bands"] == [
        {"label": "p", "low": [0.25, None], "high": [0.75, 1]},
        {"label": "random directions", "low": [0, 0], "high": [1, 1]},
    ]
    with pytest.raises(MechcheckError, match="'p' has 1 lower and 2 upper ends for 2 values of x"):
        Lines("steering", [0, 1], {}, "scale", "p", {"p": ([0.0], [1.0, 1.0])})
    with pytest.raises(MechcheckError, match="'p' has a lower end above its upper end"):
        Lines("steering", [0, 1], {}, "scale", "p", {"p": ([0.0, 2.0], [1.0, 1.0])})


def test_bars():
    data = valid(Bars("heads", ["0.1", "0.2"], [1 / 3, math.nan], [0.1, 0.2], [0.5, 0.6], unit="logits", threshold=0.25))["data"]
    assert data == {
        "labels": ["0.1", "0.2"], "values": [0.33333, None], "low": [0.1, 0.2], "high": [0.5, 0.6], "unit": "logits", "threshold": 0.25,
    }  # fmt: skip
    assert valid(Bars("heads", ["0.1"], [1.0]))["data"]["low"] is None
    with pytest.raises(MechcheckError, match="both ends of their intervals, or neither"):
        Bars("heads", ["0.1"], [1.0], low=[0.5])
    with pytest.raises(MechcheckError, match="2 labels and 1 values"):
        Bars("heads", ["0.1", "0.2"], [1.0])


def test_table():
    rows = [["a", np.float32(1 / 3), np.int64(3), np.bool_(True)], ["b", math.inf, None, False]]
    data = valid(Table("calibration", ["detector", "precision", "n", "found"], rows))["data"]
    assert data["rows"] == [["a", 0.33333, 3, True], ["b", None, None, False]]
    with pytest.raises(MechcheckError, match="row 1 of the table 'calibration' has 1 cells for 2 columns"):
        Table("calibration", ["a", "b"], [["x", 1], ["y"]])
    with pytest.raises(MechcheckError, match="not dict"):
        Table("calibration", ["a"], [[{}]]).data()


def unpacked(packed: dict, n: int) -> np.ndarray:
    """The weights that the evidence keeps as bytes."""
    steps = np.frombuffer(base64.b64decode(packed["values"]), np.uint8).reshape(n, n)
    return packed["low"] + (packed["high"] - packed["low"]) * steps / 255


def test_attention_is_kept_to_half_a_255th_of_each_heads_largest():
    rng = np.random.default_rng(0)
    n = 7
    patterns = {f"0.{h}": np.tril(rng.random((n, n))) * 10.0**-h for h in range(3)}
    weighted = {head: values * rng.normal(size=n) for head, values in reversed(patterns.items())}
    data = valid(AttentionView("attention", ["a"] * n, patterns, weighted))["data"]
    assert [p["head"] for p in data["patterns"]] == [p["head"] for p in data["weighted"]] == ["0.0", "0.1", "0.2"]
    for given, kept in ((patterns, data["patterns"]), (weighted, data["weighted"])):
        for packed in kept:
            values = given[packed["head"]]
            reach = max(values.max(), 0) - min(values.min(), 0)
            np.testing.assert_allclose(unpacked(packed, n), values, atol=reach / 255 * 0.51)
    # What a mask forbids stays exactly zero.
    assert (unpacked(data["patterns"][0], n)[np.triu_indices(n, 1)] == 0).all()


def test_two_hundred_heads_on_sixty_four_tokens_take_less_than_three_megabytes():
    pattern = np.random.default_rng(0).dirichlet(np.ones(64), 64)
    heads = {f"{i // 16}.{i % 16}": pattern for i in range(200)}
    assert len(json.dumps(AttentionView("attention", ["token"] * 64, heads, heads).data())) < 3_000_000


@pytest.mark.parametrize(
    ("tokens", "patterns", "weighted", "message"),
    [
        (["a"], {}, None, "has no heads"),
        ([], {"0.0": np.zeros((0, 0))}, None, "has no tokens"),
        (["a", "b"], {"0.0": np.zeros((2, 3))}, None, r"head 0\.0 has a pattern of shape \(2, 3\) for 2 tokens"),
        (["a"], {"0.0": np.zeros((1, 1))}, {"0.1": np.zeros((1, 1))}, "of other heads"),
        (["a"], {"0.0": np.full((1, 1), math.nan)}, None, r"head 0\.0 has attention that is not finite"),
    ],
)
def test_attention_must_fit(tokens, patterns, weighted, message):
    with pytest.raises(MechcheckError, match=message):
        AttentionView("attention", tokens, patterns, weighted)


def test_lens_grid():
    top = [[[("Mary", 0.5), ("John", 0.25)], []], [[("a", 1 / 3)], [("b", math.nan)]]]
    data = valid(LensGrid("lens", ["x", "y"], [0, 1], np.array([[0.1, 0.2], [0.3, math.nan]]), None, top))["data"]
    assert (data["layers"], data["tokens"], data["p_foil"]) == (["0", "1"], ["x", "y"], None)
    assert data["p_answer"] == [[0.1, 0.2], [0.3, None]]
    assert data["top"][0] == [[{"token": "Mary", "p": 0.5}, {"token": "John", "p": 0.25}], []]
    assert data["top"][1] == [[{"token": "a", "p": 0.33333}], [{"token": "b", "p": None}]]
    with pytest.raises(MechcheckError, match=r"p_foil has shape \(1, 2\) for 2 layers and 2 tokens"):
        LensGrid("lens", ["x", "y"], [0, 1], np.zeros((2, 2)), np.zeros((1, 2)))
    with pytest.raises(MechcheckError, match="top tokens do not fit 2 layers and 2 tokens"):
        LensGrid("lens", ["x", "y"], [0, 1], np.zeros((2, 2)), top=[[[]], [[]]])


def test_circuit_graph():
    nodes = [CircuitNode("0.3", 0, "S-inhibition"), ("1.0", 1, "name mover"), ("logits", 2, "")]
    data = valid(CircuitGraph("IOI", nodes, [("0.3", "1.0", -1 / 3), CircuitEdge("1.0", "logits", 2.0)], "logits"))["data"]
    assert data["nodes"][1] == {"label": "1.0", "layer": 1, "role": "name mover"}
    assert data["edges"] == [{"source": "0.3", "target": "1.0", "weight": -0.33333}, {"source": "1.0", "target": "logits", "weight": 2}]
    with pytest.raises(MechcheckError, match=r"two nodes called '0\.3'"):
        CircuitGraph("IOI", [*nodes, ("0.3", 0, "")], [])
    with pytest.raises(MechcheckError, match=r"from '0.3' to '1.1' ends in no node \(1.1\)"):
        CircuitGraph("IOI", nodes, [("0.3", "1.1", 1.0)])
    with pytest.raises(MechcheckError, match="has the weight nan"):
        CircuitGraph("IOI", nodes, [("0.3", "1.0", math.nan)])


def test_search_trace():
    figure = SearchTrace("search", [("0.3", 1 / 3), ("1.0", math.inf)], "p", start=0.9, goal=0.05, details={"argmax": ["Mary", "John"]})
    data = valid(figure)["data"]
    assert data["steps"] == [{"site": "0.3", "score": 0.33333}, {"site": "1.0", "score": None}]
    assert (data["score_label"], data["start"], data["goal"]) == ("p", 0.9, 0.05)
    assert data["details"] == [{"label": "argmax", "cells": ["Mary", "John"]}]
    with pytest.raises(MechcheckError, match="2 steps and 1 cells of 'argmax'"):
        SearchTrace("search", [("0.3", 1.0), ("1.0", 2.0)], "p", details={"argmax": ["Mary"]})


def test_the_schema_refuses_data_of_another_kind():
    mixed = head_heatmap("scores", np.zeros((2, 3)), "").data() | {"kind": "bars"}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(mixed, SCHEMA["$defs"]["figure"] | {"$defs": SCHEMA["$defs"]})
