"""Downsample factors of the levels of a pyramid."""

import math
from collections.abc import Sequence

from histoscope.slides.slide import Level


def levels_of(sizes: Sequence[tuple[int, int]], native: Sequence[bool] | None = None) -> tuple[Level, ...]:
    """Levels from their widths and heights, the finest first.

    Scanners halve a level by dropping the remainder at the right and lower edges. So if both sides are those
    of level 0 divided by the same integer, rounded down or up, that integer is the downsample: with the ratio
    of sizes, positions would drift towards those edges.

    Parameters
    ----------
    sizes : sequence of (int, int)
    native : sequence of bool, optional
        Whether crops of each level are the stored pixels.

    Examples
    --------
    >>> [level.downsample for level in levels_of([(4443, 3567), (2221, 1783), (1000, 800)])]
    [(1.0, 1.0), (2.0, 2.0), (4.443, 4.45875)]
    """
    width, height = sizes[0]

    def downsample(w: int, h: int) -> tuple[float, float]:
        for whole in (2 ** round(math.log2(width / w)), round(width / w)):
            if all(small in (full // whole, -(-full // whole)) for small, full in ((w, width), (h, height))):
                return float(whole), float(whole)
        return width / w, height / h

    flags = [True] * len(sizes) if native is None else native
    return tuple(Level(w, h, downsample(w, h), flag) for (w, h), flag in zip(sizes, flags, strict=True))
