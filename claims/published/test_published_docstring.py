"""Heimersheim and Janiak 2023 on attn-only-4l: what the post says, measured again. Borders were written beforehand, in docstring.toml."""

from mechcheck import Patch, attention_to, claim, faithfulness, published, run

POST = published("docstring")


@claim(**POST.said("prefers_the_next"))
def test_prefers_the_next_argument(model, prompts, check):
    check.above(run(model, prompts), POST["prefers_the_next"].low)


@claim(**POST.said("argument_movers"))
def test_argument_movers_attend_to_it(model, prompts, circuit, check):
    check.above(attention_to(model, prompts, circuit["argument_mover"], "END", "C_DEF"), POST["argument_movers"].low)


@claim(**POST.said("through_the_movers"))
def test_through_the_argument_movers(model, prompts, circuit, check):
    clean, exchanged = run(model, prompts), run(model, prompts.counterfactual)
    patched = run(model, prompts, Patch(circuit["argument_mover"]))
    check.requires(clean - exchanged, above=1.0, label="exchanging two arguments has an effect to carry: more than 1")
    check.above((clean - patched) / (clean - exchanged), POST["through_the_movers"].low, "share of the change through the heads > 0.5")


@claim(**POST.said("circuit_alone"))
def test_docstring_circuit_alone(model, prompts, circuit, check):
    clean, exchanged = run(model, prompts), run(model, prompts.counterfactual)
    check.requires(clean - exchanged, above=1.0, label="exchanging two arguments has an effect to carry: more than 1")
    check.between(faithfulness(model, prompts, circuit.edges), *POST["circuit_alone"].bounds)
