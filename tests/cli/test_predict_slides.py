"""Slides on the command line: what a classifier does with them, and what is refused."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

from histoscope import models, synth
from histoscope.cli.main import app
from histoscope.errors import ConfigError
from histoscope.files import write_image


@pytest.fixture(scope="module")
def slide(tmp_path_factory):
    """Give a slide: tissue on glass."""
    image = np.full((256, 320, 3), 244, np.uint8)
    image[40:168, 60:188] = synth.generate((128, 128), mpp=0.5, rng=1).image
    path = tmp_path_factory.mktemp("slides") / "one.tif"
    write_image(path, image, mpp=0.5)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """Give the folder of a classifier."""
    torch.manual_seed(0)
    options = {"width": 4, "depth": 2}
    network = models.create(
        "classifier", backbone="unet", patch_px=32, mpp=0.5, options=options, classes=["gland", "stroma"]
    )
    return models.save(network, tmp_path_factory.mktemp("models") / "classifier")


def call(*arguments):
    return CliRunner().invoke(app, ["predict", *map(str, arguments)])


def test_tiles_of_a_slide(classifier, slide, tmp_path):
    done = call(classifier, slide, tmp_path / "out", "--as", "slide", "--csv")
    assert done.exit_code == 0, done.output
    n = pq.read_metadata(tmp_path / "out" / "one" / "tiles.parquet").num_rows
    assert n > 10
    assert f"{n} tiles in 1 slide; results in" in done.stdout
    assert "mm2 of tissue, gland: " in done.stdout
    assert (tmp_path / "out" / "one" / "tiles.csv").is_file()
    done = call(classifier, slide, tmp_path / "out", "--as", "slide", "--csv", "--json")
    told = json.loads(done.stdout.splitlines()[-1])
    assert (told["tiles"], told["skipped"], told["classes"]) == (n, 1, ["gland", "stroma"])


def test_cells_that_are_given_make_slides_of_files(classifier, slide, tmp_path):
    assert call("nuclei-free", slide, tmp_path / "found", "--as", "slide").exit_code == 0
    done = call(classifier, slide, tmp_path / "out", "--cells", tmp_path / "found")
    assert done.exit_code == 0, done.output
    n = pq.read_metadata(tmp_path / "found" / "one" / "cells.parquet").num_rows
    assert f"{n} nuclei in 1 slide" in done.stdout
    names = pq.read_schema(tmp_path / "out" / "one" / "cells.parquet").names
    assert {"p_gland", "p_stroma"} <= set(names)
    done = call(classifier, slide, tmp_path / "found", "--cells", tmp_path / "found")
    assert isinstance(done.exception, ConfigError)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--as", "slide", "--labels"], "--labels is for nuclei, but here tiles are classified"),
        (["--as", "slide", "--anndata"], "--anndata is for nuclei"),
        (["--as", "slide", "--only", "csv"], "--only is for images"),
        (["--as", "slide", "--least-area", "4"], "--least-area is for models of nuclei"),
        (["--as", "image"], "--as image is for models of nuclei"),
        (["--as", "tiles", "--csv"], "--csv is for slides"),
        (["--cells", "FOUND", "--labels"], "--labels has no effect with --cells"),
        (["--cells", "FOUND", "--least-tissue", "0.5"], "--least-tissue has no effect"),
        (["--cells", "FOUND", "--as", "patch"], "--as patch has no effect with --cells"),
    ],
)
def test_what_has_no_meaning_is_refused(classifier, slide, tmp_path, options, why):
    options = [str(tmp_path) if word == "FOUND" else word for word in options]
    done = call(classifier, slide, tmp_path / "out", *options)
    assert isinstance(done.exception, ConfigError)
    assert why in str(done.exception)


def test_models_of_nuclei_classify_no_cells(slide, tmp_path):
    done = call("nuclei-free", slide, tmp_path / "out", "--cells", tmp_path)
    assert "--cells is for classifiers, but this model finds nuclei" in str(done.exception)
