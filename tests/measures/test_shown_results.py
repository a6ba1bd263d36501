"""Results have a figure that shows their means, and a notebook shows it."""

import numpy as np
import pytest

from mechcheck import HeadScores, Interactions, MechcheckError, heads
from mechcheck.circuits.greedy_search import SearchResult, SearchStep
from mechcheck.measures.attention.induction_report import Repeat, SequenceReport
from mechcheck.measures.attention.rollup import AttentionRollup
from mechcheck.measures.heads.composition import Composition
from mechcheck.measures.heads.detection import Detection
from mechcheck.measures.stream.attribution import DirectLogitAttribution
from mechcheck.measures.stream.curves import SteeringCurve, steering_figure
from mechcheck.measures.stream.lens import LensMap, LensReading
from mechcheck.stats.estimates import Confidence, estimate_mean

N = 5
IDS, TEMPLATES = tuple("abcde"), ("t",) * N
RNG = np.random.default_rng(0)


def drawn(shape, broken=None):
    values = RNG.normal(size=(*shape, N))
    if broken is not None:
        values[broken] = np.nan
    return values


def shown(result, figure) -> None:
    """What the notebook shows is that figure."""
    assert result._repr_html_() == figure._repr_html_()
    assert figure.title in result._repr_html_()


def test_scores_of_heads():
    values = drawn((2, 3), broken=(1, 2, 0))
    scores = HeadScores(values, IDS, TEMPLATES, "attention to IO", "share")
    figure = scores.figure()
    np.testing.assert_array_equal(figure.values, values.mean(-1))
    assert (figure.title, figure.unit, figure.row_label, figure.col_label) == ("attention to IO", "share", "layer", "head")
    assert figure.data()["data"]["values"][1][2] is None
    assert "not measured" in scores._repr_html_()
    shown(scores, figure)
    assert scores.figure("another").title == "another"
    assert repr(scores).startswith("HeadScores(values=array(")


def test_detected_heads():
    scores = HeadScores(drawn((2, 3)), IDS, TEMPLATES, "induction", "attention")
    found = Detection(scores, "fixed", 0.25, "given")
    assert found.figure().title == "induction; threshold 0.25"
    np.testing.assert_array_equal(found.figure().values, scores.mean)
    shown(found, found.figure())


def test_attention_rolled_up():
    values = drawn((2, 3))
    rollup = AttentionRollup(values, ((0, 1), (1, 0)), "END", ("IO", "S1", "S2"), IDS, TEMPLATES)
    figure = rollup.figure()
    np.testing.assert_array_equal(figure.values, values.mean(-1))
    assert (figure.title, figure.rows, figure.cols) == ("Attention from END", ["0.1", "1.0"], ("IO", "S1", "S2"))
    shown(rollup, figure)


def test_interactions_of_sites():
    values = drawn((2, 2))
    values[[0, 1], [0, 1]] = np.nan
    found = Interactions(tuple(heads("0.1 1.0")), values, drawn((2,)), "logits")
    figure = found.figure()
    np.testing.assert_array_equal(figure.values, values.mean(-1))
    assert figure.rows == figure.cols == ["0.1", "1.0"]
    assert [[x is None for x in row] for row in figure.data()["data"]["values"]] == [[True, False], [False, True]]
    shown(found, figure)


def test_a_steering_curve_is_drawn_from_the_smallest_scale():
    values = drawn((3,))
    curve = SteeringCurve((1.0, -2.0, 0.0), values, IDS, TEMPLATES, "logit difference", "logits")
    figure = curve.figure()
    assert figure.x == [-2.0, 0.0, 1.0]
    (label,) = figure.series
    assert label == "mean, with 95% interval"
    np.testing.assert_array_equal(figure.series[label], values.mean(-1)[[1, 2, 0]])
    for i, row in enumerate((1, 2, 0)):
        interval = estimate_mean(curve.at(curve.scales[row]), Confidence()).estimate
        assert [end[i] for end in figure.bands[label]] == [interval.low, interval.high]
    low, high = figure.bands["middle half of the prompts"]
    np.testing.assert_allclose(low, np.sort(values[[1, 2, 0]])[:, 1])  # of five, the second and the fourth
    np.testing.assert_allclose(high, np.sort(values[[1, 2, 0]])[:, 3])
    assert (figure.title, figure.y_label) == ("logit difference", "logits")
    shown(curve, figure)


def test_controls_stand_beside_a_steering_curve():
    def curve(scales: tuple[float, ...], unit: str = "logits") -> SteeringCurve:
        return SteeringCurve(scales, drawn((len(scales),)), IDS, TEMPLATES, "logit difference", unit)

    steered, controls = curve((1.0, -2.0)), [curve((1.0, -2.0)), curve((-2.0, 1.0)), curve((1.0, -2.0))]
    figure = steered.figure("Steered", {"random": controls})
    assert list(figure.series) == ["mean, with 95% interval", "random: mean and range of 3"]
    label = "random: mean and range of 3"
    means = np.array([[one.at(scale).mean for scale in (-2.0, 1.0)] for one in controls])
    np.testing.assert_allclose(figure.series[label], means.mean(0))
    np.testing.assert_allclose(figure.bands[label], [means.min(0), means.max(0)])
    assert "middle half of the prompts" not in figure.bands
    for other in (curve((1.0, 3.0)), curve((1.0, -2.0), "nats")):
        with pytest.raises(MechcheckError, match="'Steered': the curves of a figure have the same scales and the same unit"):
            steering_figure("Steered", {"one": steered, "other": other})
    for curves, none in (({}, {"random": controls}), ({"mean": steered}, {"random": []})):
        with pytest.raises(MechcheckError, match="there is one at least"):
            steering_figure("Steered", curves, none)
    single = SteeringCurve((0.0, 1.0), drawn((2,))[:, :1], IDS[:1], TEMPLATES[:1], "logit difference", "logits").figure()
    assert list(single.series) == ["mean"]
    assert np.isnan(single.bands["mean"]).all()  # one prompt has no interval


def test_direct_effects_of_heads_and_mlps():
    values, mlps = drawn((2, 3)), drawn((2,))
    found = DirectLogitAttribution(values, mlps, drawn(()), drawn(()), IDS, TEMPLATES)
    figure = found.figure()
    np.testing.assert_array_equal(figure.values[:, :3], values.mean(-1))
    np.testing.assert_array_equal(figure.values[:, 3], mlps.mean(-1))
    assert figure.cols == ["0", "1", "2", "MLP"]
    shown(found, figure)


def test_the_lens_at_a_position_and_over_all():
    kinds = {name: np.abs(drawn((3, 2))) / 9 for name in ("p_answer", "p_foil", "logit_diff", "rank", "kl")}
    top = np.tile(np.array([4, 7]), (3, 2, N, 1))
    top[:, 1, 1] = -1  # padding
    chances = np.full((3, 2, N, 2), 0.25)
    found = LensMap(**kinds, top=top, top_p=chances, words={4: "Mary", 7: "<b>"}, positions=("S2", "END"), ids=IDS, templates=TEMPLATES)
    figure = found.figure(1)
    np.testing.assert_array_equal(figure.p_answer, kinds["p_answer"][:, :, 1])
    np.testing.assert_array_equal(figure.p_foil, kinds["p_foil"][:, :, 1])
    assert (figure.title, figure.layers, figure.tokens) == ("Logit lens, prompt b", ["0", "1", "out"], ("S2", "END"))
    assert figure.top[0] == [[("Mary", 0.25), ("<b>", 0.25)], []]
    shown(found, found.figure())
    reading = found.at("END")
    assert isinstance(reading, LensReading)
    np.testing.assert_array_equal(reading.figure().series["answer"], kinds["p_answer"][:, 1].mean(-1))
    np.testing.assert_array_equal(reading.figure().series["foil"], kinds["p_foil"][:, 1].mean(-1))
    shown(reading, reading.figure())


def test_results_that_had_a_figure_before_show_it():
    report = SequenceReport(("x_1", "y", "x_2"), (Repeat(2, 0, 1),), np.full((1, 2, 1), 0.5), 0.4)
    shown(report, report.figure())
    nothing = SequenceReport(("x", "y"), (), np.zeros((1, 2, 0)), 0.4)
    assert nothing._repr_html_() is None  # nothing repeats: the notebook falls back on the text
    composed = Composition("K", ((0, 0),), ((1, 1),), np.array([[0.5]]), np.array([[[0.25]]]))
    shown(composed, composed.heatmap())
    steps = (SearchStep("single", heads("0.1"), 0.5, None, 3),)
    search = SearchResult(heads("0.1"), 0.5, 0.0, ((next(iter(heads("0.1"))), 0.5),), steps, "size")
    shown(search, search.figure("Search"))


@pytest.mark.parametrize("name", ["", "a <b> & c"])
def test_names_stay_text(name):
    html = HeadScores(drawn((1, 1)), IDS, TEMPLATES, name, "<unit>")._repr_html_()
    assert "<b>" not in html
    assert "&lt;unit&gt;" in html
