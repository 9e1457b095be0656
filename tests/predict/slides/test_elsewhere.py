"""Slides and results elsewhere: the same bytes as on a disk, and a row for what goes wrong."""

import errno

import numpy as np
import pytest

import histoscope as hs
import s3_server
from histoscope.files import write_image
from histoscope.places import PlaceError, asking, place
from histoscope.predict import batch as image_batch
from histoscope.predict.slides import one, planning
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.tables import read_table

fsspec = pytest.importorskip("fsspec")
SMALL = SlideSettings(part_px=64)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Give a tiled TIFF, which is read in place, one with a broken tile, a PNG, which is copied, and none."""
    import tifffile

    folder = tmp_path_factory.mktemp("slides")
    image = np.full((256, 256, 3), 244, np.uint8)
    image[20:130, 20:130] = hs.synth.generate((110, 110), mpp=0.5, rng=1).image
    write_image(folder / "two.png", image[:150, :150], mpp=0.5)
    for name in ("one", "torn"):
        tifffile.imwrite(
            folder / f"{name}.tif",
            image,
            tile=(64, 64),
            compression="jpeg",
            photometric="rgb",
            compressionargs={"outcolorspace": "rgb"},
            resolution=(20_000, 20_000),
            resolutionunit="CENTIMETER",
        )
    with tifffile.TiffFile(folder / "torn.tif") as file:
        start, count = file.pages[0].dataoffsets[5], file.pages[0].databytecounts[5]
    with (folder / "torn.tif").open("r+b") as file:
        file.seek(start)
        file.write(bytes(count))
    (folder / "none.svs").write_bytes(b"no slide")
    return folder


@pytest.fixture(params=["memory", "s3"])
def bucket(request, slides, monkeypatch):
    """Give the address of a store with these slides."""
    monkeypatch.setattr(one, "_PAUSE_S", 0.0)
    monkeypatch.setattr(asking, "_PAUSE_S", 0.0)
    monkeypatch.setattr(asking, "_INFO", {})
    if request.param == "s3":
        with s3_server.serving(monkeypatch) as (_, fs):
            yield filled(fs, slides), "s3://bucket"
        return
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    yield filled(fs, slides), "memory://bucket"
    fs.store.clear()


def filled(fs, slides):
    for path in slides.iterdir():
        fs.pipe_file(f"bucket/in/{path.name}", path.read_bytes())
    return fs


def contents(out):
    """Files that do not tell how long it took."""
    files = (path for path in out.rglob("*") if path.is_file() and planning.LEDGER not in path.parts)
    return {
        path.relative_to(out).as_posix(): path.read_bytes() for path in files if path.name != "timings.csv"
    }


def put_in(fs):
    """The same of what is elsewhere."""
    found = {name.partition("bucket/out/")[2]: fs.cat_file(name) for name in fs.find("bucket/out")}
    found.pop("timings.csv", None)
    return found


def jobs_of(address, *names):
    names = names or ("one.tif", "torn.tif", "two.png", "none.svs")
    return [image_batch.Job(place(f"{address}/{name}"), name.partition(".")[0]) for name in names]


def settings_of(address, tmp_path):
    return SlideSettings(part_px=64, stage=tmp_path / "stage", put_to=place(f"{address}/out"))


def test_the_bytes_are_those_of_slides_on_a_disk(bucket, slides, regions, tmp_path):
    fs, address = bucket
    alone = run(regions, jobs_of(slides), tmp_path / "disk", SMALL)
    assert [row["image"] for row in alone.done] == ["one", "two"]
    found = image_batch.plan([f"{address}/in/"], tmp_path / "work", slides=True)
    assert [job.name for job in found] == ["none", "one", "torn"]  # by their suffix
    jobs = jobs_of(f"{address}/in")
    outcome = run(regions, jobs, tmp_path / "work", settings_of(address, tmp_path))
    assert [each["path"] for each in outcome.failed] == [f"{address}/in/torn.tif", f"{address}/in/none.svs"]
    wanted = contents(tmp_path / "disk")
    assert {"summary.csv", "cohort.parquet", "one/cells.parquet", "two/cells.parquet"} <= set(wanted)
    assert contents(tmp_path / "work") == wanted
    assert put_in(fs) == {name: found for name, found in wanted.items() if name != "torn/plan.json"}
    assert [path.name for path in (tmp_path / "stage").iterdir()] == [".lock"]


def test_what_broke_off_while_it_was_put_is_put_by_the_next_call(bucket, regions, tmp_path, monkeypatch):
    fs, address = bucket
    jobs, settings = jobs_of(f"{address}/in", "one.tif", "two.png"), settings_of(address, tmp_path)
    put, done = one.put, one.predict_slide

    def fails(local, path):
        if path.name == "cells.parquet":
            raise PlaceError(errno.EIO, "its server failed", str(path))
        put(local, path)

    monkeypatch.setattr(one, "put", fails)
    outcome = run(regions, jobs, tmp_path / "work", settings)
    assert not outcome.done
    table = read_table(tmp_path / "work" / "summary.csv").set_index("image")
    assert list(table.stage) == ["put", "put"]

    def killed(local, path):
        if path.name == "summary.json":
            raise KeyboardInterrupt
        put(local, path)

    monkeypatch.setattr(one, "put", killed)
    with pytest.raises(KeyboardInterrupt):
        run(regions, jobs, tmp_path / "work", settings)
    monkeypatch.setattr(one, "put", put)
    monkeypatch.setattr(one, "predict_slide", None)  # nothing is predicted again
    assert len(run(regions, jobs, tmp_path / "work", settings).done) == 2
    assert put_in(fs) == contents(tmp_path / "work")
    monkeypatch.setattr(one, "predict_slide", done)


def test_what_was_put_may_be_deleted(bucket, regions, tmp_path, monkeypatch):
    fs, address = bucket
    jobs, settings = jobs_of(f"{address}/in", "one.tif"), settings_of(address, tmp_path)
    run(regions, jobs, tmp_path / "work", settings)
    before = put_in(fs)
    for path in (tmp_path / "work" / "one").iterdir():
        if path.name != "summary.json":
            path.unlink()
    monkeypatch.setattr(one, "predict_slide", None)
    outcome = run(regions, jobs, tmp_path / "work", settings)
    assert (len(outcome.done), outcome.skipped) == (1, 1)
    assert put_in(fs) == before


def test_what_is_missing_or_replaced_is_a_row_and_the_rest_is_done(bucket, regions, tmp_path, monkeypatch):
    fs, address = bucket
    written, replaced = one.predict_slide, []

    def replacing(slide, *arguments, **more):
        found = written(slide, *arguments, **more)
        if slide.path.suffix == ".tif" and not replaced:
            replaced.append(slide.path)
            fs.pipe_file("bucket/in/one.tif", fs.cat_file("bucket/in/one.tif")[:-1] + b"\x01")
        return found

    monkeypatch.setattr(one, "predict_slide", replacing)
    jobs = jobs_of(f"{address}/in", "one.tif", "two.png", "gone.tif")
    settings = SlideSettings(part_px=64, stage=tmp_path / "stage")
    outcome = run(regions, jobs, tmp_path / "out", settings)
    assert [row["image"] for row in outcome.done] == ["two"]
    table = read_table(tmp_path / "out" / "summary.csv").set_index("image")
    assert table.error["one"].startswith("one.tif was changed while it was read")
    assert table.error["gone"] == "no slide at gone.tif"
    monkeypatch.setattr(one, "predict_slide", written)
    again = run(regions, jobs, tmp_path / "out", settings, overwrite=True)
    assert sorted(row["image"] for row in again.done) == ["one", "two"]


def test_a_full_stage_ends_the_call_and_the_next_one_goes_on(bucket, regions, tmp_path, monkeypatch):
    from histoscope.slides import staging

    _, address = bucket
    jobs, settings = jobs_of(f"{address}/in", "two.png"), settings_of(address, tmp_path)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(staging, "_fetch", full)
        with pytest.raises(OSError, match="No space left") as caught:
            run(regions, jobs, tmp_path / "work", settings)
    assert caught.value.filename == str(tmp_path / "stage")
    assert len(run(regions, jobs, tmp_path / "work", settings).done) == 1
