"""Whatever a claim does to what it shares with others, the next one is as if it ran alone, and the record names who did it."""

import pytest

MODEL = "names-gpt2-seed1"
HEADER = """
import os, random, sys, warnings
import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_hook
import mechcheck.engine.run
from mechcheck import *
from transformer_lens.hook_points import HookPoint

NOISE = np.linspace(-0.5, 0.5, 24)

def around(mean):
    return Measurement(mean + NOISE, tuple(map(str, range(24))), tuple(str(i % 8) for i in range(24)), "effect", "logits")

def state():
    return (
        torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.get_default_dtype(), torch.get_default_device(),
        torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision(),
        torch.is_autocast_enabled("cpu"), np.geterr(), os.getcwd(),
        sorted((name, value) for name, value in os.environ.items() if not name.startswith("PYTEST")), list(sys.path),
        list(warnings.filters),
    )
"""
CLAIM = """
@claim("the model does the task", task="ioi", id="{id}", decoy={{"shift": -100.0}})
def test_{id}(model, prompts, circuit, check, shift=0.0{more}):
    check.above(run(model, prompts) + shift, 1.0)
    {body}
"""
OF_THE_MODEL = {
    "training": ("model.train()", "training mode was switched in"),
    "a method": ("model.blocks[0].forward = lambda x, *a, **k: x", "blocks.0.forward was replaced"),
    "a part": ("model.blocks[0].hook_resid_pre = torch.nn.Identity()", "blocks.0.hook_resid_pre was replaced"),
    "a class": ("model.blocks[0].hook_resid_pre.__class__ = torch.nn.Identity", ".__class__ was replaced"),
    "a parameter": (
        "part = model.base_model.h[0].ln_1; part.weight = torch.nn.Parameter(part.weight + 1)",
        "was replaced; models are shared and read-only",
    ),
    "a setting": ("model.cfg.n_ctx = 3", "its configuration.n_ctx was replaced"),
    "weights": ("next(model.parameters()).data.mul_(2.0)", "the model's weights were changed; models are shared and read-only"),
    "one bit": ("next(model.parameters()).data.view(torch.int32)[0, 0] ^= 1", "the model's weights were changed"),
    "gradients of weights": ("model.requires_grad_(True)", "whether the model's weights have gradients was changed"),
    "a hook in place of one": (
        "model.blocks[1].hook_resid_pre.add_hook(lambda x, hook: x * 0); model.reset_hooks(); "
        "model.blocks[0].hook_resid_pre.add_hook(lambda x, hook: x * 0)",
        "1 hooks were left on the model",
    ),
    "another model": (
        "other = load_model('names-gpt2-seed4', offline=True); next(other.parameters()).data.zero_()",
        "the model's weights were changed",
    ),
}
SHARED = {
    "answers": ("prompts.answers.copy_(prompts.foils.clone())", "prompts.answers"),
    "a position": ("prompts.positions['END'] = prompts.positions['END'] - 1", "prompts.positions"),
    "the counterfactual": ("prompts.counterfactual.tokens.zero_()", "prompts.counterfactual.tokens"),
    "a frozen field": ("object.__setattr__(prompts, 'tokens', prompts.tokens.flip(0))", "prompts.tokens"),
    "a role": ("circuit.roles['s_inhibition'] = heads('0.0')", "circuit.roles"),
    "gradients": ("torch.set_grad_enabled(False)", "torch's gradients (on, now off)"),
    "inference mode": ("sys.kept = torch.inference_mode(); sys.kept.__enter__()", "torch's inference mode (off, now on)"),
    "default dtype": ("torch.set_default_dtype(torch.float64)", "torch's default dtype (float32, now float64)"),
    "default device": ("torch.set_default_device('meta')", "torch's default device (cpu, now meta)"),
    "threads": ("torch.set_num_threads(2)", "torch's number of threads (1, now 2)"),
    "determinism": ("torch.use_deterministic_algorithms(False)", "torch's deterministic algorithms"),
    "precision": ("torch.set_float32_matmul_precision('medium')", "torch's precision of matrix products"),
    "autocast": ("torch.autocast('cpu').__enter__()", "torch's autocast"),
    "numpy's errors": ("np.seterr(all='raise')", "numpy's floating-point errors"),
    "a hook on everything": ("register_module_forward_hook(lambda m, a, out: None)", "torch's hooks on every module (forward_hooks)"),
    "softmax": ("torch.softmax = lambda x, *a, **k: x", "torch.softmax (replaced)"),
    "functional": ("torch.nn.functional.softmax = lambda x, *a, **k: x", "torch.nn.functional.softmax (replaced)"),
    "a tensor's method": ("torch.Tensor.log_softmax = lambda self, *a: self", "torch.Tensor.log_softmax (replaced)"),
    "a class's method": ("HookPoint.forward = lambda self, x: x * 0", "transformer_lens.hook_points.HookPoint.forward (replaced)"),
    "the library": ("mechcheck.engine.run.run = None", "mechcheck.engine.run.run (replaced)"),
    "numpy": ("np.mean = lambda *a, **k: 0.0", "numpy.mean (replaced)"),
}
ALLOWED = {
    "random": "random.seed(1), np.random.seed(1), torch.manual_seed(1)",
    "environment": "os.environ['MECHCHECK_TOLD'] = 'x'; os.environ.pop('PATH')",
    "folder": "os.chdir('/')",
    "imports": "sys.path.insert(0, '/nowhere')",
    "warnings": "warnings.simplefilter('error')",
    "what is restored by itself": "\n    with torch.no_grad(), model.hooks([]): model(prompts.tokens)",
}


def meddling(snippets: dict[str, str]) -> str:
    """A probe, and after each snippet another one, all of which say what they found."""
    probe = "open(os.path.join({folder!r}, 'states'), 'a').write(repr(state()) + chr(10)) if shift == 0 else None"
    source = CLAIM.format(id="first", body="pass", more="")  # in which the libraries set filters of warnings of their own
    source += CLAIM.format(id="probe_0", body=probe, more="")
    for number, snippet in enumerate(snippets.values(), 1):
        source += CLAIM.format(id=f"meddler_{number}", body=snippet, more="") + CLAIM.format(id=f"probe_{number}", body=probe, more="")
    return source


def values(run, part: str) -> list:
    return [(c["verdict"], c["model"], c["prompts"], [e["estimate"] for e in c["expectations"]]) for c in found(run, part)]


def found(run, part: str) -> list:
    of = [c for c in run.evidence["claims"] if part in c["id"]]
    return sorted(of, key=lambda c: int(c["id"].partition("[")[0].rpartition("_")[2]))


def meddled(claims, pytester, snippets, *options):
    """The run, once it is known that every probe found what the first one did."""
    source = meddling(snippets).replace("{folder!r}", repr(str(pytester.path)))
    run = claims(source, "--mech-model", MODEL, *options)
    probes = values(run, "probe")
    assert len(probes) == len(snippets) + 1
    assert probes[0][0] == "supported"
    for name, probe in zip(snippets, probes[1:], strict=True):
        assert probe == probes[0], name
    states = (pytester.path / "states").read_text().splitlines()
    assert len(states) == len(snippets) + 1
    assert set(states) == {states[0]}
    return run


@pytest.mark.parametrize("kind", ["HookError", "StateError"])
@pytest.mark.parametrize("options", [(), ("-n2",)], ids=["one process", "two"])
def test_what_was_changed_is_told_and_put_back(claims, pytester, kind, options):
    cases = OF_THE_MODEL if kind == "HookError" else SHARED
    if options:  # each process has its own; a few tell
        cases = dict(list(cases.items())[:4])
    run = meddled(claims, pytester, {name: snippet for name, (snippet, _) in cases.items()}, *options)
    for (name, (_, said)), claim in zip(cases.items(), found(run, "meddler"), strict=True):
        assert (claim["verdict"], claim["met"]) == ("errored", False), name
        assert claim["reason"].startswith(kind), (name, claim["reason"])
        assert said in claim["reason"], (name, claim["reason"])
        assert len(claim["reason"]) < 500


def test_what_a_claim_may_change_is_put_back(claims, pytester):
    run = meddled(claims, pytester, ALLOWED)
    assert [c["verdict"] for c in found(run, "meddler")] == ["supported"] * len(ALLOWED)


def test_a_body_that_ends_by_itself_leaves_nothing_either(claims, pytester):
    """With an error, a skip or a failed assertion, which are told in the place of what was changed."""
    ends = ("raise KeyError('own')", "pytest.skip('own')", "assert False, 'own'", "pytest.fail('own')", "pytest.xfail('own')")
    snippets = {end: f"model.train(); prompts.answers.zero_(); torch.set_grad_enabled(False); torch.softmax = None; {end}" for end in ends}
    run = meddled(claims, pytester, snippets)
    assert all("own" in c["reason"] for c in found(run, "meddler"))


@pytest.mark.parametrize("change", ["prompts.answers.zero_()", "torch.set_grad_enabled(False)", "model.train()"])
def test_a_contrast_is_named(claims, change):
    run = claims(
        f"""
        @claim("it does it", task="ioi", decoy={{"shift": -100.0}}, id="meddler")
        def test_1(model, prompts, check, shift=0.0):
            check.above(run(model, prompts) + shift, 1.0)
            if shift:
                {change}

        @claim("it does it", task="ioi", decoy={{"shift": -100.0}}, id="after")
        def test_2(model, prompts, check, shift=0.0):
            check.above(run(model, prompts) + shift, 1.0)
        """,
        "--mech-model",
        MODEL,
    )
    assert "its contrast (shift: -100.0) changed" in run.claim("meddler")["reason"]
    assert run.claim("after")["verdict"] == "supported"


FIXTURES = """
@pytest.fixture(scope="{scope}")
def shared():
    return {{"direction": torch.ones(4), "table": np.ones(3), "names": ["a", "b"], "known": {{1, 2}}}}

@pytest.mark.parametrize("layers", [[0, 1]])
@claim("1", id="meddler", decoy={{"mean": -1.0}})
def test_1(shared, layers, check, mean=1.0):
    {body}
    check.above(around(mean), 0)

@claim("2", id="after", decoy={{"mean": -1.0}})
def test_2(shared, check, mean=1.0):
    assert shared["direction"].sum() == 4 and shared["table"].sum() == 3 and shared["names"] == ["a", "b"] and shared["known"] == {{1, 2}}
    assert list(shared) == ["direction", "table", "names", "known"]
    check.above(around(mean), 0)
"""
CHANGES = {
    "shared['direction']": "shared['direction'][0] = 5",
    "shared['table']": "shared['table'] *= 2",
    "shared['names']": "shared['names'].append('c')",
    "shared['known']": "shared['known'].clear()",
    "shared": "shared['more'] = 1; del shared['names']",
    "layers": "layers.append(2)",
}


@pytest.mark.parametrize("scope", ["module", "session", "function"])
@pytest.mark.parametrize("what", CHANGES)
def test_values_of_fixtures_that_outlive_a_test(claims, scope, what):
    run = claims(FIXTURES.format(scope=scope, body=CHANGES[what]))
    meddler = run.claim("meddler")
    if scope == "function" and what != "layers":  # the test's own
        assert meddler["verdict"] == "supported"
    else:
        assert meddler["reason"].startswith("StateError: it changed what other claims use too: " + what)
    assert run.claim("after")["verdict"] == "supported"


def test_what_monkeypatch_takes_back_is_no_error(claims, pytester):
    patches = (
        "monkeypatch.setattr(torch, 'softmax', lambda x, *a, **k: x); monkeypatch.setenv('MECHCHECK_TOLD', 'x'); monkeypatch.chdir('/'); "
        "monkeypatch.setattr(model.blocks[0], 'told', 1, raising=False); monkeypatch.setattr(model.cfg, 'n_ctx', 9); "
        "monkeypatch.setitem(prompts.positions, 'END', prompts.positions['END'])"
    )
    source = meddling({"patched": patches}).replace("{folder!r}", repr(str(pytester.path)))
    source = source.replace("def test_meddler_1(", "def test_meddler_1(monkeypatch, ")
    run = claims(source, "--mech-model", MODEL)
    assert [c["verdict"] for c in run.evidence["claims"]] == ["supported"] * 4
    assert len(set((pytester.path / "states").read_text().splitlines())) == 1


def test_random_numbers_are_the_same_in_any_order(claims):
    """They start from the claim's seed, in its contrasts too, and nobody else's are disturbed."""
    source = """
        @pytest.mark.parametrize("n", [1, 2, 3])
        @claim("drawn", decoy={"mean": -1.0})
        def test_drawn(n, check, mean=1.0):
            noise = torch.randn(24).numpy() + np.random.randn(24) + random.random()
            check.above(Measurement(mean * 100 + noise, tuple(map(str, range(24))), tuple(map(str, range(24)))), 0)

        def test_plain():
            random.seed(3)
            first = random.random()
            random.seed(3)
            assert random.random() == first
    """
    runs = [claims(source), claims.again("-k", "3"), claims.again("--randomly-seed=5"), claims.again("-n2")]
    drawn = [{c["id"]: c["expectations"][0]["estimate"]["value"] for c in run.evidence["claims"]} for run in runs]
    assert len(set(drawn[0].values())) == 3
    assert all(one == {name: drawn[0][name] for name in one} for one in drawn)


def test_a_model_kept_by_a_fixture_is_put_back(claims):
    """A native one, that no loader could bring again."""
    run = claims(
        """
        from transformer_lens.config import TransformerBridgeConfig
        from transformer_lens.model_bridge import TransformerBridge

        @pytest.fixture(scope="session")
        def model():
            torch.manual_seed(0)
            return TransformerBridge.boot_native(TransformerBridgeConfig(
                n_layers=2, n_heads=2, d_head=4, d_model=8, n_ctx=9, d_vocab=11, attn_only=True, normalization_type="LN"))

        @pytest.fixture(scope="session")
        def prompts():
            return PromptSet.from_tokens(
                [[i % 11, i % 7, i % 5] for i in range(96)], answers=[4] * 96, foils=[5] * 96, templates=[str(i % 16) for i in range(96)])

        def told(model, prompts, check, shift):
            check.above(run(model, prompts) + shift, 0.0)

        @pytest.mark.parametrize("i", range(5))
        @claim("before", decoy={"shift": -100.0}, id="probe")
        def test_1(model, prompts, check, i, shift=100.0):
            told(model, prompts, check, shift)

        @pytest.mark.parametrize("change", [
            "next(model.parameters()).data.mul_(3)",
            "model.train(not model.training)",
            "model.blocks[0].forward = None",
            "prompts.tokens.add_(1)",
        ])
        @claim("meddles", decoy={"shift": -100.0}, id="meddler")
        def test_2(model, prompts, check, change, shift=100.0):
            told(model, prompts, check, shift)
            exec(change)
        """,
        "-p", "randomly", "--randomly-seed=2",
    )  # fmt: skip
    assert [c["reason"].partition(":")[0] for c in found_all(run, "meddler")] == ["HookError"] * 3 + ["StateError"]
    probes = [(c["verdict"], c["expectations"][0]["estimate"]) for c in found_all(run, "probe")]
    assert len(probes) == 5
    assert all(one == probes[0] for one in probes)
    assert probes[0][0] == "supported"


def found_all(run, part: str) -> list:
    return [c for c in run.evidence["claims"] if part in c["id"]]
