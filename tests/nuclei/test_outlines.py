import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope import export
from histoscope.errors import ShapeError
from histoscope.synth import generate

maps = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 3))


def shapes(labels):
    """Each nucleus's outline as shapely sees it."""
    return {
        number: shapely.MultiPolygon([shapely.Polygon(piece[0], piece[1:]) for piece in pieces])
        for number, pieces in export.trace(labels).polygons().items()
    }


def drawn(polygons, shape):
    """Pixels whose centres lie in the polygons."""
    x, y = np.meshgrid(np.arange(shape[1]) + 0.5, np.arange(shape[0]) + 0.5)
    out = np.zeros(shape, np.int32)
    for number, polygon in polygons.items():
        out[shapely.contains_xy(polygon, x, y)] = number
    return out


@given(maps)
@settings(max_examples=200, deadline=None)
def test_drawing_the_polygons_gives_any_map_back(labels):
    polygons = shapes(labels)
    assert all(polygon.is_valid for polygon in polygons.values())
    assert np.array_equal(drawn(polygons, labels.shape), labels)


@given(maps)
@settings(max_examples=100, deadline=None)
def test_area_is_that_of_the_pixels_but_for_the_corners(labels):
    for number, polygon in shapes(labels).items():
        holes = sum(len(piece.interiors) for piece in polygon.geoms)
        # each closed staircase has four corners more of one kind than of the other; a cut corner is 1/8
        assert polygon.area == (labels == number).sum() - 0.5 * len(polygon.geoms) + 0.5 * holes


@given(maps)
@settings(max_examples=100, deadline=None)
def test_outer_rings_run_clockwise_on_the_screen_and_no_point_is_idle(labels):
    outlines = export.trace(labels)
    for ring, is_hole in zip(outlines.rings(), outlines.is_hole, strict=True):
        before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
        turn = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
        assert (turn != 0).all()
        x, y = ring.astype(float).T
        assert (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)) < 0) == is_hole


def test_holes_islands_and_pieces_are_told_apart():
    labels = np.zeros((9, 16), np.int32)
    labels[1:8, 1:8] = 5
    labels[2:7, 2:7] = 0
    labels[4, 4] = 5  # an island in the hole
    labels[1:3, 10:12] = 5  # a second piece
    labels[3, 12] = 5  # hangs on by a corner only: a third
    pieces = export.trace(labels).polygons()[5]
    assert sorted(len(piece) for piece in pieces) == [1, 1, 1, 2]
    assert np.array_equal(drawn(shapes(labels), labels.shape), labels)


def test_dense_tissue_with_touching_nuclei_comes_back():
    labels = generate((256, 256), mpp=0.5, rng=np.random.default_rng(0)).instances
    assert len(np.unique(labels)) > 30
    assert np.array_equal(drawn(shapes(labels), labels.shape), labels)


def test_ids_need_not_be_small_or_without_gaps():
    labels = np.zeros((4, 4), np.int32)
    labels[0, 0], labels[2:, 2:] = 70_000, 2**31 - 1
    assert set(export.trace(labels).polygons()) == {70_000, 2**31 - 1}


@pytest.mark.parametrize("shape", [(0, 0), (0, 5), (3, 3)])
def test_a_map_without_nuclei_has_no_outlines(shape):
    outlines = export.trace(np.zeros(shape, np.int32))
    assert len(outlines) == 0
    assert outlines.rings() == []
    assert outlines.polygons() == {}


@pytest.mark.parametrize(
    "labels", [np.zeros((3, 3)), np.zeros((3, 3, 3), np.int32), np.full((3, 3), -1, np.int32)]
)
def test_what_is_no_label_map_is_refused(labels):
    with pytest.raises(ShapeError, match="expected"):
        export.trace(labels)
