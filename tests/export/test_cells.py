"""Cells of a slide: polygons, ids, GeoParquet, GeoJSON, label pyramids, AnnData; what is written is read."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import shapely
import tifffile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscope.export import measure
from histoscope.export.cells import Cells, ids_of, polygons_of
from histoscope.export.cells_anndata import write_anndata
from histoscope.export.cells_geojson import write_cells_geojson, write_centres
from histoscope.export.cells_labels import outlines_of, write_labels_pyramid
from histoscope.nuclei import Nuclei

MAPS = arrays(np.int32, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 4))


def table_of(labels, classes=("red", "blue"), corner=(100, 200), scale=(2.0, 2.0)):
    n = int(labels.max(initial=0))
    kinds = np.arange(n + 1) % 2 + 1
    nuclei = Nuclei.from_labels(labels, mpp=0.5, classes=kinds.astype(np.uint8))
    measured = measure(nuclei, np.full((*labels.shape, 3), 150, np.uint8), classes)
    cells = Cells.of(nuclei, measured, classes, corner=corner, scale=scale)
    return cells.to_arrow(classes, part="0000_0000", slide="a slide")


@pytest.fixture
def labels():
    found = np.zeros((60, 80), np.int32)
    found[5:15, 5:20] = 1
    found[20:40, 30:50] = 2
    found[25:30, 35:40] = 0  # a hole
    found[50:55, 60:70] = 3
    found[50:55, 72:78] = 3  # in two pieces
    return found


@given(labels=MAPS, scale=st.tuples(st.floats(0.3, 5), st.floats(0.3, 5)))
def test_polygons_give_the_pixels_back(labels, scale):
    n = int(labels.max(initial=0))
    corner = (7, 3)
    polygons = polygons_of(Nuclei.from_labels(labels, mpp=0.5), corner, scale)
    assert shapely.is_valid(polygons).all()
    drawn = outlines_of(polygons, scale).to_labels(labels.shape, corner=corner[::-1])
    np.testing.assert_array_equal(drawn, labels)
    areas = shapely.area(polygons) / (scale[0] * scale[1])
    counts = np.bincount(labels.ravel(), minlength=n + 1)[1:]
    assert (np.abs(areas - counts) <= 0.51 * np.maximum(counts, 1)).all()


def test_places_are_those_of_level_0(labels):
    table = table_of(labels)
    assert table["x_px"][0].as_py() == (100 + 12.5) * 2
    assert table["y_px"][0].as_py() == (200 + 10) * 2
    assert table["bbox"][0].as_py() == {"xmin": 210, "ymin": 410, "xmax": 240, "ymax": 430}
    first, hole, two = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert first.bounds == (210, 410, 240, 430)
    assert len(hole.interiors) == 1
    assert two.geom_type == "MultiPolygon"
    assert table["class"].to_pylist() == ["blue", "red", "blue"]


def test_ids_are_uuids_of_slide_and_place():
    places = np.array([[10.5, 20.25], [10.5, 20.251], [-3, 0]])
    ids = ids_of(places, "a")
    assert ids == ids_of(places[::-1], "a")[::-1]
    assert len({*ids, *ids_of(places, "b")}) == 6
    from uuid import UUID

    assert all(UUID(one).version == 8 and UUID(one).variant == "specified in RFC 4122" for one in ids)


def test_geoparquet_says_what_it_is(labels, tmp_path):
    pq.write_table(table_of(labels), tmp_path / "cells.parquet")
    geo = json.loads(pq.read_schema(tmp_path / "cells.parquet").metadata[b"geo"])
    assert geo["version"] == "1.1.0"
    column = geo["columns"][geo["primary_column"]]
    assert column["encoding"] == "WKB"
    assert column["covering"]["bbox"]["xmin"] == ["bbox", "xmin"]


def test_no_cells_have_the_columns_of_some(labels):
    assert Cells.none(("red", "blue")).to_arrow(("red", "blue"), part="", slide="").schema.names == [
        *table_of(labels).schema.names[:6],
        "p_red",
        "p_blue",
        *table_of(labels).schema.names[6:],
    ]


def features_of(path):
    with gzip.open(path, "rt") as file:
        return json.load(file)["features"]


def test_geojson_is_what_qupath_takes(labels, tmp_path):
    table = table_of(labels)
    paths = write_cells_geojson(tmp_path, [table], ("red", "blue"), offset_px=(10, 20), most_cells=2)
    assert [path.name for path in paths] == ["cells.0001.geojson.gz", "cells.0002.geojson.gz"]
    features = [feature for path in paths for feature in features_of(path)]
    assert [feature["id"] for feature in features] == table["id"].to_pylist()
    for feature, wkb in zip(features, table["geometry"].to_pylist(), strict=True):
        assert set(feature["properties"]) == {"objectType", "classification", "measurements"}
        assert feature["properties"]["objectType"] == "detection"
        moved = shapely.transform(shapely.from_wkb(wkb), lambda xy: xy - (10, 20))
        assert shapely.from_geojson(json.dumps(feature["geometry"])).equals(moved)
    before = paths[0].read_bytes()
    write_cells_geojson(tmp_path, [table], ("red", "blue"), offset_px=(10, 20), most_cells=100)
    assert not paths[1].exists()
    assert write_cells_geojson(tmp_path, [table], ("red", "blue"), offset_px=(10, 20), most_cells=2) == paths
    assert paths[0].read_bytes() == before


@pytest.mark.parametrize("most_cells", [1, 2, 3, 7])
def test_files_are_full_whatever_the_batches(labels, tmp_path, most_cells):
    table = table_of(labels)
    batches = [table, table.slice(0, 1), table.slice(0, 0), table]
    paths = write_cells_geojson(tmp_path, batches, ("red", "blue"), most_cells=most_cells)
    sizes = [len(features_of(path)) for path in paths]
    n = 2 * len(table) + 1
    assert sum(sizes) == n
    assert sizes[:-1] == [most_cells] * ((n - 1) // most_cells)


def test_measurements_have_five_digits(labels, tmp_path):
    table = table_of(labels)
    values = [123.456789, 0.000123456, np.nan][: len(table)]
    column = pa.array(np.array(values, np.float32))
    table = table.set_column(table.schema.get_field_index("area_um2"), "area_um2", column)
    (path,) = write_cells_geojson(tmp_path, [table], ("red", "blue"))
    found = [feature["properties"]["measurements"]["area_um2"] for feature in features_of(path)]
    assert found[:2] == [123.46, 0.00012346]
    assert np.isnan(found[2])


def test_no_cells_are_an_empty_collection(tmp_path):
    empty = Cells.none(()).to_arrow((), part="", slide="")
    (path,) = write_cells_geojson(tmp_path, [empty], ())
    assert features_of(path) == []


def test_centres_are_points_by_class(labels, tmp_path):
    write_centres(tmp_path / "centres.geojson.gz", [table_of(labels)], ("red", "blue"))
    features = features_of(tmp_path / "centres.geojson.gz")
    assert [f["properties"]["classification"]["name"] for f in features] == ["red", "blue"]
    assert [len(f["geometry"]["coordinates"]) for f in features] == [1, 2]


def test_label_pyramid(tmp_path):
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 5, (2501, 4403)).astype(np.int32) + 70_000
    path = tmp_path / "labels.ome.tif"
    write_labels_pyramid(path, (4403, 2501), 0.5, lambda top, bottom: whole[top:bottom])
    before = path.read_bytes()
    write_labels_pyramid(path, (4403, 2501), 0.5, lambda top, bottom: whole[top:bottom])
    assert path.read_bytes() == before
    with tifffile.TiffFile(path) as file:
        (series,) = file.series
        assert [level.shape for level in series.levels] == [(2501, 4403), (1250, 2201), (625, 1100)]
        np.testing.assert_array_equal(series.levels[0].asarray(), whole)
        np.testing.assert_array_equal(series.levels[1].asarray(), whole[:2500:2, :4402:2])
        np.testing.assert_array_equal(series.levels[2].asarray(), whole[:2500:4, :4400:4])
        assert series.dtype == np.uint32
        assert 'PhysicalSizeX="0.5"' in file.ome_metadata
    assert [path.name for path in tmp_path.iterdir()] == ["labels.ome.tif"]


def test_anndata_is_read_by_anndata(labels, tmp_path):
    anndata = pytest.importorskip("anndata")
    table = table_of(labels)
    write_anndata(tmp_path / "cells.h5ad", table)
    found = anndata.read_h5ad(tmp_path / "cells.h5ad")
    assert found.obs["class"].tolist() == table["class"].to_pylist()
    np.testing.assert_allclose(found[:, "area_um2"].X.ravel(), table["area_um2"].to_numpy())
    np.testing.assert_allclose(found.obsm["spatial"][:, 0], table["x_px"].to_numpy())
    attrs = found.uns["spatialdata_attrs"]
    assert found.obs[attrs["instance_key"]].tolist() == table["id"].to_pylist()
    assert set(found.obs[attrs["region_key"]]) == {attrs["region"]}


def test_tables_of_parts_join(labels):
    one = table_of(labels)
    other = table_of(np.zeros((5, 5), np.int32))
    assert len(pa.concat_tables([one, other])) == 3
