"""What a notebook shows of measurements and estimates."""

import re
from dataclasses import asdict
from xml.etree import ElementTree

import numpy as np
import pytest

from mechcheck import Confidence, Measurement
from mechcheck.drawing.estimates import interval_text
from mechcheck.stats.estimates import estimate_mean

N = 24
TEMPLATES = tuple(f"t{i % 6}" for i in range(N))


def measured(values, **about) -> Measurement:
    return Measurement(values, tuple(f"p{i}" for i in range(len(values))), TEMPLATES[: len(values)], **about)


def told(shown) -> dict[str, str]:
    """Name -> what is said of it, under the caption as ""."""
    root = ElementTree.fromstring(shown._repr_html_())
    rows = {row[0].text: row[1].text for row in root.iter("tr")}
    return rows | {"": next((node.text for node in root.iter("caption")), "")}


def dots(shown) -> list[str]:
    return re.findall(r'<circle class="value"[^>]*><title>([^<]*)</title>', shown._repr_html_())


DRAWN = measured(np.random.default_rng(0).normal(1.0, 1.0, N), name="logit difference <i>", unit="logits")


def test_a_measurement_is_its_mean_with_its_interval_and_each_value() -> None:
    estimate = estimate_mean(DRAWN, Confidence()).estimate
    found = told(DRAWN)
    assert (found["mean"], found["interval"]) == interval_text(asdict(estimate), "logits")
    assert float(found["mean"].split()[0]) == pytest.approx(DRAWN.mean, abs=0.02)
    ends = [float(end) for end in re.findall(r"-?[\d.]+(?=[,\]])", found["interval"])]
    assert ends == [pytest.approx(estimate.low, abs=0.02), pytest.approx(estimate.high, abs=0.02)]
    assert found["interval"].endswith("] (95%)")
    assert (found[""], found["prompts"]) == ("logit difference <i>", "24 in 6 templates")
    low, high = (float(x) for x in re.findall(r"-?[\d.]+", found["values"]))
    assert (low, high) == (pytest.approx(DRAWN.values.min(), rel=0.01), pytest.approx(DRAWN.values.max(), rel=0.01))
    assert [dot.split(":")[0] for dot in dots(DRAWN)] == list(DRAWN.ids)


def test_what_is_no_number_is_said_to_be_none() -> None:
    values = DRAWN.values.copy()
    values[[2, 5]] = np.nan, np.inf
    broken = measured(values, name="broken")
    found = told(broken)
    assert found["mean"] == "NaN"
    assert found["interval"].startswith("none: broken is not finite on 2 of 24 prompts")
    assert found["not finite"] == "2 of 24 values"
    assert len(dots(broken)) == 22
    assert 'class="mean"' not in broken._repr_html_()
    assert "not finite" not in told(DRAWN)


def test_a_share_is_a_rate_and_a_ratio_has_no_values_of_its_own() -> None:
    rate = told(DRAWN > 0)
    assert rate["mean"].endswith(" share of prompts")
    assert "Clopper-Pearson" in rate["method"]
    ratio = told(DRAWN / (DRAWN + 9.0))
    assert float(ratio["ratio of means"].split()[0]) == pytest.approx((DRAWN / (DRAWN + 9.0)).mean, abs=0.01)
    assert "mean" not in ratio
    assert "values" not in ratio
    assert dots(DRAWN / (DRAWN + 9.0)) == []


@pytest.mark.parametrize("values", [[], [3.0], [2.0, 2.0]])
def test_few_prompts_are_shown_too(values) -> None:
    found = told(measured(values, name="few"))
    assert found["prompts"].split()[0] == str(len(values))
    assert found["mean"] == {0: "NaN", 1: "3", 2: "2.0"}[len(values)]
    assert ("none: " in found["interval"]) == (len(values) < 2)


def test_an_estimate_is_a_table_of_its_facts() -> None:
    estimate = estimate_mean(DRAWN, Confidence(0.95)).estimate
    found = told(estimate)
    assert found["interval"].endswith("(90%)")
    assert found["method"] == estimate.method
    assert list(found) == ["value", "interval", "prompts", "method", ""]


def test_the_text_of_a_measurement_is_what_it_was() -> None:
    assert repr(DRAWN).startswith("Measurement(values=array([")
