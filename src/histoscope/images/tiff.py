"""Decoding of TIFF: the main image of the file, its colour model and bits."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError, IncompleteError
from histoscope.images import limits
from histoscope.images.raw import Raw
from histoscope.places import handle

_MODELS = {
    0: "white is zero",
    1: "grey",
    2: "rgb",
    3: "palette",
    5: "cmyk",
    6: "ycbcr",
    8: "cielab",
    9: "icclab",
}
_CHANNELS = {"rgb": 3, "ycbcr": 3, "cielab": 3, "icclab": 3, "cmyk": 4}
_JPEGS = frozenset({6, 7, 34892, 33007})
_AS_RGB = _JPEGS | {50001, 50002}
"""Compressions whose decoders turn YCbCr into RGB: the JPEGs, WebP and JPEG XL."""
_APERIO_YCBCR = 33003
_MOST = {1: 2.0, 5: limits.LZW, 8: limits.DEFLATE, 32946: limits.DEFLATE, 32773: limits.PACKBITS}
_LOSSY = frozenset({*_JPEGS, 33003, 33004, 33005, 34712, 34887, 50001, 22610, 34933, 34934})
_ALPHA = {1: "premultiplied", 2: "straight"}
_RGB = ((1, 0, 0), (0, 1, 0), (0, 0, 1))

_SILENT = logging.NullHandler()


@contextmanager
def opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open a TIFF; returns the file and the series of its main image.

    Previews, labels and overviews of slides, pages of lower resolution and masks are ignored.

    Raises
    ------
    CorruptDataError
        If it contains several images of the same size, or a slide that cannot be assembled.
    """
    import tifffile

    logging.getLogger("tifffile").addHandler(_SILENT)  # our own errors report problems of a file
    with tifffile.TiffFile(handle(path)) as file:
        if file.is_bif:
            raise CorruptDataError(
                f"{path} is a Ventana BIF slide, whose tiles overlap, and cannot be read yet; export the "
                "region as TIFF with QuPath"
            )
        yield file, _main(file, path)


def read(path: Path) -> Raw:
    """Decode the main image of a TIFF."""
    with opened(path) as (file, series):
        page = series.keyframe
        model = "ycbcr" if page.compression == _APERIO_YCBCR else _MODELS.get(int(page.photometric), "")
        if not model:
            name = getattr(page.photometric, "name", page.photometric)
            raise CorruptDataError(
                f"{path} is a TIFF with the colour model {name}, which cannot be read; save it as RGB"
            )
        axes, shape = (page.axes, page.shape) if len(series.pages) == 1 else (series.axes, series.shape)
        order = _channels_last(axes, shape, model, path)
        if "C" in order:
            model = _channels_as_rgb(file, path)
        if any(one is None for one in series):
            raise CorruptDataError(
                f"{path} is one of a set of files, and others of the set are missing; "
                "copy all of them into one folder"
            )
        _check(page, path, len(series.pages))
        pixels = _decoded(page, series, path, model).reshape(shape)
        pixels = np.squeeze(pixels, tuple(k for k, axis in enumerate(axes) if axis not in order))
        kept = "".join(axis for axis in axes if axis in order)
        pixels = pixels.transpose([kept.index(axis) for axis in order])
        alpha, place = _alpha(page, model)
        if alpha:  # after the colours
            pixels = pixels[:, :, [*range(_CHANNELS.get(model, 1)), place]]
        was_rgb = model == "ycbcr" and (page.compression in _AS_RGB or not _is_plain_ycbcr(page))
        return Raw(
            pixels=pixels,
            model="rgb" if was_rgb else model,
            alpha=alpha,
            bits=_bits(page, file, path),
            palette=_palette(page) if model == "palette" else None,
            icc=bytes(page.iccprofile or b""),
            orientation=orientation_of(page),
            is_lossy=int(page.compression) in _LOSSY,
        )


def orientation_of(page: Any) -> int:
    """Orientation of a page, 1 to 8."""
    tag = page.tags.get("Orientation")
    value = int(tag.value) if tag is not None else 1
    return value if 1 <= value <= 8 else 1


def _main(file: Any, path: Path) -> Any:
    """The largest image; pages of lower resolution and masks only if there is nothing else."""
    every = list(file.series)
    if not every:
        _require_index(file, path)
        raise CorruptDataError(f"{path} is a TIFF without an image; replace or remove it")
    full = [one for one in every if not int(one.keyframe.subfiletype or 0) & 5] or every
    areas = [one.keyframe.imagelength * one.keyframe.imagewidth for one in full]
    best = full[int(np.argmax(areas))]
    if areas.count(max(areas)) > 1 and best.kind in {"generic", "uniform", "shaped", "ome", "imagej"}:
        raise CorruptDataError(
            f"{path} holds {areas.count(max(areas))} images of {best.keyframe.imagewidth} x "
            f"{best.keyframe.imagelength} pixels, expected one; save the right one as a separate file"
        )
    return best


def _require_index(file: Any, path: Path) -> None:
    """Refuse a file that ends before its index, which many writers put at the end."""
    handle, form = file.filehandle, file.tiff
    handle.seek(form.offsetsize)  # 4, or 8 of BigTIFF: there its place stands
    place = int.from_bytes(handle.read(form.offsetsize), "little" if form.byteorder == "<" else "big")
    if place >= handle.size:
        size = f"{handle.size:,} of at least {place:,} bytes"
        raise IncompleteError(f"{path} ends before its pixel data: it has {size}; copy it again")


def _channels_last(axes: str, shape: tuple[int, ...], model: str, path: Path) -> str:
    """Axes of the image, channels last."""
    sizes = {axis: size for axis, size in zip(axes, shape, strict=True) if size > 1 or axis in "YX"}
    names = "".join(sizes)
    is_planes = names == "CYX" and sizes["C"] == 3 and model in {"grey", "rgb"}
    if names in {"YX", "YXS", "SYX"} or is_planes:
        return "YX" + names.replace("Y", "").replace("X", "")
    raise CorruptDataError(
        f"{path} holds an array of shape {tuple(shape)} with axes {axes} ({model}), expected one picture, "
        "grey or RGB; save the right plane, or an RGB picture of the channels"
    )


def _channels_as_rgb(file: Any, path: Path) -> str:
    """Treat three grey channels as red, green and blue, unless the file gives other colours."""
    colours: list[tuple[bool, ...]] = []
    if file.is_ome:
        for text in re.findall(r'<(?:\w+:)?Channel\b[^>]*?\bColor="(-?\d+)"', file.ome_metadata):
            value = int(text) % 2**32
            colours.append(tuple(bool(value >> shift & 255) for shift in (24, 16, 8)))
    else:
        luts = (file.imagej_metadata or {}).get("LUTs") or []
        colours = [tuple(bool(row.any()) for row in lut) for lut in luts if np.shape(lut) == (3, 256)]
    is_plain = all(all(colour) for colour in colours) or [tuple(map(int, one)) for one in colours] == list(
        _RGB
    )
    if not is_plain:
        raise CorruptDataError(
            f"{path} holds 3 channels whose colours are not red, green and blue in this order, as in "
            "fluorescence; save an RGB picture of the channels"
        )
    return "rgb"


def _check(page: Any, path: Path, n_pages: int) -> None:
    """Check the sizes in the tags against the bytes that are there."""
    offsets, counts = page.dataoffsets, page.databytecounts
    n_chunks = int(np.prod([int(n) for n in page.chunked], dtype=object))
    size = page.parent.filehandle.size
    present = [(start, count) for start, count in zip(offsets, counts, strict=False) if count]
    if len(offsets) < n_chunks or len(counts) < n_chunks or (len(present) < n_chunks and not page.is_tiled):
        what = "tiles" if page.is_tiled else "strips"
        raise limits.damaged(path, f"it holds {len(present)} of {n_chunks} {what}")
    if any(start + count > size for start, count in present):
        raise limits.damaged(path, "it ends before its last pixels")
    sample_bytes = int(page.bitspersample or 8) / 8
    height, width = int(page.imagelength), int(page.imagewidth)
    chunk = [int(n) for n in page.chunks]
    decoded = len(present) * float(np.prod(chunk, dtype=object)) * sample_bytes
    if not page.is_tiled:  # the last strip is shorter
        decoded = min(decoded, height * width * int(page.samplesperpixel) * sample_bytes)
    most = limits.JPEG if page.compression in _JPEGS else _MOST.get(int(page.compression))
    if most is not None:
        limits.check_stored(path, (height, width), decoded, sum(count for _, count in present), most)
    limits.check_memory(
        path,
        (max(height, chunk[0]), max([width, *chunk[1:]])),
        int(page.samplesperpixel) * max(sample_bytes, 1) * n_pages,
    )


def _decoded(page: Any, series: Any, path: Path, model: str) -> NDArray[Any]:
    if model == "ycbcr" and not _is_plain_ycbcr(page) and page.compression not in _AS_RGB:
        return _by_libtiff(page, path)
    if model in {"rgb", "ycbcr"} and page.dtype == np.uint8:
        page.nodata = 255  # slides leave out the tiles of bare glass
    return np.asarray(page.asarray() if len(series.pages) == 1 else series.asarray())


def _is_plain_ycbcr(page: Any) -> bool:
    """Whether luma and chroma are stored for each pixel, in the full range."""
    range_ = page.tags.get("ReferenceBlackWhite")
    return page.compression == _APERIO_YCBCR or (page.subsampling in {None, (1, 1)} and range_ is None)


def _by_libtiff(page: Any, path: Path) -> NDArray[np.uint8]:
    """Let OpenCV's libtiff convert YCbCr with subsampled chroma to RGB."""
    import cv2

    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        done, images = cv2.imreadmulti(str(path), start=int(page.index), count=1, flags=flags)
    finally:
        cv2.utils.logging.setLogLevel(level)
    if not done or images[0].shape[:2] != (page.imagelength, page.imagewidth):
        raise CorruptDataError(
            f"{path} is a TIFF with the colour model YCbCr and subsampled colours, which could not be "
            "decoded; save it as RGB"
        )
    return np.ascontiguousarray(images[0][:, :, ::-1])


def _alpha(page: Any, model: str) -> tuple[str, int]:
    """Kind of alpha and its channel; an empty kind if there is none."""
    for place, kind in enumerate(page.extrasamples or (), _CHANNELS.get(model, 1)):
        if int(kind) in _ALPHA and place < page.samplesperpixel:
            return _ALPHA[int(kind)], place
    return "", 0


def _bits(page: Any, file: Any, path: Path) -> int | None:
    """Bits of a sample that are used, as given in the file."""
    stored = int(page.bitspersample or 8)
    if stored not in {8, 16}:
        return stored
    ome = re.search(r'\bSignificantBits="(\d+)"', file.ome_metadata) if file.is_ome else None
    if ome and int(ome[1]) > 0:
        return int(ome[1])
    tag = page.tags.get("MaxSampleValue") or page.tags.get("SMaxSampleValue")
    if tag is None or stored == 8:
        return None
    top = int(np.max(tag.value))
    return max(8, top.bit_length()) if top > 0 else None


def _palette(page: Any) -> NDArray[np.uint8]:
    colours = np.asarray(page.colormap).T
    return (colours if colours.max(initial=0) < 256 else colours >> 8).astype(np.uint8)
