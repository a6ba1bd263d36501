"""What the formats say alike."""

import made_evidence as make

from mechcheck.evidence.formats.told import body_of, file_of, told


def test_names():
    claim = make.claim("x[a[b]]", nodeid="claims/test_x.py::TestIt::test_y[a[b]]")
    assert (file_of(claim), body_of(claim)) == ("claims/test_x.py", "claims/test_x.py::TestIt::test_y")


def test_of_several_checks_it_says_which():
    refuted = make.expectation(-1.0, -1.5, -0.5, verdict="refuted")
    claim = make.claim(verdict="refuted", met=False, expectations=[make.expectation(), refuted])
    assert told(claim) == "refuted: check 2 of 2: logit difference above 0: -1 [-1.5, -0.5]"
    assert told(make.claim(verdict="errored", met=False, reason="it broke")) == "errored: it broke"


def test_of_a_grid_it_says_how_the_cells_came_out():
    text = "method-dependent: supported in 1 ([m=a]), refuted in 1 ([m=b])"
    claim = make.claim(verdict="method_dependent", met=False, expectations=[make.expectation()], grid={"text": text})
    assert told(claim) == f"method-dependent: {text}; logit difference above 0: +1.25 [+0.98, +1.49]"
    assert told(make.claim(verdict="errored", met=False, reason="it broke", grid={"text": text})) == "errored: it broke"
