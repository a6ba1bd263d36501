"""A circuit as a graph: its parts in columns by layer, its edges as curves as wide as their weights.

An edge that would run through the box of another part, as if it ended there, goes round below all boxes.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from mechcheck.base.text import shorten
from mechcheck.drawing.numbers import short, with_unit
from mechcheck.drawing.svg import svg, text
from mechcheck.drawing.text import width

Json = dict[str, Any]

_ROW, _BOX, _TOP, _GAP, _LANE = 54, 34, 30, 110, 18
_LONGEST = 22
_LABELLED = 16  # edges up to which each shows its weight
_STYLES = 6


class Graph(NamedTuple):
    """A circuit's picture, and its edges as a table."""

    title: str
    svg: Markup
    unit: str
    edges: list[tuple[str, str, str]]


class _Place(NamedTuple):
    left: float
    right: float
    y: float


def graph(figure: Json) -> Graph:
    """Draw a circuit."""
    nodes, edges, unit = figure["data"]["nodes"], figure["data"]["edges"], figure["data"]["unit"]
    columns = _ordered(nodes, edges)
    places, size = _placed(columns)
    strongest = max((abs(e["weight"]) for e in edges), default=0.0) or 1.0
    roles = list(dict.fromkeys(n["role"] for n in nodes))
    # Heavy edges first, so that light ones stay visible on top of them.
    by_weight = sorted(edges, key=lambda e: -abs(e["weight"]))
    curves, size = _curves(edges, places, size)
    drawn = [_edge(places[e["target"]], curves[e["source"], e["target"]], e, strongest, unit) for e in by_weight]
    weights = _weights(edges, curves) if len(edges) <= _LABELLED else []
    heads = [text(places[column[0]["label"]].left, 14, _layer(column), "first") for column in columns]
    boxes = [_box(n, places[n["label"]], roles.index(n["role"]) % _STYLES) for n in nodes]
    label = f"{figure['title']}: {len(nodes)} parts and {len(edges)} edges; the edges are in the table below"
    picture = svg("chart graph", *size, *heads, *drawn, *boxes, *weights, label=label)
    return Graph(figure["title"], picture, unit, [(e["source"], e["target"], short(e["weight"])) for e in by_weight])


def _layer(column: list[Json]) -> str:
    if all(n["label"].lower() in ("logits", "output") for n in column):
        return "output"
    return f"layer {column[0]['layer']}" if column[0]["layer"] >= 0 else "input"


def _ordered(nodes: list[Json], edges: list[Json]) -> list[list[Json]]:
    """Columns by layer; within one, parts stand at the mean place of those that they are connected with, for few crossings."""
    columns = [[n for n in nodes if n["layer"] == layer] for layer in sorted({n["layer"] for n in nodes})]
    for _ in range(4):
        place = {n["label"]: i - len(column) / 2 for column in columns for i, n in enumerate(column)}
        near: dict[str, list[float]] = {}
        for e in edges:
            near.setdefault(e["source"], []).append(place[e["target"]])
            near.setdefault(e["target"], []).append(place[e["source"]])
        middle = {label: sum(others) / len(others) for label, others in near.items()}
        columns = [sorted(column, key=lambda n: middle.get(n["label"], place[n["label"]])) for column in columns]
    return columns


def _placed(columns: list[list[Json]]) -> tuple[dict[str, _Place], tuple[float, float]]:
    """Where each part stands, and how large the picture is."""
    tallest = max((len(column) for column in columns), default=0)
    places, left = {}, 6.0
    for column in columns:
        wide = max(max(width(shorten(n["label"], _LONGEST), 12), width(shorten(n["role"], _LONGEST), 10)) for n in column) + 16
        first = _TOP + (tallest - len(column)) * _ROW / 2
        for i, n in enumerate(column):
            places[n["label"]] = _Place(round(left, 1), round(left + wide, 1), first + i * _ROW + _BOX / 2)
        left += wide + _GAP
    return places, (round(max(left - _GAP + 44, 40)), _TOP + tallest * _ROW)


def _box(node: Json, place: _Place, style: int) -> Markup:
    shape = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="6"/>').format(
        place.left, place.y - _BOX / 2, round(place.right - place.left, 1), _BOX
    )
    middle = round((place.left + place.right) / 2, 1)
    name = text(middle, place.y + (-2 if node["role"] else 4), shorten(node["label"], _LONGEST), "name")
    role = text(middle, place.y + 11, shorten(node["role"], _LONGEST), "role") if node["role"] else Markup("")
    return Markup('<g class="node s{}"><title>{}</title>{}{}{}</g>').format(
        style, f"{node['label']} {node['role']}".strip(), shape, name, role
    )


class _Lane(NamedTuple):
    """A stretch below all boxes."""

    left: float
    right: float
    y: float


class _Curve(NamedTuple):
    """A cubic curve from one part to another, or two with a lane between them."""

    xs: tuple[float, float, float, float]
    ys: tuple[float, float]
    rightwards: bool
    """It arrives from the left; edges within a column turn back on its right."""
    lane: _Lane | None = None

    @property
    def path(self) -> str:
        """As SVG has it."""
        (x0, x1, x2, x3), (y0, y1) = self.xs, self.ys
        if self.lane is None:
            return f"M{x0} {y0}C{x1} {y0} {x2} {y1} {x3} {y1}"
        left, right, y = self.lane
        down, up = round((x0 + left) / 2, 1), round((right + x3) / 2, 1)
        return f"M{x0} {y0}C{down} {y0} {down} {y} {left} {y}H{right}C{up} {y} {up} {y1} {x3} {y1}"

    def at(self, share: float) -> tuple[float, float]:
        """The point that lies so far along it, or along its lane."""
        if self.lane is not None:
            return round(self.lane.left + share * (self.lane.right - self.lane.left), 1), self.lane.y
        a, b, c, d = (1 - share) ** 3, 3 * share * (1 - share) ** 2, 3 * share**2 * (1 - share), share**3
        (x0, x1, x2, x3), (y0, y1) = self.xs, self.ys
        return round(a * x0 + b * x1 + c * x2 + d * x3, 1), round((a + b) * y0 + (c + d) * y1, 1)

    def meets(self, boxes: Collection[_Place]) -> bool:
        """Whether it runs through one of these."""
        points = [self.at(step / 50) for step in range(51)]
        return any(box.left < x < box.right and abs(y - box.y) < _BOX / 2 + 2 for box in boxes for x, y in points)


_Curves = dict[tuple[str, str], _Curve]


def _curves(edges: list[Json], places: Mapping[str, _Place], size: tuple[float, float]) -> tuple[_Curves, tuple[float, float]]:
    """(source, target) -> the curve of that edge; and the picture's size with the lanes that were needed, one for each target."""
    curves, height = {}, size[1]
    lanes: dict[str, float] = {}
    for source, target in ((e["source"], e["target"]) for e in edges):
        curve = _curve(places[source], places[target])
        between = {p for p in places.values() if places[source].right < p.left and p.right < places[target].left}
        if curve.meets(between):
            if target not in lanes:
                lanes[target], height = height + _LANE / 2, height + _LANE
            curve = curve._replace(lane=_Lane(min(p.left for p in between), max(p.right for p in between), lanes[target]))
        curves[source, target] = curve
    return curves, (size[0], height)


def _curve(source: _Place, target: _Place) -> _Curve:
    if target.left > source.right:
        x0, x1 = source.right, target.left - 5
        middle = round((x0 + x1) / 2, 1)
        return _Curve((x0, middle, middle, x1), (source.y, target.y), True)
    x0, x1 = source.right, target.right + 5
    out = max(x0, x1) + 44
    return _Curve((x0, out, out, x1), (source.y, target.y), False)


def _edge(target: _Place, curve: _Curve, edge: Json, strongest: float, unit: str) -> Markup:
    thick = round(1 + 5 * abs(edge["weight"]) / strongest, 1)
    tip = f"M{target.left} {target.y}l-9-5v10z" if curve.rightwards else f"M{target.right} {target.y}l9-5v10z"
    told = f"{edge['source']} → {edge['target']}: {with_unit(short(edge['weight']), unit)}"
    return Markup('<g class="edge{}" stroke-width="{}"><title>{}</title><path class="line" d="{}"/><path class="mark" d="{}"/></g>').format(
        " minus" if edge["weight"] < 0 else "", thick, told, curve.path, tip
    )


def _weights(edges: list[Json], curves: _Curves) -> list[Markup]:
    """The weight of each edge, on the half of it where fewer edges run together."""
    out, into = Counter(e["source"] for e in edges), Counter(e["target"] for e in edges)
    labels = []
    for e in edges:
        curve = curves[e["source"], e["target"]]
        share = 0.5 if not curve.rightwards else 0.28 if out[e["source"]] < into[e["target"]] else 0.7
        x, y = curve.at(share)
        labels.append(text(x, round(y - 4, 1), short(e["weight"]), "weight"))
    return labels
