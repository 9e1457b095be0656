"""The label map of a slide, drawn from its parts."""

from functools import lru_cache
from pathlib import Path

import numpy as np

from histoscope.export.cells_labels import outlines_of, write_labels_pyramid
from histoscope.nuclei.outlines import Outlines
from histoscope.predict.slides.parts import HALO_UM
from histoscope.predict.slides.work import Found
from histoscope.slides import Slide
from histoscope.types import Labels


def write_labels(path: Path, slide: Slide, found: Found, mpp: float) -> None:
    """Write all cells as a label map at the network's resolution; ids count the rows of ``cells.parquet``.

    Parameters
    ----------
    path : Path
    slide : Slide
    found : Found
    mpp : float
        Of the network.
    """
    size, scale = slide.size_at(mpp), slide.scale_at(mpp)
    counts = [found.store.rows(name) for name in found.parts]
    first = dict(zip(found.parts, np.cumsum([0, *counts])[:-1].tolist(), strict=True))
    by_row: dict[int, list[str]] = {}
    for name in found.parts:
        by_row.setdefault(int(name.partition("_")[0]), []).append(name)
    reach = int(np.ceil(HALO_UM / mpp))

    @lru_cache(maxsize=8)
    def outlines(name: str) -> Outlines:
        import shapely

        wkb = found.store.read(name)["geometry"].to_numpy(zero_copy_only=False)
        return outlines_of(shapely.from_wkb(wkb), scale)

    def rows(top: int, bottom: int) -> Labels:
        band = np.zeros((bottom - top, size[0]), np.int32)
        for row in range(max(top - reach, 0) // found.part_px, (bottom + reach) // found.part_px + 1):
            for name in by_row.get(row, []):
                left = max(int(name.rpartition("_")[2]) * found.part_px - reach, 0)
                window = band[:, left : left + found.part_px + 2 * reach]
                drawn = outlines(name).to_labels(window.shape, corner=(top, left))
                window[drawn > 0] = drawn[drawn > 0] + first[name]
        return band

    write_labels_pyramid(path, size, mpp, rows)
