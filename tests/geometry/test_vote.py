"""Shapes by vote, against a slow twin that draws each polygon by itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscope import geometry
from histoscope.errors import ShapeError
from histoscope.geometry.vote import WINNER_WEIGHT, draw_by_vote


def slow_twin(points, distances, keep, winner, shape):
    out = np.zeros(shape, np.int32)
    for number, kept in enumerate(keep, start=1):
        votes, total = np.zeros(shape), 0.0
        for voter in np.flatnonzero(winner == kept):
            weight = WINNER_WEIGHT if voter == kept else 1.0
            votes += weight * (geometry.draw(points[[voter]], distances[[voter]], shape) > 0)
            total += weight
        out[(votes >= total / 2) & (out == 0)] = number
    return out


@given(seed=st.integers(0, 10_000), n=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_as_if_each_polygon_were_drawn_by_itself(seed, n):
    rng = np.random.default_rng(seed)
    points = rng.uniform(-4, 44, (n, 2)).astype(np.float32)
    distances = rng.uniform(0.5, 9, (n, 16)).astype(np.float32)
    probability = rng.random(n).astype(np.float32)
    keep, winner = geometry.suppress(points, distances, probability, iou_threshold=0.3)
    expected = slow_twin(points, distances, keep, winner, (40, 44))
    np.testing.assert_array_equal(draw_by_vote(points, distances, keep, winner, (40, 44)), expected)


def test_without_suppressed_candidates_it_is_the_plain_drawing():
    points = np.array([[8, 8], [24, 22]], np.float32)
    distances = np.full((2, 32), 5.0, np.float32)
    own = np.arange(2)
    by_vote = draw_by_vote(points, distances, own, own, (32, 32))
    np.testing.assert_array_equal(by_vote, geometry.draw(points, distances, (32, 32)))


def test_votes_mend_an_odd_winner():
    points = np.full((6, 2), 16, np.float32)
    distances = np.full((6, 32), 7.0, np.float32)
    distances[0, 3:6] = 1.0  # the most probable polygon has a notch
    mended = draw_by_vote(points, distances, np.array([0]), np.zeros(6, np.int64), (32, 32))
    np.testing.assert_array_equal(mended, geometry.draw(points[1:2], distances[1:2], (32, 32)))


def test_nothing_kept_draws_nothing():
    none = np.zeros(0, np.int64)
    assert not draw_by_vote(np.zeros((0, 2)), np.zeros((0, 8)), none, none, (4, 4)).any()


def test_distances_that_are_no_numbers_are_refused():
    with pytest.raises(ShapeError, match="finite"):
        draw_by_vote(np.zeros((1, 2)), np.full((1, 8), np.nan), np.array([0]), np.array([0]), (4, 4))
