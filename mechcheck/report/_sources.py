"""The models and circuits that claims were measured on, and the works that they cite, each told once and pointed to."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]


class Source(NamedTuple):
    """Something that claims point to, with its HTML id."""

    id: str
    what: Json


class Sources:
    """The different models and circuits of a run, in the order in which they first occur."""

    def __init__(self, claims: Sequence[Json]) -> None:
        self.works = sorted({claim["source"] for claim in claims if claim["source"]})
        """What claims cite, in the order of the alphabet."""
        self._known: dict[str, dict[str, Source]] = {"model": {}, "circuit": {}}
        for claim in claims:
            for kind, some in (("model", self.models(claim)), ("circuit", [claim["circuit"]] if claim["circuit"] else [])):
                known = self._known[kind]
                for one in some:
                    known.setdefault(_key(one), Source(f"{kind}-{len(known) + 1}", one))

    def all(self, kind: str) -> list[Source]:
        """Every different "model" or "circuit"."""
        return list(self._known[kind].values())

    def models(self, claim: Json) -> list[Json]:
        """All that a claim was measured on: its own first."""
        return [*([claim["model"]] if claim["model"] else []), *claim.get("models", ())]

    def id(self, kind: str, what: Json) -> str:
        """The HTML id of one of them."""
        return self._known[kind][_key(what)].id


def _key(what: Json) -> str:
    return json.dumps(what, sort_keys=True)
