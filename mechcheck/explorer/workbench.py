"""The model on the page, and an answer to each thing that the page asks."""

import json
from functools import lru_cache
from typing import TYPE_CHECKING

from mechcheck.base.cached import cached_property
from mechcheck.base.errors import HookError, MechcheckError, NonFiniteError
from mechcheck.circuits.files import check_circuit, load_circuit
from mechcheck.circuits.recorded import circuit_path
from mechcheck.compiled import blueprint, compiled_models, task_of
from mechcheck.explorer.bodies import Json, Problem
from mechcheck.explorer.change import changes, changes_alone, chosen_heads, noted
from mechcheck.explorer.claiming import claim
from mechcheck.explorer.maps import attention_figure, heads_of
from mechcheck.explorer.prediction import effects, likeliest, predicted
from mechcheck.explorer.prompt import DRAWN, REFERENCES, SEED, SPLIT, Prepared, example, prepare
from mechcheck.explorer.sessions import opened
from mechcheck.models.loading import provenance
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.sites import Sites
from mechcheck.prompts.tokens import Reader
from mechcheck.tasks.registry import task_names
from mechcheck.tasks.shipped import task_prompts

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

COMPLETIONS = 12


class Workbench:
    """One model. It keeps nothing of who asked what but what was measured: that and caches apart, an answer follows from its question."""

    def __init__(self, model: "TransformerBridge"):
        Reader(model)  # an error now rather than on the page
        self.model = model
        self.name = provenance(model).name
        self.measured: dict[int, str] = {}
        """Seed -> the file that was verified on its prompts: no other one is, since what was decided after a look is no test."""
        self._known = lru_cache(64)(lambda key: prepare(model, json.loads(key)))
        self._untouched = lru_cache(64)(lambda key: likeliest(model, self._known(key).prompts))
        self.begins: Json | None = None
        """The session that was named where the server was started."""
        self.drawn = lru_cache(16)(lambda task: task_prompts(task, model, n=DRAWN, seed=SEED, split=SPLIT))

    @cached_property
    def about(self) -> Json:
        """What the page has to know before anything is asked."""
        config = self.model.cfg
        tasks = [task for task in task_names() if self._speaks(task)]
        told = {"model": self.name, "weights": provenance(self.model).weights_sha256, "layers": config.n_layers, "heads": config.n_heads}
        return told | {"tasks": tasks, "roles": self._roles()}

    def first_task(self) -> str | None:
        """The task to begin with: one that this model has a recorded circuit for, IOI before others."""
        known = {role["task"] for role in self.about["roles"]} & set(self.about["tasks"])
        return "ioi" if "ioi" in known else min(known, default=None)

    def predict(self, body: Json) -> Json:
        """The prompt, the prediction before and after, and what did not fit."""
        prepared = self.prepared(body)
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
        prepared = self.prepared(body)
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
        prepared = self.prepared(body)
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
            return example(self.model, self.drawn(body["task"]), body["row"], body.get("many", REFERENCES))
        except MechcheckError as error:
            raise Problem("task", error) from error

    def claim(self, body: Json) -> Json:
        """The page as a pytest file, empty where something does not fit."""
        return claim(self, body)

    def session(self, body: Json) -> Json:
        """A session that was saved, as it opens here."""
        return opened(body["text"], self.model)

    def opening(self, _: Json) -> Json:
        """The session that the page begins with; nothing where there is none."""
        return self.begins or {}

    def _speaks(self, task: str) -> bool:
        """Whether the tokenizer has the task's words, and the model sees enough of them."""
        try:
            self.drawn(task)
        except MechcheckError:
            return False
        return True

    @cached_property
    def _words(self) -> list[str]:
        tokenizer = self.model.tokenizer
        found = {tokenizer.decode([one]).strip() for one in range(min(len(tokenizer), self.model.cfg.d_vocab))}
        return sorted(found - {""}, key=lambda word: (len(word), word))

    def prepared(self, body: Json) -> Prepared:
        return self._known(_prompt_of(body))

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
