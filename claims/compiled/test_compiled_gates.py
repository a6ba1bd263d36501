"""Where noising and denoising disagree, on circuits that were built as an OR, an AND, a chain and a sum.

The corrupted prompt names a third person where the subject was repeated, so that nobody is repeated and the S-inhibition heads find
nothing. In the usual counterfactual the other person is repeated: there they say something else, and what two heads say adds up.
"""

from dataclasses import replace

import pytest

from mechcheck import claim, gate, heads, load_model, provenance, task_prompts
from mechcheck.compiled import ALWAYS, Blueprint, Match, Move, blueprint, known_circuit, save_model, scratch

HEIMERSHEIM = "Heimersheim and Nanda 2024, arXiv:2404.15255"
REDUNDANT, NEGATIVE, AND = "compiled-redundant", "compiled-negative", "planted-and"


def nobody_repeated(prompts):
    """The same prompts with somebody else in the place of the repeated subject."""
    tokens, at = prompts.tokens.clone(), prompts.positions["S2"]
    people = sorted({*prompts.answers.tolist(), *prompts.foils.tolist()})
    for row, own in enumerate(prompts.tokens.tolist()):
        first = row % len(people)
        tokens[row, at[row]] = next(one for one in people[first:] + people[:first] if one not in own)
    return replace(prompts, tokens=tokens, words=(), counterfactual=None, reference=None)


@pytest.mark.parametrize("other", ["s_inhibition_two"])
@claim(
    "Two heads that say the same are an OR: neither is needed, and either is enough",
    source=HEIMERSHEIM, kind="structure", models=[REDUNDANT], decoy={"other": "name_mover"},
)  # fmt: skip
def test_twins_are_an_or(model, prompts, check, other):
    circuit = known_circuit(REDUNDANT)
    check.gate(gate(model, prompts, circuit["s_inhibition_one"], circuit[other], corrupted=nobody_repeated(prompts)), "or")


@claim(
    "Patched from prompts in which somebody else is repeated, the same two heads add up: which gate it is depends on the corruption",
    source=HEIMERSHEIM, kind="structure", models=[REDUNDANT], decoy={"corrupted": "nobody"},
)  # fmt: skip
def test_twins_that_say_something_else_add_up(model, prompts, check, corrupted="another"):
    circuit, source = known_circuit(REDUNDANT), prompts.counterfactual if corrupted == "another" else nobody_repeated(prompts)
    check.gate(gate(model, prompts, circuit["s_inhibition_one"], circuit["s_inhibition_two"], corrupted=source), "additive")


@pytest.mark.parametrize("other", ["name_mover"])
@claim(
    "A head and the one that reads it are a chain: either is needed, and either is enough",
    source=HEIMERSHEIM, kind="structure", models=[REDUNDANT], decoy={"other": "s_inhibition_one"},
)  # fmt: skip
def test_one_behind_the_other_is_a_chain(model, prompts, check, other):
    circuit = known_circuit(REDUNDANT)
    check.gate(gate(model, prompts, circuit["duplicate_token"], circuit[other], corrupted=nobody_repeated(prompts)), "chain")


@pytest.mark.parametrize("role", ["negative_name_mover"])
@claim(
    "A name mover and one that writes against it add up",
    source=HEIMERSHEIM, kind="structure", models=[NEGATIVE], decoy={"role": "s_inhibition"},
)  # fmt: skip
def test_two_that_write_the_answer_add_up(model, prompts, check, role):
    circuit = known_circuit(NEGATIVE)
    check.gate(gate(model, prompts, circuit["name_mover"], circuit[role], corrupted=nobody_repeated(prompts)), "additive")


@claim(
    "A name mover and its backup are an OR also where the name mover says something else, and does not fall silent",
    source=f"{HEIMERSHEIM}; McGrath et al. 2023, arXiv:2307.15771", kind="structure", models=["compiled-ioi"],
    expect="refuted", positive_control={"roles": "s_inhibition_one s_inhibition_two", "model": REDUNDANT},
)  # fmt: skip
def test_a_backup_is_an_or(model, prompts, check, roles="name_mover backup_name_mover"):
    a, b = (known_circuit(provenance(model).name)[role] for role in roles.split())
    check.gate(gate(model, prompts, a, b, corrupted=nobody_repeated(prompts)), "or")


def built_as_an_and(folder):
    """A model whose name mover attends to names only where two heads both say that somebody is repeated."""
    twins = blueprint(REDUNDANT)
    inhibits, (names, avoided, *_) = twins.heads["1.0"], twins.heads["2.0"].matches
    ready = {role: Move("is_name", f"ready_{role}") for role in ("one", "two")}
    wanted = [Match(move.to, names.key, 0.6 * names.gain) for move in ready.values()]
    own = Blueprint(
        AND,
        (*twins.registers, *(scratch(move.to) for move in ready.values())),
        {
            "0.0": twins.heads["0.0"],
            "1.0": replace(inhibits, role="one", moves=(*inhibits.moves, ready["one"])),
            "1.1": replace(inhibits, role="two", moves=(ready["two"],)),
            "2.0": replace(twins.heads["2.0"], matches=(*wanted, avoided, Match(ALWAYS, "bos", 0.9 * names.gain))),
        },
        outputs=twins.outputs,
        context=twins.context,
    )
    save_model(own, folder / AND)
    return load_model(folder / AND)


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return built_as_an_and(tmp_path_factory.mktemp("built"))


class TestAnd:
    """On the model that was planted."""

    @pytest.fixture
    def model(self, planted):
        return planted

    @pytest.fixture
    def prompts(self, model):
        return task_prompts("ioi", model, n=96, seed=0)

    @claim(
        "Two heads that must both speak are an AND: either is needed, and neither is enough",
        source=HEIMERSHEIM, kind="structure", decoy={"other": "2.0@END"},
    )  # fmt: skip
    def test_two_that_must_both_speak_are_an_and(self, model, prompts, check, other="1.1@END"):
        check.gate(gate(model, prompts, heads("1.0@END"), heads(other), corrupted=nobody_repeated(prompts)), "and")
