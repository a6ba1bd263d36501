"""Checkpoints of a recipe: models as any other, and training goes on as if nobody had looked."""

import json
import sys

import pytest
import torch
import train_gpt2
import training

from mechcheck.models.loading import load_model

STEPS = 4


@pytest.fixture
def trained(tmp_path, monkeypatch, torch_settings):
    """trained(options): the recipe's command line, on a few steps."""

    def run(*options: str):
        monkeypatch.setattr(sys, "argv", ["train_gpt2.py", "--seed=3", f"--steps={STEPS}", f"--out={tmp_path / 'model'}", *options])
        training.run(train_gpt2.RECIPE, "")
        return tmp_path

    return run


def test_checkpoints_change_nothing_of_the_training(trained, tmp_path):
    folder = trained("--checkpoints=1,3")
    assert sorted(path.name for path in folder.iterdir()) == ["model", "model-step1", "model-step3"]
    model, _ = training.train(train_gpt2.RECIPE, seed=3, steps=STEPS)
    last = load_model(folder / "model", processing="raw")
    assert torch.equal(last.unembed.W_U.T, model.lm_head.weight)
    hashes = {training.weights_hash(path) for path in folder.iterdir()}
    assert len(hashes) == 3


def test_a_checkpoint_is_a_model_with_its_record(trained):
    folder = trained("--checkpoints=2")
    assert load_model(folder / "model-step2").cfg.n_layers == 2
    record = json.loads((folder / "model-step2" / training.RECORD).read_text(encoding="utf-8"))
    assert (record["steps"], record["seed"]) == (2, 3)
    assert 0 < record["tokens"] < json.loads((folder / "model" / training.RECORD).read_text(encoding="utf-8"))["tokens"]


@pytest.mark.parametrize(("given", "words"), [("9", "training takes 4 steps"), ("0", "training takes 4 steps"), ("a", "invalid")])
def test_steps_that_are_none(trained, capsys, given, words):
    with pytest.raises(SystemExit):
        trained(f"--checkpoints={given}")
    assert words in capsys.readouterr().err


def test_what_is_there_is_not_overwritten(trained, tmp_path, capsys):
    (tmp_path / "model-step2").mkdir()
    with pytest.raises(SystemExit):
        trained("--checkpoints=2")
    assert "model-step2 exists" in capsys.readouterr().err
