"""What models are called."""

from mechcheck.models.names import model_name, place_of


def test_names(tmp_path, monkeypatch):
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert [model_name(given) for given in ("mine", "./mine", str(tmp_path / "mine"), "gpt2", "lab/names@0af3", "lab/mine")] == [
        "mine", "mine", "mine", "gpt2", "lab/names", "lab/mine",
    ]  # fmt: skip


def test_a_directory_stands_for_the_model_that_is_called_so(tmp_path):
    given = [str(tmp_path / name) for name in ("gpt2", "pythia-410m")]
    for path in given:
        (tmp_path / path).mkdir()
    assert place_of("EleutherAI/pythia-410m", given) == given[1]
    assert place_of("gpt2", given) == given[0]
    assert place_of("gpt2", ["gpt2@607a30d"]) == "gpt2@607a30d"
    assert place_of("gpt2-large", given) == "gpt2-large"
