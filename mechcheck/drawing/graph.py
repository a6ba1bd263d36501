"""A circuit as a graph: its parts in columns by layer, its edges as curves as wide as their weights.

An edge that would run through the box of another part, as if it ended there, goes round below all boxes. What a part reads as query, key
and value arrives at three places of its box.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from markupsafe import Markup

from mechcheck.base.text import shorten
from mechcheck.drawing.numbers import MISSING, alike, with_unit
from mechcheck.drawing.svg import svg, text
from mechcheck.drawing.text import width

Json = dict[str, Any]

_ROW, _BOX, _TOP, _GAP, _LANE = 54, 34, 30, 110, 18
_TALLER = 20  # pixels more for a box with several inputs, where the widest edges would run into each other
_INSET = 7  # of the first and the last input of a box
_LONGEST = 22
_LABELLED = 16  # edges up to which each shows its weight
_STYLES = 6


class Graph(NamedTuple):
    """A circuit's picture, and its edges as a table."""

    title: str
    svg: Markup
    unit: str
    inputs: list[tuple[str, str]]
    """Class and name of what edges are read as, where they say it: query, key, value, and what is none of these."""
    head: list[str]
    edges: list[tuple[str, ...]]
    nil: list[str]
    """Edges that are not drawn, since their effect is zero."""


INPUTS = {"q": "query", "k": "key", "v": "value"}
_PORTS = {"q": -1, "k": 0, "v": 1, "": 0}
_OTHER = "other"


class _Place(NamedTuple):
    left: float
    right: float
    y: float
    high: float = _BOX

    def port(self, read_as: str) -> "_Place":
        """Where it is read as its query, key or value."""
        return self._replace(y=self.y + _PORTS[read_as] * (self.high / 2 - _INSET))


def graph(figure: Json) -> Graph:
    """Draw a circuit."""
    nodes, unit, level = figure["data"]["nodes"], figure["data"]["unit"], figure["data"].get("level")
    told = _told(figure["data"]["edges"])
    edges = [e for e in told if not e["nil"]]
    columns = _ordered(nodes, edges)
    ports = {n["label"]: sorted({_read_as(e) for e in edges if e["target"] == n["label"]} - {""}, key=list(INPUTS).index) for n in nodes}
    places, size = _placed(columns, ports)
    strongest = max((abs(e["weight"]) for e in edges), default=0.0) or 1.0
    roles = list(dict.fromkeys(n["role"] for n in nodes))
    # Heavy edges first, so that light ones stay visible on top of them.
    by_weight = sorted(edges, key=lambda e: -abs(e["weight"]))
    curves, size = _curves(edges, places, size)
    inputs = _inputs(edges)
    drawn = [_edge(places[e["target"]], curves[_key(e)], e, strongest, unit, bool(inputs), level) for e in by_weight]
    weights = _weights(by_weight, curves) if len(edges) <= _LABELLED else []
    heads = [text(places[column[0]["label"]].left, 14, _layer(column), "first") for column in columns]
    nil = [f"{e['source']} → {e['target']}{f' ({read})' if (read := _input(e)) else ''}" for e in told if e["nil"]]
    boxes = [_box(n, places[n["label"]], roles.index(n["role"]) % _STYLES, ports[n["label"]]) for n in nodes]
    label = f"{figure['title']}: {len(nodes)} parts and {len(edges)} edges; the edges are in the table below"
    picture = svg("chart graph", *size, *heads, *drawn, *boxes, *weights, label=label)
    head = ["from", "to", *(["read as"] if inputs else []), unit or "weight", *([f"{level:.0%} interval"] if level else [])]
    return Graph(figure["title"], picture, unit, inputs, head, [_row(e, bool(inputs), level) for e in by_weight], nil)


def _told(edges: list[Json]) -> list[Json]:
    """Edges with their numbers in words, all alike, and with whether these words are nothing but zeros."""
    ends = [e.get(end) for e in edges for end in ("weight", "low", "high")]
    shown = alike(ends)
    return [
        e | {"shown": shown[3 * i], "interval": _interval(*shown[3 * i + 1 : 3 * i + 3]), "nil": not shown[3 * i].strip("-0.")}
        for i, e in enumerate(edges)
    ]


def _read_as(edge: Json) -> str:
    return str(edge.get("reads", ""))


def _input(edge: Json) -> str:
    """As what it is read, and where: "query @END"."""
    at = f"@{edge['at']}" if "at" in edge else ""
    return f"{INPUTS.get(_read_as(edge), '')} {at}".strip()


def _key(edge: Json) -> tuple[str, str, str]:
    return edge["source"], edge["target"], _read_as(edge)


def _inputs(edges: list[Json]) -> list[tuple[str, str]]:
    """What edges are read as, where any says so."""
    found = {_read_as(e) for e in edges}
    named = [(key, name) for key, name in INPUTS.items() if key in found]
    return [*named, ("o", _OTHER)] if named and "" in found else named


def _row(edge: Json, inputs: bool, level: float | None) -> tuple[str, ...]:
    as_what = [_input(edge)] if inputs else []
    return (edge["source"], edge["target"], *as_what, edge["shown"], *([edge["interval"]] if level else []))


def _interval(low: str, high: str) -> str:
    return MISSING if MISSING in (low, high) else f"[{low}, {high}]"


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


def _placed(columns: list[list[Json]], ports: Mapping[str, list[str]]) -> tuple[dict[str, _Place], tuple[float, float]]:
    """Where each part stands, and how large the picture is."""
    tallest = max((len(column) for column in columns), default=0)
    taller = _TALLER * any(len(read) > 1 for read in ports.values())
    row, places, left, room = _ROW + taller, {}, 6.0, 34 if any(ports.values()) else 16
    for column in columns:
        wide = max(max(width(shorten(n["label"], _LONGEST), 12), width(shorten(n["role"], _LONGEST), 10)) for n in column) + room
        first = _TOP + (tallest - len(column)) * row / 2
        for i, n in enumerate(column):
            middle = first + i * row + (_BOX + taller) / 2
            places[n["label"]] = _Place(round(left, 1), round(left + wide, 1), middle, _BOX + _TALLER * (len(ports[n["label"]]) > 1))
        left += wide + _GAP
    return places, (round(max(left - _GAP + 44, 40)), _TOP + tallest * row)


def _box(node: Json, place: _Place, style: int, ports: list[str]) -> Markup:
    shape = Markup('<rect x="{}" y="{}" width="{}" height="{}" rx="6"/>').format(
        place.left, place.y - place.high / 2, round(place.right - place.left, 1), place.high
    )
    middle = round((place.left + place.right) / 2, 1)
    letters = Markup("").join(text(place.left + 7, place.port(port).y + 3, port, f"port {port}") for port in ports)
    name = text(middle, place.y + (-2 if node["role"] else 4), shorten(node["label"], _LONGEST), "name")
    role = text(middle, place.y + 11, shorten(node["role"], _LONGEST), "role") if node["role"] else Markup("")
    return Markup('<g class="node s{}" data-label="{}"><title>{}</title>{}{}{}{}</g>').format(
        style, node["label"], f"{node['label']} {node['role']}".strip(), shape, letters, name, role
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
        return any(box.left < x < box.right and abs(y - box.y) < box.high / 2 + 2 for box in boxes for x, y in points)


_Curves = dict[tuple[str, str, str], _Curve]


def _curves(edges: list[Json], places: Mapping[str, _Place], size: tuple[float, float]) -> tuple[_Curves, tuple[float, float]]:
    """(source, target, read as) -> the curve of that edge; and the picture's size with the lanes that were needed, one for each input."""
    curves, height = {}, size[1]
    lanes: dict[tuple[str, str], float] = {}
    for source, target, read_as in map(_key, edges):
        curve = _curve(places[source], places[target].port(read_as))
        between = {p for p in places.values() if places[source].right < p.left and p.right < places[target].left}
        if curve.meets(between):
            if (target, read_as) not in lanes:
                lanes[target, read_as], height = height + _LANE / 2, height + _LANE
            curve = curve._replace(lane=_Lane(min(p.left for p in between), max(p.right for p in between), lanes[target, read_as]))
        curves[source, target, read_as] = curve
    return curves, (size[0], height)


def _curve(source: _Place, target: _Place) -> _Curve:
    if target.left > source.right:
        x0, x1 = source.right, target.left - 5
        middle = round((x0 + x1) / 2, 1)
        return _Curve((x0, middle, middle, x1), (source.y, target.y), True)
    x0, x1 = source.right, target.right + 5
    out = max(x0, x1) + 44
    return _Curve((x0, out, out, x1), (source.y, target.y), False)


def _edge(target: _Place, curve: _Curve, edge: Json, strongest: float, unit: str, inputs: bool, level: float | None) -> Markup:
    thick = round(1 + 5 * abs(edge["weight"]) / strongest, 1)
    read_as = _read_as(edge)
    target = target.port(read_as)
    tip = f"M{target.left} {target.y}l-9-5v10z" if curve.rightwards else f"M{target.right} {target.y}l9-5v10z"
    told = f"{edge['source']} → {edge['target']}{f' ({read})' if (read := _input(edge)) else ''}: {with_unit(edge['shown'], unit)}"
    told += f", {level:.0%} interval {edge['interval']}" if level else ""
    kind = (f" {read_as or 'o'}" if inputs else "") + (" minus" if edge["weight"] < 0 else "")
    of = Markup('class="edge{}" stroke-width="{}" data-size="{}" data-reads="{}"').format(
        kind, thick, f"{abs(edge['weight']):.4g}", read_as
    )
    return Markup('<g {}><title>{}</title><path class="line" d="{}"/><path class="mark" d="{}"/></g>').format(of, told, curve.path, tip)


def _weights(edges: list[Json], curves: _Curves) -> list[Markup]:
    """The weight of each edge, on the half of it where fewer edges run together."""
    out, into = Counter(e["source"] for e in edges), Counter(e["target"] for e in edges)
    labels = []
    for e in edges:
        curve = curves[_key(e)]
        share = 0.5 if not curve.rightwards else 0.28 if out[e["source"]] < into[e["target"]] else 0.7
        x, y = curve.at(share)
        labels.append(text(x, round(y - 4, 1), e["shown"], "weight"))
    return labels
