"""Ask squidpy whether seams show in the nuclei of a slide; print the numbers of docs/results/slides.md.

    python docs/make/seams.py draw SLIDE OUT      # where Histoscope is installed
    python docs/make/seams.py judge OUT           # where squidpy >= 1.8.2 is, in an environment of its own

The first draws label maps of the same slide: of one part size and of another, and, as a control that must
be caught, of tiles that are seen one by one without overlap, so that nuclei on their borders are cut. The
second lets ``squidpy.experimental.tl.calculate_tiling_qc`` look for outlines that are straight along the
axes, and says how many it finds near lines of the grid of 450 px and elsewhere. (Not of 512: the slides of
``benchmarks/slides.py`` are made of tiles of that size, whose own borders cut nuclei.) Nothing is drawn by
chance.
"""

import argparse
import io
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np

MODEL = "nuclei-free"
PARTS_PX, TILE_PX = (4096, 450), 450
NEAR_PX = 10
"""How near to a line the centre of a nucleus lies: 5 um, about the radius of one."""


def draw(path: Path, out: Path) -> None:
    """Write the label maps."""
    import tifffile

    from histoscope.jobs.journal import Job
    from histoscope.predict import Detector
    from histoscope.predict.slides.batch import SlideSettings, run

    detector = Detector.open(MODEL)
    for part_px in PARTS_PX:
        settings = SlideSettings(kinds=("labels",), part_px=part_px)
        outcome = run(detector, [Job(path, f"parts of {part_px} px")], out, settings)
        print(outcome.done[0]["nuclei"], "nuclei in parts of", part_px, "px")
    (out / "no overlap").mkdir(exist_ok=True)
    labels = cut_at_borders(path, detector)
    tifffile.imwrite(out / "no overlap" / "labels.ome.tif", labels, compression="zlib")


def cut_at_borders(path: Path, detector: "Detector") -> np.ndarray:  # noqa: F821
    """Nuclei of tiles that are seen one by one."""
    from histoscope.slides import Box, open_slide
    from histoscope.slides.tissue import find_tissue

    mpp = detector.network.spec.mpp
    with open_slide(path) as slide:
        width, height = slide.size_at(mpp)
        tissue, _ = find_tissue(slide)
        labels, n = np.zeros((height, width), np.uint32), 0
        for top in range(0, height, TILE_PX):
            for left in range(0, width, TILE_PX):
                box = Box(left, top, min(TILE_PX, width - left), min(TILE_PX, height - top))
                found = detector(slide.read_at(box, mpp), mpp)
                centres = found.centroid_px + np.array([left, top]) + 0.5
                found = found.taken(tissue.holds(centres * mpp))
                tile = found.instances.astype(np.uint32)
                labels[top : top + box.height, left : left + box.width] = np.where(tile > 0, tile + n, 0)
                n += len(found)
    print(n, "nuclei in tiles without overlap")
    return labels


def judge(out: Path) -> None:
    """Let squidpy judge each label map."""
    import spatialdata
    import squidpy
    import tifffile

    print(f"squidpy {squidpy.__version__}\n")
    print("| nuclei of | nuclei | median cut score | outliers within 5 um of a line | outliers elsewhere |")
    print("|---|--:|--:|--:|--:|")
    for folder in [*(out / f"parts of {part_px} px" for part_px in PARTS_PX), out / "no overlap"]:
        labels = tifffile.imread(folder / "labels.ome.tif").astype(np.int32)
        model = spatialdata.models.Labels2DModel.parse(labels, dims=("y", "x"))
        data = spatialdata.SpatialData(labels={"cells": model})
        with redirect_stdout(io.StringIO()):  # bars of progress
            found = squidpy.experimental.tl.calculate_tiling_qc(data, "cells", inplace=False).obs
        near = np.zeros(len(found), bool)
        for axis, size in zip("yx", labels.shape, strict=True):
            place = found[f"centroid_{axis}"].to_numpy()
            line = np.rint(place / TILE_PX) * TILE_PX
            near |= (np.abs(place - line) <= NEAR_PX) & (line > 0) & (line < size)
        outlier = found["is_outlier"].to_numpy(bool)
        shares = f"{outlier[near].mean():.2%} of {near.sum():,}", f"{outlier[~near].mean():.2%}"
        middle = found["cut_score"].median()
        print(f"| {folder.name} | {len(found):,} | {middle:.3f} | {' | '.join(shares)} |")


def main() -> None:
    """Draw, or judge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("step", choices=["draw", "judge"])
    parser.add_argument("paths", type=Path, nargs="+", help="draw: SLIDE OUT; judge: OUT")
    given = parser.parse_args()
    if len(given.paths) != (2 if given.step == "draw" else 1):
        parser.error("draw takes SLIDE and OUT, judge takes OUT")
    (draw if given.step == "draw" else judge)(*given.paths)


if __name__ == "__main__":
    main()
