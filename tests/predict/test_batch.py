import csv
import errno
import json
import os
import threading

import cv2
import numpy as np
import pytest
import torch

from histoscope import predict
from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError, FormatVersionError
from histoscope.export import result
from histoscope.files import read_image, read_labels, write_image
from histoscope.jobs.naming import JOURNAL, SUMMARY
from histoscope.predict import batch
from histoscope.predict.batch import plan
from histoscope.types import Nuclei

FILES = ["_overlay.png", "_labels.png", ".geojson", ".csv"]


@pytest.fixture
def detector(model_folder):
    return predict.Detector.open(model_folder)


@pytest.fixture
def tiles(tmp_path, painted):
    """Give a folder with two images of 9 and 4 nuclei in sub-folders."""
    write_image(tmp_path / "tiles" / "a" / "one.png", painted(9))
    write_image(tmp_path / "tiles" / "b" / "two.v2.png", painted(4))
    return tmp_path / "tiles"


def predicted(detector, source, out, **settings):
    return batch.run(detector, plan([source], out), out, mpp=0.25, **settings)


def table(path):
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def summary(out):
    return table(out / SUMMARY)


def test_all_files_are_written_and_agree(detector, tiles, tmp_path):
    out = tmp_path / "out"
    outcome = predicted(detector, tiles, out)
    assert not outcome.failed
    for name, n in [("a/one", 9), ("b/two.v2", 4)]:
        labels = read_labels(out / f"{name}_labels.png")
        assert labels.max() == n
        rows = table(out / f"{name}.csv")
        assert len(rows) == n
        features = json.loads((out / f"{name}.geojson").read_text(encoding="utf-8"))["features"]
        assert len(features) == n
        for row in rows:
            area_um2 = (labels == int(row["id"])).sum() * 0.25**2
            assert float(row["area_um2"]) == pytest.approx(area_um2, rel=1e-4)
        overlay, image = read_image(out / f"{name}_overlay.png"), read_image(tiles / f"{name}.png")
        changed = (overlay != image).any(axis=2).mean()
        assert 0.001 < changed < 0.2
    rows = summary(out)
    assert [row["image"] for row in rows] == ["a/one", "b/two.v2"]
    assert [row["nuclei"] for row in rows] == ["9", "4"]
    assert [row["n_red"] for row in rows] == ["5", "2"]
    assert float(rows[0]["tissue_mm2"]) == pytest.approx(0.06**2, rel=0.01)
    assert float(rows[0]["nuclei_per_mm2"]) == pytest.approx(9 / 0.06**2, rel=0.01)


def test_finished_images_are_skipped_and_others_not(detector, tiles, tmp_path, painted):
    out = tmp_path / "out"
    predicted(detector, tiles, out)
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*.csv") if path.name != SUMMARY}
    again = predicted(detector, tiles, out)
    assert again.skipped == 2
    assert [row["nuclei"] for row in again.done] == [9, 4]
    assert {path: path.stat().st_mtime_ns for path in before} == before
    (out / "a" / "one.geojson").unlink()  # a file is missing
    write_image(tiles / "b" / "two.v2.png", painted(5))  # an image is another now
    write_image(tiles / "c.png", painted(6))  # an image is new
    third = predicted(detector, tiles, out)
    assert third.skipped == 0
    assert [row["nuclei"] for row in summary(out)] == ["9", "5", "6"]
    assert predicted(detector, tiles, out, overwrite=True).skipped == 0


def test_a_bad_image_stops_no_other(detector, tiles, tmp_path):
    good = (tiles / "a" / "one.png").read_bytes()
    (tiles / "a" / "cut.png").write_bytes(good[: len(good) // 2])
    (tiles / "a" / "zero.png").write_bytes(b"")
    outcome = predicted(detector, tiles, tmp_path / "out")
    assert [row["nuclei"] for row in outcome.done] == [9, 4]
    assert [failure["path"].rsplit("/")[-1] for failure in outcome.failed] == ["cut.png", "zero.png"]
    assert all("cannot be decoded" in failure["error"] for failure in outcome.failed)
    assert not list((tmp_path / "out").rglob("cut*"))
    assert len(summary(tmp_path / "out")) == 2


def test_blank_images_have_an_empty_but_valid_result(detector, tmp_path):
    write_image(tmp_path / "in" / "blank.png", np.full((40, 50, 3), 250, np.uint8))
    out = tmp_path / "out"
    outcome = predicted(detector, tmp_path / "in", out)
    assert outcome.done[0]["nuclei"] == 0
    assert outcome.done[0]["nuclei_per_mm2"] is None
    assert not read_labels(out / "blank_labels.png").any()
    assert np.array_equal(read_image(out / "blank_overlay.png"), read_image(tmp_path / "in" / "blank.png"))
    assert json.loads((out / "blank.geojson").read_text())["features"] == []
    assert (out / "blank.csv").read_text().startswith("id,class,")
    assert summary(out)[0]["nuclei_per_mm2"] == ""


@pytest.mark.parametrize("size", [(1, 1), (3, 50), (7, 9)])
def test_tiny_images_are_fine(detector, tmp_path, size):
    write_image(tmp_path / "in" / "tiny.png", np.full((*size, 3), (140, 50, 60), np.uint8))
    assert not predicted(detector, tmp_path / "in", tmp_path / "out").failed


def test_a_stop_leaves_whole_files_and_the_same_call_goes_on(detector, tiles, tmp_path, monkeypatch):
    out, real = tmp_path / "out", predict.Detector.__call__
    calls = []

    def stopped(self, image, mpp):
        calls.append(mpp)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, image, mpp)

    monkeypatch.setattr(predict.Detector, "__call__", stopped)
    with pytest.raises(KeyboardInterrupt):
        predicted(detector, tiles, out)
    assert len(summary(out)) == 1
    assert sorted(path.name for path in (out / "a").iterdir()) == sorted(f"one{end}" for end in FILES)
    assert not (out / "b").exists()
    with (out / JOURNAL).open("a", encoding="utf-8") as file:
        file.write('{"name": "b/tw')  # as a killed call leaves it
    outcome = predicted(detector, tiles, out)
    assert (outcome.skipped, len(calls)) == (1, 3)
    assert [row["image"] for row in summary(out)] == ["a/one", "b/two.v2"]
    assert predicted(detector, tiles, out).skipped == 2


def test_a_full_disk_ends_everything(detector, tiles, tmp_path, monkeypatch):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(result, "write_labels", full)
    with pytest.raises(OSError, match="No space left"):
        predicted(detector, tiles, tmp_path / "out")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        cv2.error("OpenCV: (-4:Insufficient memory) Failed to allocate 30000000000 bytes"),
        ZeroDivisionError("division by zero"),
    ],
)
@pytest.mark.parametrize("where", ["read_image", "write", "Detector"])
def test_no_image_ends_the_batch(detector, tiles, tmp_path, monkeypatch, error, where, painted):
    """Memory that did not suffice, or a fault of ours: the image is named, the rest goes on."""
    write_image(tiles / "a" / "huge.png", painted(1))
    real = predict.Detector.__call__ if where == "Detector" else getattr(batch, where)

    def failing(*arguments):
        given = arguments[0] if where != "Detector" else arguments[1]
        is_huge = "huge" in str(given) if where != "Detector" else (given == painted(1)).all()
        if is_huge:
            raise error
        return real(*arguments)

    monkeypatch.setattr(*((predict.Detector, "__call__") if where == "Detector" else (batch, where)), failing)
    outcome = predicted(detector, tiles, tmp_path / "out")
    assert [row["image"] for row in outcome.done] == ["a/one", "b/two.v2"]
    assert len(summary(tmp_path / "out")) == 2
    (failure,) = outcome.failed
    is_bug = isinstance(error, ZeroDivisionError)
    words = "ZeroDivisionError in test_batch.py, line" if is_bug else "huge.png: out of memory; cut the image"
    assert words in failure["error"]
    monkeypatch.undo()
    assert predicted(detector, tiles, tmp_path / "out").skipped == 2
    assert len(summary(tmp_path / "out")) == 3


def test_an_image_that_starved_beside_another_is_tried_alone(detector, tiles, tmp_path, monkeypatch):
    """Three images are in memory at a time: a large one takes that of its neighbours."""
    real, left = batch.read_image, [1]

    def crowded(path):
        if "one" in str(path) and left and left.pop():
            raise MemoryError
        return real(path)

    monkeypatch.setattr(batch, "read_image", crowded)
    outcome = predicted(detector, tiles, tmp_path / "out")
    assert [row["image"] for row in outcome.done] == ["b/two.v2", "a/one"]
    assert not outcome.failed


def test_threads_start_before_images_fill_the_memory(detector, tiles, tmp_path, monkeypatch):
    real = predict.Detector.__call__

    def filling(*arguments):
        def starved(_):
            raise RuntimeError("can't start new thread")

        found = real(*arguments)
        monkeypatch.setattr(threading.Thread, "start", starved)
        return found

    monkeypatch.setattr(predict.Detector, "__call__", filling)
    assert len(predicted(detector, tiles, tmp_path / "out").done) == 2


def test_memory_that_does_not_suffice_is_told(detector, tiles, tmp_path, monkeypatch):
    def greedy(*_args):
        raise MemoryError

    monkeypatch.setattr(predict.Detector, "__call__", greedy)
    outcome = predicted(detector, tiles, tmp_path / "out")
    assert len(outcome.failed) == 2
    assert "out of memory" in outcome.failed[0]["error"]


def test_results_of_other_settings_or_images_are_not_mixed(detector, tiles, tmp_path, painted, model_folder):
    out = tmp_path / "out"
    jobs = plan([tiles], out)
    predicted(detector, tiles, out)
    with pytest.raises(ConfigError, match=r"holds results with mpp 0\.25, but now it is 0\.5"):
        batch.run(detector, jobs, out, mpp=0.5)
    journal = out / "predictions.jsonl"
    assert '"tta": false' in journal.read_text()
    journal.write_text(journal.read_text().replace('"tta": false', '"turned": false'))  # as 0.1 wrote it
    assert predicted(detector, tiles, out).skipped == 2
    with pytest.raises(ConfigError, match="holds results with tta"):
        predicted(predict.Detector.open(model_folder, tta=True), tiles, out)
    write_image(tmp_path / "other" / "a" / "one.png", painted(1))
    with pytest.raises(ConfigError, match=r"one\.png under the name of"):
        predicted(detector, tmp_path / "other", out)
    batch.run(detector, jobs, out, mpp=0.5, overwrite=True)
    assert summary(out)[0]["mpp"] == "0.5"


def test_a_journal_of_another_version_or_broken_is_told(detector, tiles, tmp_path):
    out = tmp_path / "out"
    predicted(detector, tiles, out)
    text = (out / JOURNAL).read_text()
    (out / JOURNAL).write_text(text.replace('"format": 2', '"format": 99'))
    with pytest.raises(FormatVersionError, match="99"):
        predicted(detector, tiles, out)
    (out / JOURNAL).write_text(text.replace("{", "", 2))
    with pytest.raises(CorruptDataError, match="delete it"):
        predicted(detector, tiles, out)


def test_many_nuclei_become_a_tiff(tmp_path):
    side = 300
    labels = np.arange(1, side * side + 1, dtype=np.int32).reshape(side, side)
    n = labels.max()
    assert n > 65_535
    ones = np.ones(n, np.float32)
    nuclei = Nuclei(np.zeros((n, 2), np.float32), ones.astype(np.uint8), ones, labels, 0.25)
    image = np.zeros((side, side, 3), np.uint8)
    stem = tmp_path / "many"
    (tmp_path / "many_labels.png").write_text("of an earlier call")
    result.write(stem, image, nuclei, ["a", "b"], ["labels"])
    assert np.array_equal(read_labels(tmp_path / "many_labels.tif"), labels)
    assert not (tmp_path / "many_labels.png").exists()


def test_unknown_resolutions_are_told_before_anything_is_done(detector, tiles, tmp_path):
    with pytest.raises(ConfigError, match=r"one\.png \(and 1 more of 2 images\).*--mpp"):
        batch.run(detector, plan([tiles], tmp_path / "out"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match=r"--mpp is .* from 0\.05 to 5"):
        batch.run(detector, plan([tiles], tmp_path / "out"), tmp_path / "out", mpp=0)


def test_names(tmp_path, tiles):
    out = tmp_path / "out"
    assert [job.name for job in plan([tiles], out)] == ["a/one", "b/two.v2"]
    assert [job.name for job in plan([str(tiles / "*" / "t*.png")], out)] == ["b/two.v2"]
    one = tiles / "a" / "one.png"
    assert [job.name for job in plan([one, one, tiles / "a"], out)] == ["one"]
    # two of a name begin at the folder that they share; a suffix alone is kept
    write_image(tiles / "b" / "one.png", read_image(one))
    assert [job.name for job in plan([one, tiles / "b" / "one.png"], out)] == ["a/one", "b/one"]
    write_image(tiles / "a" / "one.tif", read_image(one))
    assert [job.name for job in plan([tiles / "a"], out)] == ["one.png", "one.tif"]
    # what an earlier call wrote is no input
    inside = tiles / "results"
    write_image(inside / "one_overlay.png", read_image(one))
    assert all("results" not in str(job.image) for job in plan([tiles], inside))


def test_what_was_written_is_never_an_image(detector, tmp_path, painted):
    folder = tmp_path / "mine"
    write_image(folder / "a.png", painted(9))
    batch.run(detector, plan([folder], folder), folder, mpp=0.25)
    told = []
    assert [job.name for job in plan([folder], folder, on_skip=told.append)] == ["a"]
    assert {(one.path.name, one.reason) for one in told} == {
        ("a_overlay.png", "is a result of an earlier run"),
        ("a_labels.png", "is a result of an earlier run"),
    }
    named = sorted(folder.glob("*.png"))  # as a shell does
    assert [job.name for job in plan(named, folder)] == ["a"]
    assert [job.name for job in plan([str(folder / "*.png")], tmp_path / "out")] == ["a"]
    with pytest.raises(DatasetNotFoundError, match="results of an earlier run"):
        plan([folder / "a_overlay.png"], tmp_path / "out")
    assert batch.run(detector, plan([folder], folder), folder, mpp=0.25).skipped == 1
    # images below the folder for the results
    write_image(folder / "more" / "b.png", painted(4))
    outcome = batch.run(detector, plan([folder / "more"], folder), folder, mpp=0.25)
    assert [row["image"] for row in outcome.done] == ["b"]
    assert [row["image"] for row in summary(folder)] == ["a", "b"]
    assert [job.image.name for job in plan([folder / "more"], folder)] == ["b.png"]


def test_files_of_the_user_are_told_before_anything_is_done(detector, tiles, tmp_path):
    out = tmp_path / "out"
    for file in ("b/two.v2.geojson", "a/one_labels.tif", SUMMARY):
        (out / file).parent.mkdir(parents=True, exist_ok=True)
        (out / file).write_text("of the user")
        with pytest.raises(ConfigError, match=f"{file} was not written by Histoscope"):
            predicted(detector, tiles, out)
        with pytest.raises(ConfigError, match=f"{file} was not written by Histoscope"):
            predicted(detector, tiles, out, overwrite=True)
        assert [path for path in out.rglob("*") if path.is_file()] == [out / file]
        (out / file).unlink()
    (out / "b" / "two.v2.geojson").write_text("of the user")
    assert not predicted(
        detector, tiles, out, kinds=["csv", "labels"]
    ).failed  # nothing of that name is written


def test_files_of_other_pixels_are_taken_away(detector, tiles, tmp_path, painted):
    out = tmp_path / "out"
    predicted(detector, tiles, out)
    (out / "a" / "one_labels.png").write_bytes(b"corrected by hand")
    write_image(tiles / "a" / "one.png", painted(4))
    with pytest.raises(ConfigError, match=r"one_labels\.png has been changed since"):
        predicted(detector, tiles, out)
    assert predicted(detector, tiles, out, kinds=["csv"]).skipped == 1
    assert {path.name for path in (out / "a").iterdir()} == {"one.csv", "one_labels.png"}
    with pytest.raises(ConfigError, match=r"one_labels\.png was not written"):
        predicted(detector, tiles, out)
    (out / "a" / "one_labels.png").unlink()
    assert predicted(detector, tiles, out).skipped == 1
    assert read_labels(out / "a" / "one_labels.png").max() == len(table(out / "a" / "one.csv")) == 4


def test_links_are_one_image_and_loops_end(detector, tiles, tmp_path):
    (tiles / "b" / "linked.png").symlink_to(tiles / "a" / "one.png")
    (tiles / "again").symlink_to(tiles)
    assert len(plan([tiles], tmp_path / "out")) == 2
    (tmp_path / "link").symlink_to(tmp_path / "out")
    predicted(detector, tiles, tmp_path / "out")
    assert batch.run(detector, plan([tiles], tmp_path / "link"), tmp_path / "link", mpp=0.25).skipped == 2


def test_an_image_keeps_its_name_beside_later_ones(detector, tiles, tmp_path, painted):
    out, folder = tmp_path / "out", tiles / "a"
    predicted(detector, folder, out)
    write_image(folder / "one.tif", painted(3))
    outcome = predicted(detector, folder, out)
    assert [row["image"] for row in outcome.done] == ["one", "one.tif"]
    assert outcome.skipped == 1
    assert [row["nuclei"] for row in summary(out)] == ["9", "3"]


def test_three_images_of_one_stem_have_three_sets_of_files(detector, tmp_path, painted):
    for n, name in enumerate(("slide.tif", "slide.png", "slide.tif.png"), start=2):
        write_image(tmp_path / "in" / name, painted(n))
    out = tmp_path / "out"
    assert not predicted(detector, tmp_path / "in", out).failed
    assert {row["image"]: row["nuclei"] for row in summary(out)} == {
        "slide.tif": "2",
        "slide.png": "3",
        "slide.tif.png": "4",
    }
    for name, n in (("slide.tif", 2), ("slide.png", 3), ("slide.tif.png", 4)):
        assert len(table(out / f"{name}.csv")) == n


def test_names_of_files_that_are_none_of_tables(detector, tmp_path, painted):
    odd = ["two\nlines.png", "a,b 'c' \"d\".png", "😀.png", os.fsdecode(b"raw\xff.png"), "x" * 240 + ".png"]
    for name in odd:
        write_image(tmp_path / "in" / "t.png", painted(1))
        (tmp_path / "in" / "t.png").rename(tmp_path / "in" / name)
    out = tmp_path / "out"
    outcome = predicted(detector, tmp_path / "in", out)
    assert not outcome.failed
    assert len(summary(out)) == len(list(out.glob("*.geojson"))) == len(odd)
    assert predicted(detector, tmp_path / "in", out).skipped == len(odd)


@pytest.mark.parametrize(
    "classes", [["nuclei", "other"], ["b_per_mm2", "n_b"], ["a/b", "a, b"], ["image", "mpp"]]
)
def test_no_class_takes_the_place_of_another_column(classes):
    found = result.columns(classes)
    assert len(set(found)) == len(found) == 6 + 2 * len(classes)
    nuclei = Nuclei(np.zeros((3, 2), np.float32), np.array([1, 2, 2], np.uint8), np.ones(3, np.float32),
                    np.arange(4, dtype=np.int32).reshape(2, 2), 100.0)  # fmt: skip
    row = result.summarise(np.full((2, 2, 3), (120, 60, 150), np.uint8), nuclei, classes)
    total = row["nuclei_per_mm2"]
    assert total == pytest.approx(3 / row["tissue_mm2"], rel=1e-3)
    assert (row["nuclei"], row[f"n_{classes[0]}"], row[f"n_{classes[1]}"]) == (3, 1, 2)
    assert row[f"per_mm2_{classes[1]}"] == pytest.approx(total * 2 / 3, rel=1e-3)


def test_nothing_to_predict_is_told(tmp_path, tiles):
    for source in (tmp_path / "none", tmp_path / "*.png", tmp_path / "none.png"):
        with pytest.raises(DatasetNotFoundError, match="no image at"):
            plan([source], tmp_path / "out")
    with pytest.raises(ConfigError, match="is a file"):
        plan([tiles], tiles / "a" / "one.png")


def test_a_detector_of_ones_own_may_speak_of_turns(tiles, tmp_path, detector):
    class Mine:
        fingerprint, turned, classes = "mine", True, ()

        def __call__(self, image, mpp):
            return detector(image, mpp)

    outcome = batch.run(Mine(), batch.plan([tiles], tmp_path / "out"), tmp_path / "out", mpp=0.25)
    assert outcome.done
    assert not outcome.failed
    assert '"tta": true' in (tmp_path / "out" / "predictions.jsonl").read_text(encoding="utf-8")


@pytest.fixture
def choosy(model_folder, painted):
    """A model whose card says what the images look like that taught it classes: those of the painter."""
    from histoscope.export import likeness

    detector = predict.Detector.open(model_folder)
    seen = [(image, detector(image, 0.25)) for image in map(painted, (5, 6, 7, 8, 9))]
    card = json.loads((model_folder / "card.json").read_text())
    card[likeness.KEY] = likeness.learned(seen, [], 0.25).to_dict() | {"name": "painters"}
    (model_folder / "card.json").write_text(json.dumps(card))
    return predict.Detector.open(model_folder)


def test_images_unlike_those_that_taught_the_classes_are_told(choosy, tiles, painted, tmp_path):
    write_image(tiles / "other.png", np.ascontiguousarray(painted(9)[:, :, ::-1]))
    with pytest.warns(UserWarning, match="learned from painters, and 1 of 3 images look different"):
        predicted(choosy, tiles, tmp_path / "out")
    distance = {row["image"]: row["unlike"] for row in summary(tmp_path / "out")}
    assert float(distance["other"]) > 1 >= float(distance["a/one"])
    assert distance["b/two.v2"] == ""  # four nuclei are too few to tell
    with pytest.warns(UserWarning, match="1 of 3"):  # once more, though nothing is predicted again
        assert predicted(choosy, tiles, tmp_path / "out").skipped == 3


def test_a_card_that_says_nothing_adds_no_column(detector, tiles, tmp_path):
    predicted(detector, tiles, tmp_path / "out")
    assert "unlike" not in summary(tmp_path / "out")[0]


def test_names_of_a_detector_end_with_unsure_where_a_nucleus_may_be(blobs):
    from histoscope.models.class_rule import ClassRule

    assert predict.Detector(blobs).names == ("red", "blue")
    blobs.class_rule = ClassRule(unsure_below=0.6)
    assert predict.Detector(blobs).names == ("red", "blue", "unsure")
    assert predict.Detector(blobs).classes == ("red", "blue")
