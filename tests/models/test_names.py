"""What models are called."""

from mechcheck.models.names import model_name, place_of, unlike_any


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


def test_names_that_no_model_can_have(tmp_path, monkeypatch):
    """Ids of the hub may be anything, but for what is nearly the name of an embedded model."""
    embedded = ("names-gpt2-seed4", "compiled-ioi")
    (tmp_path / "my-model").mkdir()
    monkeypatch.chdir(tmp_path)
    fine = ("names-gpt2-seed4", "gpt2", "gpt2-medium", "lab/names-gpt2-seed5", "lab/x@0af3", "my-model", "./my-model", "bert-base-cased")
    assert [unlike_any(name, embedded) for name in fine] == [None] * len(fine)
    assert unlike_any("names-gpt2-seed5", embedded) == "unknown model 'names-gpt2-seed5'; did you mean 'names-gpt2-seed4'?"
    assert unlike_any("compiled_ioi@1", embedded) == "unknown model 'compiled_ioi@1'; did you mean 'compiled-ioi'?"
    assert unlike_any("./my-modle", embedded) == "there is no directory ./my-modle; did you mean my-model?"
    assert unlike_any("a/b/c", embedded) == "there is no directory a/b/c"
