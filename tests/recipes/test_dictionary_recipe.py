"""The dictionary that comes with mechcheck: repeatable, small, of this model, and what is known of it is true."""

import hashlib
import json

import pytest
import torch
import train_dictionary

from mechcheck import keep_dictionary, load_dictionary, load_model, provenance, task_prompts

SHIPPED = sorted(path.parent for path in train_dictionary.DICTIONARIES.glob("*/cfg.json"))


def test_training_repeats_to_the_byte(tmp_path):
    model = load_model(train_dictionary.MODEL)
    x = train_dictionary.stream(model, task_prompts("ioi", model, n=96, seed=0, split="discover"))
    threads = torch.get_num_threads()
    try:
        made = []
        for run in ("a", "b"):
            torch.rand(3)  # what was drawn before makes no difference
            tensors, cost = train_dictionary.train(x, seed=3, steps=20)
            dictionary = train_dictionary.Dictionary(tensors["W_enc"], tensors["W_dec"], train_dictionary.HOOK, b_dec=tensors["b_dec"])
            made.append((keep_dictionary(dictionary, tmp_path / run) / "sae_weights.safetensors").read_bytes())
    finally:
        torch.set_num_threads(threads)
    assert made[0] == made[1]
    assert cost.tokens == len(x)
    torch.testing.assert_close(tensors["W_dec"].norm(dim=1), torch.ones(train_dictionary.FEATURES))
    other, _ = train_dictionary.train(x, seed=4, steps=1)
    assert not torch.equal(other["W_dec"], tensors["W_dec"])


@pytest.mark.parametrize("directory", SHIPPED, ids=lambda path: path.name)
def test_the_card_describes_the_weights_and_they_are_of_this_model(directory):
    weights, card = (directory / "sae_weights.safetensors").read_bytes(), (directory / "README.md").read_text(encoding="utf-8")
    assert hashlib.sha256(weights).hexdigest() in card
    assert sum(path.stat().st_size for path in directory.iterdir()) < 1_000_000
    said = json.loads((directory / "cfg.json").read_text(encoding="utf-8"))["metadata"]
    assert said["weights_sha256"] == provenance(load_model(said["model_name"])).weights_sha256
    dictionary = load_dictionary(directory.name)
    assert dictionary.name == directory.name
    known = {place: found for place, found in train_dictionary.known_places(dictionary).items() if found[1] > 0.9}
    assert len(known) >= 20
    assert len({feature for feature, _ in known.values()}) == len(known)  # each place has its own
    for place, (feature, cosine) in known.items():
        assert f"| {place} | f{feature} | {cosine:.3f} |" in card


def test_a_name_that_is_none_says_which_there_are():
    with pytest.raises(ValueError, match="compiled-ioi-stream-seed0"):
        load_dictionary("compiled-ioi-stream-seed9")
