import re
import warnings

import pytest

from histoscope.errors import ConfigError
from histoscope.models.pixel_sizes import ON_CARD, Curve, warn_outside

POINTS = [[0.2, 0.58], [0.25, 0.6], [0.5, 0.6], [0.7, 0.5], [1.0, 0.2]]
CARD = {"name": "nuclei-test", ON_CARD: {"aji": POINTS}}


def test_the_range_is_around_the_best_and_ends_where_aji_falls_by_a_twentieth():
    assert Curve.of(CARD).range == (0.2, 0.6)  # halfway from .6 to .5
    assert Curve.of(CARD).best == (0.25, 0.6)
    second = Curve((0.2, 0.3, 0.4, 0.5), (0.3, 0.6, 0.2, 0.59))  # it works again further on, by chance
    assert second.range == (0.28, 0.31)


@pytest.mark.parametrize(("mpp", "aji"), [(0.2, 0.58), (0.375, 0.6), (0.85, 0.35), (0.1, 0.58), (3.0, 0.2)])
def test_between_points_the_curve_is_a_line_and_beyond_them_the_last(mpp, aji):
    assert Curve.of(CARD).at(mpp) == pytest.approx(aji)


@pytest.mark.parametrize(("mpp", "aji"), [((0.2,), (0.5,)), ((0.2, 0.3), (0.5,)), ((0.3, 0.2), (0.5, 0.5))])
def test_what_is_no_curve(mpp, aji):
    with pytest.raises(ConfigError, match="pixel sizes in rising order"):
        Curve(mpp, aji)


@pytest.mark.parametrize(
    ("mpp", "said"),
    [
        (
            0.8,
            "outside the range of nuclei-test, 0.2 to 0.6 um/px: its AJI is 0.60 at 0.25 um/px, 0.40 at 0.8.",
        ),
        (2.0, "0.20 at 1, the coarsest tested"),
        (0.1, "0.60 at 0.25 um/px, 0.58 at 0.2, the finest tested"),
    ],
)
def test_images_outside_are_warned_of_with_the_numbers(mpp, said):
    with pytest.warns(UserWarning, match=re.escape(said)) as told:
        warn_outside(mpp, CARD)
    assert "correct it with --mpp" in str(told[0].message)


def test_a_best_at_the_end_of_what_was_tried_is_said_once():
    with pytest.warns(UserWarning, match=r"its AJI is 0\.60 at 0\.2 um/px, the finest tested\. If"):
        warn_outside(0.1, {ON_CARD: {"aji": [[0.2, 0.6], [0.5, 0.5]]}})


@pytest.mark.parametrize("card", [None, {}, {ON_CARD: None}, CARD])
def test_there_is_no_warning_inside_or_without_a_curve(card):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mpp in (0.2, 0.25, 0.5, 0.6) if card is CARD else (0.01, 0.25, 9.0):
            warn_outside(mpp, card)
