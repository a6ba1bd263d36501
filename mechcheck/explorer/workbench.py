"""The model on the page, and an answer to each thing that the page asks."""

import itertools
import json
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING

from mechcheck.base.errors import HookError, MechcheckError, NonFiniteError
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.circuits.recorded import circuit_path
from mechcheck.compiled import blueprint, compiled_models, task_of
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.change import changes, changes_alone, chosen_heads, noted
from mechcheck.explorer.export import Explored, claimed, source
from mechcheck.explorer.maps import attention_figure, heads_of
from mechcheck.explorer.prediction import effects, likeliest, predicted
from mechcheck.explorer.prompt import Prepared, example, prepare
from mechcheck.models.loading import provenance
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.prompt_set import PromptSet
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import Split, task_names
from mechcheck.tasks.shipped import task_prompts

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

DRAWN, SEED = 240, 0
"""Prompts of a task that the page can show, and the seed that they are drawn by."""
SPLIT: Split = "discover"
"""Out of which they are drawn: what is seen here is not what claims, those that are written by hand too, are verified on."""
COMPLETIONS = 12


class Workbench:
    """One model. It keeps nothing of who asked what but what was measured: that and caches apart, an answer follows from its question."""

    def __init__(self, model: "TransformerBridge"):
        Reader(model)  # an error now rather than on the page
        self.model = model
        self.name = provenance(model).name
        self.measured: dict[int, str] = {}
        """Seed -> the file that was verified on its prompts: no other one is, since what was decided after a look is no test."""
        self._prepared = lru_cache(64)(lambda key: prepare(model, json.loads(key)))
        self._untouched = lru_cache(64)(lambda key: likeliest(model, self._prepared(key).prompts))
        self._drawn = lru_cache(16)(lambda task: task_prompts(task, model, n=DRAWN, seed=SEED, split=SPLIT))

    @cached_property
    def about(self) -> Json:
        """What the page has to know before anything is asked."""
        config = self.model.cfg
        tasks = [task for task in task_names() if self._speaks(task)]
        return {"model": self.name, "layers": config.n_layers, "heads": config.n_heads, "tasks": tasks, "roles": self._roles()}

    def first_task(self) -> str | None:
        """The task to begin with: one that this model has a recorded circuit for, IOI before others."""
        known = {role["task"] for role in self.about["roles"]} & set(self.about["tasks"])
        return "ioi" if "ioi" in known else min(known, default=None)

    def predict(self, body: Json) -> Json:
        """The prompt, the prediction before and after, and what did not fit."""
        prepared = self._prompt(body)
        problems, done, sites = list(prepared.problems), list[Intervention](), Sites()
        tables = [self._untouched(_prompt_of(body))]
        try:
            sites = chosen_heads(self.model, body)
            done = changes(sites, prepared, body)
            numbers = predicted(self.model, prepared.prompts, done)
            tables += [likeliest(self.model, prepared.prompts, done)] if done else []
        except (MechcheckError, HookError, NonFiniteError) as error:
            problems.append(error if isinstance(error, Problem) else Problem("do", error))
            done, numbers = [], predicted(self.model, prepared.prompts, None)
        told = {"prompt": prepared.told, "sites": [site.place for site in sites], "problems": [one.told for one in problems]}
        return {"numbers": numbers, "tables": tables, "note": noted(done)} | told

    def attention(self, body: Json) -> Json:
        """The figure of the heads that are to be shown, else of those that are chosen; empty where there are none."""
        prepared = self._prompt(body)
        sites = chosen_heads(self.model, body)
        pairs = heads_of(self.model, self._shown(body) or sites)
        if not pairs:
            return {"figure": ""}
        done = changes(sites, prepared, body)
        try:
            return {"figure": attention_figure(self.model, prepared.prompts, pairs, done)}
        except MechcheckError as error:
            raise error if isinstance(error, Problem) else Problem("attention", error) from error

    def _shown(self, body: Json) -> Sites:
        """The heads that are named to be looked at."""
        try:
            return chosen_heads(self.model, {"heads": body.get("shown", ""), "of": "heads", "at": []})
        except Problem as error:
            raise Problem("shown", error) from error

    def effects(self, body: Json) -> Json:
        """What is done, to each head, or layer, of the model alone: its name -> its effect; none where nothing is done."""
        prepared = self._prompt(body)
        names, done = changes_alone(self.model, prepared, body)
        if not any(done):
            return {"name": "", "values": {}}
        name, values = effects(self.model, prepared.prompts, done)
        return {"name": name, "values": dict(zip(names, values, strict=True))}

    def complete(self, body: Json) -> Json:
        """Words of the vocabulary that begin as what is typed, the shortest first."""
        start = body["start"].strip()
        return {"words": [word for word in self._words if word.startswith(start)][:COMPLETIONS] if start else []}

    def example(self, body: Json) -> Json:
        """A prompt of a task."""
        try:
            return example(self.model, self._drawn(body["task"]), body["row"])
        except MechcheckError as error:
            raise Problem("task", error) from error

    def claim(self, body: Json) -> Json:
        """The page as a pytest file, empty where something does not fit."""
        _, problems = claimed(body)
        prepared, sites, done = self._prompt(body), Sites(), list[Intervention]()
        try:
            sites = chosen_heads(self.model, body)
            if not len(sites):
                problems.append(Problem("heads", "choose what the claim is about"))
            elif body["do"] == "none":
                problems.append(Problem("do", "choose what is done to them: a claim is about what that changes"))
            done = changes(sites, prepared, body)
            explored = self._explored(body, sites)
        except Problem as problem:
            problems.append(problem)
        if problems or not done:
            return {"source": "", "fresh": 0, "problems": [one.told for one in problems]}
        known = [] if body.get("of", "heads") != "heads" else self.about["roles"]
        role = next((one["role"] for one in known if (one["task"], one["heads"]) == (body["task"], sites.places)), None)
        for fresh in itertools.count(SEED + 1):
            made = source(body, self.name, done, sites, role, explored, fresh)
            if self.measured.get(fresh, made) == made:
                break
        return {"source": made, "fresh": fresh, "problems": []}

    def _explored(self, body: Json, sites: Sites) -> Explored:
        """The prompts of the page's task.

        Raises:
            Problem: the page has another prompt, of which there are no fresh ones; a position that the task does not name.
        """
        asked = {"task": body["task"], "row": body["row"]}
        if not body["task"]:
            raise Problem("claim", "a prompt of your own has no fresh ones like it to verify a claim on: take one of a task")
        found, drawn = self.example(asked), self._drawn(body["task"])
        if any(found[name] != body[name] for name in ("text", "counterfactual", "answer", "foil")):
            raise Problem("claim", f"the prompt on the page is none of {body['task']} any more, so there are no fresh ones: take another")
        named = [site.at for site in sites if site.at is not None and site.at not in drawn.positions]
        if named:
            raise Problem("heads", f"{named[0]} was named on this page: the prompts of {body['task']} have {', '.join(drawn.positions)}")
        if body["do"] == "knockout" and body["keys"] not in drawn.positions:
            raise Problem("keys", f"{body['keys']} was named on this page: the prompts of {body['task']} have {', '.join(drawn.positions)}")
        moved = [name for name, at in found["positions"].items() if body["positions"].get(name) != at]
        if moved:
            raise Problem("claim", f"{moved[0]} stands elsewhere here than in the prompts of {body['task']}")
        return Explored(body["task"], SPLIT, SEED, drawn.ids)

    def _speaks(self, task: str) -> bool:
        """Whether the tokenizer has the task's words, and the model sees enough of them."""
        try:
            self._drawn(task)
        except MechcheckError:
            return False
        return True

    @cached_property
    def _words(self) -> list[str]:
        tokenizer = self.model.tokenizer
        found = {tokenizer.decode([one]).strip() for one in range(min(len(tokenizer), self.model.cfg.d_vocab))}
        return sorted(found - {""}, key=lambda word: (len(word), word))

    def prepared(self, body: Json) -> Prepared:
        """The prompt of a body."""
        return self._prompt(body)

    def drawn(self, task: str) -> PromptSet:
        """The prompts of a task that the page can show.

        Raises:
            MechcheckError: there is no such task, or not in this model's words.
        """
        return self._drawn(task)

    def _prompt(self, body: Json) -> Prepared:
        return self._prepared(_prompt_of(body))

    def _roles(self) -> list[Json]:
        """Roles of heads in the circuits that are recorded for these weights."""
        if self.name in compiled_models():
            found = {task_of(self.name): dict(blueprint(self.name).circuit_roles)}
        else:
            found = {task: self._recorded(task) for task in task_names()}
        return [
            {"task": task, "role": role, "heads": sites.places}
            for task, roles in found.items()
            for role, sites in roles.items()
            if all(site.kind == "head" and site.index is not None and site.to is None for site in sites)
        ]

    def _recorded(self, task: str) -> dict[str, Sites]:
        path = circuit_path(task, self.name)
        try:
            circuit = None if path is None else load_circuit(path)
            if circuit is None:
                return {}
            check_circuit(circuit, self.model)
        except MechcheckError:  # for other weights of the same name, and of no use here
            return {}
        return dict(circuit.roles)


def _prompt_of(body: Json) -> str:
    """What of a body the prompt follows from, by which what is known of it is found again."""
    names = ("text", "counterfactual", "references", "answer", "foil", "positions")
    return json.dumps({name: body[name] for name in names})
