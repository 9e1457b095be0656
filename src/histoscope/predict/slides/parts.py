"""A slide in parts: each nucleus belongs to the part whose core contains its centre."""

import math
from dataclasses import dataclass

from histoscope.slides import Box
from histoscope.slides.tissue import TissueMap

HALO_UM = 64.0
"""Halo around a core in which nuclei are sought: at least the largest nucleus, so that none is cut."""


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the work on a slide, in pixels of the network's resolution.

    Parameters
    ----------
    name : str
        Row and column, such as ``0003_0011``.
    core : Box
        Nuclei whose centre lies in it belong to this part; cores neither overlap nor leave gaps.
    region : Box or None
        Where nuclei are sought: the tissue of the core and a halo. None where there is no tissue.
    """

    name: str
    core: Box
    region: Box | None


def plan_parts(
    size: tuple[int, int], tissue: TissueMap, mpp: float, *, part_px: int, divisor: int = 1
) -> list[Part]:
    """Divide a slide into parts, row by row.

    Parameters
    ----------
    size : (int, int)
        Width and height of the slide at the network's resolution.
    tissue : TissueMap
    mpp : float
        Of the network.
    part_px : int
        Side of a core.
    divisor : int
        Regions start at multiples of it.

    Examples
    --------
    >>> import numpy as np
    >>> tissue = TissueMap(np.pad(np.ones((4, 4), bool), 60), 0.001)
    >>> parts = plan_parts((1984, 1984), tissue, 0.5, part_px=1024, divisor=16)
    >>> len(parts), parts[0].region, parts[1].region
    (4, Box(x=832, y=832, width=320, height=320), None)
    """
    halo = math.ceil(HALO_UM / mpp)
    parts = []
    for row, top in enumerate(range(0, size[1], part_px)):
        for column, left in enumerate(range(0, size[0], part_px)):
            core = Box(left, top, min(part_px, size[0] - left), min(part_px, size[1] - top))
            wanted = tissue.extent(core, mpp)
            region = None if wanted is None else _widened(wanted, halo, divisor, size)
            parts.append(Part(f"{row:04d}_{column:04d}", core, region))
    return parts


def _widened(box: Box, by: int, divisor: int, size: tuple[int, int]) -> Box:
    """A box with a halo, starting at multiples of the divisor, within the slide."""
    x0, y0 = (max(at - by, 0) // divisor * divisor for at in (box.x, box.y))
    x1, y1 = min(box.x + box.width + by, size[0]), min(box.y + box.height + by, size[1])
    return Box(x0, y0, x1 - x0, y1 - y0)
