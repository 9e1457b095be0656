"""How many drawn pen marks over tissue are found, by ink and opacity, and in how many images a mark is seen.

    python docs/make/pen_marks.py data/monuseg data/consep data/tnbc data/cpm15 data/lgg_tcga_emory ...

On four pieces of each data set, a line, a curve, a ring or a rectangle is drawn in thirteen inks and seven
opacities: its light multiplied, its density added, or blended. A mark is found where 85 % of its core is.
Then all images are looked at as they are.
"""

import argparse
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope import read_image
from histoscope.images.finding import find_images
from histoscope.stain.density import density_below
from histoscope.stain.glass import assumed_white, thumbnail, white_point
from histoscope.stain.pens import strokes
from histoscope.types import Image, Mask

INKS = {
    "blue": (20, 60, 200),
    "navy": (25, 30, 100),
    "dull blue": (40, 50, 150),
    "black": (25, 25, 28),
    "red": (210, 30, 45),
    "green": (30, 140, 60),
    "teal": (10, 110, 130),
    "yellow": (255, 240, 60),
    "orange highlighter": (255, 150, 40),
    "green highlighter": (120, 240, 90),
    "pink highlighter": (255, 90, 170),
    "blue highlighter": (90, 190, 250),
    "purple": (110, 40, 150),
}
OPACITIES = (0.3, 0.4, 0.5, 0.6, 0.7, 0.85, 1.0)
PIECE_PX, PIECES = 512, 4


def pieces_of(paths: list[Path], rng: np.random.Generator) -> list[Image]:
    """Cut pieces that show tissue."""
    pieces: list[Image] = []
    for place in rng.permutation(len(paths)):
        image = read_image(paths[place])
        top, left = (int(rng.integers(max(1, side - PIECE_PX + 1))) for side in image.shape[:2])
        piece = np.ascontiguousarray(image[top : top + PIECE_PX, left : left + PIECE_PX])
        if (piece.mean(axis=2) < 215).mean() > 0.4:
            pieces.append(piece)
        if len(pieces) == PIECES:
            break
    return pieces


def shape(size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a mark, 255 where it lies."""
    (height, width), canvas = size, np.zeros(size, np.uint8)
    thick = max(14, int(rng.uniform(0.06, 0.16) * min(size)))
    down, across = int(height * rng.uniform(0.25, 0.75)), int(width * rng.uniform(0.25, 0.75))
    kind = rng.choice(["level", "upright", "slanting", "curve", "ring", "rectangle"])
    if kind == "level":
        cv2.line(canvas, (0, down), (width, down), 255, thick)
    elif kind == "upright":
        cv2.line(canvas, (across, 0), (across, height), 255, thick)
    elif kind == "slanting":
        cv2.line(canvas, (0, down), (width, height - down), 255, thick)
    elif kind == "curve":
        at = np.linspace(0, width, 60)
        wave = height * (0.5 + 0.2 * np.sin(at / width * rng.uniform(3, 6)))
        cv2.polylines(
            canvas,
            [np.rint(np.stack([at, wave], 1)).astype(np.int32)],
            isClosed=False,
            color=255,
            thickness=thick,
        )
    elif kind == "ring":
        cv2.ellipse(canvas, (width // 2, height // 2), (width // 3, height // 3), 0, 0, 360, 255, thick)
    else:
        canvas[down // 2 : down // 2 + height // 3, across // 2 : across // 2 + 2 * width // 5] = 255
    return canvas


def inked(
    image: Image, mark: NDArray[np.uint8], ink: tuple[int, int, int], opacity: float, rng: np.random.Generator
) -> Image:
    """Put a mark over an image."""
    cover = cv2.GaussianBlur(mark, None, float(rng.choice([0.5, 1.0, 2.0])))[..., None] / 255.0 * opacity
    colour = np.asarray(ink, float)
    match rng.choice(["multiplied", "density", "blended"]):
        case "multiplied":
            marked = image * (1 - cover * (1 - colour / 255))
        case "density":
            marked = image * np.exp(cover * np.log(np.maximum(colour, 8) / 255))
        case _:
            marked = image * (1 - cover) + colour * cover
    return np.rint(marked).clip(0, 255).astype(np.uint8)


def seen(image: Image) -> Mask:
    """Find strokes, as an estimate of stains does."""
    small = thumbnail(image)
    white = white_point(small)
    return strokes(small, density_below(assumed_white([image]) if white is None else white))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roots", type=Path, nargs="+", help="data sets with a folder images")
    rng = np.random.default_rng(0)
    data = {root: find_images(root / "images").images for root in parser.parse_args().roots}
    found: dict[tuple[str, float], list[bool]] = defaultdict(list)
    for paths in data.values():
        for piece in pieces_of(paths, rng):
            for ink, colour in INKS.items():
                for opacity in OPACITIES:
                    mark = shape(piece.shape[:2], rng)
                    core = thumbnail(np.repeat(mark[..., None], 3, axis=2))[..., 0] > 250
                    where = seen(inked(piece, mark, colour, opacity, rng))
                    found[ink, opacity].append(bool(where[core].mean() > 0.85))
    print("| ink |", " | ".join(f"{100 * opacity:.0f} %" for opacity in OPACITIES), "|")
    print("|---|" + "---|" * len(OPACITIES))
    for ink in INKS:
        print(f"| {ink} |", " | ".join(f"{100 * np.mean(found[ink, one]):.0f}" for one in OPACITIES), "|")
    all_inks = [np.mean([found[ink, one] for ink in INKS]) for one in OPACITIES]
    print("| all |", " | ".join(f"{100 * share:.0f}" for share in all_inks), "|")
    print(len(found["blue", 1.0]), "pieces", flush=True)
    with_strokes = [path for paths in data.values() for path in paths if seen(read_image(path)).any()]
    print(f"strokes seen in {len(with_strokes)} of {sum(map(len, data.values()))} images as they are")
    for path in with_strokes:
        print(f"  {path}")


if __name__ == "__main__":
    main()
