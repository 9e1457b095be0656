"""Micrometres per pixel, as image files tell it."""

import re
import warnings
from pathlib import Path
from typing import Any

from histoscope.errors import CorruptDataError, DatasetNotFoundError

LEAST_MPP, MOST_MPP = 0.05, 5.0
"""No microscope's picture of nuclei is finer or coarser. A screen's 72 dots an inch, which many programs
write without thinking, are 353 micrometres a pixel."""

_MM = 1000.0
_UNIT_UM = {"inch": 25_400.0, "centimeter": 10_000.0}
_LENGTH_UM = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "micron": 1.0, "\\u00b5m": 1.0, "mm": _MM, "cm": 10_000.0}


def mpp_of(path: str | Path) -> float | None:
    """Micrometres per pixel that a file gives, or None if it gives none that could be a microscope's.

    Read are the resolution of TIFF, PNG and JPEG, OME-XML, the descriptions of Aperio and of ImageJ. Pixels
    must be square within a hundredth. No pixel is decoded.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If its header cannot be read.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no image at {path}; check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about odd tags, of which there are many
            pair = _of_tiff(path) if path.suffix.lower() in {".tif", ".tiff"} else _of_picture(path)
    except MemoryError:
        raise
    except Exception as error:  # readers raise dozens of types on broken files
        raise CorruptDataError(
            f"{path} cannot be read as an image ({error}); replace or remove it"
        ) from error
    if pair is None:
        return None
    x, y = pair
    is_sensible = LEAST_MPP <= x <= MOST_MPP and abs(x - y) <= 0.01 * x
    return float(f"{(x + y) / 2:.6g}") if is_sensible else None


def size_of(path: str | Path) -> tuple[int, int]:
    """Height and width of an image file, without decoding a pixel.

    Raises
    ------
    CorruptDataError
        If its header cannot be read.
    """
    path = Path(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if path.suffix.lower() in {".tif", ".tiff"}:
                import tifffile

                with tifffile.TiffFile(path) as file:
                    page: Any = file.pages[0]
                    return int(page.imagelength), int(page.imagewidth)
            from PIL import Image as Pillow

            with Pillow.open(path) as picture:
                return picture.height, picture.width
    except MemoryError:
        raise
    except Exception as error:  # readers raise dozens of types on broken files
        raise CorruptDataError(
            f"{path} cannot be read as an image ({error}); replace or remove it"
        ) from error


def _of_picture(path: Path) -> tuple[float, float] | None:
    from PIL import Image as Pillow

    with Pillow.open(path) as picture:
        dpi = picture.info.get("dpi")  # of PNG from dots a metre, of JPEG from its header
    return None if not dpi else (25_400.0 / float(dpi[0]), 25_400.0 / float(dpi[1]))


def _of_tiff(path: Path) -> tuple[float, float] | None:
    import tifffile

    with tifffile.TiffFile(path) as file:
        text = file.ome_metadata
        found = _of_ome(text) if text else None
        page: Any = file.pages[0]
        description = str(page.tags["ImageDescription"].value) if "ImageDescription" in page.tags else ""
        aperio = re.search(r"\bMPP\s*=\s*([\d.]+)", description)
        if found is None and aperio:
            found = (float(aperio[1]), float(aperio[1]))
        if found is None and {"XResolution", "YResolution"} <= {tag.name for tag in page.tags}:
            imagej = file.imagej_metadata or {}
            unit_um = _LENGTH_UM.get(str(imagej.get("unit", "")))
            if unit_um is None and "ResolutionUnit" in page.tags:
                unit_um = _UNIT_UM.get(page.tags["ResolutionUnit"].value.name.lower())
            if unit_um is not None:
                x, y = (unit_um * _per_pixel(page.tags[f"{axis}Resolution"].value) for axis in "XY")
                found = (x, y)
    return found


def _of_ome(text: str) -> tuple[float, float] | None:
    sizes = []
    for axis in "XY":
        size = re.search(rf'PhysicalSize{axis}="([\d.eE+-]+)"', text)
        unit = re.search(rf'PhysicalSize{axis}Unit="([^"]+)"', text)
        unit_um = _LENGTH_UM.get(unit[1] if unit else "µm")  # the standard's default
        if size is None or unit_um is None:
            return None
        sizes.append(float(size[1]) * unit_um)
    return sizes[0], sizes[1]


def _per_pixel(rational: tuple[int, int]) -> float:
    """Units a pixel, from pixels a unit."""
    pixels, units = rational
    return units / pixels
