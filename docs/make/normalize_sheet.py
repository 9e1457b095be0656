"""Draw docs/img/normalize_sheet.jpg: what normalisers do under other lamps, pens and stains.

python docs/make/normalize_sheet.py
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image as Picture
from PIL import ImageDraw, ImageFont

from histoscope import stain, synth
from histoscope.files import whole
from histoscope.types import Image

SIZE, SIDE, CROP, TITLE, GAP = 200, 180, 150, 34, 6
LAMP = np.array([223.0, 210.0, 190.0])
OUT = Path(__file__).parents[1] / "img" / "normalize_sheet.jpg"


def main() -> None:
    columns = {"as it is": lambda image: image}
    columns |= {name: stain.open(name) for name in ("reinhard", "macenko", "ruifrok")}
    rows, width, height = panels(), SIDE + GAP, CROP + TITLE
    sheet = Picture.new("RGB", (len(columns) * width - GAP, TITLE + len(rows) * height), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(24)  # letters for a telephone
    for k, (name, change) in enumerate(columns.items()):
        pen.text((k * width + SIDE // 2, TITLE // 2), name, "black", font, anchor="mm")
        for r, image in enumerate(rows.values()):
            tile = Picture.fromarray(change(image)).crop((0, 0, SIZE, round(SIZE * CROP / SIDE)))
            sheet.paste(tile.resize((SIDE, CROP)), (k * width, TITLE * 2 + r * height))
    for r, title in enumerate(rows):
        pen.text((2, TITLE * 3 // 2 + r * height), title, "black", font, anchor="lm")
    with whole(OUT) as temporary:
        sheet.save(temporary, quality=80)  # write_image's 95 is for data
    print(OUT)


def panels() -> dict[str, Image]:
    """Tissue of one stain under several circumstances, by their names."""
    rng = np.random.default_rng(7)
    tissue = drawn(synth.StainSpec())
    dim = np.rint(tissue * (LAMP / tissue_white(tissue))).clip(0, 255).astype(np.uint8)
    half = dim.copy()
    half[:, SIZE // 2 :] = np.rint(LAMP + rng.normal(0, 2, (SIZE, SIZE // 2, 3))).astype(np.uint8)
    marked = tissue.copy()
    cv2.line(marked, (10, 40), (190, 70), (30, 130, 70), 22, cv2.LINE_AA)
    cv2.line(marked, (20, 150), (180, 130), (25, 50, 190), 14, cv2.LINE_AA)
    shade = np.linspace(1.0, 0.85, SIZE)[None, :, None]
    bare = np.rint(shade * LAMP + rng.normal(0, 2, (SIZE, SIZE, 3))).astype(np.uint8)
    return {
        "ordinary": tissue,
        "dim, warm lamp": dim,
        "half bare glass": half,
        "pens": marked,
        "bare glass alone": bare,
        "faint": drawn(synth.StainSpec(h_amount=0.35, e_amount=0.35)),
    }


def drawn(spec: synth.StainSpec) -> Image:
    """The same tissue in a stain."""
    return synth.generate((SIZE, SIZE), mpp=0.5, stain=spec, rng=np.random.default_rng(5)).image


def tissue_white(image: Image) -> np.ndarray:
    """White point of an image, as a normaliser takes it."""
    found = stain.white_point(stain.thumbnail(image))
    return np.full(3, 240.0) if found is None else found


if __name__ == "__main__":
    main()
