import numpy as np
import pytest
from typer.testing import CliRunner

import histoscope as hs
import s3_server
from histoscope.cli.main import _of_the_disk, app
from histoscope.files import write_image
from histoscope.places import PlaceError, asking
from slide_results import contents

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    """Give the address of a store with a slide of tissue."""
    image = np.full((150, 150, 3), 244, np.uint8)
    image[20:130, 20:130] = hs.synth.generate((110, 110), mpp=0.5, rng=1).image
    path = tmp_path_factory.mktemp("slide") / "one.tif"
    write_image(path, image, mpp=0.5)
    store = fsspec.filesystem("memory")
    store.pipe_file("/cli/in/one.tif", path.read_bytes())
    yield "memory://cli"
    store.store.clear()


def call(*words):
    done = CliRunner().invoke(app, ["predict", "nuclei-free", *map(str, words)])
    return done, str(done.exception)


def test_slides_come_from_elsewhere_and_results_go_there(bucket, tmp_path):
    stage = ("--stage", tmp_path / "stage", "--stage-limit", "1 MB")
    done, _ = call(f"{bucket}/in", f"{bucket}/out", "--work", tmp_path / "work", *stage)
    assert done.exit_code == 0
    assert "results in memory://cli/out" in done.output
    store = fsspec.filesystem("memory")
    assert {"/cli/out/summary.csv", "/cli/out/one/cells.parquet"} <= set(store.find("/cli/out"))
    done, _ = call(
        f"{bucket}/in", tmp_path / "less", "--stage", tmp_path / "stage", "--stage-limit", "0.0001MB"
    )
    assert "raise --stage-limit" in done.output


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["memory://cli/in", "memory://cli/out"], "give --work DIR"),
        (["memory://cli/in", "OUT", "--work", "OUT"], "--work is for a remote OUT"),
        (["memory://cli/in", "OUT", "--stage", "s3://bucket"], "--stage s3://bucket: expected a folder"),
        (["memory://cli/in", "OUT", "--stage-limit", "much"], "expected a size such as 50GB"),
        (["memory://cli/none", "OUT"], "no image or slide at memory://cli/none"),
        (["memory://cli/in", "OUT", "--as", "image"], "only slides can be read from remote storage"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(bucket, tmp_path, words, why):
    _, error = call(*[str(tmp_path / "out") if word == "OUT" else word for word in words])
    assert why in error


@pytest.fixture
def s3(monkeypatch, tmp_path):
    """Give a server of S3 with an empty bucket, and nobody's own settings."""
    monkeypatch.setattr(asking, "_PAUSE_S", 0.0)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with s3_server.serving(monkeypatch) as (server, fs):
        yield server, fs


@pytest.mark.parametrize(
    ("gone", "source", "why"),
    [
        ("SECRET_ACCESS_KEY", "s3://bucket/in", "s3://bucket/in: no valid credentials"),
        ("", "s3://none/in", "s3://none/in: no such file or bucket"),
        ("", "s3://bucket/a.svs", "no image or slide at s3://bucket/a.svs"),
        pytest.param(
            "ENDPOINT_URL", "s3://bucket/in", "s3://bucket/in: its server failed", marks=pytest.mark.slow
        ),
    ],
)
def test_a_bucket_that_cannot_be_read_is_told_before_any_work(s3, tmp_path, monkeypatch, gone, source, why):
    monkeypatch.setenv(f"AWS_{gone}", "http://127.0.0.1:9") if gone == "ENDPOINT_URL" else None
    monkeypatch.delenv(f"AWS_{gone}") if gone == "SECRET_ACCESS_KEY" else None
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    done, error = call(source, tmp_path / "out")
    assert why in (_of_the_disk(done.exception) if isinstance(done.exception, PlaceError) else error)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_workers_and_claims_share_slides_of_a_bucket(s3, tmp_path):
    _, fs = s3
    for k in range(3):
        image = np.full((150, 150, 3), 244, np.uint8)
        image[20:130, 20:130] = hs.synth.generate((110, 110), mpp=0.5, rng=k).image
        (tmp_path / "in").mkdir(exist_ok=True)
        write_image(tmp_path / "in" / f"{k}.tif", image, mpp=0.5)
    fs.put(str(tmp_path / "in"), "bucket/in", recursive=True)
    call(tmp_path / "in", tmp_path / "disk", "--as", "slide")
    stage = ("--stage", tmp_path / "stage")
    done, _ = call("s3://bucket/in", tmp_path / "out", *stage, "--workers", 2)
    assert done.exit_code == 0, done.output
    assert contents(tmp_path / "out") == contents(tmp_path / "disk")
    for _ in range(2):
        done, _ = call("s3://bucket/in", "s3://bucket/out", "--work", tmp_path / "work", *stage, "--claim")
        assert done.exit_code == 0, done.output
    assert contents(tmp_path / "work") == contents(tmp_path / "disk")
    fs.get("bucket/out", str(tmp_path / "got"), recursive=True)
    assert contents(tmp_path / "got") == contents(tmp_path / "disk")
