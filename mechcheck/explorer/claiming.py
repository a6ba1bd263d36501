"""What is on the page as a claim: whether it can be one, on which fresh prompts, and what its measure is on the page's own prompt."""

import itertools
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from mechcheck.base.errors import MechcheckError
from mechcheck.circuits.evaluation import faithfulness
from mechcheck.circuits.files import check_circuit, parse_circuit
from mechcheck.engine.run import sweep_metrics
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.change import changes, chosen_heads
from mechcheck.explorer.export import Explored, Subject, beside, claimed, instead, measure_of, source
from mechcheck.explorer.measures import MEASURES
from mechcheck.explorer.prediction import check_finite
from mechcheck.explorer.prompt import SEED, SPLIT, Prepared
from mechcheck.notation import metrics
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import END

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

    from mechcheck.prompts.prompt_set import PromptSet


class Bench(Protocol):
    """What of a `Workbench` a claim is made with."""

    model: "TransformerBridge"
    name: str
    measured: dict[int, str]

    @property
    def drawn(self) -> Callable[[str], "PromptSet"]: ...
    @property
    def about(self) -> Json: ...
    def prepared(self, body: Json) -> Prepared: ...
    def example(self, body: Json) -> Json: ...


def claim(bench: Bench, body: Json) -> Json:
    """The page as a pytest file, and the circuit's file beside it; empty where something does not fit."""
    _, problems = claimed(body)
    prepared, subject, here = bench.prepared(body), None, 0.0
    try:
        subject = _subject(bench, body, prepared)
        explored = _explored(bench, body, subject.sites)
        if not problems:
            here = _here(bench, body, prepared, subject)
    except Problem as problem:
        problems.append(problem)
    if problems or subject is None:
        return {"source": "", "fresh": 0, "problems": [one.told for one in problems]}
    for fresh in itertools.count(SEED + 1):
        made = source(body, bench.name, subject, explored, fresh)
        if bench.measured.get(fresh, made) == made:
            break
    files = {} if subject.found is None else {beside(body["file"]): body["circuit"]}
    return {"source": made, "fresh": fresh, "problems": [], "here": here, "beside": files}


def _subject(bench: Bench, body: Json, prepared: Prepared) -> Subject:
    """The heads and what is done to them, or the circuit.

    Raises:
        Problem: of the heads, what is done to them, or the circuit.
    """
    found = _found(bench, body)
    if measure_of(body) == "faithful":
        if found is None:
            raise Problem("circuit", "open a circuit's file, or find one: it is what is faithful, or not")
        return Subject((), Sites(), None, found)
    sites = chosen_heads(bench.model, body)
    if not len(sites):
        raise Problem("heads", "choose what the claim is about")
    done = changes(sites, prepared, body)
    if not done:
        raise Problem("do", "choose what is done to them: a claim is about what that changes")
    role = next((role for role, own in (found or {}).items() if set(own) == set(sites)), None)
    if role is not None:
        return Subject(done, sites, role, found)
    known = [] if body.get("of", "heads") != "heads" else bench.about["roles"]
    recorded = (one["role"] for one in known if (one["task"], one["heads"]) == (body["task"], sites.places))
    return Subject(done, sites, next(recorded, None), None)


def _found(bench: Bench, body: Json) -> Circuit | None:
    """The circuit that the page has; None without one.

    Raises:
        Problem: text that is no circuit's file, or of other weights than the model's.
    """
    if not body.get("circuit", "").strip():
        return None
    try:
        body["circuit"].encode()
        circuit = parse_circuit(body["circuit"])
        check_circuit(circuit, bench.model)
    except UnicodeEncodeError:
        raise Problem("circuit", "the circuit's file is no text in UTF-8") from None
    except MechcheckError as error:
        raise Problem("circuit", error) from error
    return circuit


def _here(bench: Bench, body: Json, prepared: Prepared, subject: Subject) -> float:
    """What the claim estimates, of the prompt on the page.

    Raises:
        Problem: it cannot be measured of such prompts.
    """
    measure = MEASURES[measure_of(body)]
    try:
        if not subject.done:
            assert subject.found is not None
            return faithfulness(bench.model, prepared.prompts, subject.found, instead=instead(subject.found)).mean
        metric = getattr(metrics, measure.metric or "logit_diff")
        found = sweep_metrics(bench.model, prepared.prompts, [subject.done], [metric])
        check_finite(found)
        value = float(found[0][0, 0])
    except Problem:
        raise
    except MechcheckError as error:
        raise Problem("measure", error) from error
    return float(value < 0) if measure is MEASURES["foil_preferred"] else value


def _explored(bench: Bench, body: Json, sites: Sites) -> Explored:
    """The prompts of the page's task.

    Raises:
        Problem: the page has another prompt, of which there are no fresh ones; a position that the task does not name.
    """
    asked = {"task": body["task"], "row": body["row"]}
    if not body["task"]:
        raise Problem("claim", "a prompt of your own has no fresh ones like it to verify a claim on: take one of a task")
    found, drawn = bench.example(asked), bench.drawn(body["task"])
    if any(found[name] != body[name] for name in ("text", "counterfactual", "answer", "foil")):
        raise Problem("claim", f"the prompt on the page is none of {body['task']} any more, so there are no fresh ones: take another")
    named = [site.at for site in sites if site.at is not None and site.at not in drawn.positions]
    if named:
        raise Problem("heads", f"{named[0]} was named on this page: the prompts of {body['task']} have {', '.join(drawn.positions)}")
    if body["do"] == "knockout" and body["keys"] not in drawn.positions:
        raise Problem("keys", f"{body['keys']} was named on this page: the prompts of {body['task']} have {', '.join(drawn.positions)}")
    moved = [name for name, at in found["positions"].items() if body["positions"].get(name) != at]
    end = int(drawn.position(END)[found["row"]])
    moved += [END] if body["positions"].get(END, end) != end else []
    if moved:
        raise Problem("claim", f"{moved[0]} stands elsewhere here than in the prompts of {body['task']}")
    return Explored(body["task"], SPLIT, SEED, drawn.ids)
