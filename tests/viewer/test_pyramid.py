"""Tiles look as the slide does, whichever way they come."""

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as Pillow

from histoscope import synth
from histoscope.errors import ConfigError
from histoscope.files import write_image
from histoscope.slides import Box, open_slide
from histoscope.slides.stored import size_of
from histoscope.viewer.pyramid import Pyramid


def shown(jpeg):
    return np.asarray(Pillow.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)


def put_together(pyramid, number):
    """A layer, of all its tiles."""
    layer = pyramid.layers[number]
    out = np.zeros((layer.height, layer.width, 3), int)
    across, down = layer.grid
    for row in range(down):
        for column in range(across):
            tile = shown(pyramid.tile(number, column, row))
            y, x = row * layer.tile[1], column * layer.tile[0]
            out[y : y + tile.shape[0], x : x + tile.shape[1]] = tile
    return out


@pytest.fixture(params=["jpeg", "rgb jpeg", "deflate", "png"])
def pyramid(request, tmp_path):
    image = synth.generate((390, 520), mpp=0.5, rng=3).image
    if request.param == "png":
        path = tmp_path / "a.png"
        write_image(path, image)
    else:
        path = tmp_path / "a.tif"
        how = {"compression": request.param.split()[-1], "tile": (128, 128), "photometric": "rgb"}
        if request.param == "rgb jpeg":
            how["compressionargs"] = {"outcolorspace": "rgb"}
        if how["compression"] == "deflate":
            how["compression"] = "zlib"
        tifffile.imwrite(path, image, **how)
    with open_slide(path) as slide:
        yield Pyramid(slide)


def test_all_tiles_of_a_level_are_the_level(pyramid):
    stored = pyramid.slide.read(Box(0, 0, 520, 390)).astype(int)
    assert np.abs(put_together(pyramid, len(pyramid.layers) - 1) - stored).mean() < 2.5


def test_coarser_layers_are_means(pyramid):
    number = len(pyramid.layers) - 2
    assert pyramid.layers[number].level is None
    stored = pyramid.slide.read(Box(0, 0, 520, 390)).astype(float)
    halved = stored.reshape(195, 2, 260, 2, 3).mean(axis=(1, 3))
    assert np.abs(pyramid._pixels(number, Box(0, 0, 260, 195)) - halved).max() <= 1
    assert np.abs(put_together(pyramid, number) - halved).mean() < 6  # JPEG at half the colour


def test_tiles_of_jpeg_are_passed_on_undecoded(shown_slide):
    path = shown_slide
    with open_slide(path) as slide, tifffile.TiffFile(path) as file:
        pyramid = Pyramid(slide)
        assert pyramid.passes
        page = file.pages[0]
        file.filehandle.seek(page.dataoffsets[5])
        stored = file.filehandle.read(page.databytecounts[5])
        assert pyramid.tile(len(pyramid.layers) - 1, 1, 1).endswith(stored[2:])


def test_the_smallest_layer_is_one_tile(pyramid):
    assert pyramid.layers[0].grid == (1, 1)
    assert size_of(pyramid.picture(100)) == (100, 75)


@pytest.mark.parametrize("tile", [(-1, 0, 0), (9, 0, 0), (0, 1, 0), (0, 0, 1), (0, -1, 0)])
def test_a_tile_that_is_not_there_is_refused(pyramid, tile):
    with pytest.raises(ConfigError, match="expected"):
        pyramid.tile(*tile)
