"""Claims of other measures than the logit difference, and of circuits: the file measures what the page measures."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

import mechcheck as m
from mechcheck.circuits.recorded import circuit_path
from mechcheck.explorer.measures import MEASURES
from mechcheck.explorer.proving import Prover

CLAIMS = Path(__file__).parents[2] / "claims"
FILES = {
    "edges": CLAIMS / "ioi" / "circuits" / "names-gpt2-seed4.toml",
    "roles": CLAIMS / "studies" / "ioi" / "circuits" / "names-gpt2-seed4.toml",
}


class Taken:
    """What a claim's body expects: a check that notes values in place of judging them."""

    def __init__(self):
        self.found = []

    def __getattr__(self, name):
        return lambda *given, **named: self.found.append((name, given, named))


def body_of(made: dict, folder: Path):
    """The test of a file that was exported, with what stands beside it."""
    for name, text in made["beside"].items():
        (folder / name).write_text(text)
    names = {"__file__": str(folder / "test_flips.py")}
    exec(compile(made["source"], "test_flips.py", "exec"), names)
    return names["test_flips"], names


def taken(bench, made: dict, circuit: m.Circuit, asked: dict, folder: Path) -> list:
    """What the file expects of the page's own prompt."""
    test, _ = body_of(made, folder)
    prepared, check = bench.prepared(asked), Taken()
    test(bench.model, replace(prepared.prompts, reference=prepared.references), circuit, check)
    return check.found


@pytest.mark.parametrize("name", sorted(set(MEASURES) - {"faithful"}))
@pytest.mark.parametrize("given", [{}, {"heads": "0.1 1.0", "do": "zero"}], ids=["role patched", "heads ablated"])
def test_the_file_measures_what_the_page_measures(bench, wanted, name, given, tmp_path):
    asked = wanted | given | {"measure": name, "threshold": "0.5"}
    made = bench.claim(asked)
    assert made["problems"] == []
    recorded = m.load_circuit(circuit_path("ioi", bench.name))
    circuit = recorded if not given else m.Circuit({"chosen": m.heads("0.1 1.0")})
    ((kind, (values, *_), named),) = taken(bench, made, circuit, asked, tmp_path)
    assert float(values.values[0]) == pytest.approx(made["here"], abs=1e-6, rel=1e-6)
    shares = {"correct", "foil_preferred"}
    assert (kind, named) == (("rate", {"below": 0.5}) if name in shares else ("below", {}))
    # It is what the public metric says, and what the page shows where it shows that.
    prompts = bench.prepared(asked).prompts
    done = m.Patch(m.heads("0.3@END")) if not given else m.Ablate(m.heads("0.1 1.0"), "zero")
    metric = m.logit_diff if name in ("logit_diff", "foil_preferred") else getattr(m, name)
    expected = float(m.run(bench.model, prompts, done, metric).values[0])
    assert made["here"] == pytest.approx(float(expected < 0) if name == "foil_preferred" else expected, abs=1e-6, rel=1e-6)
    shown = {one["name"]: one["values"][1] for one in bench.predict(asked)["numbers"]}
    if metric.name in shown:
        shown_there = float(shown[metric.name] < 0) if name == "foil_preferred" else shown[metric.name]
        assert made["here"] == pytest.approx(shown_there, abs=1e-6, rel=1e-6)


@pytest.mark.parametrize(
    ("measure", "expects", "necessity"),
    [
        ("logit_diff", "below", True), ("logit_diff", "above", False), ("kl_divergence", "above", True), ("kl_divergence", "below", False),
        ("rank", "above", True), ("foil_preferred", "above", True), ("correct", "below", True), ("probability", "above", False),
    ],
)  # fmt: skip
def test_only_harm_shows_that_something_was_needed(bench, wanted, measure, expects, necessity):
    made = bench.claim(wanted | {"measure": measure, "expects": expects, "threshold": "0.5"})["source"]
    assert ('kind="necessity"' in made) == necessity


@pytest.mark.parametrize("file", FILES)
def test_a_circuit_is_claimed_to_be_faithful(bench, wanted, file, tmp_path):
    text = FILES[file].read_text()
    asked = wanted | {"measure": "faithful", "threshold": "0.2", "circuit": text, "heads": "", "do": "none"}
    made = bench.claim(asked)
    assert made["problems"] == []
    assert made["beside"] == {"test_flips.toml": text}
    circuit = m.load_circuit(FILES[file])
    ((kind, (parts, _), named),) = taken(bench, made, circuit, asked, tmp_path)
    assert (kind, named) == ("faithful", {"margin": 0.2, "instead": "counterfactual"})
    assert set(parts) == set(circuit.edges or circuit.sites)
    found = m.faithfulness(bench.model, bench.prepared(asked).prompts, parts)
    assert made["here"] == pytest.approx(found.mean, abs=1e-6, rel=1e-6)
    assert 0.8 < made["here"] < 1.2


def test_a_role_of_a_circuit_s_file_is_read_from_it(bench, wanted, tmp_path):
    asked = wanted | {"heads": "1.0 1.1 1.2 1.3", "do": "zero", "circuit": FILES["roles"].read_text()}
    made = bench.claim(asked)
    _, names = body_of(made, tmp_path)
    assert names["ROLE"] == "redundant"
    ((_, (values, *_), _),) = taken(bench, made, m.load_circuit(names["CIRCUIT"]), asked, tmp_path)
    assert float(values.values[0]) == pytest.approx(made["here"], abs=1e-6, rel=1e-6)
    # Heads that are no role of it are named in the claim itself, which then needs no file.
    assert bench.claim(asked | {"heads": "1.0"})["beside"] == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("source = ", "cannot be read"),
        ("x = 1", "lacks"),
        ('source = "s"\nweights_sha256 = "00"\n[roles]\nr = "0.1"', "recorded for other weights"),
        ('source = "s"\nshape = [2, 4]\n[roles]\nr = "9.9"', "9.9"),
    ],
)
def test_what_is_no_circuit_of_this_model_is_told(bench, wanted, text, told):
    (problem,) = bench.claim(wanted | {"measure": "faithful", "threshold": "0.2", "circuit": text})["problems"]
    assert problem["where"] == "circuit"
    assert told in problem["said"]


def test_another_circuit_after_a_look_is_measured_on_other_prompts(bench, wanted):
    asked = wanted | {"measure": "faithful", "threshold": "0.2", "circuit": FILES["edges"].read_text()}
    first = bench.claim(asked)
    bench.measured[first["fresh"]] = first["source"]
    try:
        assert bench.claim(asked)["fresh"] == first["fresh"]
        assert bench.claim(asked | {"circuit": FILES["roles"].read_text()})["fresh"] == first["fresh"] + 1
    finally:
        bench.measured.clear()


def test_a_circuit_goes_from_the_page_through_pytest_to_a_verdict(saving, wanted):
    """A run of pytest: its imports alone take seconds."""
    own, folder, _ = saving
    text = FILES["edges"].read_text()
    asked = wanted | {"measure": "faithful", "threshold": "0.2", "circuit": text, "heads": "", "do": "none"}
    saved = own.ask("save", asked | {"replace": False}).json
    assert saved["problems"] == []
    assert sorted(one.name for one in folder.iterdir()) == ["test_flips.py", "test_flips.toml"]
    assert (folder / "test_flips.toml").read_text() == text
    (folder / "test_flips.toml").write_text("mine")
    for given, told in (({}, "test_flips.toml"), ({"threshold": "0.3"}, "test_flips.py")):
        (problem,) = own.ask("save", asked | given | {"replace": False}).json["problems"]
        assert problem["said"].startswith(f"{told} is there already")
    assert (folder / "test_flips.toml").read_text() == "mine"
    assert "THRESHOLD = 0.2" in (folder / "test_flips.py").read_text()

    async def never():
        return False

    made = own.ask("claim", asked).json
    found = asyncio.run(Prover("names-gpt2-seed4", "cpu").prove("test_flips.py", made["source"], never, made["beside"]))
    assert (found["verdict"], found["prompts"]) == ("supported", 240)
    assert found["checks"][0]["estimate"].startswith("+0.920 [")
    assert found["decoys"] == "5 of 5 rejected (random edges of the same kinds, and as many)"
