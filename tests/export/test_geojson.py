import json
from uuid import UUID

import numpy as np
import pytest
import shapely
from shapely.geometry import shape as shape_of

from histoscope import export
from histoscope.types import Nuclei


@pytest.fixture
def nuclei():
    labels = np.zeros((20, 30), np.int32)
    labels[2:8, 3:9] = 1
    labels[4, 5] = 0  # a hole
    labels[10:14, 4:8], labels[15:18, 10:14] = 2, 2  # two pieces
    labels[0, 29] = 3
    return Nuclei(
        centroid_px=np.zeros((4, 2), np.float32),
        class_id=np.array([1, 2, 0, 1], np.uint8),  # the fourth has no pixel
        probability=np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        instances=labels,
        mpp=0.5,
    )


def read(path):
    return json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)


def test_qupath_can_read_it(nuclei, tmp_path):
    path = tmp_path / "a.geojson"
    table = export.measure(nuclei, np.zeros((20, 30, 3), np.uint8), ["x", "y"])
    export.write_geojson(path, nuclei, classes=["x", "y"], table=table)
    found = read(path)
    assert found["type"] == "FeatureCollection"
    assert len(found["features"]) == 3
    for feature in found["features"]:
        assert feature["type"] == "Feature"
        UUID(feature["id"])
        assert feature["properties"]["objectType"] == "detection"
        colour = feature["properties"]["classification"]["color"]
        assert len(colour) == 3
        assert all(isinstance(value, int) and 0 <= value <= 255 for value in colour)
        measurements = feature["properties"]["measurements"]
        assert measurements["area_um2"] > 0
        assert all(isinstance(value, float) for value in measurements.values())
        geometry = feature["geometry"]
        pieces = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
        for ring in (ring for piece in pieces for ring in piece):
            assert ring[0] == ring[-1]
            assert len(ring) >= 4
        assert shape_of(geometry).is_valid
    names = [feature["properties"]["classification"]["name"] for feature in found["features"]]
    assert sorted(names) == ["nucleus", "x", "y"]
    assert len({feature["id"] for feature in found["features"]}) == 3


def test_polygons_give_the_labels_back(nuclei, tmp_path):
    export.write_geojson(tmp_path / "a.geojson", nuclei)
    x, y = np.meshgrid(np.arange(30) + 0.5, np.arange(20) + 0.5)
    drawn = np.zeros((20, 30), bool)
    for feature in read(tmp_path / "a.geojson")["features"]:
        drawn |= shapely.contains_xy(shape_of(feature["geometry"]), x, y)
    assert np.array_equal(drawn, nuclei.instances > 0)


def test_offset_moves_everything(nuclei, tmp_path):
    for name, offset in [("a", (0, 0)), ("b", (1000, 2000))]:
        export.write_geojson(tmp_path / f"{name}.geojson", nuclei, offset_px=offset)
    here, there = (
        [shape_of(feature["geometry"]) for feature in read(tmp_path / f"{name}.geojson")["features"]]
        for name in "ab"
    )
    for one, other in zip(here, there, strict=True):
        assert shapely.affinity.translate(one, 1000, 2000).equals(other)


def test_ids_are_the_same_each_time_and_others_for_other_images(nuclei, tmp_path):
    ids = []
    for name in ("a", "a", "b"):
        export.write_geojson(tmp_path / "x.geojson", nuclei, name=name)
        ids.append([feature["id"] for feature in read(tmp_path / "x.geojson")["features"]])
    assert ids[0] == ids[1]
    assert not set(ids[0]) & set(ids[2])


def test_no_nuclei_are_an_empty_collection(tmp_path):
    none = np.zeros(0)
    nuclei = Nuclei(
        np.zeros((0, 2), np.float32), none.astype(np.uint8), none, np.zeros((4, 4), np.int32), 0.5
    )
    export.write_geojson(tmp_path / "a.geojson", nuclei)
    assert read(tmp_path / "a.geojson") == {"type": "FeatureCollection", "features": []}
