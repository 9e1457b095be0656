"""Label free tiles by a model, for the next model to learn from more laboratories (self-training).

    python docs/make/pseudo_labels.py MODEL data/pseudo_labelled --data data

Tiles of 512 px at 0.5 um per pixel: skin (CMU-1-Small-Region, CC0), ovary (histolytics, BSD-3-Clause),
fibrous tissue and empty glass of GTEx (Adipocyte-U-net, MIT). Outlines are the model's; on empty glass there
are none.
Xie et al., CVPR 2020, doi:10.1109/CVPR42600.2020.01070.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from histoscope import data, models, read_image
from histoscope.files import write_image, write_labels
from histoscope.tables import write_table
from histoscope.types import Image, Sample

MPP, SIDE_PX = 0.5, 512
LEAST_COLOURED = 0.35
"""Share of pixels of a tile with tissue."""
TISSUE = {
    "wsi_small/cmu-1-small-region.svs": 0.499,
    "hgsc_histolytics/**/*.jpg": 0.5,
    "gtex_adipose/images/not_adipocyte/*.jpg": 0.5,
}
"""Files, and micrometres per pixel: stated by the slides, of the others guessed by the size of nuclei."""
EMPTY = ("gtex_adipose/images/empty/*.jpg", 4)
"""Files without tissue, of which so many are used."""


def main() -> None:
    """Write tiles, label maps and their index."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", help="the teacher: a name, or a model folder")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the data sets")
    given = parser.parse_args()
    network, rows = models.load(given.model, models.Segmenter), []
    for name, source, image, empty in tiles(given.data):
        found = models.predict(image, network, MPP).instances
        write_image(given.out / "images" / f"{name}.png", image)
        write_labels(given.out / "labels" / f"{name}.png", found * (not empty))
        rows.append({"path": f"images/{name}.png", "instances": f"labels/{name}.png", "patient": source})
    table = pd.DataFrame(rows)
    # A data set must validate: by empty glass, not by outlines of a model.
    write_table(given.out / "index.csv", table.assign(split=["train"] * (len(table) - 1) + ["val"]))
    print(f"{len(table)} tiles")


def tiles(root: Path) -> Iterator[tuple[str, str, Image, bool]]:
    """Name, source and pixels of each tile, and whether it is known to hold no nucleus."""
    for pattern, mpp in TISSUE.items():
        for path in sorted(root.glob(pattern)):
            sized = data.resample(Sample(read_image(path), mpp), MPP).image
            for top in range(0, sized.shape[0] - SIDE_PX + 1, SIDE_PX):
                for left in range(0, sized.shape[1] - SIDE_PX + 1, SIDE_PX):
                    tile = sized[top : top + SIDE_PX, left : left + SIDE_PX]
                    if np.mean(np.ptp(tile, axis=2) > 25) >= LEAST_COLOURED:
                        yield f"{path.parent.name}_{path.stem}_{top}_{left}", path.stem, tile, False
    pattern, number = EMPTY
    for path in sorted(root.glob(pattern))[:number]:
        yield f"empty_{path.stem}", f"empty_{path.stem}", read_image(path)[:SIDE_PX, :SIDE_PX], True


if __name__ == "__main__":
    main()
