import numpy as np
import pytest
from typer.testing import CliRunner

import histoscope as hs
from histoscope.cli.main import app
from histoscope.files import write_image

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
        (["memory://cli/in", "OUT", "--work", "OUT"], "--work is for an OUT elsewhere"),
        (["memory://cli/in", "OUT", "--stage", "s3://bucket"], "--stage s3://bucket: expected a folder"),
        (["memory://cli/in", "OUT", "--stage-limit", "much"], "expected a size such as 50GB"),
        (["memory://cli/none", "OUT"], "no image or slide at memory://cli/none"),
        (["memory://cli/in", "OUT", "--as", "image"], "only slides are read from elsewhere"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(bucket, tmp_path, words, why):
    _, error = call(*[str(tmp_path / "out") if word == "OUT" else word for word in words])
    assert why in error
