"""How often captions, scale bars, logos and round fields make false copies of tiles that show little.

    python docs/make/captioned_copies.py data/gtex_adipose/images/empty data/osteosarcoma_ut/images/non_tumor

For each of 300 drawn settings, the same drawing is put on three different tiles: of a folder, of drawn glass,
or of glass under uneven light. A setting fails if two of the three are then called copies, as the audit does.
"""

import argparse
import io
from collections import defaultdict
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from histoscope import read_image
from histoscope.data.leaks.copies import compare
from histoscope.data.leaks.landmarks import find_landmarks
from histoscope.images.finding import find_images
from histoscope.types import Image

FONTS = sorted(Path(mpl.get_data_path(), "fonts", "ttf").glob("DejaVuSans*.ttf"))
TEXTS = (
    "Dept. of Pathology 40x",
    "100 um",
    "2024-03-17 10:42",
    "Case 12345",
    "A",
    "Fig. 3b",
    "S21-00345 A1 HE",
)
COLOURS = ((0, 0, 0), (255, 0, 0), (0, 0, 255), (0, 160, 0), (255, 220, 0), (0, 200, 220), (255, 128, 0))
COLOURS += ((128, 0, 128), (140, 80, 30), (120, 120, 120), (0, 0, 90), (200, 110, 170), (90, 60, 140))
KINDS = ("caption", "scale bar", "logo", "round field")
SIDES_PX = (224, 256, 400, 512, 768, 1000)
SIMILARITY = 0.8
SETTINGS, TILES = 300, 3


def ground(folders: list[list[Path]], kind: int, side: int, rng: np.random.Generator) -> Image:
    """A tile that shows little: of a folder, or glass, evenly lit or not."""
    if kind < len(folders):
        image = read_image(folders[kind].pop(rng.integers(len(folders[kind]))))  # none twice
        least = min(side, *image.shape[:2])
        top, left = (int(rng.integers(length - least + 1)) for length in image.shape[:2])
        return cv2.resize(image[top : top + least, left : left + least], (side, side))
    rows, columns = np.mgrid[:side, :side] / side - 0.5
    light = 1 - 0.25 * (rows**2 + columns**2) * (kind - len(folders))
    glass = rng.normal(rng.uniform(225, 246), rng.uniform(0.5, 2), (side, side, 3))
    return np.clip(glass * light[..., None], 0, 255).astype(np.uint8)


def drawn(image: Image, kind: str, rng: np.random.Generator) -> Image:
    """Put the drawing of a setting on a tile; the same generator draws the same."""
    side, picture = image.shape[0], Pillow.fromarray(image)
    draw = ImageDraw.Draw(picture)
    font = ImageFont.truetype(FONTS[rng.integers(len(FONTS))], max(8, int(rng.uniform(0.022, 0.08) * side)))
    colour, text = COLOURS[rng.integers(len(COLOURS))], TEXTS[rng.integers(len(TEXTS))]
    x, y = (rng.choice((0.02, 0.4, 0.7)) * side for _ in range(2))
    long, thick = rng.uniform(0.12, 0.3) * side, max(2, int(rng.uniform(0.004, 0.02) * side))
    if kind in {"caption", "scale bar"}:
        draw.text((x, y), text, font=font, fill=colour)
    if kind == "scale bar":
        draw.rectangle((x, y - 2 * thick, x + long, y - thick), fill=colour)
    if kind == "logo":
        draw.ellipse((x, y, x + long, y + long), outline=colour, width=thick)
        draw.text((x + 0.2 * long, y + 0.4 * long), "UKE", font=font, fill=colour)
    out = np.array(picture)
    if kind == "round field":
        rows, columns = np.mgrid[:side, :side] - (side - 1) / 2
        field = ((0, 0, 0), (255, 255, 255), (12, 10, 14), (40, 38, 42))[rng.integers(4)]
        out[rows**2 + columns**2 > (rng.uniform(0.85, 1.05) * side / 2) ** 2] = field
    return out


def saved(image: Image, quality: int) -> Image:
    """The image as a JPEG file gives it back."""
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, "JPEG", quality=quality)
    return np.asarray(Pillow.open(buffer).convert("RGB"))


def fails(folders: list[list[Path]], kind: str, seed: int) -> bool:
    """Whether two of the tiles of a setting are called copies."""
    rng = np.random.default_rng(seed)
    side, place = int(rng.choice(SIDES_PX)), int(rng.integers(len(folders) + 2))
    quality = int(rng.integers(60, 96))
    folders = [[*paths] for paths in folders]
    tiles = [
        saved(drawn(ground(folders, place, side, rng), kind, np.random.default_rng(seed)), quality)
        for _ in range(TILES)
    ]
    marks = [find_landmarks(tile) for tile in tiles]
    pairs = [(a, b, flip) for a in range(TILES) for b in range(a + 1, TILES) for flip in (False, True)]
    found = [compare(marks, a, b, flip=flip) for a, b, flip in pairs]
    return any(one is not None and one.similarity >= SIMILARITY for one in found)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", type=Path, nargs="+", help="folders of tiles that show little")
    folders = [find_images(folder).images for folder in parser.parse_args().folders]
    found: dict[str, list[bool]] = defaultdict(list)
    for seed in range(SETTINGS):
        kind = KINDS[seed % len(KINDS)]
        found[kind].append(fails(folders, kind, seed))
    for kind, failed in found.items():
        print(f"{kind}: {sum(failed)} of {len(failed)}")


if __name__ == "__main__":
    main()
