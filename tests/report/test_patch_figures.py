import re
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from scipy.stats import binomtest

from histoscope import metrics
from histoscope.errors import ShapeError
from histoscope.report.patch_figures import confusion_matrix, reliability_diagram, wilson


def words(svg):
    return [text for text in re.findall(r">([^<>]+)</(?:text|tspan)>", svg) if text.strip()]


@pytest.mark.parametrize("narrow", [False, True])
def test_a_confusion_matrix_tells_counts_and_shares(narrow):
    svg = confusion_matrix(np.array([[8, 2], [0, 5]]), ["benign", "tumour"], narrow=narrow)
    ET.fromstring(svg)
    told = words(svg)
    for word in ("benign", "tumour", "8", "80.0 %", "2", "20.0 %", "5", "100.0 %", "true", "predicted"):
        assert word in told
    with pytest.raises(ShapeError, match="2 class names"):
        confusion_matrix(np.zeros((3, 3), int), ["a", "b"])


def test_a_reliability_diagram_tells_its_error(rng):
    p = rng.dirichlet((1, 1), 300)
    true = (rng.random(300) < 0.5).astype(int)
    table = metrics.reliability(true, p)
    svg = reliability_diagram(table)
    ET.fromstring(svg)
    assert f"ECE {table.ece:.3f}" in words(svg)
    temperature = metrics.fit_temperature(true, p)
    cooled = metrics.reliability(true, metrics.scaled(p, temperature))
    both = words(reliability_diagram(table, cooled, narrow=True))
    assert f"uncalibrated: ECE {table.ece:.3f}" in both
    assert f"temperature-scaled: ECE {cooled.ece:.3f}" in both


@pytest.mark.parametrize(("k", "n"), [(0, 5), (3, 7), (40, 40), (1, 400)])
def test_wilson_equals_scipy(k, n):
    theirs = binomtest(k, n).proportion_ci(0.95, "wilson")
    low, high = wilson(np.array([k / n]), np.array([n]))
    assert (low[0], high[0]) == pytest.approx((theirs.low, theirs.high), abs=1e-6)
