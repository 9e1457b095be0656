"""Measure how far stainings lie apart before and after each normaliser, for docs/results/normalisation.md.

    python docs/make/stain_spread.py --root data

reads ``ROOT/stain_variation_iluminate`` (five blocks, five regions, nine stainings of consecutive cuts) and
``ROOT/monuseg`` (44 tiles of 18 hospitals), normalises every image to the bundled reference and measures.
"""

import argparse
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont, ImageOps

from histoscope import read_image, stain
from histoscope.errors import StainError
from histoscope.files import write_image, write_text
from histoscope.tables import write_table
from histoscope.types import Image, Mask

PAGE = Path(__file__).resolve().parents[1] / "results" / "normalisation.md"
TABLE = PAGE.with_name("normalisation_spread.csv")
SHEET = PAGE.parent / "img" / "normalisation_sheet.jpg"
METHODS = ("reinhard", "macenko", "vahadane", "ruifrok")
Apply = Callable[[Image], Image]


def original(image: Image) -> Image:
    return image


def appliers(slide: list[Image], scope: str) -> dict[str, Apply]:
    """For each method, what to apply to the images of one slide."""
    made: dict[str, Apply] = {"original": original}
    for method in METHODS:
        normalizer = stain.open(method)
        if scope == "image":
            made[method] = normalizer
            continue
        try:
            source = normalizer.estimate(slide)
        except StainError:  # a stain that is all but absent cannot be scaled: the slide stays as it is
            made[method] = original
        else:
            made[method] = partial(normalizer, source=source)
    return made


def colour(image: Image, mask: Mask) -> tuple[np.ndarray, float]:
    """Mean CIE Lab of the tissue (of a fifth of its pixels), and their mean distance from it."""
    lab = stain.lab(image[mask][::5])
    mean = lab.mean(axis=0)
    return mean, float(np.linalg.norm(lab - mean, axis=1).mean())


def vectors(image: Image) -> np.ndarray:
    """Macenko's haematoxylin and eosin vectors of an image, NaN if it shows none."""
    try:
        return stain.Macenko.estimate(image).stains
    except StainError:
        return np.full((2, 3), np.nan)


def apart(points: np.ndarray) -> float:
    """Mean distance of all pairs of points."""
    return float(np.mean([np.linalg.norm(a - b) for a, b in combinations(points, 2)]))


def angle_apart(units: np.ndarray) -> float:
    """Mean angle, in degrees, of all pairs of unit vectors."""
    cosines = [float(a @ b) for a, b in combinations(units, 2)]
    return float(np.nanmean(np.degrees(np.arccos(np.clip(cosines, -1, 1)))))


def blocks(root: Path) -> Iterator[tuple[str, list[list[Image]]]]:
    """Give each block with its images, by staining and region."""
    files = sorted((root / "stain_variation_iluminate" / "images").glob("*.png"))
    keys = [re.fullmatch(r"(\w)_r(\d)_s(\d)", file.stem).groups() for file in files]
    for block in sorted({key[0] for key in keys}):
        stainings = sorted({key[2] for key in keys if key[0] == block})
        regions = sorted({key[1] for key in keys if key[0] == block})
        folder = root / "stain_variation_iluminate" / "images"
        yield block, [[read_image(folder / f"{block}_r{r}_s{s}.png") for r in regions] for s in stainings]


def measure_block(images: list[list[Image]], scope: str) -> dict[str, np.ndarray]:
    """For each method: spread of colour, contrast within images, spread of H, of E, share left."""
    tables: dict[str, list[list[tuple]]] = {}
    for slide in images:
        masks = [stain.tissue_mask(image) for image in slide]
        for method, apply in appliers(slide, scope).items():
            outs = [apply(image) for image in slide]
            same = np.mean([np.array_equal(out, image) for out, image in zip(outs, slide, strict=True)])
            row = [(*colour(out, mask), vectors(out), same) for out, mask in zip(outs, masks, strict=True)]
            tables.setdefault(method, []).append(row)
    found = {}
    for method, rows in tables.items():
        regions = list(zip(*rows, strict=True))  # nine stainings of each region
        found[method] = np.mean(
            [
                (
                    apart(np.array([mean for mean, *_ in cells])),
                    np.mean([within for _, within, *_ in cells]),
                    angle_apart(np.array([stains[0] for _, _, stains, _ in cells])),
                    angle_apart(np.array([stains[1] for _, _, stains, _ in cells])),
                    np.mean([same for *_, same in cells]),
                )
                for cells in regions
            ],
            axis=0,
        )
    return found


def measure_monuseg(root: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each method: mean colour (44, 3) and contrast (44,) of the tiles."""
    found: dict[str, list[tuple[np.ndarray, float]]] = {}
    for file in sorted((root / "monuseg" / "images").glob("*.*")):
        image = read_image(file)
        mask = stain.tissue_mask(image)
        for method, apply in appliers([image], "image").items():
            found.setdefault(method, []).append(colour(apply(image), mask))
    return {
        method: (np.array([mean for mean, _ in rows]), np.array([within for _, within in rows]))
        for method, rows in found.items()
    }


def interval(
    statistic: Callable[[np.ndarray], float], n: int, rng: np.random.Generator
) -> tuple[float, float]:
    """95 % percentile interval over 2,000 resamples of n units."""
    values = [statistic(rng.integers(0, n, n)) for _ in range(2000)]
    low, high = np.percentile(values, [2.5, 97.5])
    return float(low), float(high)


def block_rows(
    per_block: list[dict[str, np.ndarray]], images: str, rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One row a method: mean over blocks, with intervals by block."""
    rows = []
    first = np.array([block["original"] for block in per_block])
    for method in ("original", *METHODS):
        values = np.array([block[method] for block in per_block])
        low, high = interval(lambda k, v=values: v[k, 0].mean(), len(values), rng)
        share = interval(lambda k, v=values: v[k, 0].mean() / first[k, 0].mean(), len(values), rng)
        delta, within, h, e, same = values.mean(axis=0)
        row = spread_row(images, method, (delta, low, high), (delta / first[:, 0].mean(), *share), within)
        unchanged = None if method == "original" else same
        rows.append(row | {"h_apart_deg": h, "e_apart_deg": e, "unchanged": unchanged})
    return rows


def monuseg_rows(
    found: dict[str, tuple[np.ndarray, np.ndarray]], rng: np.random.Generator
) -> list[dict[str, Any]]:
    """One row a method: distance of the tiles' mean colours, with intervals by tile."""
    rows = []
    distances = {m: np.linalg.norm(means[:, None] - means[None], axis=2) for m, (means, _) in found.items()}
    different = ~np.eye(len(next(iter(distances.values()))), dtype=bool)

    def spread(method: str, k: np.ndarray) -> float:
        # Pairs of a tile with its own copy in the resample are no pairs.
        return float(distances[method][np.ix_(k, k)][different[np.ix_(k, k)]].mean())

    every = np.arange(len(different))
    for method in ("original", *METHODS):
        delta = spread(method, every)
        low, high = interval(lambda k, m=method: spread(m, k), len(every), rng)
        share = interval(lambda k, m=method: spread(m, k) / spread("original", k), len(every), rng)
        of = delta / spread("original", every)
        within = found[method][1].mean()
        rows.append(spread_row("monuseg, per image", method, (delta, low, high), (of, *share), within))
    return rows


def spread_row(
    images: str, method: str, apart: Sequence[float], of: Sequence[float], within: float
) -> dict[str, Any]:
    """Distance and its share of the original, each with an interval, and the contrast."""
    apart_columns = zip(("apart", "apart_low", "apart_high"), apart, strict=True)
    of_original = (1, None, None) if method == "original" else of
    of_columns = zip(("of_original", "of_original_low", "of_original_high"), of_original, strict=True)
    return {"images": images, "method": method, **dict(apart_columns), **dict(of_columns), "contrast": within}


def page_lines(rows: list[dict[str, Any]]) -> list[str]:
    """Lines of the page's table: what was estimated per slide."""
    lines = [
        "| Nine stainings, by slide | colour apart, delta E | of original | contrast within | unchanged |",
        "|---|---|---|---|---|",
    ]
    for row in rows:
        original = row["method"] == "original"
        of = "{of_original:.2f} [{of_original_low:.2f}, {of_original_high:.2f}]"
        lines.append(
            "| {method} | {apart:.1f} [{apart_low:.1f}, {apart_high:.1f}] | ".format(**row)
            + ("1" if original else of.format(**row))
            + f" | {row['contrast']:.1f} | {'' if original else format(row['unchanged'], '.0%')} |"
        )
    return lines


def draw(images: list[list[Image]], region: int, size: tuple[int, int] = (144, 96)) -> Image:
    """Draw the middle of one region: a row a staining, a column a method; its letters are for a telephone."""
    names, (width, height), margin, head = ("original", *METHODS), size, 28, 38
    sheet = Pillow.new("RGB", (margin + width * len(names), head + height * len(images)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(25)
    for row, slide in enumerate(images):
        pen.text((4, head + height * row + height // 2), str(row + 1), "black", font, anchor="lm")
        for column, apply in enumerate(appliers(slide, "slide").values()):
            cell = ImageOps.fit(Pillow.fromarray(apply(slide[region])), (width - 2, height - 2))
            sheet.paste(cell, (margin + width * column, head + height * row))
    for column, name in enumerate(names):
        pen.text((margin + width * column + width // 2, 4), name, "black", font, anchor="mt")
    return np.asarray(sheet)


def into_page(lines: list[str]) -> None:
    """Put the numbers between their two marks in the page."""
    text = PAGE.read_text(encoding="utf-8")
    begin, end = "<!-- numbers: docs/make/stain_spread.py -->", "<!-- end of numbers -->"
    before, _, rest = text.partition(begin)
    _, _, after = rest.partition(end)
    write_text(PAGE, before + "\n".join([begin, "", *lines, "", end]) + after)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("data"), help="folder of the data sets")
    parser.add_argument("--block", default="B", help="block of the picture")
    parser.add_argument("--region", type=int, default=1, help="region of the picture")
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    data = list(blocks(arguments.root))
    rows = []
    for scope in ("slide", "image"):
        per_block = [measure_block(images, scope) for _, images in data]
        rows += block_rows(per_block, f"stain_variation, per {scope}", rng)
    into_page(page_lines(rows[: len(METHODS) + 1]))
    rows += monuseg_rows(measure_monuseg(arguments.root), rng)
    write_table(TABLE, pd.DataFrame(rows))
    write_image(
        SHEET, draw(next(images for name, images in data if name == arguments.block), arguments.region)
    )


if __name__ == "__main__":
    main()
