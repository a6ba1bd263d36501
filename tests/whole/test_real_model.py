"""The shipped claims on a real language model that was trained by others, as a user would run them."""

import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
STORIES = ROOT.parent / "shared" / "models" / "stories260k"
# 96 prompts of 8 names cannot always tell 90% from more, nor those of few templates a share of .7 from one half.
MAY_BE_UNDECIDED = {
    "gendered_pronoun/test_agrees_with_the_name[stories260k]",
    "gendered_pronoun/test_one_head_carries_most_of_the_choice[stories260k-resample]",
    # A handful of sentences that all agree count once each, and few other heads make no rank.
    "gendered_pronoun/test_attention_goes_farther_with_depth[stories260k]",
    "gendered_pronoun/test_generic_search_beats_random_heads[stories260k]",
    "gendered_pronoun/test_heads_matter_more_than_random_heads[stories260k]",
    "gendered_pronoun/test_logit_lens_resolves[stories260k]",
    "gendered_pronoun/test_heads_bring_the_gender[stories260k]",
    "gendered_pronoun/test_patching_the_noun_flips_the_pronoun[stories260k-NOUN]",
    "gendered_pronoun/test_agrees_with_the_noun[stories260k]",
}


@pytest.mark.skipif(not STORIES.is_dir(), reason="the stories260k model is not beside this checkout")
def test_claims_on_stories260k(shell, tmp_path):
    ran = shell.run(f"pytest claims --mech-model={STORIES} --mech-profile=smoke --mech-report={tmp_path}", ROOT)
    assert ran.returncode == 0, ran.stdout
    evidence = json.loads((tmp_path / "evidence.json").read_text(encoding="utf-8"))
    verdicts = {claim["id"]: claim["verdict"] for claim in evidence["claims"] if claim["verdict"] != "skipped"}
    gendered = {key: verdict for key, verdict in verdicts.items() if key.startswith("gendered_pronoun/")}
    undecided = {key for key, verdict in gendered.items() if verdict == "inconclusive"}
    assert undecided <= MAY_BE_UNDECIDED
    assert len(gendered) == 21
    assert {verdict for key, verdict in gendered.items() if key not in undecided} == {"supported"}
    assert verdicts["induction/test_previous_token_heads[stories260k]"] == "supported"
    assert verdicts["induction/test_prefix_matching[stories260k]"] == "refuted"
    assert verdicts["induction/test_repeats_random_tokens[stories260k]"] == "refuted"
    assert not [c["id"] for c in evidence["claims"] if c["met"] is False and c["verdict"] != "inconclusive"]
