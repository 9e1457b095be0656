"""How much of a lamp's change is left after normalisation, and how often it is more than the lamp's own.

    python docs/make/lamps.py data/monuseg data/consep data/tnbc data/cpm15 ...

Four pieces of each data set are seen under five lamps. Changes are means over all pixels, in levels of 255.
"""

import argparse
from pathlib import Path

import numpy as np

from histoscope import read_image, stain
from histoscope.images.finding import find_images
from histoscope.types import Image

LAMPS = ((200, 190, 175), (180, 185, 200), (223, 215, 213), (150, 150, 150), (240, 232, 215))
PIECE_PX, PIECES = 512, 4


def apart(a: Image, b: Image) -> float:
    return float(np.abs(a.astype(int) - b).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roots", type=Path, nargs="+", help="data sets with a folder images")
    methods = {name: stain.get(name).default() for name in stain.NORMALIZERS}
    left: dict[str, list[float]] = {name: [] for name in methods}
    rng = np.random.default_rng(0)
    for root in parser.parse_args().roots:
        paths = find_images(root / "images").images
        for place in rng.choice(len(paths), min(PIECES, len(paths)), replace=False):
            image = np.ascontiguousarray(read_image(paths[place])[:PIECE_PX, :PIECE_PX])
            plain = {name: method(image) for name, method in methods.items()}
            for lamp in LAMPS:
                dim = np.rint(image * (np.array(lamp) / 255)).astype(np.uint8)
                for name, method in methods.items():
                    left[name].append(apart(method(dim), plain[name]) / apart(dim, image))
    print("| method | half of the cases below | nine tenths below | more than the lamp's change |")
    print("|---|--:|--:|--:|")
    for name, shares in left.items():
        half, most = np.quantile(shares, (0.5, 0.9))
        above = sum(share >= 1 for share in shares)
        print(f"| {name} | {half:.2f} | {most:.2f} | {above} of {len(shares)} |")


if __name__ == "__main__":
    main()
