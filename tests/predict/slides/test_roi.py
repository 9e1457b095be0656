"""A region of interest in place of the tissue: what is inside is found, and nothing else."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import shapely
from scipy.spatial import cKDTree

from histoscope.errors import ConfigError, DataError, DatasetNotFoundError
from histoscope.jobs.journal import Job
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.predict.slides.roi import files_of, region_of


def write(path, *rings, name=""):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]]]},
            "properties": {"objectType": "annotation", "name": name},
        }
        for ring in rings
    ]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


TRIANGLE = [[200, 100], [520, 130], [260, 430]]


def test_a_region_that_the_call_would_write_over_is_refused(path, rays, tmp_path):
    run(rays, [Job(path, "one")], tmp_path, SlideSettings())
    corrected = write(tmp_path / "one" / "tissue.geojson", TRIANGLE).read_bytes()
    settings = SlideSettings(roi=tmp_path / "one" / "tissue.geojson")
    (failed,) = run(rays, [Job(path, "one")], tmp_path, settings, overwrite=True).failed
    assert "would be overwritten by this run; give a copy" in failed["error"]
    assert (tmp_path / "one" / "tissue.geojson").read_bytes() == corrected
    assert (tmp_path / "one" / "cells.parquet").is_file()


def test_cells_of_a_region_are_those_of_the_slide_inside_it(path, rays, tmp_path):
    write(tmp_path / "roi.geojson", TRIANGLE)
    jobs = [Job(path, "one")]
    run(rays, jobs, tmp_path / "whole", SlideSettings())
    inside = run(rays, jobs, tmp_path / "part", SlideSettings(roi=tmp_path / "roi.geojson", part_px=160))
    whole, part = (pq.read_table(tmp_path / name / "one" / "cells.parquet") for name in ("whole", "part"))
    held = shapely.contains_xy(shapely.Polygon(TRIANGLE), whole["x_px"].to_numpy(), whole["y_px"].to_numpy())
    assert 20 < held.sum() < len(whole)
    expected = {key for key, is_in in zip(whole["id"].to_pylist(), held, strict=True) if is_in}
    assert set(part["id"].to_pylist()) == expected
    row, area = inside.done[0], shapely.Polygon(TRIANGLE).area * 0.25e-6
    assert row["tissue_mm2"] == pytest.approx(area, rel=0.01)
    assert row["nuclei_per_mm2"] == pytest.approx(len(part) / area, rel=0.01)
    places_um = np.stack([part["x_px"], part["y_px"]], axis=1) * 0.5
    nearest_um = cKDTree(places_um).query(places_um, 2)[0][:, 1].mean()
    assert row["nearest_um"] == pytest.approx(nearest_um, rel=1e-4)
    assert row["clark_evans"] == pytest.approx(2 * nearest_um * np.sqrt(len(part) / (area * 1e6)), rel=0.01)


def test_regions_by_name_go_before_other_annotations(slide, tmp_path):
    square = [[300, 200], [340, 200], [340, 240], [300, 240]]
    write(tmp_path / "a.geojson", square, name="ROI 1")
    write(tmp_path / "b.geojson", TRIANGLE)
    found = region_of(slide, [tmp_path / "a.geojson", tmp_path / "b.geojson"], origin="qupath")
    assert found.area_mm2 == pytest.approx(1600 * 0.25e-6)
    points = np.array([[310.0, 210.0], [299.9, 210.0], [400, 200]]) * 0.5
    assert found.holds(points).tolist() == [True, False, False]


def test_another_region_is_another_plan(path, rays, tmp_path):
    settings = SlideSettings(roi=write(tmp_path / "roi.geojson", TRIANGLE))
    run(rays, [Job(path, "one")], tmp_path / "out", settings)
    write(tmp_path / "roi.geojson", [[10, 10], [90, 10], [90, 90]])
    outcome = run(rays, [Job(path, "one")], tmp_path / "out", settings)
    assert "results of another plan (roi: " in outcome.failed[0]["error"]


def test_another_origin_of_a_region_is_another_plan(path, rays, tmp_path):
    where = write(tmp_path / "roi.geojson", TRIANGLE)
    run(rays, [Job(path, "one")], tmp_path / "out", SlideSettings(roi=where))
    with pytest.raises(ConfigError, match="origin slide' now"):
        run(rays, [Job(path, "one")], tmp_path / "out", SlideSettings(roi=where, origin="slide"))


def test_a_region_of_another_slide_or_of_none_is_told(slide, tmp_path):
    write(tmp_path / "far.geojson", [[5000, 5000], [6000, 5000], [6000, 6000]])
    with pytest.raises(DataError, match=r"one\.tif"):
        region_of(slide, [tmp_path / "far.geojson"], origin="qupath")
    with pytest.raises(DatasetNotFoundError):
        files_of(slide.path, tmp_path)
    write(tmp_path / "one.geojson", TRIANGLE)
    assert files_of(slide.path, tmp_path) == [tmp_path / "one.geojson"]
