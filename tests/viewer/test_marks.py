"""Squares of marks hold what lies in them, all of it, once."""

import numpy as np
import pytest
import shapely

from histoscope.viewer.keeping import keep, kept
from histoscope.viewer.marks import BANDS, BINS, POINT_PX, TILE_PX, bands_of
from histoscope.viewer.sorting import Batch, sorted_marks


def marks_of(n=500, side=5000, seed=0, batches=3):
    rng = np.random.default_rng(seed)
    centre = rng.uniform(0, side, (n, 2))
    polygons = np.array([shapely.Point(*each).buffer(8) for each in centre], object)
    polygons[5] = shapely.union(
        shapely.box(*centre[5], *(centre[5] + 4)), shapely.box(*(centre[5] + 9), *(centre[5] + 12))
    )
    polygons[6] = polygons[6].difference(shapely.Point(*centre[6]).buffer(4))
    polygons[7] = shapely.Polygon()
    cut = np.array_split(np.arange(n), batches)
    kind, probability = rng.integers(0, 3, n), rng.random(n)
    parts = [Batch(centre[k], kind[k], probability[k], polygons[k]) for k in cut]
    return sorted_marks(parts, {"classes": ["a", "b"], "mpp": 0.5}), centre, kind, probability, polygons


def opened(packed):
    """What the page reads: the arrays of a square."""
    n, rings, points = np.frombuffer(packed, "<u4", 3, 4)
    at = 16
    found = {}
    layout = {
        b"HSO1": [
            *[("centre", "<f4", 2 * n), ("row", "<u4", n), ("points", "<i2", 2 * points)],
            *[("rings", "<u2", n), ("lengths", "<u2", rings), ("kind", "u1", n), ("band", "u1", n)],
        ],
        b"HSC1": [("count", "<u4", n), ("place", "<u2", n), ("kind", "u1", n), ("band", "u1", n)],
    }[packed[:4]]
    for name, dtype, count in layout:
        found[name] = np.frombuffer(packed, dtype, int(count), at)
        at += found[name].nbytes
    assert at == len(packed)
    return found


@pytest.mark.parametrize("zoom", [0, 1, 3])
def test_each_mark_is_in_one_square_of_each_zoom(zoom):
    marks, centre, kind, probability, _ = marks_of()
    side, seen = TILE_PX << zoom, []
    for column in range(5000 // side + 1):
        for row in range(5000 // side + 1):
            found = opened(marks.outlines(zoom, column, row))
            assert np.array_equal(
                centre[found["row"]] // side, np.tile([column, row], (len(found["row"]), 1))
            )
            assert np.array_equal(kind[found["row"]], found["kind"])
            assert np.array_equal(bands_of(probability[found["row"]]), found["band"])
            seen += found["row"].tolist()
    assert sorted(seen) == list(range(500))


def test_outlines_are_the_polygons_within_a_pixel():
    marks, centre, _, _, polygons = marks_of()
    found = opened(marks.outlines(4, 0, 0))
    point, ring = 0, 0
    for k, row in enumerate(found["row"]):
        rings = []
        for length in found["lengths"][ring : ring + found["rings"][k]]:
            moved = found["points"].reshape(-1, 2)[point : point + length] * POINT_PX
            rings.append(moved + centre[row])
            point += length
        ring += found["rings"][k]
        parts = [part for part in shapely.get_parts(polygons[row]) if not part.is_empty]
        assert len(rings) == sum(1 + len(part.interiors) for part in parts)
        if rings:
            drawn = shapely.MultiLineString([np.vstack([each, each[:1]]) for each in rings])
            assert shapely.hausdorff_distance(drawn, polygons[row].boundary) < 1.0


@pytest.mark.parametrize("zoom", [0, 2, 4])
def test_densities_count_all_marks(zoom):
    marks, centre, kind, probability, _ = marks_of()
    side, total = TILE_PX << zoom, np.zeros((3, BANDS), int)
    for column in range(5000 // side + 1):
        for row in range(5000 // side + 1):
            found = opened(marks.density(zoom, column, row))
            np.add.at(total, (found["kind"], found["band"]), found["count"])
            inside = (centre // side == [column, row]).all(axis=1)
            places = ((centre[inside] - [column * side, row * side]) * BINS / side).astype(int)
            assert set(found["place"]) == set(places[:, 1] * BINS + places[:, 0])
    expected = np.zeros((3, BANDS), int)
    np.add.at(expected, (kind, bands_of(probability)), 1)
    assert np.array_equal(total, expected)
    assert np.array_equal(marks.counts(), expected)


def test_the_busiest_square_of_each_zoom():
    marks, *_ = marks_of()
    busiest = marks.busiest()
    assert busiest == sorted(busiest)
    assert busiest[-1] == len(marks)
    most = max(len(opened(marks.outlines(1, x, y))["row"]) for x in range(5) for y in range(5))
    assert busiest[1] == most


def test_no_marks_are_no_error():
    marks = sorted_marks([], {"classes": []})
    assert len(marks) == 0
    assert marks.busiest() == [0]
    assert opened(marks.outlines(0, 0, 0))["row"].size == 0
    assert opened(marks.density(0, 0, 0))["count"].size == 0
    assert marks.reach_px() == 0


def test_marks_that_are_kept_are_the_same_and_go_with_their_file(tmp_path):
    marks, *_ = marks_of()
    path = tmp_path / ".cells.parquet.marks"
    keep(path, marks, "stamp")
    again = kept(path, "stamp")
    for name in ("key", "centre", "class_id", "band", "row", "ring_starts", "point_starts", "points"):
        assert np.array_equal(getattr(again, name), getattr(marks, name)), name
    assert again.about == marks.about
    assert again.outlines(2, 0, 0) == marks.outlines(2, 0, 0)
    assert kept(path, "another") is None
    path.write_bytes(path.read_bytes()[:200])
    assert kept(path, "stamp") is None
    assert kept(tmp_path / "none", "stamp") is None


@pytest.mark.parametrize("box", [(100, 200, 900, 950), (0, 0, 5000, 5000), (2000, 2000, 2001, 2001)])
def test_those_in_a_box_are_found_with_their_outlines(box):
    marks, _, _, _, polygons = marks_of()
    found = marks.within(box)
    exact = marks.centre
    left, top, right, bottom = box
    is_in = (exact[:, 0] >= left) & (exact[:, 0] <= right) & (exact[:, 1] >= top) & (exact[:, 1] <= bottom)
    assert sorted(found.tolist()) == np.flatnonzero(is_in).tolist()
    place = int(np.flatnonzero(marks.row == 6)[0])
    assert [len(ring) > 4 for ring in marks.rings(place)] == [True, True]
    low, high = np.concatenate(marks.rings(place)).min(axis=0), np.concatenate(marks.rings(place)).max(axis=0)
    assert np.abs(np.concatenate([low, high]) - polygons[6].bounds).max() < 1.0
