"""Slides and results elsewhere: the same bytes as on a disk, and a row for what goes wrong."""

import numpy as np
import pytest

import histoscope as hs
from histoscope.files import write_image
from histoscope.places import place
from histoscope.predict import batch as image_batch
from histoscope.predict.slides import one, planning
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.tables import read_table

fsspec = pytest.importorskip("fsspec")
SMALL = SlideSettings(part_px=64)


@pytest.fixture(scope="module")
def slides(tmp_path_factory):
    """Give a tiled TIFF, which is read in place, and a PNG, which is copied."""
    import tifffile

    folder = tmp_path_factory.mktemp("slides")
    image = np.full((256, 256, 3), 244, np.uint8)
    image[20:130, 20:130] = hs.synth.generate((110, 110), mpp=0.5, rng=1).image
    write_image(folder / "two.png", image[:150, :150], mpp=0.5)
    tifffile.imwrite(
        folder / "one.tif",
        image,
        tile=(64, 64),
        photometric="rgb",
        resolution=(20_000, 20_000),
        resolutionunit="CENTIMETER",
    )
    return folder


@pytest.fixture(params=["memory", "s3"])
def bucket(request, slides, monkeypatch):
    """Give the address of a store with these slides."""
    if request.param == "memory":
        fs = fsspec.filesystem("memory")
        fs.store.clear()
        yield from _filled(fs, slides, "memory://bucket")
        fs.store.clear()
        return
    server = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    running = server.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    host, port = running.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    s3fs.S3FileSystem.clear_instance_cache()
    fs = s3fs.S3FileSystem()
    if not fs.exists("bucket"):  # one process has one store, however many servers
        fs.mkdir("bucket")
    yield from _filled(fs, slides, "s3://bucket")
    s3fs.S3FileSystem.clear_instance_cache()
    running.stop()


def _filled(fs, slides, address):
    for path in slides.iterdir():
        fs.pipe_file(f"bucket/in/{path.name}", path.read_bytes())
    yield fs, address


def contents(out):
    """Files that do not tell how long it took."""
    files = (path for path in out.rglob("*") if path.is_file() and planning.LEDGER not in path.parts)
    return {
        path.relative_to(out).as_posix(): path.read_bytes() for path in files if path.name != "timings.csv"
    }


def jobs_of(address, out):
    found = image_batch.plan([f"{address}/in/*.tif"], out, slides=True)
    return [*found, image_batch.Job(place(f"{address}/in/two.png"), "two")]


def test_the_bytes_are_those_of_slides_on_a_disk(bucket, slides, regions, tmp_path):
    fs, address = bucket
    local = [image_batch.Job(slides / name, name.partition(".")[0]) for name in ("one.tif", "two.png")]
    assert len(run(regions, local, tmp_path / "disk", SMALL).done) == 2
    put_to = place(f"{address}/out")
    settings = SlideSettings(part_px=64, stage=tmp_path / "stage", put_to=put_to)
    outcome = run(regions, jobs_of(address, tmp_path / "work"), tmp_path / "work", settings)
    assert not outcome.failed
    wanted = contents(tmp_path / "disk")
    assert contents(tmp_path / "work") == wanted
    found = {name.partition("bucket/out/")[2]: fs.cat_file(name) for name in fs.find("bucket/out")}
    assert found.pop("timings.csv")
    assert found == wanted
    assert [path.name for path in (tmp_path / "stage").iterdir()] == [".lock"]


def test_what_is_missing_or_replaced_is_a_row_and_the_rest_is_done(bucket, regions, tmp_path, monkeypatch):
    fs, address = bucket
    monkeypatch.setattr(one, "_PAUSE_S", 0.0)
    written, replaced = one.predict_slide, []

    def replacing(slide, *arguments, **more):
        found = written(slide, *arguments, **more)
        if slide.path.suffix == ".tif" and not replaced:
            replaced.append(slide.path)
            fs.pipe_file("bucket/in/one.tif", fs.cat_file("bucket/in/one.tif")[:-1] + b"\x01")
        return found

    monkeypatch.setattr(one, "predict_slide", replacing)
    jobs = [*jobs_of(address, tmp_path), image_batch.Job(place(f"{address}/in/gone.tif"), "gone")]
    settings = SlideSettings(part_px=64, stage=tmp_path / "stage")
    outcome = run(regions, jobs, tmp_path / "out", settings)
    assert [row["image"] for row in outcome.done] == ["two"]
    table = read_table(tmp_path / "out" / "summary.csv").set_index("image")
    assert "was changed while it was read" in table.error["one"]
    assert f"no slide at {address}/in/gone.tif" in table.error["gone"]
    monkeypatch.setattr(one, "predict_slide", written)
    again = run(regions, jobs, tmp_path / "out", settings, overwrite=True)
    assert sorted(row["image"] for row in again.done) == ["one", "two"]
