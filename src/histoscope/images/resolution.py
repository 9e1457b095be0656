"""Resolution in micrometres per pixel, as given by image files, and its bounds."""

import html
import re
import unicodedata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from histoscope.errors import ConfigError
from histoscope.images import pictures, reading
from histoscope.places import place

LEAST_MPP, MOST_MPP = 0.05, 5.0
"""No microscope image of nuclei is finer or coarser. A screen's 72 dots per inch, a default of many programs,
are 353 micrometres per pixel."""

_INCH, _CM = 25_400.0, 10_000.0
_SI = {"p": 1e-6, "n": 1e-3, "µ": 1.0, "u": 1.0, "m": 1e3, "c": 1e4, "d": 1e5, "": 1e6, "k": 1e9}
_WORDS = {"micron": 1.0, "microns": 1.0, "inch": _INCH, "inches": _INCH, "in": _INCH, "Å": 1e-4, "mil": 25.4}
_APERIO = re.compile(r"\bMPP\s*=\s*(\d+(?:[.,]\d+)?)")
_VENTANA = re.compile(r"\bScanRes\s*=\s*[\"'](\d+(?:[.,]\d+)?)")
_PHILIPS = re.compile(r'"DICOM_PIXEL_SPACING"[^>]*>\s*"([\d.eE+-]+)"\s+"([\d.eE+-]+)')


def check_mpp(value: float, where: str) -> float:
    """Return micrometres per pixel if they are within the bounds of microscopes.

    Parameters
    ----------
    value : float
    where : str
        Its source, such as ``--mpp``, for the error.

    Raises
    ------
    ConfigError
        If it is not a number from 0.05 to 5.

    Examples
    --------
    >>> check_mpp(0.25, "--mpp")
    0.25
    >>> check_mpp(40, "--mpp")
    Traceback (most recent call last):
    ...
    histoscope.errors.ConfigError: --mpp is 40, expected micrometres per pixel from 0.05 to 5: usually
    0.25 for a 40x scan, 0.5 for 20x
    """
    if not LEAST_MPP <= value <= MOST_MPP:  # also refuses NaN
        raise ConfigError(
            f"{where} is {value:g}, expected micrometres per pixel from {LEAST_MPP:g} to {MOST_MPP:g}: "
            "usually 0.25 for a 40x scan, 0.5 for 20x"
        )
    return value


def mpp_of(path: str | Path) -> float | None:
    """Micrometres per pixel that a file gives, or None if there is none within the bounds of microscopes.

    Sources are OME-XML, the tags of Aperio, Olympus, Philips, Ventana, Zeiss (LSM), Micro-Manager and ImageJ,
    and the resolution of TIFF (also for Hamamatsu and Leica), PNG, JPEG and BMP. The format is recognised by
    its first bytes. Pixels must be square within 1 %. No pixel is decoded.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If its header cannot be read.
    """
    for x, y in reading.header(Path(path), _of_tiff, _of_picture, _of_guest):
        if LEAST_MPP <= x <= MOST_MPP and abs(x - y) <= 0.01 * x:
            return float(f"{(x + y) / 2:.6g}")
    return None


def pixel_size_of(path: str | Path) -> tuple[float, float] | None:
    """Micrometres per pixel across and down, as `mpp_of`, but also for pixels that are not square.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError        As for `mpp_of`.
    """
    for x, y in reading.header(place(path), _of_tiff, _of_picture, _of_guest):
        if all(LEAST_MPP <= one <= MOST_MPP for one in (x, y)):
            return float(f"{x:.6g}"), float(f"{y:.6g}")
    return None


def why_unknown(path: str | Path) -> str:
    """Say why `mpp_of` gives None, in words that follow the file name.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError        As for `mpp_of`.
    """
    found = reading.header(Path(path), _of_tiff, _of_picture, _of_guest)
    if not found:
        return "does not give its resolution"
    x, y = found[0]
    if abs(x - y) > 0.01 * x:
        return f"says that its pixels are {x:.4g} x {y:.4g} micrometres, expected square pixels"
    return f"says {x:.4g} micrometres per pixel, expected {LEAST_MPP:g} to {MOST_MPP:g}"


def length_um(unit: str) -> float | None:
    r"""Micrometres of a unit of length, as programs write it; None if unknown.

    Examples
    --------
    >>> [length_um(unit) for unit in ("µm", "\\u00B5m", "microns", "mm", "inch", "pixel")]
    [1.0, 1.0, 1.0, 1000.0, 25400.0, None]
    """
    unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), unit.strip().strip("\"'"))
    unit = unicodedata.normalize("NFKC", unit).replace("μ", "µ").strip()  # unify the micro signs
    if unit.lower() in _WORDS or unit in _WORDS:
        return _WORDS.get(unit, _WORDS.get(unit.lower()))
    long = re.fullmatch(r"(pico|nano|micro|milli|centi|deci|kilo|)met(?:er|re)s?", unit.lower())
    if long:
        return _SI["µ" if long[1] == "micro" else (long[1] or "")[:1]]
    return _SI.get(unit[:-1]) if unit.endswith("m") and len(unit) <= 2 else None


def _of_picture(picture: Any) -> list[tuple[float, float]]:
    """Pixel sizes given by a picture: for PNG from dots per metre, for JPEG from JFIF, then EXIF."""
    found = [dpi] if (dpi := picture.info.get("dpi")) else []
    exif = pictures.exif_of(picture)
    unit = {2: 1.0, 3: 2.54}.get(exif.get(0x0128, 2))
    if unit and 0x011A in exif and 0x011B in exif:
        found.append((float(exif[0x011A]) * unit, float(exif[0x011B]) * unit))
    return [(_INCH / float(x), _INCH / float(y)) for x, y in found if float(x) > 0 and float(y) > 0]


def _of_guest(_: Any, mpp: float | None) -> list[tuple[float, float]]:
    """Pixel size given by an added reader."""
    return [] if mpp is None else [(mpp, mpp)]


def _of_tiff(file: Any, series: Any) -> list[tuple[float, float]]:
    """Pixel size given by a TIFF: vendor tags take precedence over resolution tags."""
    page = series.keyframe
    pair = (
        (_of_ome(file.ome_metadata, page) if file.is_ome else None)
        or _of_vendor(file, page)
        or _of_tags(file, page)
    )
    return [] if pair is None else [pair]


def _of_ome(text: str, page: Any) -> tuple[float, float] | None:
    """Pixel size in OME-XML: that of the image with the page's size, or of the first."""
    try:
        every = [one for one in ElementTree.fromstring(text).iter() if one.tag.rpartition("}")[2] == "Pixels"]
    except ElementTree.ParseError:
        return None
    size = (str(page.imagewidth), str(page.imagelength))
    every.sort(key=lambda one: (one.get("SizeX"), one.get("SizeY")) != size)
    sizes = []
    for axis in "XY":
        value = every[0].get(f"PhysicalSize{axis}") if every else None
        unit_um = length_um(every[0].get(f"PhysicalSize{axis}Unit") or "µm") if every else None
        if value is None or unit_um is None:
            return None
        sizes.append(float(value) * unit_um)
    return sizes[0], sizes[1]


def _of_vendor(file: Any, page: Any) -> tuple[float, float] | None:
    """Pixel size in the tags of scanner and microscope vendors."""
    texts = [page.description, file.pages[0].description]
    xmp = page.tags.get("XMP") or file.pages[0].tags.get("XMP")
    if xmp is not None:
        texts.append(xmp.value.decode("utf-8", "replace") if isinstance(xmp.value, bytes) else str(xmp.value))
    for pattern in (_APERIO, _VENTANA):
        for text in texts:
            if found := pattern.search(text):
                value = float(found[1].replace(",", "."))
                return value, value
    if file.is_philips and (found := _PHILIPS.search(html.unescape(texts[1]))):
        return 1e3 * float(found[2]), 1e3 * float(found[1])  # rows come first, in millimetres
    if file.is_sis:
        known = file.sis_metadata or {}
        if known.get("pixelsizex"):
            return 1e6 * float(known["pixelsizex"]), 1e6 * float(known["pixelsizey"])
    if file.is_lsm:
        known = file.lsm_metadata or {}
        return 1e6 * float(known["VoxelSizeX"]), 1e6 * float(known["VoxelSizeY"])
    if file.is_micromanager:
        value = float((page.tags.get("MicroManagerMetadata").value or {}).get("PixelSizeUm") or 0)
        return (value, value) if value else None
    return None


def _of_tags(file: Any, page: Any) -> tuple[float, float] | None:
    """Pixel size by the resolution tags; the unit is ImageJ's if it gives one."""
    tags = [page.tags.get(f"{axis}Resolution") for axis in "XY"]
    if None in tags:
        return None
    unit_um = length_um(str((file.imagej_metadata or {}).get("unit", "")))
    if unit_um is None:
        tag = page.tags.get("ResolutionUnit")
        unit_um = {2: _INCH, 3: _CM, 4: 1e3, 5: 1.0}.get(2 if tag is None else int(tag.value))
    pixels = [tag.value[0] / tag.value[1] if tag.value[1] else 0.0 for tag in tags]
    if unit_um is None or min(pixels) <= 0:
        return None
    return unit_um / pixels[0], unit_um / pixels[1]
