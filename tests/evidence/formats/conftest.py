"""A run with a claim of each way to come out."""

import made_evidence as make
import pytest

CAVEAT = {"about": "bounded_metric", "text": "probabilities and accuracies alone were read"}


@pytest.fixture
def run() -> dict:
    """Tests on several models: as claimed, refuted, undecided, refuted as expected, not measured, crashed, vacuous."""

    def case(name: str, model: str, verdict: str, met: bool | None = False, **changes):
        id_ = f"ioi/{name}[{model}]"
        nodeid = f"claims/a b/test_it.py::{name}[{model}]"
        checks = [make.expectation(verdict=verdict)] if verdict in ("supported", "refuted", "inconclusive") else []
        about = {"nodeid": nodeid, "line": 7, "verdict": verdict, "met": met, "model": make.model(model), "expectations": checks}
        return make.claim(id_, **(about | changes))

    def unmeasured(*about, **changes):
        return case(*about, **changes) | {"expectations": [], "deciding": None, "model": None, "prompts": None, "circuit": None}

    claims = [
        case("test_a", "m", "supported", True, caveats=[CAVEAT], params={"method": "zero"}),
        case("test_a", "n", "refuted", caveats=[CAVEAT]),
        case("test_b", "m", "inconclusive"),
        case("test_b", "n", "refuted", True, expect="refuted"),
        unmeasured("test_c", "m", "skipped", None, reason="no circuit"),
        unmeasured("test_c", "n", "errored", reason="ValueError: no"),
        case("test_c", "o", "not_applicable", expectations=[]),
        case("test_d", "m", "vacuous"),
    ]
    return make.evidence(claims, id="run-1", began="2026-11-21T02:14:00+00:00")
