"""A rehearsal of the claims about published models: they collect, run and are refuted on random weights of GPT-2's shape."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mechcheck._paths import data_dir

VOCABULARY, LAYERS, HEADS, WIDTH = 50257, 12, 12, 48


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory) -> Path:
    """A directory called gpt2: as many layers, heads and tokens as GPT-2 small has, narrow and random."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("rehearsal") / "gpt2"
    known = json.loads((data_dir("fixtures") / "models" / "names-gpt2-seed4" / "tokenizer.json").read_text())["model"]["vocab"]
    words = {**known, **{f"filler{number}": number for number in range(len(known), VOCABULARY)}}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<bos>", pad_token="<pad>", unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(0)
    GPT2LMHeadModel(GPT2Config(n_layer=LAYERS, n_head=HEADS, n_embd=WIDTH, vocab_size=VOCABULARY, n_positions=64)).save_pretrained(folder)
    return folder


def pytest_run(model: str, report: Path, *claims: str) -> subprocess.CompletedProcess:
    folders = [str(data_dir("claims") / name) for name in claims]
    command = [sys.executable, "-m", "pytest", *folders, "-q", "-p", "no:randomly", "-p", "no:cacheprovider", "--mech-profile", "smoke"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    command += ["--mech-model", model, "--mech-report", str(report)]
    return subprocess.run(command, cwd=report.parent, env=environment, capture_output=True, text=True, timeout=900)


def test_published_claims_run_and_are_refuted_on_random_weights(gpt2, tmp_path):
    done = pytest_run(str(gpt2), tmp_path / "report", "ioi", "induction")
    assert done.returncode == 1, done.stdout[-3000:] + done.stderr
    claims = json.loads((tmp_path / "report" / "evidence.json").read_text())["claims"]
    verdicts = {claim["id"]: claim["verdict"] for claim in claims}
    assert {claim["model"]["name"] for claim in claims if claim["model"]} == {"gpt2"}
    assert "errored" not in verdicts.values(), {claim["id"]: claim["reason"] for claim in claims if claim["verdict"] == "errored"}
    assert not [name for name, verdict in verdicts.items() if verdict in ("supported", "vacuous")]
    ran = [name for name, verdict in verdicts.items() if verdict in ("refuted", "inconclusive")]
    assert len([name for name in ran if name.startswith("ioi/")]) >= 10
    assert len([name for name in ran if name.startswith("induction/")]) >= 4


def test_a_circuit_of_another_shape_is_refused(tmp_path):
    """The circuit of a model called gpt2 is not looked for in a model of another shape that bears its name."""
    other = tmp_path / "gpt2"
    other.symlink_to(data_dir("fixtures") / "models" / "names-gpt2-seed4", target_is_directory=True)
    renamed = tmp_path / "copy" / "gpt2"
    renamed.mkdir(parents=True)
    for file in other.iterdir():
        (renamed / file.name).symlink_to(file.resolve())
    done = pytest_run(str(renamed), tmp_path / "report", "ioi")
    assert done.returncode == 1
    assert "published for a model of 12 layers with 12 heads; gpt2 has 2 with 4" in done.stdout


def test_a_model_that_is_not_there_says_what_to_do(tmp_path):
    done = pytest_run("gpt2", tmp_path / "report", "ioi")
    assert done.returncode == 1
    assert "mechcheck prefetch gpt2" in done.stdout
