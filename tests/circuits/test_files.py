"""Circuit files: reading them, and what is wrong with the ones that are refused."""

from pathlib import Path

import pytest

from mechcheck.base.errors import CircuitError, SiteError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.files import check_circuit, circuit_file, circuit_folders, circuit_path, load_circuit, models_with_circuit
from mechcheck.models.loading import provenance
from mechcheck.notation.circuit import Circuit
from mechcheck.notation.sites import heads, mlps

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
    with pytest.raises(CircuitError, match="no role 's_inhibition'; its roles are induction"):
        Circuit({"induction": heads("1.0")})["s_inhibition"]


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
