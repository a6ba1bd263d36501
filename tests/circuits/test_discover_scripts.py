"""Searches by name and by file, run on a model and recorded."""

import pytest

from mechcheck.base.errors import MechcheckError
from mechcheck.base.paths import data_dir
from mechcheck.circuits.discover_scripts import load_search, record, searches
from mechcheck.circuits.files import load_circuit
from mechcheck.circuits.roles import Found, Role
from mechcheck.cli import main
from mechcheck.models.loading import load_model, provenance
from mechcheck.notation.sites import heads
from mechcheck.tasks.ioi import ioi_prompts

MODEL = "names-gpt2-seed1"
OWN = """
from mechcheck import Found, Role, heads, ioi_prompts

def find(model):
    role = Role(heads("0.1"), "the second head", True, "")
    return Found({"mover": role}, ioi_prompts(model, n=8, seed=0, split="discover"), {"layer": 1})
"""


@pytest.mark.parametrize("path", sorted(data_dir("claims").rglob(f"circuits/{MODEL}.toml")), ids=lambda path: path.parents[1].name)
def test_the_shipped_circuits_are_found_again(path, tmp_path):
    """The whole file, but for the date."""
    name = path.parents[1].relative_to(data_dir("claims")).as_posix()
    written, _ = record(load_search(name), load_model(MODEL), tmp_path)
    assert written == tmp_path / name / f"{MODEL}.toml"
    now, shipped = (
        [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("date")] for file in (written, path)
    )
    assert now == shipped


def test_every_folder_with_found_circuits_has_its_search():
    every = data_dir("claims").rglob("circuits/*.toml")
    found = {
        path.parents[1].relative_to(data_dir("claims")).as_posix() for path in every if "[found_on]" in path.read_text(encoding="utf-8")
    }
    assert set(searches()) == found, "those of papers alone were not searched for here"


def test_a_search_of_ones_own(tmp_path, capsys):
    script = tmp_path / "movers" / "discover.py"
    script.parent.mkdir()
    script.write_text(OWN)
    assert main(["discover", str(script), MODEL, "-o", str(tmp_path / "found")]) == 0
    path = tmp_path / "found" / "movers" / f"{MODEL}.toml"
    shown = capsys.readouterr().out.splitlines()
    assert shown[:2] == [str(path), "  mover: 0.1 (met: the second head)"]
    circuit = load_circuit(path)
    assert (str(circuit["mover"]), circuit.notes["found"]) == ("0.1", {"layer": 1})
    assert circuit.weights_sha256 == provenance(load_model(MODEL)).weights_sha256


def test_a_search_that_is_told_something_and_finds_nobody(tmp_path, capsys):
    script = tmp_path / "movers" / "discover.py"
    script.parent.mkdir()
    text = (
        OWN.replace("Found, Role", "Absent, Found, Role")
        .replace("find(model)", "find(model, *, n=8, why='none')")
        .replace("n=8, s", "n=n, s")
    )
    script.write_text(text.replace('{"mover": role}', '{"mover": role, "backup": Absent("strong", why)}'))
    assert main(["discover", str(script), MODEL, "-o", str(tmp_path), "--set", "n=12", "--set", "why=all are weak"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == ["  backup: NONE (strong)", "    all are weak"]
    circuit = load_circuit(tmp_path / "movers" / f"{MODEL}.toml")
    assert (circuit.notes["found_on"]["prompts"], circuit.absent) == (12, {"backup": "all are weak (criterion: strong)"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"discover.py in movers/ has no function find\(model\) that returns a mechcheck.Found"),
        ("def find(model): return {}", r"must return a mechcheck.Found, not dict"),
    ],
)
def test_files_that_are_no_search(text, message, tmp_path):
    script = tmp_path / "movers" / "discover.py"
    script.parent.mkdir()
    script.write_text(text)
    with pytest.raises(MechcheckError, match=message):
        record(load_search(str(script)), load_model(MODEL), tmp_path)


def test_unknown_searches(capsys):
    assert main(["discover", "iio", MODEL]) == 2
    assert f"no search is called 'iio'; choose from {', '.join(searches())}, or give the path" in capsys.readouterr().err
    assert main(["discover", "nowhere/discover.py", MODEL]) == 2
    assert "there is no file nowhere/discover.py" in capsys.readouterr().err


def test_found_has_no_facts_by_default():
    assert Found({}, None).facts == {}


def test_ioi_needs_a_layer_below_the_name_movers():
    """Name movers in the first layer leave none for S-inhibition heads: a clear error, and no crash."""
    find_s_inhibition = load_search("ioi").find.__globals__["find_s_inhibition"]
    model = load_model(MODEL)
    with pytest.raises(MechcheckError, match="no head is left to choose from by 'END->S2'"):
        find_s_inhibition(model, ioi_prompts(model, n=8, seed=0, split="discover"), Role(heads("0.0@END"), "", True, ""))
