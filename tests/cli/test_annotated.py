"""``histoscope data from-qupath``."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

import histoscope as hs
from histoscope.cli.main import app
from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.files import read_image, write_image
from histoscope.nuclei import Nuclei


@pytest.fixture
def made(tmp_path):
    """Give a folder with four images of nuclei, and one with their annotations."""
    for k in range(4):
        sample = hs.synth.generate((120, 150), mpp=0.5, rng=k)
        write_image(tmp_path / "images" / f"{k}.png", sample.image, mpp=0.5)
        nuclei = Nuclei.from_labels(sample.instances, mpp=0.5, classes=sample.classes)
        (tmp_path / "notes").mkdir(exist_ok=True)
        hs.export.write_geojson(tmp_path / "notes" / f"{k}.geojson", nuclei, classes=list("abcdef"))
    return tmp_path


def call(*words):
    return CliRunner().invoke(app, ["data", "from-qupath", *map(str, words)])


def test_a_folder_of_images(made):
    done = call(made / "images", made / "notes", made / "out")
    assert done.exit_code == 0
    assert "4 images with" in done.output
    assert "no regions of interest: everything in the images that is not outlined" in done.output
    assert f"histoscope data verify folder {made / 'out'}" in done.output.replace("\n", " ").replace(
        "  ", " "
    )
    found = hs.data.open("folder", made / "out")
    assert not [problem for problem in found.verify() if problem.severity == "error"]
    overlay = read_image(made / "out" / "overlays" / "0.png")
    assert overlay.shape == found[0].image.shape
    assert not np.array_equal(overlay, found[0].image)


def test_the_folder_is_what_training_and_init_take(made):
    call(made / "images", made / "notes", made / "out")
    done = CliRunner().invoke(app, ["init", str(made / "out"), "--out", str(made / "a.yaml"), "--no-time"])
    assert done.exit_code == 0
    assert "name: folder" in (made / "a.yaml").read_text(encoding="utf-8")


def test_json(made):
    done = call(made / "images", made / "notes", made / "out", "--json")
    told = json.loads(done.stdout)
    assert told["images"] == 4
    assert told["nuclei"] == sum(told["classes"].values()) > 0
    assert told["lone"] == {"image without annotations": [], "annotation file without an image": []}


def test_what_has_no_counterpart_is_named(made):
    (made / "images" / "x.png").write_bytes(b"")
    (made / "notes" / "y.geojson").write_bytes(b"")
    done = call(made / "images", made / "notes", made / "out")
    assert done.exit_code == 1
    assert "image without annotations: x.png" in done.output
    assert "annotation file without an image: y.geojson" in done.output
    assert "4 images with" in done.output


def test_a_bad_slide_stops_no_other(made):
    (made / "notes" / "0.geojson").write_text("{")
    (made / "images" / "1.png").write_bytes(b"")
    done = call(made / "images", made / "notes", made / "out")
    assert done.exit_code == 1
    assert "left out 0.png: " in done.output
    assert "left out 1.png: " in done.output
    assert "2 images with" in done.output
    done = call(made / "images" / "1.png", made / "notes", made / "other")
    assert isinstance(done.exception, CorruptDataError)


def test_no_such_image(made):
    done = call(made / "no.svs", made / "notes", made / "out")
    assert isinstance(done.exception, DatasetNotFoundError)


def test_a_label_map_beside_its_nuclei_is_named(made):
    (made / "notes" / "0.geojson").rename(made / "wrong.geojson")
    labels = hs.synth.generate((120, 150), mpp=0.5, rng=0).instances
    hs.export.write_geojson(made / "wrong.geojson", Nuclei.from_labels(labels[::-1].copy(), mpp=0.5))
    done = call(made / "images" / "0.png", made / "wrong.geojson", made / "out")
    assert done.exit_code == 0
    assert "0: the label map does not match the nuclei; it would if" in done.output
