"""Which gates the heads of trained models form: found on the discovery half, claimed on the other (`claims/compiled` has all of them)."""

from mechcheck import Bars, Sites, claim, gate

HEIMERSHEIM = "Heimersheim and Nanda 2024, arXiv:2404.15255"
COMPOSED = ["names-gpt2-seed1", "names-gpt2-seed4", "names-gpt2-seed6", "names-neox-seed2"]


@claim(
    "S-inhibition heads and name movers are a chain: either is needed, and either is enough",
    source=HEIMERSHEIM, task="ioi", kind="structure", models=COMPOSED, decoy={"circuit": {"s_inhibition": "0.0@END"}},
)  # fmt: skip
def test_inhibition_and_movers_are_a_chain(model, prompts, circuit, check):
    found = gate(model, prompts, circuit["s_inhibition"], circuit["name_mover"])
    check.gate(found, "chain")
    check.figure(lambda: bars(found))


@claim(
    "Name movers add up: the first of them and the others are no gate",
    source=HEIMERSHEIM, task="ioi", kind="structure", models=COMPOSED, decoy={"circuit": {"name_mover": "0.0 0.1 0.2@END"}},
)  # fmt: skip
def test_name_movers_add_up(model, prompts, circuit, check):
    first, *others = circuit["name_mover"]
    found = gate(model, prompts, Sites([first]), Sites(others))
    check.gate(found, "additive")
    check.figure(lambda: bars(found))


def bars(found):
    """The six effects, each as a share of the way from the corrupted to the clean run."""
    effects = {f"{way} {side}": getattr(getattr(found, way), side) for way in ("noised", "denoised") for side in ("a", "b", "both")}
    shares = [(effect / found.way).mean for effect in effects.values()]
    return Bars(f"{found.a} and {found.b}", list(effects), shares, unit="share of the way")
