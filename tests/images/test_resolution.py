import math

import numpy as np
import pytest
import tifffile
from PIL import Image

from histoscope.errors import ConfigError, CorruptDataError, DatasetNotFoundError
from histoscope.images.resolution import check_mpp, mpp_of, why_unknown

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


OME = (
    '<?xml version="1.0" encoding="UTF-8"?>{intro}<{ns}OME {xmlns}><{ns}Image ID="Image:0">'
    '<{ns}Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="9" SizeY="8" SizeC="3" SizeZ="1" '
    'SizeT="1" {sizes}><{ns}Channel ID="Channel:0:0" SamplesPerPixel="3"/><{ns}TiffData/></{ns}Pixels>'
    "</{ns}Image></{ns}OME>"
)
PHILIPS = (
    '<?xml version="1.0"?><DataObject ObjectType="DPUfsImport">'
    '<Attribute Name="DICOM_MANUFACTURER">PHILIPS</Attribute>'
    '<Attribute Name="DICOM_PIXEL_SPACING" Group="0x0028" Element="0x0030" PMSVR="IDoubleArray">'
    "&quot;0.00025&quot; &quot;0.00025&quot;</Attribute></DataObject>"
)
SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def write_ome(path, value, unit, *, prefix="", axes="XY", intro=""):
    unit = "" if unit is None else 'PhysicalSize{axis}Unit="' + unit + '"'
    sizes = " ".join(f'PhysicalSize{axis}="{value}" ' + unit.format(axis=axis) for axis in axes)
    xmlns = f'xmlns:{prefix}="{SCHEMA}"' if prefix else f'xmlns="{SCHEMA}"'
    text = OME.format(ns=f"{prefix}:" if prefix else "", xmlns=xmlns, sizes=sizes, intro=intro)
    tifffile.imwrite(path, PIXELS, description=text.encode(), metadata=None, photometric="rgb")


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("0.25", None),  # micrometres are the standard's default
        *(("0.25", unit) for unit in ("µm", "μm", "&#181;m", "&#xB5;m", "um")),
        *(
            ("250", "nm"),
            ("0.00025", "mm"),
            ("2.5e-5", "cm"),
            ("2.5E-7", "m"),
            ("250000", "pm"),
            ("2500", "Å"),
        ),
        ("9.84251968503937e-06", "in"),
    ],
)
def test_every_unit_of_ome(tmp_path, value, unit):
    write_ome(tmp_path / "a.ome.tif", value, unit)
    assert mpp_of(tmp_path / "a.ome.tif") == pytest.approx(0.25, rel=1e-6)


def test_ome_with_a_prefix_and_a_comment(tmp_path):
    write_ome(tmp_path / "a.ome.tif", "0.25", "µm", prefix="ome", intro="<!-- PhysicalSizeX=9 -->")
    assert mpp_of(tmp_path / "a.ome.tif") == 0.25


@pytest.mark.parametrize(("value", "unit"), [("1", "pixel"), ("1", "reference frame"), ("28.97", "µm")])
def test_ome_that_knows_no_length_is_none(tmp_path, value, unit):
    write_ome(tmp_path / "a.ome.tif", value, unit)
    assert mpp_of(tmp_path / "a.ome.tif") is None


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *((unit, 1.0) for unit in ("um", "µm", "micron", "microns", "Micron", "micrometer", "micrometre")),
        *(("\\u00B5m", 1.0), ("\\u03bcm", 1.0), ("microns ", 1.0)),
        *(("nm", 1e-3), ("mm", 1e3), ("cm", 1e4), ("inch", 25_400.0), ("nanometers", 1e-3), ("m", 1e6)),
    ],
)
def test_every_unit_of_imagej(tmp_path, unit, um):
    text = f"ImageJ=1.54f\nunit={unit}\n".encode("latin-1")
    rate = round(um / 0.25, 9)
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS,
        description=text,
        metadata=None,
        photometric="rgb",
        resolution=(rate, rate),
        resolutionunit=1,
    )
    assert mpp_of(tmp_path / "a.tif") == pytest.approx(0.25, rel=1e-4)


def test_imagej_in_pixels_is_none(tmp_path):
    text = b"ImageJ=1.54f\nunit=pixel\n"
    options = {"metadata": None, "photometric": "rgb", "resolution": (4, 4), "resolutionunit": 1}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, description=text, **options)
    assert mpp_of(tmp_path / "a.tif") is None


@pytest.mark.parametrize(
    ("text", "mpp"),
    [
        ("Aperio Image Library v12|AppMag = 20|MPP = 0.4990", 0.499),
        ("Aperio Image Library v12|MPP = 0,2526", 0.2526),
        ("Aperio Image Library v12|AppMag=40|MPP=0.25|Left = 25.6", 0.25),
        ("Aperio Image Library v12|AppMag = 20", None),
        (PHILIPS, 0.25),
    ],
)
def test_what_makers_of_scanners_write(tmp_path, text, mpp):
    software = {"software": "Philips DP v1.0"} if "DPUfs" in text else {}
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS,
        photometric="rgb",
        description=text,
        metadata=None,
        tile=(16, 16),
        **software,
    )
    assert mpp_of(tmp_path / "a.tif") == mpp


def test_ventana_tells_it_in_xmp(tmp_path):
    xmp = b'<iScan Magnification="40" ScanRes="0.25" UnitNumber="2000515"/>'
    tifffile.imwrite(
        tmp_path / "a.tif",
        PIXELS,
        photometric="rgb",
        extratags=[(700, 1, len(xmp), xmp, True)],
        metadata=None,
    )
    assert mpp_of(tmp_path / "a.tif") == 0.25


def test_the_main_image_tells_it_not_the_thumbnail(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(
            PIXELS[:4, :4],
            photometric="rgb",
            resolution=(10_000, 10_000),
            resolutionunit="CENTIMETER",
            subfiletype=1,
        )
        file.write(PIXELS, photometric="rgb", resolution=(40_000, 40_000), resolutionunit="CENTIMETER")
    assert mpp_of(tmp_path / "a.tif") == 0.25


def test_a_tiff_without_a_unit_is_in_inches_and_none_is_none(tmp_path):
    options = {"photometric": "rgb", "resolution": (101_600, 101_600), "metadata": None}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolutionunit="NONE", **options)
    assert mpp_of(tmp_path / "a.tif") is None
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, resolutionunit="INCH", **options)
    assert mpp_of(tmp_path / "a.tif") == 0.25


@pytest.mark.parametrize("called", ["a.png", "a.svs", "a"])
def test_content_counts_not_the_suffix(tmp_path, called):
    Image.fromarray(PIXELS).save(tmp_path / "b.tif", dpi=dpi(0.25))
    assert mpp_of((tmp_path / "b.tif").rename(tmp_path / called)) == pytest.approx(0.25, rel=1e-4)


def test_a_jpeg_tells_it_in_its_header_or_in_exif(tmp_path):
    picture = Image.fromarray(PIXELS)
    picture.save(tmp_path / "a.jpg", dpi=(50_800, 50_800))
    assert mpp_of(tmp_path / "a.jpg") == 0.5
    exif = picture.getexif()
    exif[0x011A] = exif[0x011B] = 40_000.0
    exif[0x0128] = 3
    for header in ({}, {"dpi": (72, 72)}):  # a screen's resolution in the header says nothing
        picture.save(tmp_path / "a.jpg", exif=exif, **header)
        assert mpp_of(tmp_path / "a.jpg") == pytest.approx(0.25, rel=1e-6)


def test_why_it_is_not_known(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    assert why_unknown(path) == "does not give its resolution"
    Image.fromarray(PIXELS).save(path, dpi=(72, 72))
    assert why_unknown(path) == "says 352.7 micrometres per pixel, expected 0.05 to 5"
    Image.fromarray(PIXELS).save(path, dpi=(101_600, 50_800))
    assert why_unknown(path) == "says that its pixels are 0.25 x 0.5 micrometres, expected square pixels"


@pytest.mark.parametrize("value", [0.05, 0.25, 5])
def test_bounds_hold_at_both_ends(value):
    assert check_mpp(value, "--mpp") == value


@pytest.mark.parametrize("value", [0, -0.25, 0.0499, 5.001, 40, math.nan, math.inf, -math.inf])
def test_what_no_microscope_has_is_refused(value):
    with pytest.raises(ConfigError, match=r"--mpp is .*, expected micrometres per pixel from 0\.05 to 5"):
        check_mpp(value, "--mpp")
