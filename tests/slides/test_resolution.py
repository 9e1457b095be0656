import numpy as np
import pytest
import tifffile
from PIL import Image

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.slides import mpp_of

PIXELS = np.zeros((8, 9, 3), np.uint8)


def dpi(mpp):
    return (25_400 / mpp,) * 2


@pytest.mark.parametrize("mpp", [0.25, 0.5, 1.0])
def test_png_tells_dots_a_metre(tmp_path, mpp):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=dpi(mpp))
    assert mpp_of(tmp_path / "a.png") == pytest.approx(mpp, rel=1e-3)


@pytest.mark.parametrize(("unit", "um"), [("INCH", 25_400), ("CENTIMETER", 10_000)])
def test_tiff_tells_pixels_an_inch_or_centimetre(tmp_path, unit, um):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, photometric="rgb", resolution=(um / 0.25,) * 2, resolutionunit=unit)
    assert mpp_of(path) == pytest.approx(0.25, rel=1e-4)


def test_ome_tiff_tells_it_in_xml(tmp_path):
    path = tmp_path / "a.ome.tif"
    size = {"PhysicalSizeX": 500, "PhysicalSizeXUnit": "nm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, PIXELS, photometric="rgb", metadata={"axes": "YXS", **size})
    assert mpp_of(path) == 0.5


def test_aperio_tells_it_in_its_description(tmp_path):
    text = "Aperio Image Library v12|AppMag = 40|MPP = 0.2526|Left = 25.6"
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="rgb", description=text, metadata=None)
    assert mpp_of(tmp_path / "a.tif") == 0.2526


def test_imagej_tells_its_unit(tmp_path):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, imagej=True, resolution=(2, 2), metadata={"unit": "um", "axes": "YXS"})
    assert mpp_of(path) == 0.5


@pytest.mark.parametrize("resolution", [(72, 72), (300, 300), (101_600, 50_800)])
def test_a_screens_or_printers_resolution_and_oblong_pixels_are_none(tmp_path, resolution):
    Image.fromarray(PIXELS).save(tmp_path / "a.png", dpi=resolution)
    Image.fromarray(PIXELS).save(tmp_path / "a.tif", dpi=resolution)
    assert mpp_of(tmp_path / "a.png") is None
    assert mpp_of(tmp_path / "a.tif") is None


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".tif", ".bmp"])
def test_files_that_say_nothing_are_none(tmp_path, suffix):
    Image.fromarray(PIXELS).save(tmp_path / f"a{suffix}")
    assert mpp_of(tmp_path / f"a{suffix}") is None


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_broken_and_missing_files_are_errors(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    with pytest.raises(DatasetNotFoundError, match="check the path"):
        mpp_of(path)
    path.write_bytes(b"nothing")
    with pytest.raises(CorruptDataError, match="replace or remove it"):
        mpp_of(path)
