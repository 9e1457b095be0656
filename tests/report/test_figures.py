"""Figures: one line a comparison, labels that do not collide, SVG that every browser reads."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscope.report.effects import effects
from histoscope.report.figures import Curve, _curves, _series, forest, learning_curves, spread
from histoscope.report.results import read_study


def texts(svg: str) -> list[str]:
    """Read the words of a figure."""
    return [
        "".join(node.itertext()).strip()
        for node in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.parametrize("narrow", [False, True])
def test_forest_has_one_line_for_each_level_but_the_baseline(fabricate, narrow):
    study = read_study(fabricate())
    rows = [row for row in effects(study) if row.metric == "aji"]
    words = texts(forest(study, rows, narrow=narrow))
    assert words.count("Macenko") == words.count("Reinhard") == 2
    assert "No normalisation" not in words
    assert "U-Net, stain shift: purple" in words
    shown = next(row for row in rows if row.level == "macenko" and row.condition == "test")
    assert any(word.startswith(f"+{shown.difference:.3f}") for word in words)


@pytest.mark.parametrize("gain", [0.9, 0.2, 0.03, 0.011, 0.004, 0.0007])
@pytest.mark.parametrize("narrow", [False, True])
def test_no_two_ticks_of_the_forest_read_the_same(fabricate, gain, narrow):
    gains = {
        (level, name): k * gain
        for k, level in enumerate(("none", "reinhard", "macenko"))
        for name in ("test", "shift_purple")
    }
    study = read_study(fabricate(gains=gains, noise=gain / 30))
    rows = [row for row in effects(study) if row.metric == "aji"]
    ticks = [
        word for word in texts(forest(study, rows, narrow=narrow)) if re.fullmatch(r"[+−]?\d\.\d+", word)
    ]
    axis = ticks[: next((k for k, word in enumerate(ticks) if ticks.count(word) > 1), len(ticks))]
    assert len(axis) == len(ticks) >= 2


def test_no_tick_of_a_narrow_forest_sticks_out(fabricate):
    gains = {(level, "test"): 0.0004 * k for k, level in enumerate(("none", "reinhard", "macenko"))}
    study = read_study(fabricate(gains=gains, noise=0.0002))
    drawn = forest(study, [row for row in effects(study) if row.condition == "test"], narrow=True)
    wide = float(re.search(r'viewBox="0 0 ([\d.]+)', drawn)[1])
    ticks = re.findall(r'anchor: middle[^>]* x="([\d.]+)"[^>]*>([+−]?\d\.\d{3,})<', drawn)
    assert len(ticks) >= 2
    half = max(0.3 * 9 * len(word) for _, word in ticks)
    assert all(half <= float(x) <= wide - half for x, _ in ticks)


def test_forest_of_a_study_without_results_is_still_a_figure(fabricate):
    folder = fabricate()
    for path in folder.glob("*/per_image.csv"):
        path.unlink()
    study = read_study(folder)
    assert texts(forest(study, effects(study)))


def test_curves_name_each_level_in_each_panel(fabricate):
    words = texts(learning_curves(read_study(fabricate())))
    assert "U-Net: training loss" in words
    assert "U-Net: validation AJI" in words
    assert words.count("Macenko") == words.count("No normalisation") == 2


def test_no_logs_no_curves(fabricate):
    folder = fabricate()
    for path in folder.glob("*/log.jsonl"):
        path.unlink()
    assert learning_curves(read_study(folder)) == ""


def test_broken_and_diverged_log_lines_are_left_out(fabricate):
    folder = fabricate()
    log = folder / "macenko-unet-seed0" / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 210, "loss": NaN}\n{"step": 220, "lo')
    assert "nan" not in learning_curves(read_study(folder)).lower()


def test_same_study_same_figure(fabricate):
    study = read_study(fabricate())
    assert learning_curves(study) == learning_curves(study)


def test_mean_curve_covers_what_all_seeds_have():
    curve = Curve("a", ((np.arange(5.0), np.zeros(5)), (np.arange(1.0, 4.0), np.ones(3))))
    steps, values = curve.mean()
    assert steps.tolist() == [1.0, 2.0, 3.0]
    assert values.tolist() == [0.5, 0.5, 0.5]


def test_mean_curve_of_one_seed_is_itself():
    steps, values = Curve("a", ((np.array([1.0, 4.0]), np.array([0.2, 0.9])),)).mean()
    assert (steps.tolist(), values.tolist()) == ([1.0, 4.0], [0.2, 0.9])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6))
def test_labels_keep_their_order_and_their_distance(values):
    places = spread(values, gap=0.1, low=0.0, high=1.0)
    ordered = [places[i] for i in np.argsort(values, kind="stable")]
    assert all(b - a > 0.09 for a, b in pairwise(ordered))
    assert min(places) >= 0.0
    assert max(places) <= 1.0


def test_a_run_under_way_does_not_cut_the_mean_short(fabricate):
    folder = fabricate()
    whole = texts(learning_curves(read_study(folder)))
    run = folder / "macenko-unet-seed1"
    (run / "per_image.csv").unlink()
    (run / "log.jsonl").write_text("".join((run / "log.jsonl").read_text().splitlines(keepends=True)[:2]))
    assert texts(learning_curves(read_study(folder))).count("Macenko") == whole.count("Macenko")
    curves = _curves(read_study(folder), "unet", lambda run: _series(run, "loss"))
    assert {curve.level: len(curve.seeds) for curve in curves} == {"none": 2, "reinhard": 2, "macenko": 1}


def test_one_look_at_validation_is_no_curve(fabricate):
    folder = fabricate()
    assert any("validation" in text for text in texts(learning_curves(read_study(folder))))
    for log in folder.glob("*/log.jsonl"):
        lines = log.read_text().splitlines(keepends=True)
        looks = [line for line in lines if '"val"' in line]
        log.write_text("".join([line for line in lines if '"val"' not in line] + looks[-1:]))
    assert not any("validation" in text for text in texts(learning_curves(read_study(folder))))
