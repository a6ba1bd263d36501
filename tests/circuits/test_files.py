"""Circuit files: reading them, what is wrong with the ones that are refused, and writing them."""

import tomllib
from pathlib import Path

import pytest
from tiny import random_prompts

from mechcheck.base.errors import AbsentRoleError, CircuitError, SiteError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.files import check_circuit, load_circuit, write_circuit
from mechcheck.circuits.recorded import circuit_file, circuit_folders, circuit_path, models_with_circuit
from mechcheck.circuits.roles import Absent, Role
from mechcheck.models.loading import provenance
from mechcheck.notation.circuit import Circuit, Criterion, traced
from mechcheck.notation.sites import attn_outs, heads, mlps, neurons, resid, resid_post

GOOD = """
source = "Wang et al. 2022"
weights_sha256 = "00"
method = "by hand"
[roles]
name_mover = "1.0 1.2@END"
early = {mlps = "0", found = "largest effect"}
"""


@pytest.fixture
def written(tmp_path: Path):
    def write(text: str) -> Path:
        path = tmp_path / "tiny.toml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_reading(written):
    circuit = load_circuit(written(GOOD))
    assert load_circuit(str(written(GOOD))) == circuit
    assert dict(circuit) == {"name_mover": heads("1.0 1.2@END"), "early": mlps("0")}
    assert circuit.sites == heads("1.0 1.2@END") | mlps("0")
    assert (circuit.source, circuit.weights_sha256, circuit.notes) == ("Wang et al. 2022", "00", {"method": "by hand"})


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (("source = ", "sauce = "), r"tiny\.toml lacks 'source'; a circuit file has source, weights_sha256 and \[roles\]"),
        (("[roles]", "[parts]"), r"tiny\.toml lacks 'roles'"),
        (('"00"', '"00'), r"tiny\.toml cannot be read: .*line 3"),
        (("1.0 1.2@END", "1.0 12"), r"tiny\.toml cannot be read: cannot read '12' as sites of kind head"),
        (('{mlps = "0"', '{mpls = "0"'), r"role 'early' needs text, or a table with one of heads, queries, keys"),
        (('{mlps = "0"', '{mlps = "0", heads = "0.0"'), "role 'early' needs text"),
        (('"1.0 1.2@END"', "3"), "role 'name_mover' needs text"),
    ],
)
def test_broken_files(written, broken, message):
    assert broken[0] in GOOD
    with pytest.raises(CircuitError, match=message):
        load_circuit(written(GOOD.replace(*broken)))


def test_a_role_it_does_not_have():
    with pytest.raises(CircuitError, match=r"no role 's_inhibition'; its roles are induction$"):
        Circuit({"induction": heads("1.0")})["s_inhibition"]
    with pytest.raises(CircuitError, match=r"no role 'inductoin'; its roles are a, induction; did you mean 'induction'\?$"):
        Circuit({"induction": heads("1.0"), "a": heads("0.0")})["inductoin"]


def test_criteria_are_read(written):
    """A circuit says whether all that its roles state is met, and which is not; a published one states none."""
    assert load_circuit(written(GOOD)).met is None
    stated = "met = {}\ncriterion = 'x above 1'\nmeasured = '1.0: x {}'\n"
    path = written(GOOD + "[roles.one]\nheads = '1.0'\n" + stated.format("true", 2))
    found = load_circuit(path)
    assert (found.met, found.unmet) == (True, {})
    assert found.criteria == {"one": Criterion("x above 1", True, "1.0: x 2")}
    path.write_text(path.read_text() + "[roles.two]\nheads = '0.1'\n" + stated.format("false", 0.5))
    found = traced(load_circuit(path))
    assert (found.met, found.unmet) == (False, {"two": Criterion("x above 1", False, "1.0: x 0.5")})
    assert "criteria" not in found.roles


def test_other_weights(tiny, written):
    model = tiny("gpt2")
    with pytest.raises(CircuitError, match=r"recorded for other weights than gpt2 has now \(recorded 00, loaded [0-9a-f]{12}\)"):
        check_circuit(load_circuit(written(GOOD)), model)
    fitting = written(GOOD.replace('"00"', f'"{provenance(model).weights_sha256}"'))
    check_circuit(load_circuit(fitting), model)
    with pytest.raises(SiteError, match="the model has layers 0-1"):
        check_circuit(Circuit({"late": heads("2.0")}), model)


def test_a_circuit_beside_the_claim_is_found(tmp_path):
    (tmp_path / "circuits").mkdir()
    path = tmp_path / "circuits" / "someone--model.toml"
    path.write_text(GOOD, encoding="utf-8")
    assert circuit_path("no such task", "someone/model", near=tmp_path) == path
    assert models_with_circuit("no such task", near=tmp_path) == ("someone/model",)
    assert circuit_path("no such task", "someone/else", near=tmp_path) is None


def test_where_circuits_are_looked_for(tmp_path):
    """For a shipped claim first what was found for its own folder; beside a user's claim before what was found for the task."""
    shipped, given, mine = data_dir("claims"), tmp_path / "found", tmp_path / "mine"
    assert circuit_folders("ioi", shipped / "studies" / "ioi", given) == [
        given / "studies" / "ioi",
        shipped / "studies" / "ioi" / "circuits",
        given / "ioi",
        shipped / "ioi" / "circuits",
    ]
    assert circuit_folders("ioi", shipped / "ioi", given) == [given / "ioi", shipped / "ioi" / "circuits"]
    assert circuit_folders("ioi", mine, given) == [mine / "circuits", given / "ioi", shipped / "ioi" / "circuits"]
    assert circuit_folders("ioi", mine) == [mine / "circuits", shipped / "ioi" / "circuits"]


def test_a_directory_called_as_the_last_part_of_a_hub_id(tmp_path):
    (tmp_path / "ioi").mkdir()
    path = tmp_path / "ioi" / circuit_file("someone/model")
    path.write_text(GOOD, encoding="utf-8")
    for name, found in (("someone/model", path), ("model", path), ("another/model", None), ("other-model", None)):
        assert circuit_path("ioi", name, given=tmp_path) == found, name
    own = tmp_path / "ioi" / circuit_file("model")
    own.write_text(GOOD, encoding="utf-8")
    assert circuit_path("ioi", "model", given=tmp_path) == own


@pytest.mark.parametrize("sites", [heads("0.1@END 1.2"), mlps("0-1"), resid("1@B"), resid_post("0@B"), neurons("0.3"), attn_outs("1@A")])
def test_files_read_back(tiny, tmp_path, sites):
    model, prompts = tiny("gpt2"), random_prompts(0, [6, 6])
    roles = {
        "found": Role(sites, 'quotes " and \\ and\nlines', True, "1.2: été ✓"),
        "candidate": Role(heads("1.0"), "strong", False, "none"),
    }
    path = tmp_path / "circuits" / "tiny.toml"
    write_circuit(path, model, roles, method="a search", prompts=prompts, split="discover", found={"layer": 1, "share": 0.25})
    circuit = load_circuit(path)
    assert dict(circuit) == {"found": sites, "candidate": heads("1.0")}
    assert circuit.unmet == {"candidate": Criterion("strong", False, "none")}
    assert circuit.criteria["found"] == Criterion('quotes " and \\ and\nlines', True, "1.2: été ✓")
    assert (circuit.source, circuit.weights_sha256) == ("a search", provenance(model).weights_sha256)
    assert circuit.notes["found"] == {"layer": 1, "share": 0.25}
    known = circuit.notes["found_on"]
    assert known.pop("ids").split() == [name[:8] for name in prompts.ids]
    assert known == {"split": "discover", "prompts": 2, "prompts_sha256": prompts.sha256}
    assert circuit.notes["processing"] == "folded"
    check_circuit(circuit, model)


def test_a_role_that_nothing_fills(tiny, tmp_path):
    path = tmp_path / "tiny.toml"
    roles = {"mover": Role(heads("1.0"), "strong", True, ""), "backup": Absent('wakes "at once"', "nobody does")}
    options = {"lengths": [4, 6]}
    write_circuit(path, tiny("gpt2"), roles, method="x", prompts=random_prompts(0, [6, 6]), split="discover", options=options)
    for circuit in (load_circuit(path), traced(load_circuit(path))):
        assert list(circuit) == ["mover"]
        assert circuit.criteria.keys() == {"mover"}
        assert circuit.notes["found_on"]["options"] == options
        with pytest.raises(AbsentRoleError, match=r'the circuit has no backup: nobody does \(criterion: wakes "at once"\)'):
            circuit["backup"]
        with pytest.raises(CircuitError, match="the circuit has no role 'backups'; its roles are mover"):
            circuit["backups"]


def test_the_reasons_are_in_the_file(tiny, tmp_path):
    path = tmp_path / "tiny.toml"
    role = Role(heads("1.0"), 'quotes " and \\ and\nlines', False, "1.0: été ✓")
    write_circuit(path, tiny("gpt2"), {"movers": role}, method="by hand", prompts=random_prompts(0, [6, 6]), split="discover")
    written = tomllib.loads(path.read_text(encoding="utf-8"))["roles"]["movers"]
    assert written == {"heads": "1.0", "met": False, "criterion": role.criterion, "measured": role.measured}
