"""Time the reading of tiles of slides beside OpenSlide, tiffslide and tifffile; print a Markdown table.

    python benchmarks/reading.py SLIDE [SLIDE ...] [--tiles 400] [--threads 1 2]

Tiles of 256 px that lie on the grid of 256, in random order or row by row; each reader opens the file anew
for each row of the table, so that no cache is warm but the system's. tiffslide takes part if it is installed.
"""

import argparse
import os
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter

import numpy as np

from histoscope.slides import Box, open_slide

SIDE = 256
Read = Callable[[tuple[int, int]], object]


def ours(path: Path) -> Read:
    """Our reader, as it is chosen by itself."""
    slide = open_slide(path)
    return lambda place: slide.read(Box(*place, SIDE, SIDE))


def by_openslide(path: Path) -> Read:
    """OpenSlide, as its Python package gives regions."""
    import openslide

    slide = openslide.OpenSlide(path)
    return lambda place: np.asarray(slide.read_region(place, 0, (SIDE, SIDE)).convert("RGB"))


def by_tiffslide(path: Path) -> Read:
    """Arrays of tiffslide."""
    from tiffslide import TiffSlide

    slide = TiffSlide(path)
    return lambda place: slide.read_region(place, 0, (SIDE, SIDE), as_array=True)


def by_tifffile(path: Path) -> Read:
    """The Zarr store of tifffile for the first level."""
    import tifffile
    import zarr

    array = zarr.open(tifffile.imread(path, aszarr=True, level=0), mode="r")
    return lambda place: np.asarray(array[place[1] : place[1] + SIDE, place[0] : place[0] + SIDE])


READERS = {"ours": ours, "openslide": by_openslide}
READERS |= {"tiffslide": by_tiffslide} if find_spec("tiffslide") else {}
READERS |= {"tifffile + zarr": by_tifffile} if find_spec("zarr") else {}


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slides", type=Path, nargs="+")
    parser.add_argument("--tiles", type=int, default=400)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores; tiles of {SIDE} px a second\n")
    print("| slide | order | threads | " + " | ".join(READERS) + " |")
    print("|---|---|--:|" + "--:|" * len(READERS))
    for path in given.slides:
        with open_slide(path) as slide:
            width, height = slide.size
        grid = [(x, y) for y in range(0, height - SIDE, SIDE) for x in range(0, width - SIDE, SIDE)]
        middle = len(grid) // 2
        orders = {
            "random": [grid[k] for k in np.random.default_rng(0).permutation(len(grid))[: given.tiles]],
            "row by row": grid[max(middle - given.tiles // 2, 0) :][: given.tiles],
        }
        for order, places in orders.items():
            for threads in given.threads:
                best = dict.fromkeys(READERS, 0.0)
                for _ in range(given.rounds):
                    for name, reader in READERS.items():
                        read = reader(path)
                        begin = perf_counter()
                        with ThreadPoolExecutor(threads) as pool:
                            list(pool.map(read, places))
                        best[name] = max(best[name], len(places) / (perf_counter() - begin))
                values = " | ".join(f"{value:,.0f}" for value in best.values())
                print(f"| {path.name} | {order} | {threads} | {values} |", flush=True)


if __name__ == "__main__":
    main()
