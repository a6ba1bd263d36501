"""Figures become evidence: plain JSON in the shape that the schema asks for."""

import json
import math

import jsonschema
import numpy as np
import pytest

from mechcheck._errors import MechcheckError
from mechcheck._evidence import schema
from mechcheck._figures import Heatmap, Lines, head_heatmap


def valid(figure) -> dict:
    """The figure's data after a round trip through strict JSON, checked against the schema."""
    data = json.loads(json.dumps(figure.data(), allow_nan=False))
    jsonschema.validate(data, schema()["$defs"]["figure"] | {"$defs": schema()["$defs"]})
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
