"""Make the pictures of docs/synth.md, and print its table of measurements.

    python docs/make/synth_sheet.py [--root data] [--out docs/img]

With ``--root`` holding ``monuseg/`` and ``consep/`` (see docs/data.md) synthetic tiles stand beside real ones
and both are measured; without, the pictures that need no real data are made.
"""

import argparse
import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from skimage.segmentation import find_boundaries

from histoscope import data, read_image, read_labels, synth
from histoscope.types import Sample

# Ruifrok and Johnston's vectors, the same for real and synthetic tiles: haematoxylin, eosin, rest.
_RUIFROK = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]])
_COLOURS = {1: (255, 220, 0), 2: (0, 200, 255), 3: (0, 160, 0), 4: (255, 80, 0)}
_TILE, _GAP = 300, 6

Pair = tuple[NDArray[np.uint8], NDArray[np.int32]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--root", type=Path, default=None, help="folder that holds monuseg/ and consep/")
    parser.add_argument("--out", type=Path, default=Path("docs/img"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    save(stains_sheet(), args.out / "synth_stains.jpg")
    save(labels_sheet(), args.out / "synth_labels.jpg")
    save(hard_sheet(), args.out / "synth_hard.jpg")
    if args.root is None:
        print("no --root: the sheet beside real tiles and the measurements were left out")
        return
    save(real_sheet(args.root), args.out / "synth_sheet.jpg")
    save(like_sheet(args.root), args.out / "synth_like.jpg")
    table = {
        "synth": measure((s.image, s.instances) for s in cohort(24, 1000) if s.instances is not None),
        "MoNuSeg": measure(real(args.root / "monuseg", step=2)),
        "CoNSeP": measure(real(args.root / "consep", step=2)),
    }
    print(markdown(table))


def cohort(n: int, side_px: int) -> Iterator[Sample]:
    stains = ["default", "purple", "default", "pink", "default", "dark"]
    return synth.cohort_stream(n, 1, shape_px=(side_px, side_px), mpp=0.25, stains=stains, seed=1)


def real(folder: Path, step: int = 1) -> Iterator[Pair]:
    """Images and label maps of a folder with ``index.csv``."""
    with (folder / "index.csv").open(newline="", encoding="utf-8") as file:
        names = [row["image_id"] for row in csv.DictReader(file)]
    for name in names[::step]:
        path = next((folder / "images").glob(name + ".*"))
        yield read_image(path), read_labels(next((folder / "labels").glob(name + ".*")))


def measure(pairs: Iterator[Pair]) -> dict[str, NDArray[np.float64]]:
    """Quartiles over tiles (over nuclei for areas) of what makes tissue look as it does."""
    unmix = np.linalg.inv(_RUIFROK / np.linalg.norm(_RUIFROK, axis=1, keepdims=True))
    rows, areas = [], []
    for image, labels in pairs:
        od = -np.log((image.astype(np.float64) + 1) / 256)
        h, e = (od @ unmix)[..., 0], (od @ unmix)[..., 1]
        inside = labels > 0
        if inside.sum() < 200:
            continue
        grey = image.mean(axis=2)
        local = grey[1:-1, 1:-1] - 0.25 * (
            grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
        )
        means = np.bincount(labels.ravel(), h.ravel()) / np.maximum(np.bincount(labels.ravel()), 1)
        within = np.std(h[inside] - means[labels[inside]])
        areas.append(np.bincount(labels.ravel())[1:] * 0.0625)
        rows.append(
            {
                "nuclei per mm²": labels.max() / (labels.size * 0.0625e-6),
                "share of area under nuclei": inside.mean(),
                "H density, nuclei (median)": np.median(h[inside]),
                "H density, between nuclei (median)": np.median(h[~inside]),
                "E density, between nuclei (median)": np.median(e[~inside]),
                "H density inside a nucleus (spread)": within,
                "share of white": (od.mean(axis=2) < 0.12).mean(),
                "fine contrast (grey levels)": local.std(),
                "red, nuclei": image[inside].mean(axis=0)[0],
                "green, nuclei": image[inside].mean(axis=0)[1],
                "blue, nuclei": image[inside].mean(axis=0)[2],
                "red, between": image[~inside].mean(axis=0)[0],
                "green, between": image[~inside].mean(axis=0)[1],
                "blue, between": image[~inside].mean(axis=0)[2],
            }
        )
    table = {key: np.percentile([row[key] for row in rows], (25, 50, 75)) for key in rows[0]}
    return {**table, "area of a nucleus (um²)": np.percentile(np.concatenate(areas), (25, 50, 75))}


def markdown(table: dict[str, dict[str, NDArray[np.float64]]]) -> str:
    lines = ["| median (quartiles) | " + " | ".join(table) + " |", "|---" * (len(table) + 1) + "|"]
    for key in next(iter(table.values())):
        cells = [
            f"{_number(q[key][1])} ({_number(q[key][0])} to {_number(q[key][2])})" for q in table.values()
        ]
        lines.append(f"| {key} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def real_sheet(root: Path) -> NDArray[np.uint8]:
    """Rows of real tiles above rows of synthetic ones."""
    crop = slice(340, 340 + _TILE)
    tiles = [image[crop, crop] for image, _ in real(root / "monuseg", step=4)][:10]
    stains = ["default", "purple", "pink", "default", "dark"]
    fake = [s.image for s in synth.cohort(10, 1, shape_px=(_TILE, _TILE), stains=stains, seed=5)]
    pairs = [stack([row(each[:5]), row(each[5:])]) for each in (tiles, fake)]
    return stack(pairs, 4 * _GAP)


def hard_sheet() -> NDArray[np.uint8]:
    """Ten patients of hard tissue."""
    stains = ["default", "purple", "pink", "dark", "faint"]
    hard = synth.cohort(10, 1, shape_px=(_TILE, _TILE), stains=stains, seed=23, hard=True)
    images = [sample.image for sample in hard]
    return stack([row(images[:5]), row(images[5:])])


def like_sheet(root: Path) -> NDArray[np.uint8]:
    """A row of real tiles above a row that is drawn like them."""
    opened = data.open("folder", root / "monuseg", mpp=0.25)
    train = [k for k, record in enumerate(opened.records) if record.split == "train"]
    part = data.subset(opened, [train[round(k)] for k in np.linspace(0, len(train) - 1, 5)])
    crop = slice(340, 340 + _TILE)
    drawn = [s.image for s in synth.like(synth.fit(part), [1] * 5, shape_px=(_TILE, _TILE), seed=2)]
    return stack([row([s.image[crop, crop] for s in part]), row(drawn)], 4 * _GAP)


def stains_sheet() -> NDArray[np.uint8]:
    """The same tissue in every named stain."""
    images = [
        synth.generate((_TILE, _TILE), stain=stain, rng=np.random.default_rng(11)).image
        for stain in synth.STAINS.values()
    ]
    return stack([row(images[:3]), row(images[3:])])


def labels_sheet() -> NDArray[np.uint8]:
    """Tissue at three resolutions, with outlines in the colour of the class."""
    samples = [
        synth.generate((_TILE, _TILE), mpp=mpp, rng=np.random.default_rng(6)) for mpp in (0.25, 0.5, 1.0)
    ]
    return stack([row([s.image for s in samples]), row([outlined(s) for s in samples])])


def outlined(sample: Sample) -> NDArray[np.uint8]:
    image = sample.image.copy()
    edge = find_boundaries(sample.instances, mode="inner")
    kinds = sample.classes[sample.instances]
    for kind, colour in _COLOURS.items():
        image[edge & (kinds == kind)] = colour
    return image


def row(images: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    gap = np.full((_TILE, _GAP, 3), 255, np.uint8)
    return np.hstack([part for image in images for part in (image, gap)][:-1])


def stack(rows: list[NDArray[np.uint8]], gap_px: int = _GAP) -> NDArray[np.uint8]:
    gap = np.full((gap_px, rows[0].shape[1], 3), 255, np.uint8)
    return np.vstack([part for r in rows for part in (r, gap)][:-1])


def save(picture: NDArray[np.uint8], path: Path, limit_kb: int = 600) -> None:
    """Write a JPEG below `limit_kb`."""
    for quality in (90, 85, 80, 75, 70, 60, 50):
        Pillow.fromarray(picture).save(path, quality=quality, optimize=True)
        if path.stat().st_size < limit_kb * 1000:
            break
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
