"""Gendered pronouns in GPT-2 small (Mathwin et al. 2023, by Conmy et al. 2023). Borders were written beforehand, in tag_question.toml."""

import pytest

from mechcheck import Patch, attention_to, claim, direct_logit_attribution, edges, mlps, published, resid_post, run

PRONOUNS = published("tag_question")


def lost(model, prompts, check, sites):
    """Share of the preference that is lost with these sites from the sentence that names nobody."""
    clean = run(model, prompts)
    check.requires(clean, above=1.0, label="there is a preference to lose: logit difference > 1")
    return (clean - run(model, prompts, Patch(sites, prompts.reference))) / clean


@claim(**PRONOUNS.said("prefers"))
def test_prefers_the_pronoun(model, prompts, check):
    check.above(run(model, prompts), PRONOUNS["prefers"].low)


@claim(**PRONOUNS.said("name_to_itself"))
def test_name_attends_to_itself(model, prompts, check):
    figure = PRONOUNS["name_to_itself"]
    check.above(attention_to(model, prompts, figure.heads, "NAME", "NAME"), figure.low)


@claim(**PRONOUNS.said("is_to_name"))
def test_is_attends_to_the_name(model, prompts, check):
    figure = PRONOUNS["is_to_name"]
    check.above(attention_to(model, prompts, figure.heads, "IS", "NAME"), figure.low)


@claim(**PRONOUNS.said("end_to_is"))
def test_end_attends_to_is(model, prompts, check):
    figure = PRONOUNS["end_to_is"]
    check.above(attention_to(model, prompts, figure.heads, "END", "IS"), figure.low)


@pytest.mark.parametrize("at", ["IS"])
@claim(**PRONOUNS.said("through_is"), decoy={"at": "ADJECTIVE"})
def test_through_is(model, prompts, check, at):
    taken = lost(model, prompts, check, resid_post("7", at=at))
    check.above(taken, PRONOUNS["through_is"].low, "share of the preference lost > 0.2")


@pytest.mark.parametrize("at", ["IS"])
@claim(**PRONOUNS.said("mlp_at_is"), decoy={"at": "ADJECTIVE"})
def test_mlp_7_at_is(model, prompts, check, at):
    check.above(lost(model, prompts, check, mlps("7", at=at)), PRONOUNS["mlp_at_is"].low, "share of the preference lost > 0.05")


@claim(**PRONOUNS.said("read_from_is"))
def test_read_from_is(model, prompts, check):
    figure = PRONOUNS["read_from_is"]
    read = edges(" ".join(f"mlp7->{head}.v" for head in figure.heads.split()), at="IS")
    check.above(lost(model, prompts, check, read), figure.low, "share of the preference lost along these edges > 0.02")


@claim(**PRONOUNS.said("write_pronoun"))
def test_heads_write_the_pronoun(model, prompts, check):
    figure, found = PRONOUNS["write_pronoun"], direct_logit_attribution(model, prompts)
    check.requires(found.total, above=1.0, label="there is a preference: logit difference > 1")
    written = len(figure.heads.split()) * found.heads.of(figure.heads) / found.total
    check.above(written, figure.low, "what these heads write, of the logit difference > 0.05")
    check.figure(found.figure())


@claim(**PRONOUNS.said("last_mlps"))
def test_last_mlps(model, prompts, check):
    said = edges("mlp10->logits mlp11->logits", at="END")
    check.above(lost(model, prompts, check, said), PRONOUNS["last_mlps"].low, "share of the preference lost along these edges > 0.05")
