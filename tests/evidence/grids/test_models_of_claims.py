"""Models that a claim's one answer is about, and all that it ran."""

import made_evidence as make

from mechcheck.evidence.grids.models import all_models, axis_of_models, models_of
from mechcheck.evidence.summary import markdown
from mechcheck.report._sources import Sources

ONE, OTHER = make.model("one"), make.model("other") | {"weights_sha256": "e" * 64}
GRID = {"cells": [], "answer": "robust", "p": None, "text": "robust: supported in all 2 cells", "differences": []}
SEVERAL = make.claim(model=ONE, models=[OTHER], grid=GRID | {"axes": {"models": ["one", "other"]}})
SEEDS = make.claim(model=ONE, models=[OTHER], grid=GRID | {"axes": {"seeds": ["0", "1"]}})


def test_by_the_grid_or_by_what_it_was_run_on():
    assert (models_of(SEVERAL), axis_of_models(SEVERAL)) == (["one", "other"], ["one", "other"])
    assert (models_of(SEEDS), axis_of_models(SEEDS)) == (["one"], [])
    assert models_of(make.claim(model=None)) == all_models(make.claim(model=None)) == []
    assert [model["name"] for model in all_models(SEEDS)] == ["one", "other"]


def test_the_table_has_a_column_for_them_together():
    evidence = make.evidence([SEVERAL, make.claim("b", model=ONE)])
    head = markdown([evidence]).splitlines()[0]
    assert head == "| task | claim | one, other | one |"
    assert markdown([evidence], only=["other"]).splitlines()[0] == "| task | claim | one, other |"
    assert markdown([evidence], only=["one"]).splitlines()[0] == "| task | claim | one | one, other |"


def test_the_page_lists_each_of_them():
    sources = Sources([SEVERAL, make.claim("b", model=OTHER)])
    assert [one.what["name"] for one in sources.all("model")] == ["one", "other"]
    assert [sources.id("model", model) for model in sources.models(SEVERAL)] == ["model-1", "model-2"]
