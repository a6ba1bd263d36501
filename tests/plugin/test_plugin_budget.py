"""--mech-budget and @claim(budget=...): which claims draw their prompts part after part, what is recorded of it, and what is said."""

import json

import pytest

MODEL = "--mech-model=names-gpt2-seed1"
CLAIMS = """
    @claim("Plain", task="ioi")
    def test_plain(model, prompts, check):
        check.above(run(model, prompts), 1.0)
        check.figure(lambda: Bars(f"of {len(prompts)} prompts", ["a"], [1.0], None, None, "u", None))

    @claim("Open", task="ioi")
    def test_open(model, prompts, check):
        difference = run(model, prompts)
        check.above(difference, difference.mean, label="its own mean")
        check.figure(lambda: Bars(f"of {len(prompts)} prompts", ["a"], [1.0], None, None, "u", None))

    @claim("Of its own number", task="ioi", budget=64)
    def test_own(model, prompts, check):
        check.above(run(model, prompts), 1.0)

    @claim("Without prompts", decoy={"mean": -1.0})
    def test_none(check, mean=1.0):
        check.above(around(mean), 0)
"""


@pytest.fixture
def drawn(claims):
    """The claims above with 80 prompts to draw."""
    return claims(CLAIMS, MODEL, "--mech-budget=80")


def test_it_draws_until_it_is_decided(drawn):
    plain, open_ = drawn.claim("plain"), drawn.claim("open")
    assert plain["sampling"] | {"looks": []} == {
        "budget": 80, "planned": 4, "looks": [], "stopped": "decided", "text": "decided after 20 of 80 prompts (look 1 of 4)",
    }  # fmt: skip
    assert (plain["prompts"]["n"], plain["expectations"][0]["estimate"]["n"], len(plain["prompts"]["examples"])) == (20, 20, 8)
    assert plain["expectations"][0]["estimate"]["level"] == pytest.approx(1 - 0.05 / 64)
    assert plain["decoys"]["n"] == plain["decoys"]["n"] - plain["decoys"]["supported"] > 0
    assert [(look["prompts"], look["verdict"]) for look in open_["sampling"]["looks"]] == [(n, "inconclusive") for n in (20, 40, 60, 80)]
    assert [round(look["alpha_spent"], 4) for look in open_["sampling"]["looks"]] == [0.0004, 0.0031, 0.0105, 0.025]
    assert [look["templates"] for look in open_["sampling"]["looks"]] == [10, 20, 30, 48]
    assert (open_["prompts"]["n"], open_["prompts"]["templates"], open_["sampling"]["stopped"]) == (80, 48, "spent")
    assert [len(c["figures"]) for c in (plain, open_)] == [1, 1]
    assert [c["figures"][0]["title"] for c in (plain, open_)] == ["of 20 prompts", "of 80 prompts"]
    assert "--mech-budget=80" in plain["command"]


def test_what_a_claim_says_goes_before_the_run(drawn):
    assert drawn.claim("own")["sampling"]["budget"] == 64
    assert [look["prompts"] for look in drawn.claim("own")["sampling"]["looks"]] == [16, 32]


def test_others_are_as_ever(claims, drawn):
    assert drawn.claim("none")["sampling"] is None
    without = claims.again(MODEL)
    assert {c["id"]: c["sampling"] and c["sampling"]["budget"] for c in without.evidence["claims"]} == {
        "ioi/test_plain[names-gpt2-seed1]": None, "ioi/test_open[names-gpt2-seed1]": None, "ioi/test_own[names-gpt2-seed1]": 64,
        "test_none": None,
    }  # fmt: skip
    assert without.claim("plain")["prompts"]["n"] == 96
    assert without.claim("none")["expectations"][0]["estimate"] == drawn.claim("none")["expectations"][0]["estimate"]


def test_what_is_said_of_it(drawn):
    assert "decided after 20 of 80 prompts (look 1 of 4)" in drawn.output
    assert "3 claims drew 132 of 224 prompts (41% saved), 2 of them until decided" in drawn.output
    assert "    to settle it: this sample would have decided an effect" in drawn.output
    assert "no feasible number of prompts (up to 100,000) will" in drawn.output
    settles = drawn.claim("open")["expectations"][0]["settles"]
    assert (settles["templates"], settles["prompts"]) == (None, None)
    assert settles["mde"] > 0
    page = (drawn.report / "index.html").read_text(encoding="utf-8")
    assert "not decided after 80 of 80 prompts (look 4 of 4); before: inconclusive at 20, inconclusive at 40, inconclusive at 60" in page
    assert "To settle it: <bdi>this sample would have decided" in page
    lines = [json.loads(line) for line in (drawn.report / "ledger.jsonl").read_text().splitlines()]
    assert [line["sampling"] for line in lines if "open" in line["claim"]] == [
        {"budget": 80, "prompts": 80, "looks": 4, "stopped": "spent"}
    ]


def test_the_same_in_several_processes(claims, drawn):
    apart = claims.again(MODEL, "--mech-budget=80", "-n2", "--junitxml=junit.xml")
    fields = ("verdict", "sampling", "prompts", "decoys", "reason")
    for claim in drawn.evidence["claims"]:
        other = next(c for c in apart.evidence["claims"] if c["id"] == claim["id"])
        assert {f: other[f] for f in fields} == {f: claim[f] for f in fields}
        assert [e["estimate"] for e in other["expectations"]] == [e["estimate"] for e in claim["expectations"]]


FIXTURES = {
    "our prompts, cut": "def prompts(prompts): return prompts[:48]",
    "made of prompts": "def mine(model, prompts): return run(model, prompts)",
    "made of prompts_for": "def mine(model, prompts_for): return run(model, prompts_for(model))",
    "made of the check": "def mine(model, prompts, check): return run(model, prompts)",
}


@pytest.mark.parametrize("fixture", FIXTURES.values(), ids=FIXTURES)
def test_what_was_made_of_the_first_prompts_would_stay_behind(claims, fixture):
    """So such a claim has all at once."""
    uses = "mine" if "mine" in fixture else "run(model, prompts)"
    run = claims(
        f"""
    @pytest.fixture
    {fixture}

    @claim("It is so", task="ioi")
    def test_it(model, prompts, check{", mine" * (uses == "mine")}):
        check.above({uses}, 1.0)
    """,
        MODEL,
        "--mech-budget=80",
    )
    assert (run.claim()["sampling"], run.claim()["verdict"]) == (None, "vacuous" if uses == "mine" else "supported")
    assert run.claim()["prompts"]["n"] == (96 if uses == "mine" else 48)


def test_prompts_of_its_own_for_two_models_are_drawn_alike(claims):
    run = claims(
        """
    @pytest.fixture
    def make_prompts():
        return lambda model, n, seed, split: ioi_prompts(model, n=n, seed=seed, split=split, orders=["ABBA"])

    @claim("They answer alike", decoy={"model": "names-gpt2-seed0"})
    def test_it(model, prompts, prompts_for, check):
        other = load_model("names-gpt2-seed4")
        difference = run(model, prompts) - 0.0 * run(other, prompts_for(other))
        check.between(difference, difference.mean - 1e-3, 1e9)
    """,
        MODEL,
        "--mech-budget=64",
    )
    assert (run.claim()["prompts"]["n"], run.claim()["prompts"]["templates"], run.claim()["verdict"]) == (64, 24, "inconclusive")


def test_an_error_at_a_later_look_keeps_what_was_known_before(claims):
    run = claims(
        """
    @claim("It breaks", task="ioi")
    def test_it(model, prompts, check):
        if len(prompts) > 20:
            raise KeyError("too many")
        check.above(run(model, prompts), run(model, prompts).mean)
    """,
        MODEL,
        "--mech-budget=80",
    )
    claim = run.claim()
    assert (claim["verdict"], claim["reason"]) == ("errored", "KeyError: 'too many'")
    assert [look["verdict"] for look in claim["sampling"]["looks"]] == ["inconclusive"]
    assert claim["sampling"]["text"] == "ended by an error after 20 of 80 prompts (look 1 of 4)"
    assert claim["prompts"]["n"] == 20


def test_a_change_of_the_model_at_a_later_look_is_found(claims):
    run = claims(
        """
    @claim("It changes its model", task="ioi")
    def test_it(model, prompts, check):
        check.above(run(model, prompts), run(model, prompts).mean)
        if len(prompts) > 20:
            next(model.parameters()).data += 1
    """,
        MODEL,
        "--mech-budget=80",
    )
    assert run.claim()["verdict"] == "errored"
    assert run.claim()["reason"].startswith("HookError")


@pytest.mark.parametrize("budget", [1, 0, -5])
def test_budgets_that_are_none(claims, budget):
    run = claims(CLAIMS, f"--mech-budget={budget}")
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--mech-budget {budget}: prompts that a claim may draw, at least 2" in run.result.stderr.str()


def test_prompts_that_are_too_few_for_the_body_are_no_end_of_it(claims):
    run = claims(
        """
    @claim("It takes many", task="ioi")
    def test_it(model, prompts, check):
        check.above(run(model, prompts), 1.0)
        if len(prompts) < 60:
            raise mechcheck.base.errors.PromptError("too few")

    @claim("It takes more than there are", task="ioi")
    def test_more(model, prompts, check):
        raise mechcheck.base.errors.PromptError("too few")
    """,
        MODEL,
        "--mech-budget=80",
    )
    assert [(look["prompts"], look["verdict"]) for look in run.claim("test_it")["sampling"]["looks"]] == [
        (20, "errored"), (40, "errored"), (60, "supported"),
    ]  # fmt: skip
    assert run.claim("test_it")["verdict"] == "supported"
    assert len(run.claim("test_it")["expectations"]) == 1
    assert (run.claim("more")["verdict"], run.claim("more")["reason"]) == ("errored", "PromptError: too few")
