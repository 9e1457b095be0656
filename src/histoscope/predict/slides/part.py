"""The nuclei of one part of a slide."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.export.cells import Cells
from histoscope.export.features import measure
from histoscope.labels import centroids
from histoscope.models.base import InputSpec
from histoscope.models.inference import Window, tiles_of
from histoscope.predict.detector import Detector, visible
from histoscope.predict.slides.parts import HALO_UM, Part
from histoscope.predict.slides.work import Problem, Recolor, problems_of
from histoscope.slides import Box, Slide
from histoscope.slides.salvage import read_salvaged
from histoscope.slides.tissue import TissueMap
from histoscope.types import Image, Nuclei

TILE_PX, AT_ONCE = 1152, 2
"""Side of the network's input without context, and how many of these at a time on a CPU."""


@dataclass(frozen=True, eq=False, slots=True)
class Pixels:
    """Pixels of a part, at the network's resolution.

    Parameters
    ----------
    part : Part
    original : (h, w, 3) uint8
        Of the region and the surrounding context that the network needs.
    normalized : (h, w, 3) uint8
        The same, stain-normalised.
    inner : Window
        The region in them.
    problems : tuple of Problem
        Places that could not be read and are white.
    """

    part: Part
    original: Image
    normalized: Image
    inner: Window
    problems: tuple[Problem, ...] = ()


def read_part(slide: Slide, part: Part, spec: InputSpec, recolor: Recolor) -> Pixels:
    """Read the region of a part with the surrounding context that the network needs.

    Parameters
    ----------
    slide : Slide
    part : Part
        One with a region.
    spec : InputSpec
        Of the network.
    recolor : callable
        The stain normaliser with the stains of the slide.
    """
    context = math.ceil(spec.context_px / spec.divisible_by) * spec.divisible_by
    region, size = part.region, slide.size_at(spec.mpp)
    assert region is not None
    x0, y0 = max(region.x - context, 0), max(region.y - context, 0)
    x1 = min(region.x + region.width + context, size[0])
    y1 = min(region.y + region.height + context, size[1])
    original, broken = read_salvaged(slide, Box(x0, y0, x1 - x0, y1 - y0), spec.mpp)
    problems = tuple(problems_of(part.name, broken))
    top, left = region.y - y0, region.x - x0
    inner = Window(top, left, top + region.height, left + region.width)
    return Pixels(part, original, recolor(original), inner, problems)


def gather(pixels: Pixels, detector: Detector, tissue: TissueMap) -> Any:
    """Network output for a part, from which `decode` makes cells.

    Tiles further from tissue than the size of a nucleus are skipped.
    """
    network, region, inner = detector.network, pixels.part.region, pixels.inner
    assert region is not None
    mpp = network.spec.mpp
    halo = math.ceil(HALO_UM / mpp)

    def is_bare(tile: Window) -> bool:
        left, top = region.x + tile.left - inner.left - halo, region.y + tile.top - inner.top - halo
        width, height = tile.right - tile.left + 2 * halo, tile.bottom - tile.top + 2 * halo
        x, y = max(left, 0), max(top, 0)
        return tissue.extent(Box(x, y, left + width - x, top + height - y), mpp) is None

    tiles = tiles_of(
        network,
        pixels.normalized,
        tta=detector.tta,
        inner=inner,
        tile_px=TILE_PX,
        is_bare=is_bare,
        at_once=AT_ONCE,
    )
    return network.gather(tiles, _shape(inner), mpp)


def decode(
    pixels: Pixels,
    gathered: Any,
    detector: Detector,
    tissue: TissueMap,
    scale: tuple[float, float],
    slide_px: tuple[int, int],
) -> tuple[Cells, tuple[Problem, ...]]:
    """Cells of a part: those whose centre lies in its core and in the tissue; and those that may be cut.

    Parameters
    ----------
    pixels : Pixels
    gathered : object
        From `gather`.
    detector : Detector
    tissue : TissueMap
    scale : (float, float)
        Pixels of level 0 per pixel of the network, across and down.
    slide_px : (int, int)
        Width and height of the slide, in the network's pixels.
    """
    network, region = detector.network, pixels.part.region
    assert region is not None
    mpp = network.spec.mpp
    found = network.decode_gathered(gathered, _shape(pixels.inner), mpp)
    found = visible(found, least_px=max(detector.least_area_um2 / mpp**2, 1.0))
    centres = _centres(found.instances, len(found)) + np.array([region.x, region.y], float)
    mine = found.taken(_within(centres, pixels.part.core) & tissue.holds(centres * mpp))
    inner = pixels.inner
    image = pixels.original[inner.top : inner.bottom, inner.left : inner.right]
    table = measure(mine, image, detector.classes)
    cells = Cells.of(mine, table, detector.classes, corner=(region.x, region.y), scale=scale)
    return cells, tuple(_cut(mine, pixels.part, slide_px))


def _cut(nuclei: Nuclei, part: Part, slide_px: tuple[int, int]) -> Iterator[Problem]:
    """Nuclei that touch the edge of the part inside the slide: they are larger than the halo."""
    region = part.region
    assert region is not None
    for top, left, bottom, right in nuclei.outlines.by_nucleus.box.tolist():
        ends = (
            left == 0 < region.x,
            top == 0 < region.y,
            right == region.width and region.x + region.width < slide_px[0],
            bottom == region.height and region.y + region.height < slide_px[1],
        )
        if any(ends):
            why = f"a nucleus is larger than the halo of {HALO_UM:g} um, and may be cut"
            yield Problem(part.name, region.x + left, region.y + top, right - left, bottom - top, why)


def _shape(inner: Window) -> tuple[int, int]:
    return inner.bottom - inner.top, inner.right - inner.left


def _centres(labels: NDArray[np.int32], n: int) -> NDArray[np.float64]:
    """x, y of the centre of mass of each nucleus; that of pixel (0, 0) is (0.5, 0.5)."""
    _, places = centroids(labels, n)
    return np.asarray(places, np.float64) + 0.5


def _within(points: NDArray[np.float64], box: Box) -> NDArray[np.bool_]:
    """Half open: a point on the border between two adjacent boxes belongs to the second."""
    low, sides = np.array([box.x, box.y], float), np.array([box.width, box.height], float)
    inside = (points >= low) & (points < low + sides)
    return np.asarray(inside.all(axis=1))
