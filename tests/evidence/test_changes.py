"""What changed around claims and runs, listed beside the comparison."""

from runs import MODEL, NOISY, OLD, claim


def test_what_changed_is_listed_and_compared(drift):
    other = MODEL | {"weights_sha256": "b" * 64, "dtype": "float64"}
    control = {"kind": "random", "n": 1, "values": [0.1], "labels": ["0.2"]}
    circuit = claim("a")["circuit"] | {"roles": {"mover": "0.3"}}
    before, after = claim("a", OLD), claim("a", NOISY, model=other, circuit=circuit, expect="refuted")
    before["expectations"][0]["control"], after["expectations"][0]["control"] = control, control | {"labels": ["0.3"]}
    found = drift([before], [after], after_run={"versions": {"python": "3.11.2", "torch": "2.14.0"}, "commit": None})
    assert found.drift["a"]["status"] == "same"
    assert found.drift["a"]["changed"] == [
        {"what": "expected verdict", "before": "supported", "after": "refuted"},
        {"what": "weights_sha256", "before": "a" * 64, "after": "b" * 64},
        {"what": "dtype", "before": "float32", "after": "float64"},
        {"what": "circuit: mover", "before": "0.1", "after": "0.3"},
        {"what": "controls of effect 0 > 0", "before": "0.2", "after": "0.3"},
    ]
    assert found.baseline["changed"] == [
        {"what": "commit", "before": "c" * 40, "after": "none"},
        {"what": "torch", "before": "2.13.0", "after": "2.14.0"},
    ]


def test_other_models_that_a_claim_ran_are_compared_too(drift):
    """Of a grid of models, or of several seeds: the first is not all that can have other weights."""
    there, here = (MODEL | {"name": "second", "weights_sha256": letter * 64} for letter in "de")
    found = drift([claim("a", OLD, models=[there])], [claim("a", OLD, models=[here])])
    assert found.drift["a"]["changed"] == [{"what": "weights_sha256 of second in float32", "before": "d" * 64, "after": "e" * 64}]
    assert drift([claim("a", OLD)], [claim("a", OLD, models=[here])]).drift["a"]["changed"] == [
        {"what": "weights_sha256 of second in float32", "before": "none", "after": "e" * 64}
    ]
