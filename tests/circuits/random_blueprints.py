"""Small models that find the indirect object in ways drawn at random: redundancy, backups, heads whose output nobody reads.

"<bos> Mary and John gave , John to" -> Mary; six names, one sentence.
"""

import random
from dataclasses import replace
from pathlib import Path

from mechcheck import PromptSet, load_model
from mechcheck.compiled import ALWAYS, Blueprint, Head, Match, Move, flag, positions, save_model, scratch, token_ids, words
from mechcheck.tasks.names import load_language

NAMES, CONTEXT, SHARP = tuple(load_language().names[:6]), 12, 30.0
NAME, PLACE = words("name", NAMES), positions("position", CONTEXT)
REGISTERS = (
    NAME, PLACE, flag("is_name", NAMES), flag("at_end", ["to"]), flag("bos", ["<bos>"]), scratch("earlier", like=PLACE),
    scratch("repeated"), scratch("avoid", like=PLACE), scratch("found", like=NAME), scratch("answer", like=NAME),
    scratch("unread", like=NAME), scratch("lost", like=NAME),
)  # fmt: skip
NOTHING = Match(ALWAYS, "bos", SHARP / 2)
UNAVOIDED = (Match("at_end", "is_name", SHARP), Match("avoid", "position", -SHARP))
DUPLICATE = Head(
    "duplicate token",
    "S2",
    (Match("name", "name", SHARP), Match("position", "position", -2 * SHARP), NOTHING),
    (Move("position", "earlier"), Move("is_name", "repeated")),
)
MARKS = (Move("earlier", "avoid"), Move("position", "avoid"))
INHIBITION = Head("inhibition", "END", (Match("at_end", "repeated", SHARP), NOTHING), MARKS)
UNREAD = (
    Head("previous", None, (Match("position", "position", SHARP, offset=-1), NOTHING), (Move("name", "unread"),)),
    Head("everywhere", None, (), (Move("name", "unread"),)),
)
IDLE = (
    Head("lookalike", None, (*UNAVOIDED, NOTHING)),
    Head("reads what nobody reads", None, (Match("name", "unread", SHARP),), (Move("unread", "lost"),)),
)


def mover(to: str, gain: float, role: str = "mover") -> Head:
    return Head(role, "END", (*UNAVOIDED, NOTHING), (Move("name", to, gain),))


def backup(to: str) -> Head:
    """Asleep while anything was found."""
    sleepy = (
        Match("position", "position", SHARP - 3),
        Match(to, to, 1.0),
        Match(ALWAYS, "bos", 2 * SHARP),
        Match("at_end", "bos", -2 * SHARP),
    )
    return Head("backup", "END", (*UNAVOIDED, *sleepy), (Move("name", to, 8.0),))


def model_of(stages: list[list[Head]], name: str) -> Blueprint:
    """A layer for each stage."""
    heads = {f"{layer}.{index}": head for layer, stage in enumerate(stages) for index, head in enumerate(stage)}
    return Blueprint(name, REGISTERS, heads, outputs={"answer": "name"}, context=CONTEXT)


def random_blueprint(seed: int) -> Blueprint:
    """One or two heads of each stage, some of which suffice alone; a backup, a head that passes the answer on, or neither."""
    rng = random.Random(f"blueprint {seed}")
    last = rng.choice(["backup", "relay", "neither"])
    to = "found" if last == "relay" else "answer"
    apart = [replace(INHIBITION, moves=(move,)) for move in MARKS]  # each place noted by a head of its own
    stages = [
        [DUPLICATE] * rng.randint(1, 2) + [rng.choice(UNREAD)],
        rng.choice([[INHIBITION], [INHIBITION] * 2, apart]),
        [mover(to, gain) for gain in rng.choice([[12.0], [12.0, 9.0], [12.0, -4.0]])] + [rng.choice(IDLE)],
    ]
    if last == "backup":
        stages.append([backup(to)])
    if last == "relay":
        stages.append([Head("relay", "END", (Match("position", "position", SHARP),), (Move("found", "answer"),))])
    return model_of([rng.sample(stage, len(stage)) for stage in stages], f"random-{seed}")


def built(blueprint: Blueprint, folder: Path, n: int = 8):
    """The model, and prompts of its task with a counterfactual (the other name is repeated) and a reference (three names)."""
    save_model(blueprint, folder / blueprint.name)
    ids, rng = token_ids(), random.Random("prompts")
    drawn = [rng.sample(NAMES, 3) for _ in range(n)]

    def prompts(**others: PromptSet) -> PromptSet:
        kind = len(others)
        rows, answers, foils = [], [], []
        for number, (one, two, third) in enumerate(drawn):
            subject, other = (one, two) if number % 2 else (two, one)
            second = third if kind == 1 else other if kind == 0 else subject
            rows.append([ids[word] for word in ("<bos>", one, "and", two, "gave", ",", second, "to")])
            answers.append(ids[other])
            foils.append(ids[subject])
        return PromptSet.from_tokens(rows, answers=answers, foils=foils, pad=0, **others)

    flipped = prompts()
    reference = prompts(counterfactual=flipped)
    return load_model(str(folder / blueprint.name)), prompts(counterfactual=flipped, reference=replace(reference, counterfactual=None))
