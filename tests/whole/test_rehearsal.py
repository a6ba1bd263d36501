"""A rehearsal of the claims about published models: they collect, run and are refuted on random weights.

The directories have the names of GPT-2 small and of Pythia, GPT-2's layers, heads and vocabulary size, and a tokenizer that splits
words and years as real ones do.
"""

import json
import shlex
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from task_words import words
from year_tokenizer import year_tokenizer

from mechcheck.base.paths import data_dir

GPT2_SMALL = {"vocab_size": 50257, "n_layer": 12, "n_head": 12}
SMALLER = {"vocab_size": 2048, "n_layer": 4, "n_head": 4}  # where many forward passes are needed
# Words of the language that GPT-2's tokenizer splits, or Pythia's.
SPLIT = {"gpt2": ("Ella", "Irene", "Olga", "kite"), "pythia-410m": ("Ella", "Fiona", "Nora", "Olga", "Zack", "kite")}
# Claims that something is small come out otherwise, as with random weights everything is small: where that is claimed the decoys
# do not differ, and where it is expected to be refuted it is not.
NO_EFFECT = {
    **{f"test_leaves_the_end_of_other_sentences_alone[{name}-ioi]": "vacuous" for name in SPLIT},
    **{f"ioi/test_leaves_other_text_alone[{name}-1.0]": "supported" for name in SPLIT},
}
# A linear map between two random streams carries the mean of a name's prompts as well as one between trained ones may; the claim's
# decoys with re-initialised weights tell.
MAY_BE_VACUOUS = "ioi/test_mapped_directions_point_as_its_own"


def keep(folder: Path, model) -> None:
    model.save_pretrained(folder)
    known = sorted(words() - {*SPLIT[folder.name]})
    year_tokenizer(known, whole_years=(1744, *range(1100, 1190)), size=model.config.vocab_size).save_pretrained(folder)


def made(folder: Path, shape: dict[str, int]) -> list[str]:
    """Options for directories called gpt2, of this shape but narrow, and pythia-410m, of Pythia's layout."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, GPTNeoXConfig, GPTNeoXForCausalLM

    torch.manual_seed(0)
    gpt2 = GPT2Config(**shape, n_embd=24, n_positions=64)
    keep(folder / "gpt2", GPT2LMHeadModel(gpt2))
    pythia = GPTNeoXConfig(
        num_hidden_layers=4, num_attention_heads=4, hidden_size=32, intermediate_size=64, vocab_size=2048, max_position_embeddings=64
    )
    keep(folder / "pythia-410m", GPTNeoXForCausalLM(pythia))
    return [f"--mech-model={folder / name}" for name in SPLIT]


@pytest.fixture(scope="module")
def circuits(tmp_path_factory) -> Path:
    """Circuits as a search would leave them, with any sites."""
    folder = tmp_path_factory.mktemp("circuits")
    found = {
        "ioi": 'name_mover = "2.1@END 3.2@END"\ns_inhibition = "0.1@END 1.3@END"',
        "induction": 'previous_token = "0.2@NEXT"\ninduction = "1.1@END 2.2@END"',
        "greater_than": 'year_head = "1.0@END 2.3@END"\ncomparing_mlp = { mlps = "2-3@END" }',
    }
    for task, roles in found.items():
        (folder / task).mkdir()
        text = f'source = "chosen for a rehearsal"\nmodel = "pythia-410m"\nshape = [4, 4]\n\n[roles]\n{roles}\n'
        if task == "ioi":
            text += '\n[absent.backup_name_mover]\ncriterion = "none was looked for"\nwhy = "this is a rehearsal"\n'
        (folder / task / "pythia-410m.toml").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture
def run(shell, tmp_path):
    """run(argument, ...): pytest in an empty folder, as a user would start it."""
    return lambda *arguments: shell.run(shlex.join(["pytest", *arguments, "-q", "--mech-profile=smoke", "--mech-report=report"]), tmp_path)


def verdicts(done: subprocess.CompletedProcess, report: Path) -> dict[str, str]:
    """Claim -> verdict, of those that ran."""
    assert done.returncode == 1, done.stdout[-3000:]
    claims = json.loads((report / "evidence.json").read_text())["claims"]
    assert not {claim["id"]: claim["reason"] for claim in claims if claim["verdict"] == "errored"}
    assert {claim["model"]["name"] for claim in claims if claim["model"]} == {*SPLIT}
    skipped = {claim["reason"].removeprefix("[method=zero] ") for claim in claims if claim["verdict"] == "skipped"}  # a grid's first cell
    known = ("this claim is about names-", "the circuit has no backup_name_mover: this is a rehearsal")
    assert all("'gendered_pronoun'" in reason or reason.startswith(known) for reason in skipped), skipped
    return {claim["id"]: claim["verdict"] for claim in claims if claim["verdict"] != "skipped"}


def folders(*names: str) -> list[str]:
    return [str(data_dir("claims") / name) for name in names]


def test_published_claims_run_and_are_refuted_on_random_weights(circuits, run, tmp_path):
    """GPT-2's circuits are the published ones, Pythia's come from a folder."""
    options = [*made(tmp_path, GPT2_SMALL), f"--mech-circuits={circuits}"]
    done = run(*folders("ioi", "induction", "greater_than"), *options)
    found = verdicts(done, tmp_path / "report")
    assert {*found.values()} <= {"refuted", "inconclusive", "not_applicable"}
    ran = Counter((claim.partition("/")[0], claim.partition("[")[2].removesuffix("]").partition("-")[0]) for claim in found)
    assert min(ran["ioi", name] for name in ("gpt2", "pythia")) >= 15  # several methods of a claim are one claim
    assert min(ran["induction", name] for name in ("gpt2", "pythia")) >= 6
    assert {ran["greater_than", name] for name in ("gpt2", "pythia")} == {7}


def test_steering_and_cross_model_claims_on_random_weights(circuits, run, tmp_path):
    """Each model's partner is the other directory; the claims across models are run towards GPT-2, which is a small one here."""
    (tmp_path / "circuits" / "ioi").mkdir(parents=True)
    for name in SPLIT:
        shutil.copy(circuits / "ioi" / "pythia-410m.toml", tmp_path / "circuits" / "ioi" / f"{name}.toml")
    options = [*made(tmp_path, SMALLER), f"--mech-circuits={tmp_path / 'circuits'}", "-k", "gpt2 or not cross_model"]
    done = run(*folders("steering", "cross_model"), *options)
    found = verdicts(done, tmp_path / "report")
    assert {claim: found.pop(claim) for claim in NO_EFFECT} == NO_EFFECT
    assert {verdict for claim, verdict in found.items() if not claim.startswith(MAY_BE_VACUOUS)} <= {"refuted", "inconclusive"}
    assert "supported" not in found.values()
    across = [claim for claim in found if "mapped" in claim or "vocabulary" in claim or "counterparts" in claim]
    assert len(across) >= 9
    assert len([claim for claim in found if "steer" in claim or "names" in claim or "pronoun" in claim or "linear" in claim]) >= 8


def test_a_partner_that_is_not_there_says_what_to_do(run, tmp_path):
    model, _ = made(tmp_path, SMALLER)
    done = run(*folders("cross_model"), model)
    assert done.returncode == 10, done.stdout[-3000:]  # nothing was measured
    assert "gpt2 is compared with EleutherAI/pythia-410m, which is not on this machine" in done.stdout
    assert "mechcheck prefetch EleutherAI/pythia-410m" in done.stdout


def test_a_circuit_of_another_shape_is_refused(run, tmp_path):
    """The circuit of a model called gpt2 is not looked for in a model of another shape that bears its name."""
    other = data_dir("fixtures") / "models" / "names-gpt2-seed4"
    renamed = tmp_path / "gpt2"
    renamed.mkdir()
    for file in other.iterdir():
        shutil.copy(file, renamed)
    done = run(*folders("ioi"), f"--mech-model={renamed}")
    assert done.returncode == 1
    assert "published for a model of 12 layers with 12 heads; gpt2 has 2 with 4" in done.stdout


def test_a_model_that_is_not_there_says_what_to_do(run, tmp_path):
    done = run(*folders("ioi"), "--mech-model=gpt2")
    assert done.returncode == 1
    assert "mechcheck prefetch gpt2" in done.stdout
