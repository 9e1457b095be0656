"""Draw docs/img/augment_sheet.jpg: one synthetic sample under each augmentation, with its outlines.

python docs/make/augment_sheet.py
"""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from histoscope import synth
from histoscope.augment import AUGMENTATIONS, AugmentConfig, AugmentParams, apply, augment, margin_px
from histoscope.files import whole
from histoscope.types import Image, Sample

SIZE, TITLE, GAP, COLUMNS = 224, 32, 8, 3
OUT = Path(__file__).parents[1] / "img" / "augment_sheet.jpg"
CONFIG = AugmentConfig(elastic_um=6.0)
PANELS = {
    "as it is": AugmentParams(),
    "quarter turn and flip": AugmentParams(turns=1, flip=True),
    "rotation 30 degrees": AugmentParams(angle_deg=30),
    "zoom 1.4": AugmentParams(zoom=1.4),
    "zoom 0.7": AugmentParams(zoom=1 / 1.4),
    "elastic 6 um": AugmentParams(elastic_seed=1),
    "brightness 0.75": AugmentParams(brightness=0.75),
    "contrast 1.25": AugmentParams(contrast=1.25),
    "saturation 0.6": AugmentParams(saturation=0.6),
    "hue 20 degrees": AugmentParams(hue_deg=20),
    "blur 0.6 um": AugmentParams(blur_um=0.6),
    "noise 12 levels": AugmentParams(noise_levels=12.0, noise_seed=1),
}


def main() -> None:
    strong = AUGMENTATIONS["strong"]
    side = SIZE + 2 * margin_px(strong, SIZE, 0.25)
    sample = synth.generate((side, side), mpp=0.25, rng=np.random.default_rng(3))
    tiles = [panel(name, apply(sample, CONFIG, params, size_px=SIZE)) for name, params in PANELS.items()]
    for k in range(2):
        drawn = augment(sample, strong, np.random.default_rng(k + 1), size_px=SIZE)
        tiles.append(panel(f'"strong", draw {k + 1}', drawn))
    bordered = replace(
        sample,
        image=sample.image[:SIZE, :SIZE],
        instances=sample.instances[:SIZE, :SIZE],  # without context: the border is mirrored, labels too
    )
    tiles.append(panel("no margin: mirrored", apply(bordered, CONFIG, AugmentParams(angle_deg=30))))
    OUT.parent.mkdir(exist_ok=True)
    with whole(OUT) as temporary:
        Picture.fromarray(grid(tiles)).save(temporary, quality=82)  # write_image's 95 is for data
    print(OUT)


def panel(name: str, sample: Sample) -> Image:
    """Frame a sample with its outlines and its name."""
    image = sample.image.copy()
    if sample.instances is not None:
        for k in range(1, int(sample.instances.max()) + 1):
            mask = (sample.instances == k).astype(np.uint8)
            outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            cv2.drawContours(image, outlines, -1, (20, 190, 40), 1)
    title = Picture.new("RGB", (SIZE, TITLE), "white")
    font = ImageFont.load_default(21)  # letters for a telephone
    ImageDraw.Draw(title).text((2, TITLE // 2), name, "black", font, anchor="lm")
    return np.vstack([np.asarray(title), image])


def grid(tiles: list[Image]) -> Image:
    """Lay tiles out in rows on white."""
    rows = -(-len(tiles) // COLUMNS)
    height, width = tiles[0].shape[0] + GAP, SIZE + GAP
    sheet = np.full((rows * height + GAP, COLUMNS * width + GAP, 3), 255, np.uint8)
    for k, tile in enumerate(tiles):
        top, left = GAP + k // COLUMNS * height, GAP + k % COLUMNS * width
        sheet[top : top + tile.shape[0], left : left + SIZE] = tile
    return sheet


if __name__ == "__main__":
    main()
