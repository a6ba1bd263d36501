"""Circuits of edges, discovered on prompts of the page's task, as a graph and as a circuit file."""

import tempfile
from pathlib import Path

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.discovery import Discovered, discover_edges
from mechcheck.circuits.evaluation import Cut
from mechcheck.circuits.files import write_circuit
from mechcheck.circuits.roles import Role
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.figures import html
from mechcheck.explorer.studies.turn import Turn
from mechcheck.explorer.workbench import SPLIT, Workbench
from mechcheck.measures.figures.edges import edge_graph
from mechcheck.notation.sites import Site, Sites, heads
from mechcheck.prompts.prompt_set import PromptSet

ROLE = "discovered"
"""What the heads that were found are called in the circuit's file."""


def discovery(bench: Workbench, body: Json, turn: Turn) -> Json:
    """The smallest circuit of edges that is as faithful as asked, on prompts of the discovery split.

    Raises:
        Problem: the page has no task, or one whose prompts differ in nothing.
    """
    if not body["task"]:
        raise Problem("study", "a circuit is discovered on many prompts of a task: take a prompt of one")
    try:
        prompts = bench.drawn(body["task"])[: body["prompts"]]
    except MechcheckError as error:
        raise Problem("study", error) from error
    turn.tell("progress", {"done": 0, "total": 0, "what": f"{len(prompts)} prompts of {body['task']}"})
    found = discover_edges(Cut(bench.model, prompts), body["method"], faithful=body["faithful"], resamples=0)
    sites = heads_of(found.edges)
    roles = {role["role"]: heads(role["heads"]) for role in bench.about["roles"] if role["task"] == body["task"]}
    title = f"{len(found.edges)} of {len(found.found.graph)} edges, by {body['method']}"
    graph = edge_graph(found.edges, found.scores, title=title, roles=roles, whole=found.found.graph)
    kept = found.record.faithfulness
    said = (
        f"{len(found.edges)} of {len(found.found.graph)} edges keep {kept:.0%} of the logit difference on the {len(prompts)} prompts of "
        f"{body['task']} that they were found on. Heads among them: {sites.places or 'none'}."
    )
    toml = circuit_text(bench, found, sites, prompts, body)
    return {
        "figures": [html(graph)], "heads": sites.places, "of": "heads", "said": said, "toml": toml,
        "edges": [str(edge) for edge in found.edges], "faithfulness": kept,
    }  # fmt: skip


def heads_of(edges: Sites) -> Sites:
    """The heads from which an edge leads, from the first layer on; one that is only read into changes nothing."""
    found = {(site.layer, site.index) for site in edges if site.kind == "head"}
    return Sites(Site("head", layer, index) for layer, index in sorted(found, key=lambda one: (one[0], one[1] or 0)))


def circuit_text(bench: Workbench, found: Discovered, sites: Sites, prompts: PromptSet, body: Json) -> str:
    """The circuit's file, as `mechcheck discover` writes it: its edges, and its heads as one role."""
    criterion = f"an end of an edge of the smallest circuit that is {body['faithful']:.0%} faithful"
    measured = f"faithfulness {found.record.faithfulness:.3f} of {len(found.edges)} edges on {len(prompts)} prompts"
    roles = {ROLE: Role(sites, criterion, True, measured)} if len(sites) else {}
    method = f"mechcheck explore, {body['method']}"
    with tempfile.TemporaryDirectory(prefix="mechcheck-") as folder:
        path = Path(folder) / "circuit.toml"
        write_circuit(path, bench.model, roles, method=method, prompts=prompts, split=SPLIT, edges=found.edges, record=found.record)
        return path.read_text(encoding="utf-8")
