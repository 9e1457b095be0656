"""Cells that were found before: each as a patch around its centre, and nothing but its class is new."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from histoscope.errors import ConfigError, CorruptDataError
from histoscope.export.overlay import PALETTE
from histoscope.files import read_image, write_image
from histoscope.jobs.journal import Job
from histoscope.predict.slides import crops
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.predict.slides.cells import ClassifyCells
from histoscope.predict.slides.run import predict_slide
from histoscope.predict.slides.store import Store
from histoscope.slides import Box, open_slide
from histoscope.tables import read_table
from histoscope.types import Sample

SMALL = SlideSettings(kinds=("geojson", "csv"), part_px=160)
OF_CLASSES = {"class", "class_id", "probability"}


@pytest.fixture(scope="module")
def found(path, rays, tmp_path_factory):
    """Give the results of a detector."""
    out = tmp_path_factory.mktemp("found")
    assert not run(rays, [Job(path, "one")], out, SMALL).failed
    return out


def classified(path, classifier, cells, out, settings=SMALL):
    outcome = run(ClassifyCells(classifier, cells), [Job(path, "one")], out, settings)
    assert not outcome.failed, outcome.failed
    return pq.read_table(out / "one" / "cells.parquet"), outcome.done[0]


def refused(path, classifier, cells, out):
    outcome = run(ClassifyCells(classifier, cells), [Job(path, "one")], out, SMALL)
    return outcome.failed[0]["error"]


def values_of(table, classes):
    return np.stack([table[f"p_{name}"].to_numpy() for name in classes], axis=1)


@pytest.mark.parametrize("block_px", [1024, 50])
def test_a_cell_is_seen_as_the_patch_around_its_centre(
    path, slide, classifier, found, tmp_path, monkeypatch, block_px
):
    monkeypatch.setattr(crops, "BLOCK_PX", block_px)
    table, row = classified(path, classifier, found, tmp_path)
    assert len(table) > 100
    places = np.stack([table["x_px"].to_numpy(), table["y_px"].to_numpy()], axis=1)
    corners = np.rint(places - 16).astype(int).tolist()
    patches = [Sample(slide.read_at(Box(x, y, 32, 32), 0.5), 0.5) for x, y in corners]
    expected = np.concatenate([seen.values for seen in classifier.through(patches)])
    np.testing.assert_allclose(values_of(table, classifier.classes), expected, atol=1e-6)
    kinds = expected.argmax(axis=1)
    assert np.array_equal(table["class_id"].to_numpy(), kinds + 1)
    assert table["class"].to_pylist() == [classifier.classes[k] for k in kinds]
    assert len(set(kinds.tolist())) > 1
    counts = np.bincount(kinds, minlength=3).tolist()
    assert [row[f"n_{name}"] for name in classifier.classes] == counts
    assert row["nuclei"] == len(table)


def test_nothing_but_classes_is_new(path, classifier, found, tmp_path):
    before = pq.read_table(found / "one" / "cells.parquet")
    table, row = classified(path, classifier, found / "one" / "cells.parquet", tmp_path)
    names = [name for name in table.column_names if name not in OF_CLASSES and name[:2] != "p_"]
    assert names == [name for name in before.column_names if name not in OF_CLASSES]
    assert table.select(names).equals(before.select(names))
    for end in ("cells.parquet", "cells.0001.geojson.gz", "cells.csv", "centres.geojson.gz", "overview.png"):
        assert (tmp_path / "one" / end).is_file()
    colours = {
        tuple(pixel) for pixel in read_image(tmp_path / "one" / "overview.png").reshape(-1, 3).tolist()
    }
    assert {PALETTE[name] for name in ("yellow", "blue", "orange")} <= colours
    about, old = (
        json.loads(pq.read_schema(folder / "one" / "cells.parquet").metadata[b"histoscope"])
        for folder in (tmp_path, found)
    )
    assert (about["classes"], about["model"]) == (["gland", "stroma", "fat"], "fresh")
    same = ("slide", "slide_hash", "tissue_mm2", "parts", "mpp")
    assert [about[key] for key in same] == [old[key] for key in same]
    assert row["tissue_mm2"] == round(old["tissue_mm2"], 4)


def test_classes_of_classes_are_replaced(path, classifier, found, tmp_path):
    first, _ = classified(path, classifier, found, tmp_path / "a")
    again, _ = classified(path, classifier, tmp_path / "a", tmp_path / "b")
    assert again.equals(first)


@pytest.mark.parametrize("mpp", [0.25, 0.37])
def test_at_another_resolution_patches_stand_where_the_cells_do(image, rays, classifier, tmp_path, mpp):
    write_image(tmp_path / "a.tif", image, mpp=mpp)
    assert not run(rays, [Job(tmp_path / "a.tif", "one")], tmp_path / "found", SMALL).failed
    table, _ = classified(tmp_path / "a.tif", classifier, tmp_path / "found", tmp_path / "out")
    with open_slide(tmp_path / "a.tif") as slide:
        scale = slide.scale_at(0.5)
        places = np.stack([table["x_px"].to_numpy() / scale[0], table["y_px"].to_numpy() / scale[1]], axis=1)
        corners = np.rint(places - 16).astype(int).tolist()
        patches = [Sample(slide.read_at(Box(x, y, 32, 32), 0.5), 0.5) for x, y in corners]
    expected = np.concatenate([seen.values for seen in classifier.through(patches)])
    np.testing.assert_allclose(values_of(table, classifier.classes), expected, atol=1e-6)


def contents(folder):
    files = {path.relative_to(folder): path for path in sorted(folder.rglob("*")) if path.is_file()}
    return {
        str(name): path.read_bytes()
        for name, path in files.items()
        if name.name != "timings.csv"  # the one file that differs between calls
        and not any(each[0] == "." for each in name.parts)  # the ledger, and what was just being written
    }


def test_begun_again_it_ends_with_the_same_bytes(path, classifier, found, tmp_path, monkeypatch):
    classified(path, classifier, found, tmp_path / "undisturbed")
    write, written = Store.write, []

    def stopped(self, part, *arguments):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(part)
        write(self, part, *arguments)

    monkeypatch.setattr(Store, "write", stopped)
    with pytest.raises(KeyboardInterrupt):
        classified(path, classifier, found, tmp_path / "out")
    monkeypatch.undo()
    classified(path, classifier, found, tmp_path / "out")
    assert contents(tmp_path / "out") == contents(tmp_path / "undisturbed")


def test_cells_that_cannot_be_seen_have_no_class(slide, classifier, found, tmp_path):
    crop = slide.reader.crop

    def broken(box, level):
        if box.x <= 300 < box.x + box.width and box.y <= 200 < box.y + box.height:
            raise CorruptDataError("a tile is broken")
        return crop(box, level)

    slide.reader.crop = broken
    with Store.hold(tmp_path, {}) as store:
        seen = predict_slide(slide, ClassifyCells(classifier, found), store)
        table = pa.concat_tables([store.read(name) for name in seen.parts])
    assert {problem["error"] for problem in seen.problems} == {"a tile is broken"}
    lost = table.filter(pa.compute.equal(table["class_id"], 0))
    assert 0 < len(lost) < 30
    assert set(lost["class"].to_pylist()) == {"nucleus"}
    assert np.abs(lost["x_px"].to_numpy() - 300).max() < 100
    assert len(table) == pq.read_metadata(found / "one" / "cells.parquet").num_rows


def test_cells_of_another_slide_are_refused(path, image, classifier, found, tmp_path):
    write_image(tmp_path / "other.tif", image[::-1], mpp=0.5)
    error = refused(tmp_path / "other.tif", classifier, found, tmp_path / "out")
    assert "has cells of one.tif, not of other.tif" in error


def test_what_is_no_table_of_cells_is_refused(path, classifier, found, tmp_path):
    (tmp_path / "nothing").mkdir()
    (tmp_path / "notes.parquet").write_text("of Monday")
    table = pq.read_table(found / "one" / "cells.parquet")
    pq.write_table(table.drop_columns(["x_px", "area_um2"]), tmp_path / "lacks.parquet")
    pq.write_table(table.replace_schema_metadata({}), tmp_path / "bare.parquet")
    told = {
        "nothing": "no cells.parquet in",
        "notes.parquet": "is not a table of cells",
        "lacks.parquet": "lacks x_px, area_um2",
        "bare.parquet": "is not a table of cells",
        "gone.parquet": "no table of cells at",
    }
    for name, why in told.items():
        assert why in refused(path, classifier, tmp_path / name, tmp_path / "out")


def test_two_tables_of_one_slide_are_refused(path, classifier, found, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "both" / name).mkdir(parents=True)
        table = pq.read_table(found / "one" / "cells.parquet")
        pq.write_table(table, tmp_path / "both" / name / "cells.parquet")
    assert "two tables of cells for one slide" in refused(
        path, classifier, tmp_path / "both", tmp_path / "out"
    )


def test_cells_are_never_overwritten_by_themselves(path, classifier, found):
    for cells, out in ((found, found), (found / "one" / "cells.parquet", found), (found, found / "new")):
        with pytest.raises(ConfigError, match="give another OUT"):
            run(ClassifyCells(classifier, cells), [Job(path, "one")], out, SMALL, overwrite=True)
    assert (found / "one" / "cells.parquet").is_file()


def test_a_slide_without_cells_is_a_row(rays, classifier, tmp_path):
    write_image(tmp_path / "glass.tif", np.full((300, 300, 3), 240, np.uint8), mpp=0.5)
    jobs = [Job(tmp_path / "glass.tif", "one")]
    run(rays, jobs, tmp_path / "found", SMALL)
    table, row = classified(tmp_path / "glass.tif", classifier, tmp_path / "found", tmp_path / "out")
    assert (len(table), row["nuclei"]) == (0, 0)
    assert "p_gland" in table.column_names
    assert read_table(tmp_path / "out" / "summary.csv").n_fat.tolist() == [0]
