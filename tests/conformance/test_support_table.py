"""The support table: complete, without bugs, and the one that is in the documentation."""

import inspect
import re
from pathlib import Path
from typing import get_args

import pytest

import mechcheck
from mechcheck import cli
from mechcheck.base.errors import HookError, ModelError, PromptError
from mechcheck.conformance import support_table as _support_table
from mechcheck.conformance.layouts import LAYOUTS, layout_prompts, save_layout
from mechcheck.conformance.native_layouts import NATIVE_LAYOUTS
from mechcheck.conformance.support_rows import ROWS, Bench
from mechcheck.conformance.support_table import PROCESSINGS, Cell, Table, bugs, columns, markdown, support_table
from mechcheck.models.loading import load_model
from mechcheck.notation.interventions import Intervention
from mechcheck.notation.metrics import Metric

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "support.md"
# They take a model for its name or its tokenizer alone.
NO_PRIMITIVES = {"later_years", "cutoff_sharpness", "write_circuit", "keep_model", "keep_native"}


def written() -> Table:
    """The table that is in the documentation."""
    body, _, why = DOCUMENT.read_text(encoding="utf-8").partition("\n## Why not\n\n")
    reasons = dict(line.split(". ", 1) for line in why.splitlines())

    def cell(text: str) -> Cell:
        how, _, number = text.removesuffix("]").partition(" [")
        return Cell(how, reasons[number] if number else "")  # type: ignore[arg-type]

    names = [*LAYOUTS, *NATIVE_LAYOUTS]
    found: Table = {name: {processing: {} for processing in PROCESSINGS} for name in names}
    for line in body.splitlines():
        if line.startswith("| `"):
            row, *texts = line.removeprefix("| ").removesuffix(" |").split(" | ")
            for name, text in zip(names, texts, strict=True):
                entries = text.split(" / ")  # one where both processings are alike
                for processing, entry in zip(PROCESSINGS, entries * (3 - len(entries)), strict=True):
                    found[name][processing][row] = cell(entry)
    return found


@pytest.mark.parametrize("layout", [*LAYOUTS, *NATIVE_LAYOUTS])
def test_no_cell_is_missing_or_a_bug_and_the_document_says_the_same(layout):
    """A layout at a time, so that processes can share them."""
    table = support_table([layout])
    assert bugs(table) == []
    assert set(table[layout]) == set(PROCESSINGS)
    for cells in table[layout].values():
        assert set(cells) == {row for group in ROWS.values() for row in group}
        assert all(bool(cell.reason) == (cell.how == "no") for cell in cells.values())
    assert table[layout] == written()[layout], "run `mechcheck support -o docs/support.md` and read what changed"


def test_the_document_is_what_the_command_prints():
    """Of the table that is read from it, which is the one that is measured."""
    assert set(columns()) == {*LAYOUTS, *NATIVE_LAYOUTS}
    assert DOCUMENT.read_text(encoding="utf-8") == markdown(written()), "run `mechcheck support -o docs/support.md` and read what changed"


def test_every_public_primitive_has_a_row():
    """Whatever takes a model, but for generators of prompts; every intervention; every way to write sites."""
    tried = {name for group in ROWS.values() for row in group for name in re.findall(r"`(\w+)`", row)}
    assert tried <= set(mechcheck.__all__)
    public = {name: getattr(mechcheck, name) for name in mechcheck.__all__}
    functions = {name: inspect.signature(found) for name, found in public.items() if inspect.isfunction(found)}
    wanted = {
        name
        for name, signature in functions.items()
        if {"model", "model_from"} & set(signature.parameters) and signature.return_annotation not in (mechcheck.PromptSet, "PromptSet")
    }
    wanted |= {kind.__name__ for kind in get_args(Intervention)}
    wanted |= {name for name, signature in functions.items() if str(signature.return_annotation).endswith("Sites")}
    assert wanted - tried - NO_PRIMITIVES == set(), "give each a row in mechcheck/conformance/support_rows.py"


def test_every_metric_is_swept(monkeypatch):
    """The row of the metrics takes them from what is exported."""
    seen = []
    monkeypatch.setattr(mechcheck, "sweep_metrics", lambda model, prompts, variants, metrics: seen.extend(metrics))
    bench = Bench(None, None)  # type: ignore[arg-type]
    ROWS["Interventions"]["`sweep_metrics`, every metric"](bench)
    exported = [getattr(mechcheck, name) for name in mechcheck.__all__]
    assert {id(one) for one in exported if isinstance(one, Metric)} <= {id(one) for one in seen}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    """A bench with one layout's model."""
    model = load_model(save_layout("gpt2", tmp_path_factory.mktemp("layout")))
    return Bench(model, layout_prompts(model, LAYOUTS["gpt2"]))


def heads_changed(b):
    return mechcheck.run(b.model, b.prompts, mechcheck.Ablate(mechcheck.heads("0.1"))).values


def with_hooks(b):
    with mechcheck.plain_hooks():
        return heads_changed(b)


def raising(error):
    def attempt(b):
        raise error

    return attempt


@pytest.mark.parametrize(
    ("attempt", "cell"),
    [
        (heads_changed, Cell("fast")),
        (with_hooks, Cell("hooks")),
        (lambda b: [heads_changed(b), with_hooks(b)], Cell("fast, hooks")),
        (lambda b: b.model.W_E, Cell("yes")),
        (raising(ModelError("not that one")), Cell("no", "not that one")),
        (raising(HookError("did not fire")), Cell("no", "did not fire")),
        (raising(PromptError("no such position")), Cell("bug", "PromptError: no such position")),
        (raising(NotImplementedError("deep below")), Cell("bug", "NotImplementedError: deep below")),
        (lambda b: (1.0, [b.model.W_E, float("nan")]), Cell("bug", "NaN or infinity")),
    ],
)
def test_cells_say_what_happened(small, attempt, cell):
    assert _support_table._cell(attempt, small) == cell


def test_a_fast_runner_that_is_wrong_is_a_bug(monkeypatch):
    from mechcheck.engine import run as _run

    monkeypatch.setattr(_run, "disagreement", lambda swept, captures: "variant 0 differs")
    monkeypatch.setattr(_support_table, "ROWS", {"Group": {"`run`": heads_changed}})
    table = support_table(["gpt2"])
    assert bugs(table)[0].startswith("`run` on GPT-2, folded: SelfCheckWarning: variant 0 differs")


def test_a_model_that_cannot_be_loaded_fills_its_column(monkeypatch):
    monkeypatch.setattr(_support_table, "load_model", lambda *_, **__: (_ for _ in ()).throw(ModelError("no adapter for it")))
    table = support_table(["gpt2"])
    assert {cell for columns in table.values() for cells in columns.values() for cell in cells.values()} == {
        Cell("no", "no adapter for it")
    }


def test_markdown(monkeypatch):
    monkeypatch.setattr(_support_table, "ROWS", {"One": {"`run`": heads_changed, "`capture`": heads_changed}})
    no = Cell("no", "a norm is in the way")
    cells = {"`run`": Cell("fast"), "`capture`": Cell("yes")}
    table = {"gpt2": {"folded": cells, "raw": cells | {"`capture`": no}}, "opt": dict.fromkeys(PROCESSINGS, dict.fromkeys(cells, no))}
    lines = markdown(table).splitlines()
    assert "|  | GPT-2 | OPT |" in lines
    assert "| `run` | fast | no [1] |" in lines
    assert "| `capture` | yes / no [1] | no [1] |" in lines
    assert lines[-1] == "1. a norm is in the way"


def test_command(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(_support_table, "ROWS", {"One": {"`run`": heads_changed}})
    monkeypatch.setattr(_support_table, "columns", lambda: {"gpt2": LAYOUTS["gpt2"]})
    monkeypatch.setattr(_support_table, "support_table", lambda **_: {"gpt2": {key: {"`run`": Cell("fast")} for key in PROCESSINGS}})
    assert cli.main(["support", "-o", str(tmp_path / "support.md")]) == 0
    assert capsys.readouterr().out == (tmp_path / "support.md").read_text(encoding="utf-8")
    monkeypatch.setattr(
        _support_table, "support_table", lambda **_: {"gpt2": {key: {"`run`": Cell("bug", "TypeError: x")} for key in PROCESSINGS}}
    )
    assert cli.main(["support"]) == 1
    assert "mechcheck: `run` on GPT-2, raw: TypeError: x" in capsys.readouterr().err
