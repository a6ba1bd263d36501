"""Successor heads of Pythia-1.4B (Gould et al. 2023) and of GPT-2 small (L 2023). Borders were written in successor.toml and days.toml."""

from mechcheck import claim, direct_logit_attribution, published

GOULD, DAYS = published("successor"), published("days")


def writes_the_next(model, prompts, check, figure):
    """The foil is the item that is read last: what only copies it is below nought."""
    found = direct_logit_attribution(model, prompts)
    check.requires(found.total, above=1.0, label="the model counts on: logit difference > 1")
    check.above(found.heads.of(figure.heads) / found.total, figure.low, f"what {figure.heads} writes, of the logit difference > 0.02")
    check.figure(found.figure())


@claim(**GOULD.said("writes_the_next"))
def test_writes_the_next_item(model, prompts, check):
    writes_the_next(model, prompts, check, GOULD["writes_the_next"])


@claim(**DAYS.said("tomorrow"), prompts={"orders": ("days",)})
def test_writes_the_next_day(model, prompts, check):
    writes_the_next(model, prompts, check, DAYS["tomorrow"])
