"""Sentinels run once for each model, and what they found is in the evidence."""

SOURCE = """
    from mechcheck.conformance import sentinels

    @pytest.fixture(autouse=True)
    def counted(monkeypatch):
        honest = sentinels.sentinels
        monkeypatch.setattr(sentinels, "sentinels", lambda model, prompts: print("\\nexamined") or honest(model, prompts))

    @pytest.mark.parametrize("k", range(3))
    @claim("The model does the task", task="ioi", decoy={"k": -1})
    def test_it(model, prompts, check, k):
        check.above(run(model, prompts), 1.0 if k >= 0 else 1000.0)

    @claim("No prompts", decoy={"k": -1})
    def test_without(model, check, k=0):
        check.above(around(1.0 if k >= 0 else -1.0), 0.0)
"""


def test_once_for_each_model(claims):
    run = claims(SOURCE, "--mech-model=names-gpt2-seed1", "--mech-model=names-gpt2-seed4", "-s")
    assert set(run.verdicts.values()) == {"supported"}
    assert run.output.count("examined") == 2
    assert {s["model"] for s in run.evidence["run"]["sentinels"]} == {"names-gpt2-seed1", "names-gpt2-seed4"}
