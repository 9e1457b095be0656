"""Tiles of a slide: the same as of the image in memory, however the slide is cut."""

import gzip
import json
from dataclasses import replace
from functools import partial

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely

from histoscope import stain
from histoscope.classify import batches
from histoscope.errors import ConfigError, CorruptDataError
from histoscope.files import read_image, write_image
from histoscope.jobs.journal import Job
from histoscope.predict import classify_tiles
from histoscope.predict.slides import one
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.predict.slides.run import predict_slide
from histoscope.predict.slides.store import Store
from histoscope.predict.slides.tiles import ClassifyTiles
from histoscope.slides import Box, open_slide
from histoscope.tables import read_table

SMALL = SlideSettings(kinds=("geojson", "csv"), part_px=160)


def tiles_of(path, model, out, settings=SMALL):
    outcome = run(model, [Job(path, "one")], out, settings)
    assert not outcome.failed
    return pq.read_table(out / "one" / "tiles.parquet"), outcome.done[0]


def values_of(table, classes):
    return np.stack([table[f"p_{name}"].to_numpy() for name in classes], axis=1)


@pytest.mark.parametrize(("part_px", "batch_size"), [(4096, 8), (160, 8), (233, 3)])
def test_tiles_are_those_of_the_image_in_memory(
    path, image, classifier, tmp_path, monkeypatch, part_px, batch_size
):
    expected = classify_tiles(image, classifier, 0.5)
    monkeypatch.setitem(batches.through.__kwdefaults__, "batch_size", batch_size)
    table, row = tiles_of(path, classifier, tmp_path, SlideSettings(part_px=part_px))
    boxes = np.array(
        [[box[key] for key in ("xmin", "ymin", "xmax", "ymax")] for box in table["bbox"].to_pylist()]
    )
    order, other = np.lexsort(boxes.T[:2]), np.lexsort(expected.box_px.T[:2])
    assert len(table) > 200
    np.testing.assert_array_equal(boxes[order], expected.box_px[other])
    np.testing.assert_array_equal(table["tissue"].to_numpy()[order], expected.tissue[other])
    found = values_of(table, classifier.classes)
    np.testing.assert_allclose(found[order], expected.probability[other], atol=1e-6)
    assert np.array_equal(table["class_id"].to_numpy()[order] - 1, expected.predicted[other])
    assert len(set(expected.predicted.tolist())) > 1
    area = np.bincount(expected.predicted, expected.tissue_mm2, minlength=3)
    assert [row[f"mm2_{name}"] for name in classifier.classes] == pytest.approx(area, abs=1e-4)
    assert row["tiles"] == len(expected)


def test_no_bit_depends_on_how_the_slide_is_cut(path, classifier, tmp_path):
    columns = ["id", "class", "geometry", "tissue", *(f"p_{name}" for name in classifier.classes)]
    one, *others = (
        tiles_of(path, classifier, tmp_path / str(px), SlideSettings(part_px=px))[0]
        .select(columns)
        .sort_by("id")
        .to_pylist()
        for px in (4096, 160, 233)
    )
    assert all(other == one for other in others)


@pytest.mark.parametrize("mpp", [0.25, 0.37])
def test_at_another_resolution_tiles_are_those_of_what_the_network_sees(image, classifier, tmp_path, mpp):
    write_image(tmp_path / "a.tif", image, mpp=mpp)
    with open_slide(tmp_path / "a.tif") as slide:
        width, height = slide.size_at(0.5)
        expected = classify_tiles(slide.read_at(Box(0, 0, width, height), 0.5), classifier, 0.5)
        scale = slide.scale_at(0.5)
    table, _ = tiles_of(tmp_path / "a.tif", classifier, tmp_path)
    squares = shapely.bounds(shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False)))
    order, other = np.lexsort(squares.T[:2]), np.lexsort(expected.box_px.T[:2])
    np.testing.assert_allclose(squares[order], expected.box_px[other] * np.tile(scale, 2))
    np.testing.assert_allclose(
        values_of(table, classifier.classes)[order], expected.probability[other], atol=1e-6
    )


def test_stains_are_those_of_the_slide(path, image, classifier, tmp_path):
    normalizer = stain.Macenko.default()
    table, _ = tiles_of(path, replace(classifier, normalizer=normalizer), tmp_path)
    source = stain.load(tmp_path / "one" / "stains.json", "macenko").target
    expected = classify_tiles(image, replace(classifier, normalizer=partial(normalizer, source=source)), 0.5)
    np.testing.assert_allclose(
        np.sort(table["p_gland"].to_numpy()), np.sort(expected.probability[:, 0]), atol=1e-6
    )


def test_what_is_written(path, classifier, tmp_path):
    table, row = tiles_of(path, classifier, tmp_path)
    names = {found.name for found in (tmp_path / "one").iterdir() if found.name[0] != "."}
    maps = {f"heatmap_{name}.png" for name in classifier.classes}
    files = {
        "plan.json",
        "tiles.parquet",
        "tiles.0001.geojson.gz",
        "tiles.csv",
        "overview.png",
        "stains.json",
    }
    assert names == files | maps | {"tissue.geojson", "problems.csv", "summary.json"}
    with gzip.open(tmp_path / "one" / "tiles.0001.geojson.gz", "rt") as file:
        features = json.load(file)["features"]
    assert {one["properties"]["objectType"] for one in features} == {"tile"}
    measured = features[0]["properties"]["measurements"]
    assert set(measured) == {"probability", "tissue", "p_gland", "p_stroma", "p_fat"}
    assert [one["id"] for one in features] == table["id"].to_pylist()
    assert len(set(table["id"].to_pylist())) == len(table)
    about = json.loads(pq.read_schema(tmp_path / "one" / "tiles.parquet").metadata[b"histoscope"])
    assert (about["classes"], about["model"], about["tile_um"]) == (["gland", "stroma", "fat"], "fresh", 16.0)
    assert read_table(tmp_path / "one" / "tiles.csv").id.tolist() == table["id"].to_pylist()
    assert sum(row[f"share_{name}"] for name in classifier.classes) == pytest.approx(1, abs=1e-3)
    area = sum(table["tissue_mm2"].to_pylist())
    assert 0.7 * row["tissue_mm2"] < area < row["tissue_mm2"]  # gaps are not tissue of a tile
    assert area == pytest.approx(sum(row[f"mm2_{name}"] for name in classifier.classes), abs=2e-4)


def test_tiles_are_geoparquet(path, classifier, tmp_path):
    table, _ = tiles_of(path, classifier, tmp_path)
    geo = json.loads(table.schema.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"]) == ("1.1.0", "geometry")
    column = geo["columns"]["geometry"]
    assert (column["encoding"], column["crs"]) == ("WKB", None)
    squares = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    assert {square.geom_type for square in squares} <= set(column["geometry_types"])
    covering = column["covering"]["bbox"]
    bounds = [table[name].combine_chunks().field(key).to_numpy() for name, key in covering.values()]
    assert list(covering) == ["xmin", "ymin", "xmax", "ymax"]
    np.testing.assert_array_equal(np.stack(bounds, axis=1), shapely.bounds(squares))


def test_a_region_decides_instead_of_the_tissue(path, classifier, tmp_path):
    ring = [[200, 100], [520, 130], [260, 430], [200, 100]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    feature = {"type": "Feature", "geometry": geometry, "properties": {"objectType": "annotation"}}
    (tmp_path / "roi.geojson").write_text(json.dumps({"type": "FeatureCollection", "features": [feature]}))
    settings = SlideSettings(roi=tmp_path / "roi.geojson", part_px=160)
    table, row = tiles_of(path, ClassifyTiles(classifier, least_tissue=0.0001), tmp_path / "out", settings)
    shape = shapely.Polygon(ring)
    squares = shapely.from_wkb(table["geometry"].to_numpy(zero_copy_only=False))
    share = shapely.area(shapely.intersection(squares, shape)) / shapely.area(squares)
    np.testing.assert_allclose(table["tissue"].to_numpy(), share, atol=1e-6)
    assert sum(table["tissue_mm2"].to_pylist()) == pytest.approx(row["tissue_mm2"], abs=1e-4)


def contents(folder):
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if name.name != "timings.csv"  # the one file that differs between calls
        and not any(each[0] == "." for each in name.parts)  # the ledger, and what was just being written
    }


def test_begun_again_it_ends_with_the_same_bytes(path, classifier, tmp_path, monkeypatch):
    tiles_of(path, classifier, tmp_path / "undisturbed")
    write, written = Store.write, []

    def stopped(self, part, *arguments):
        if len(written) == 4:
            raise KeyboardInterrupt
        written.append(part)
        write(self, part, *arguments)

    monkeypatch.setattr(Store, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        tiles_of(path, classifier, tmp_path / "out")
    monkeypatch.undo()
    assert len(list((tmp_path / "out" / "one" / "parts").glob("*.parquet"))) == 4
    tiles_of(path, classifier, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")
    monkeypatch.setattr(one, "predict_slide", lambda *a, **k: pytest.fail("asked again"))
    tiles_of(path, classifier, tmp_path / "out")


def test_other_settings_and_other_work_are_refused(path, classifier, rays, tmp_path):
    tiles_of(path, classifier, tmp_path)
    job = [Job(path, "one")]
    with pytest.raises(ConfigError, match=r"least_tissue: 0\.1 there, 0\.5 now"):
        run(ClassifyTiles(classifier, 0.5), job, tmp_path, SMALL)
    with pytest.raises(ConfigError, match="model: 'fresh' there"):
        run(rays, job, tmp_path, SMALL)
    with pytest.raises(ConfigError, match="labels cannot be written for tiles, only geojson, csv"):
        run(classifier, job, tmp_path, SlideSettings(kinds=("labels",)))


def test_nothing_of_an_earlier_model_stays(path, classifier, rays, tmp_path):
    run(rays, [Job(path, "one")], tmp_path, SlideSettings(kinds=("geojson", "labels")))
    run(classifier, [Job(path, "one")], tmp_path / "other", SMALL)
    run(classifier, [Job(path, "one")], tmp_path, SMALL, overwrite=True)
    assert set(contents(tmp_path / "one")) == set(contents(tmp_path / "other" / "one"))


def test_tiles_that_cannot_be_read_are_left_out_and_named(slide, classifier, tmp_path):
    crop = slide.reader.crop

    def broken(box, level):
        if box.x <= 300 < box.x + box.width and box.y <= 200 < box.y + box.height:
            raise CorruptDataError("a tile is broken")
        return crop(box, level)

    with Store.hold(tmp_path / "whole", {}, "tiles.parquet") as store:
        expected = predict_slide(slide, classifier, store).n_rows
    slide.reader.crop = broken
    with Store.hold(tmp_path / "broken", {}, "tiles.parquet") as store:
        found = predict_slide(slide, classifier, store)
    (problem,) = found.problems
    assert problem["error"] == "a tile is broken"
    assert 0 < expected - found.n_rows <= 9


def test_a_slide_of_glass_and_a_bad_one_are_rows(path, classifier, tmp_path):
    write_image(tmp_path / "glass.tif", np.full((300, 300, 3), 240, np.uint8), mpp=0.5)
    (tmp_path / "empty.svs").touch()
    jobs = [Job(tmp_path / name, name.split(".")[0]) for name in ("glass.tif", "empty.svs")]
    outcome = run(classifier, [*jobs, Job(path, "one")], tmp_path / "out", SMALL)
    table = read_table(tmp_path / "out" / "summary.csv").set_index("image")
    assert table.tiles["glass"] == 0
    assert "empty (0 bytes)" in table.error["empty"]
    assert table.tiles["one"] > 200
    assert len(outcome.failed) == 1
    assert read_image(tmp_path / "out" / "glass" / "heatmap_fat.png").ndim == 3
