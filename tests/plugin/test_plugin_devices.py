"""--mech-device: where claims run, and what is said of a device that is not there."""

import pytest
from devices import NAME, pretend

MODEL = "names-gpt2-seed1"
CLAIMS = """
    @claim("The model does the task", task="ioi")
    def test_it(model, prompts, check):
        check.above(run(model, prompts), 1.0)

    @claim("Its circuit is needed more than other heads", task="ioi")
    def test_circuit(model, prompts, circuit, check):
        check.beats_random(Effect(model, prompts, lambda sites: Ablate(sites, "mean")), circuit["s_inhibition"], n=4)
"""


@pytest.mark.parametrize("float64", [True, False])
def test_claims_on_an_accelerator(claims, float64):
    """Sentinels, controls, decoys, record and report of a device that keeps its tensors apart, and the verdicts of the CPU."""
    on_cpu = claims(CLAIMS, "--mech-model", MODEL)
    with pretend(float64=float64):
        there = claims(CLAIMS, "--mech-model", MODEL, "--mech-device", NAME)
    assert there.verdicts == on_cpu.verdicts
    assert {name.split("[")[0]: verdict for name, verdict in there.verdicts.items()} == {
        "ioi/test_it": "supported", "ioi/test_circuit": "inconclusive",  # four other heads are too few for a rank
    }  # fmt: skip
    assert {c["model"]["device"] for c in there.evidence["claims"]} == {there.evidence["run"]["device"]} == {NAME}
    assert f"--mech-device={NAME}" in there.claim("test_it")["command"]
    for one, other in zip(there.evidence["claims"], on_cpu.evidence["claims"], strict=True):
        values = [[e["estimate"]["value"] for e in claim["expectations"]] for claim in (one, other)]
        assert values[0] == pytest.approx(values[1], abs=1e-4)
        assert one["prompts"]["ids_sha256"] == other["prompts"]["ids_sha256"]


@pytest.mark.parametrize(
    ("options", "found", "message"),
    [
        (["--mech-device=tpu"], {}, "unknown device 'tpu'; choose cpu, cuda, cuda:N or mps"),
        (["--mech-device=cuda"], {}, "device 'cuda' is not available on this machine; use cpu"),
        (["--mech-device=cuda:7"], {"cuda": 2}, "device 'cuda:7' is not available on this machine: it has 2 of them, cuda:0 to cuda:1"),
        (["--mech-device=mps"], {}, "device 'mps' is not available on this machine; use cpu"),
        (["--mech-device=mps", "--mech-dtype=float32,float64"], {"mps": 1}, "device 'mps' has no float64; use --mech-dtype float32"),
    ],
)
def test_a_device_that_is_not_there(claims, monkeypatch, options, found, message):
    """Said before anything runs."""
    monkeypatch.setattr("mechcheck.base.device._how_many", lambda kind: found.get(kind, 0))
    run = claims(CLAIMS, *options)
    assert run.result.ret == pytest.ExitCode.USAGE_ERROR
    assert f"--mech-device: {message}" in run.result.stderr.str()
    assert run.evidence is None
