"""Batches of slides: killed, full, broken; the same command goes on and ends with the same bytes."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import uuid
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tifffile

from histoscope.errors import ConfigError
from histoscope.export import likeness
from histoscope.export.likeness import Likeness
from histoscope.files import write_image
from histoscope.jobs.journal import Job
from histoscope.jobs.naming import TIMINGS
from histoscope.predict import Detector
from histoscope.predict import batch as image_batch
from histoscope.predict.slides import one, store
from histoscope.predict.slides import part as part_module
from histoscope.predict.slides.batch import SlideSettings, is_slide, run
from histoscope.predict.slides.files import write_measures
from histoscope.tables import read_table

SMALL = SlideSettings(kinds=("geojson", "csv"), part_px=160)


def contents(folder):
    """Bytes of all files but times, the ledger, and what a killed call was just writing: with a dot."""
    files = (
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.name != TIMINGS
        and not any(name[0] == "." for name in path.relative_to(folder).parts)
    )
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def undisturbed(path, rays, tmp_path_factory):
    """Give the files of a call that nothing disturbed."""
    out = tmp_path_factory.mktemp("undisturbed")
    outcome = run(rays, [Job(path, "one")], out, SMALL)
    assert not outcome.failed
    return contents(out)


def test_what_is_written(undisturbed):
    names = set(undisturbed)
    of_slide = {"plan.json", "cells.parquet", "cells.0001.geojson.gz", "centres.geojson.gz", "cells.csv"}
    of_slide |= {"overview.png", "tissue.geojson", "problems.csv"}
    of_slide |= {"stains.json", "summary.json", "measures.json"}
    assert names == {"summary.csv", "cohort.parquet", *(f"one/{name}" for name in of_slide)}


PROGRAM = """
import signal, sys, time
from pathlib import Path
from histoscope.jobs.journal import Job
from histoscope.jobs.naming import TIMINGS
from histoscope.predict import Detector
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.predict.slides.store import Store
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for what runs in the background
write = Store.write
Store.write = lambda *arguments: (write(*arguments), time.sleep(0.3))  # long enough to be killed in between
run(Detector.open("nuclei-free"), [Job(Path(sys.argv[1]), "one")], Path(sys.argv[2]),
    SlideSettings(kinds=("geojson", "csv"), part_px=160))
"""


@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_killed_and_begun_again_ends_with_the_same_bytes(path, rays, undisturbed, tmp_path, sign):
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), str(tmp_path)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    parts = tmp_path / "one" / "parts"
    deadline = time.monotonic() + 120
    while len(list(parts.glob("0*.parquet"))) < 3:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(sign)
    process.wait(60)
    (tmp_path / "whole.parquet").write_bytes(undisturbed["one/cells.parquet"])
    n_parts = pq.read_metadata(tmp_path / "whole.parquet").num_row_groups
    (tmp_path / "whole.parquet").unlink()
    assert 3 <= len(list(parts.glob("0*.parquet"))) < n_parts
    assert not (tmp_path / "one" / "summary.json").exists()
    run(rays, [Job(path, "one")], tmp_path, SMALL)
    assert contents(tmp_path) == undisturbed


def test_a_full_disk_stops_and_the_same_call_goes_on(path, rays, undisturbed, tmp_path, monkeypatch):
    write, written = store.Store.write, []

    def full(self, part, *args):
        if len(written) == 4:
            raise OSError(errno.ENOSPC, "No space left on device", part)
        written.append(part)
        write(self, part, *args)

    monkeypatch.setattr(store.Store, "write", full)
    with pytest.raises(OSError, match="No space left"):
        run(rays, [Job(path, "one")], tmp_path, SMALL)
    monkeypatch.undo()
    run(rays, [Job(path, "one")], tmp_path, SMALL)
    assert contents(tmp_path) == undisturbed


def test_a_finished_slide_is_not_opened_by_the_network_again(path, rays, tmp_path, monkeypatch):
    shutil.copy(path, tmp_path / "copy.tif")
    jobs = [Job(tmp_path / "copy.tif", "one")]
    first = run(rays, jobs, tmp_path / "out", SMALL)
    before = contents(tmp_path / "out")
    monkeypatch.setattr(one, "predict_slide", lambda *a, **k: pytest.fail("asked again"))
    second = run(rays, jobs, tmp_path / "out", SMALL)
    assert (first.skipped, second.skipped) == (0, 1)
    assert second.done == first.done
    assert contents(tmp_path / "out") == before


def test_a_slide_unlike_those_that_taught_the_classes_is_told(path, rays, tmp_path, monkeypatch):
    looks = Likeness(3, 0.5, (0.0,) * 14, tuple(map(tuple, np.eye(14).tolist())), 0.01)
    choosy = replace(rays, card=rays.card | {likeness.KEY: looks.to_dict() | {"name": "colon"}})
    with pytest.warns(UserWarning, match="learned from colon, and the slide looks different"):
        first = run(choosy, [Job(path, "one")], tmp_path, SMALL)
    assert first.done[0]["unlike"] > 1
    assert read_table(tmp_path / "summary.csv")["unlike"].tolist() == [first.done[0]["unlike"]]
    monkeypatch.setattr(Detector, "unlike", lambda *_: pytest.fail("looked again"))
    with pytest.warns(UserWarning, match="the slide looks different"):
        assert run(choosy, [Job(path, "one")], tmp_path, SMALL).done == first.done


def test_overwrite_predicts_a_finished_slide_again(path, rays, undisturbed, tmp_path, monkeypatch):
    for name, content in undisturbed.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert run(rays, [Job(path, "one")], tmp_path, SMALL).skipped == 1
    table = tmp_path / "one" / "cells.parquet"
    pq.write_table(pq.read_table(table).slice(0, 1), table)  # as of an earlier call that went wrong
    outcome = run(rays, [Job(path, "one")], tmp_path, SMALL, overwrite=True)
    assert (len(outcome.done), outcome.skipped) == (1, 0)
    assert contents(tmp_path) == undisturbed


def test_overwrite_goes_on_after_an_error_of_the_disk(path, rays, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(one, "_PAUSE_S", 0.0)
    write, written = store.Store.write, []

    def failing(self, part, *args):
        written.append(part)
        if len(written) == 4:
            raise OSError(errno.EIO, "Input/output error")
        write(self, part, *args)

    monkeypatch.setattr(store.Store, "write", failing)
    assert not run(rays, [Job(path, "one")], tmp_path, SMALL, overwrite=True).failed
    assert len(written) == len(set(written)) + 1
    assert contents(tmp_path) == undisturbed


def test_further_outputs_of_a_finished_slide_need_no_network(path, rays, undisturbed, tmp_path, monkeypatch):
    run(rays, [Job(path, "one")], tmp_path, SMALL)
    joined = (tmp_path / "one" / "cells.parquet").stat().st_ino
    monkeypatch.setattr(part_module, "read_part", lambda *a: pytest.fail("read again"))
    more = SlideSettings(kinds=("geojson", "csv", "labels"), part_px=160)
    run(rays, [Job(path, "one")], tmp_path, more)
    assert (tmp_path / "one" / "cells.parquet").stat().st_ino == joined  # not written again
    files = contents(tmp_path)
    assert files.pop("one/labels.ome.tif")
    assert {name: files[name] for name in undisturbed if "summary" not in name} == {
        name: text for name, text in undisturbed.items() if "summary" not in name
    }
    cells = pq.read_table(tmp_path / "one" / "cells.parquet")
    labels = tifffile.imread(tmp_path / "one" / "labels.ome.tif")
    assert np.unique(labels[labels > 0]).tolist() == list(range(1, len(cells) + 1))
    areas = np.bincount(labels.ravel())[1:] * 0.25
    np.testing.assert_allclose(areas, cells["area_um2"].to_numpy())


def test_a_changed_slide_is_refused_in_the_same_folder(path, image, rays, tmp_path):
    shutil.copy(path, tmp_path / "a.tif")
    run(rays, [Job(tmp_path / "a.tif", "a")], tmp_path / "out", SMALL)
    write_image(tmp_path / "a.tif", image[::-1], mpp=0.5)
    outcome = run(rays, [Job(tmp_path / "a.tif", "a")], tmp_path / "out", SMALL)
    assert "results of another plan (slide: " in outcome.failed[0]["error"]
    outcome = run(rays, [Job(tmp_path / "a.tif", "a")], tmp_path / "out", SMALL, overwrite=True)
    assert not outcome.failed


def test_a_slide_that_changes_while_it_is_read_is_told(path, rays, tmp_path, monkeypatch):
    shutil.copy(path, tmp_path / "a.tif")
    predict = one.predict_slide

    def changing(*args, **options):
        found = predict(*args, **options)
        with (tmp_path / "a.tif").open("r+b") as file:
            file.write(b"II+")
        return found

    monkeypatch.setattr(one, "predict_slide", changing)
    (failed,) = run(rays, [Job(tmp_path / "a.tif", "a")], tmp_path / "out", SMALL).failed
    assert "a.tif was changed while it was read" in failed["error"]
    assert not (tmp_path / "out" / "a" / "cells.parquet").exists()


def test_bad_slides_are_rows_and_stop_no_other(path, rays, tmp_path):
    (tmp_path / "empty.svs").touch()
    write_image(tmp_path / "nothing known.tif", np.full((80, 80, 3), 240, np.uint8))
    write_image(tmp_path / "glass.tif", np.full((300, 300, 3), 240, np.uint8), mpp=0.5)
    names = ["empty.svs", "gone.svs", "nothing known.tif", "glass.tif"]
    jobs = [Job(tmp_path / name, name.split(".")[0]) for name in names] + [Job(path, "one")]
    outcome = run(rays, jobs, tmp_path / "out", SMALL)
    table = read_table(tmp_path / "out" / "summary.csv").set_index("image")
    assert len(outcome.failed) == 3
    assert (
        ",900,700,0.5,0.5," in (tmp_path / "out" / "summary.csv").read_text()
    )  # rows without numbers make no floats of these
    assert len(outcome.done) == 2
    assert "empty (0 bytes)" in table.error["empty"]
    assert "no slide at" in table.error["gone"]
    assert "--mpp" in table.error["nothing known"]
    assert table.nuclei["glass"] == 0
    assert table.tissue_mm2["glass"] == 0
    assert np.isnan(table.nearest_um["glass"])
    assert (tmp_path / "out" / "glass" / "cells.csv").read_text().startswith('"id","class",')
    assert table.nuclei["one"] > 100
    cells = pq.read_table(tmp_path / "out" / "one" / "cells.parquet")
    assert table.nuclei["one"] == len(cells)
    lines = (tmp_path / "out" / "summary.csv").read_text().splitlines()
    assert "one.tif,900,700,0.5,0.5,picture" in next(line for line in lines if line.startswith("one,"))
    measured = json.loads((tmp_path / "out" / "one" / "measures.json").read_text())
    assert measured["nearest_um"] == table.nearest_um["one"]
    assert json.loads((tmp_path / "out" / "glass" / "measures.json").read_text())["nearest_um"] is None


def test_the_summary_has_the_mix_of_classes(tmp_path):
    names = ["a", "b", "b", "nucleus"]
    table = pa.table({"class": names, "x_px": [0.0, 10, 20, 40], "y_px": [0.0] * 4})
    about = {"slide": "s", "mpp": [0.5, 0.5], "tissue_mm2": 0.5, "classes": ["a", "b", "c"]}
    table = table.replace_schema_metadata({"histoscope": json.dumps(about)})
    pq.write_table(table, tmp_path / "cells.parquet")
    row = write_measures(tmp_path, ("a", "b", "c"))
    assert (row["nuclei"], row["n_a"], row["n_b"], row["n_c"]) == (4, 1, 2, 0)
    assert (row["share_a"], row["share_b"], row["share_c"]) == (0.25, 0.5, 0)
    assert (row["per_mm2_b"], row["nuclei_per_mm2"]) == (4, 8)
    assert row["nearest_um"] == (5 + 5 + 5 + 10) / 4


def test_an_error_that_nobody_expected_is_a_row(path, rays, tmp_path, monkeypatch):
    monkeypatch.setattr(one, "predict_slide", lambda *a, **k: 1 / 0)
    outcome = run(rays, [Job(path, "one")], tmp_path, SMALL)
    assert "ZeroDivisionError" in outcome.failed[0]["error"]
    assert "please report it" in read_table(tmp_path / "summary.csv").error[0]


def test_the_summary_keeps_the_slides_of_earlier_calls(path, rays, tmp_path):
    """One call a slide, as on a cluster, gives the summary of one call for all."""
    write_image(tmp_path / "a.tif", np.full((300, 300, 3), 240, np.uint8), mpp=0.5)
    (tmp_path / "empty.svs").touch()
    jobs = [Job(tmp_path / "empty.svs", "c/empty"), Job(path, "b/one"), Job(tmp_path / "a.tif", "007")]
    for job in jobs:
        run(rays, [job], tmp_path / "single", SMALL)
    run(rays, jobs, tmp_path / "together", SMALL)
    summary = (tmp_path / "single" / "summary.csv").read_bytes()
    assert summary == (tmp_path / "together" / "summary.csv").read_bytes()
    assert read_table(tmp_path / "single" / "summary.csv").image.to_list() == ["007", "b/one", "c/empty"]
    assert "empty (0 bytes)" in summary.decode()


def test_images_and_slides_have_folders_of_their_own(path, rays, tmp_path):
    """Each has a summary, and none may write over the other's."""
    job, images, slides = Job(path, "one"), tmp_path / "images", tmp_path / "slides"
    image_batch.run(rays, [job], images, kinds=["csv"])
    run(rays, [job], slides, SMALL)
    before = contents(tmp_path)
    with pytest.raises(ConfigError, match="holds results of images"):
        run(rays, [job], images, SMALL, overwrite=True)
    with pytest.raises(ConfigError, match="holds results of slides; give images another OUT"):
        image_batch.run(rays, [job], slides)
    assert contents(tmp_path) == before


def test_what_the_message_says_to_do_works_in_the_same_folder(rays, image, tmp_path):
    write_image(tmp_path / "a.tif", image)
    jobs = [Job(tmp_path / "a.tif", "a")]
    outcome = run(rays, jobs, tmp_path / "out", SMALL)
    assert "--mpp" in outcome.failed[0]["error"]
    assert not (tmp_path / "out" / "a").exists()
    outcome = run(rays, jobs, tmp_path / "out", replace(SMALL, mpp=0.5))
    assert not outcome.failed


def test_a_plan_without_results_binds_to_nothing(path, rays, undisturbed, tmp_path):
    with store.Store.hold(tmp_path / "one", {"mpp": 0.25}):
        pass  # failed before its first part
    assert not run(rays, [Job(path, "one")], tmp_path, SMALL).failed
    assert contents(tmp_path) == undisturbed


def test_a_disk_that_stalls_is_asked_again(path, rays, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(one, "_PAUSE_S", 0.0)
    failures = [OSError(errno.EIO, "Input/output error")] * 2
    predict = one.predict_slide

    def stalling(*args, **options):
        if failures:
            raise failures.pop()
        return predict(*args, **options)

    monkeypatch.setattr(one, "predict_slide", stalling)
    assert not run(rays, [Job(path, "one")], tmp_path, SMALL).failed
    assert contents(tmp_path) == undisturbed


def test_a_disk_that_is_gone_is_a_row_that_says_what_to_do(path, rays, undisturbed, tmp_path, monkeypatch):
    monkeypatch.setattr(one, "_PAUSE_S", 0.0)

    def gone(*_, **__):
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(one, "predict_slide", gone)
    (failed,) = run(rays, [Job(path, "one")], tmp_path, SMALL).failed
    assert failed["error"].startswith(f"{path.name}: Stale file handle; check that its disk is available")
    monkeypatch.undo()
    run(rays, [Job(path, "one")], tmp_path, SMALL)
    assert contents(tmp_path) == undisturbed


def test_another_plan_is_refused_before_anything_is_lost(path, rays, tmp_path):
    run(rays, [Job(path, "one")], tmp_path, SMALL)
    before = contents(tmp_path / "one")
    with pytest.raises(ConfigError, match="part_px: 160 there, 320 now"):
        run(rays, [Job(path, "one")], tmp_path, SlideSettings(part_px=320))
    assert contents(tmp_path / "one") == before


def test_what_is_a_slide(path, tmp_path, image):
    import tifffile

    assert not is_slide(path)
    assert not is_slide(tmp_path / "gone.tif")
    with tifffile.TiffWriter(tmp_path / "pyramid.tif") as file:
        for step in (1, 2):
            file.write(image[::step, ::step], tile=(128, 128), photometric="rgb", subfiletype=step - 1)
    assert is_slide(tmp_path / "pyramid.tif")


@pytest.mark.parametrize(("origin", "moved"), [("qupath", (40, 30)), ("slide", (0, 0))])
def test_geojson_counts_from_where_qupath_does(slide, rays, tmp_path, origin, moved):
    """QuPath crops slides to the part that was scanned, where the file says so."""
    import gzip

    from histoscope.predict.slides.finish import write_slide
    from histoscope.predict.slides.run import predict_slide
    from histoscope.slides import Box

    slide.reader.bounds = Box(40, 30, 600, 500)
    with store.Store.hold(tmp_path, {}) as held:
        found = predict_slide(slide, rays, held)
        write_slide(slide, found, origin=origin)
    cells = pq.read_table(tmp_path / "cells.parquet")
    with gzip.open(tmp_path / "cells.0001.geojson.gz", "rt") as file:
        text = json.load(file)
    assert text["metadata"]["offset_px"] == list(moved)
    for feature, box in list(zip(text["features"], cells["bbox"].to_pylist(), strict=True))[:20]:
        x, y = np.array(feature["geometry"]["coordinates"][0]).T
        assert x.min() == pytest.approx(box["xmin"] - moved[0], abs=0.01)
        assert y.min() == pytest.approx(box["ymin"] - moved[1], abs=0.01)
    with gzip.open(tmp_path / "centres.geojson.gz", "rt") as file:
        centres = json.load(file)
    assert centres["metadata"]["offset_px"] == list(moved)
    points = np.array(centres["features"][0]["geometry"]["coordinates"])
    np.testing.assert_allclose(points[:, 0], cells["x_px"].to_numpy() - moved[0], atol=0.051)
    tissue = json.loads((tmp_path / "tissue.geojson").read_text())
    assert {feature["properties"]["objectType"] for feature in tissue["features"]} == {"annotation"}
    every = [feature["id"] for one in (text, centres, tissue) for feature in one["features"]]
    assert len({uuid.UUID(each) for each in every}) == len(every)
