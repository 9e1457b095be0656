"""Folders to train on: what people looked at is the truth; where the model is trusted, it is said."""

import json

import numpy as np
import pytest
import shapely

import histoscope as hs
from histoscope.data.annotations.folder import Cutting
from histoscope.edits import Corrections, apply, merged
from histoscope.edits.training import LOOKED_AT, TRUSTED, Corrected, regions_of, write_corrected
from histoscope.errors import ConfigError, DataError, DatasetNotFoundError
from histoscope.files import write_image
from histoscope.predict.sources import corrected_results, source_of
from histoscope.slides import open_slide

MPP = 0.5
SQUARE_UM = 32.0  # 64 px: nuclei of the first two rows and columns lie in the first square, or cross its edge


@pytest.fixture
def slide(tmp_path):
    path = tmp_path / "slides" / "slide.png"
    write_image(path, np.random.default_rng(0).integers(60, 200, (160, 200, 3)).astype(np.uint8), mpp=MPP)
    return path


@pytest.fixture
def corrections(tmp_path, slide, write_cells):
    with open_slide(slide) as opened:
        digest = opened.quick_hash
    return Corrections(write_cells(tmp_path / "out" / "slide" / "cells.parquet", digest=digest))


def box(x0, y0, x1, y1):
    return [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]


@pytest.fixture
def write(tmp_path, slide, corrections):
    """Give a function that writes the folder and opens it."""

    def write(**options):
        options = {"square_um": SQUARE_UM} | options
        cutting = options.pop("cutting", Cutting())
        out = tmp_path / f"mine{len(list(tmp_path.iterdir()))}"
        outcome = write_corrected(out, [Corrected(slide, corrections)], open_slide, cutting, **options)
        return outcome, hs.data.open("folder", out)

    return write


def test_a_confirmed_region_is_an_image_with_all_that_was_corrected_in_it(corrections, write):
    corrections.add("confirm", "ada", polygon_px=box(4, 4, 84, 74))
    corrections.add("delete", "ada", row=0)
    corrections.add("reclassify", "bob", row=1, class_name="tumour")
    corrections.add("draw", "ada", polygon_px=box(70, 60, 80, 70), class_name="tumour")
    corrections.add("delete", "ada", row=11)
    outcome, found = write()
    assert [record.name for record in found.records] == ["slide_x4_y4"]
    sample = found[0]
    assert sample.image.shape == (70, 80, 3)
    assert sample.instances[10 - 4, 10 - 4] == 0
    classes = [
        found.info.classes.get(sample.classes[sample.instances[y - 4, x - 4]])
        for x, y in ((32, 12), (75, 65))
    ]
    assert classes == ["tumour", "tumour"]
    assert found.info.classes == {1: "stroma", 2: "tumour"}
    assert (found.records[0].tags["region"], found.records[0].source) == (LOOKED_AT, "slide")
    assert found.info.title == "Nuclei of a model, corrected by ada and bob"
    assert found.info.licence == ""
    assert outcome.images == 1
    assert not [reason for reason in outcome.counts if "outside" in reason]
    assert not [one for one in found.verify() if one.severity == "error"]


def test_a_square_with_a_nucleus_that_nobody_decided_on_is_no_truth(corrections, write):
    corrections.add("delete", "ada", row=0)
    with pytest.raises(
        DataError,
        match=r"has 1 corrected nucleus, but no area where every nucleus was checked.*--trust-model",
    ):
        write()
    # Nuclei 0 to 2 of each row reach into the first square (10 to 18, 30 to 38, 50 to 58 px).
    for row in (1, 2, 4, 5, 6, 8, 9, 10):
        corrections.add("confirm", "ada", row=row)
    outcome, found = write()
    assert (outcome.images, outcome.nuclei) == (1, 8)
    assert found[0].image.shape == (64, 64, 3)
    assert found.records[0].tags["region"] == LOOKED_AT


def test_where_the_model_is_trusted_it_is_said(corrections, write):
    corrections.add("delete", "ada", row=0)
    outcome, found = write(trust_model=True)
    assert (outcome.images, outcome.nuclei) == (1, 8)
    assert found.records[0].tags["region"] == TRUSTED
    assert "unchecked nuclei are the model's own" in found.info.title


def test_squares_that_touch_a_confirmed_region_are_not_cut_out_again(corrections, write):
    corrections.add("confirm", "ada", polygon_px=box(0, 0, 64, 64))
    corrections.add("delete", "ada", row=0)
    corrections.add("delete", "ada", row=3)  # at 70 to 78 px, in the second square
    outcome, found = write(trust_model=True)
    assert sorted(record.tags["region"] for record in found.records) == [LOOKED_AT]
    assert outcome.images == 1


def test_regions_that_overlap_are_one_and_narrow_ones_none(corrections):
    for shape in (box(0, 0, 80, 80), box(40, 0, 120, 80), box(150, 0, 170, 90)):
        corrections.add("confirm", "ada", polygon_px=shape)
    regions = regions_of(corrections.applied(), corrections.state(), MPP)
    assert [one.polygon.bounds for one in regions] == [(0, 0, 120, 80)]


def test_what_was_not_applied_is_counted(corrections, write):
    corrections.add("confirm", "ada", polygon_px=box(0, 0, 100, 80))
    one = corrections.add("delete", "ada", row=0)
    corrections.add("confirm", "bob", row=0)
    drawn = corrections.add("draw", "ada", polygon_px=box(31, 11, 39, 19))
    path = next(corrections.folder.glob("*.jsonl"))
    said = json.loads(one.to_line()) | {"nucleus": "of another model", "id": "other"}
    path.write_text(path.read_text() + json.dumps(said) + "\n{torn")
    outcome, _ = write()
    assert drawn.id in corrections.state().drawn
    assert {key: n for key, n in outcome.counts.items() if n and key != "region of interest"} == {
        "edit of other results was left out": 1,
        "nucleus that people disagree about: the latest edit counts": 1,
        "found nucleus was replaced by one that was drawn over it": 1,
        "line that is not an edit was left out": 1,
    }


def test_a_region_that_was_confirmed_with_other_nuclei_was_not_looked_at(tmp_path, corrections, write_cells):
    corrections.add("confirm", "ada", polygon_px=box(0, 0, 100, 80))
    assert len(regions_of(corrections.applied(), corrections.state(), MPP)) == 1
    write_cells(corrections.results, digest=corrections.found.of, shift=3)
    anew = Corrections(corrections.results)
    assert not regions_of(anew.applied(), anew.state(), MPP)
    assert anew.applied().unmatched == anew.state().regions


def test_another_slide_is_refused(tmp_path, corrections):
    corrections.add("confirm", "ada", polygon_px=box(0, 0, 100, 80))
    other = tmp_path / "other.png"
    write_image(other, np.full((160, 200, 3), 99, np.uint8), mpp=MPP)
    with pytest.raises(DataError, match="is not the slide"):
        write_corrected(tmp_path / "mine", [Corrected(other, corrections)], open_slide, Cutting())
    assert not (tmp_path / "mine").exists()


def test_squares_have_a_least_side(write):
    with pytest.raises(ConfigError, match="squares are 5 um wide"):
        write(square_um=5.0)


def test_nothing_corrected_is_nothing_to_train_on(corrections, write):
    with pytest.raises(DataError, match="0 corrected nuclei"):
        write()


def test_edits_and_slides_are_found(tmp_path, slide, corrections, write_cells):
    with pytest.raises(DatasetNotFoundError, match="no corrected results"):
        corrected_results([tmp_path / "out"])
    corrections.add("delete", "ada", row=0)
    assert corrected_results([tmp_path / "out"]) == [corrections.results]
    assert corrected_results([corrections.results, tmp_path / "out"]) == [corrections.results]
    with pytest.raises(
        DatasetNotFoundError, match=r"slide\.png, is neither where it was nor beside its results.*--slides"
    ):
        source_of(corrections.results)
    assert source_of(corrections.results, slide.parent) == slide
    assert source_of(corrections.results, slide) == slide


def test_the_image_of_a_prediction_is_found_where_it_was(tmp_path, slide):
    from typer.testing import CliRunner

    from histoscope.cli.main import app

    out = tmp_path / "found"
    call = ["predict", "nuclei-free", str(slide), str(out), "--only", "geojson"]
    assert CliRunner().invoke(app, call).exit_code == 0
    assert source_of(out / "slide.geojson") == slide
    Corrections(out / "slide.geojson").add("draw", "ada", polygon_px=box(20, 20, 30, 30))
    assert corrected_results([out]) == [out / "slide.geojson"]


def test_where_all_is_decided_depends_on_what_reaches_into_a_square(corrections):
    """Each region that is called looked at has no undecided nucleus that touches it: by brute force."""
    rng = np.random.default_rng(3)
    rows = rng.permutation(12)
    for row in rows[:9]:
        corrections.add("confirm", "ada", row=int(row))
        fixed = apply(corrections.found, merged(corrections.read().edits))
        polygons = shapely.from_wkb(fixed.table["geometry"].to_numpy())
        left = polygons[np.array([said == "" for said in fixed.table["edited"].to_pylist()])]
        for trust in (False, True):
            regions = regions_of(fixed, corrections.state(), MPP, square_um=SQUARE_UM, trust_model=trust)
            for one in regions:
                shrunk = one.polygon.buffer(-1e-6)
                assert (one.name == LOOKED_AT) == (not shapely.intersects(left, shrunk).any())
