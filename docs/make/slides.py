"""Print the numbers of docs/slides.md and docs/results/slides.md that are no timings.

    python docs/make/slides.py SLIDE [--level-slide SLIDE] [--labelled FOLDER] [--tiles FOLDER ...]

SLIDE is CMU-1-Small-Region.svs. It is cut in five ways, and goes out to QuPath's form and back in. Of the
level slide (of TCGA, whose second level is no whole fraction) those values are counted that OpenSlide gives
otherwise than they are stored. Of the tiles (folders of images of 0.25 um/px) focus and sharpness are
printed, as they are and blurred; of labelled ones the F1 of nuclei. Nothing is drawn by chance.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from histoscope import data, metrics, stain
from histoscope.data.annotations.reading import read_annotations
from histoscope.export.cells_labels import outlines_of
from histoscope.files import read_image
from histoscope.jobs.journal import Job
from histoscope.predict import Detector
from histoscope.predict.slides.batch import SlideSettings, run
from histoscope.slides import Box, open_slide
from histoscope.slides.focus import LEAST_FOCUS, sharpness
from histoscope.slides.quality import focus

PARTS_PX = (4096, 512, 777, 1024, 1500)
MODEL = "nuclei-free"


def cut_in_five_ways(path: Path) -> None:
    """Count nuclei, and polygons that differ from those of the slide in one part."""
    detector = Detector.open(MODEL)
    first: dict[str, bytes] = {}
    for part_px in PARTS_PX:
        with tempfile.TemporaryDirectory() as out:
            run(detector, [Job(path, "slide")], Path(out), SlideSettings(part_px=part_px))
            table = pq.read_table(Path(out) / "slide" / "cells.parquet")
            found = dict(zip(table["id"].to_pylist(), table["geometry"].to_pylist(), strict=True))
            first = first or found
            differ = len(first.items() ^ found.items())
            print(f"parts of {part_px} px: {len(found):,} nuclei, {differ} differ from the first")
            if part_px == PARTS_PX[0]:
                there_and_back(path, Path(out) / "slide", detector.network.spec.mpp)


def there_and_back(path: Path, results: Path, mpp: float) -> None:
    """Count nuclei and pixels that come back from the GeoJSON."""
    import shapely

    with open_slide(path) as slide:
        scale, (width, height) = slide.scale_at(mpp), slide.size_at(mpp)
    wkb = pq.read_table(results / "cells.parquet")["geometry"].to_numpy(zero_copy_only=False)
    files = sorted(results.glob("cells.*.geojson.gz"))
    objects = [one for file in files for read in read_annotations(file) for one in read.objects]
    back = np.array([one.polygon for one in objects], object)
    maps = [outlines_of(each, scale).to_labels((height, width)) > 0 for each in (shapely.from_wkb(wkb), back)]
    same = np.count_nonzero(maps[0] & maps[1])
    print(f"back from GeoJSON: {len(back):,} of {len(wkb):,} nuclei, {same:,} of {maps[0].sum():,} pixels")


def fractional_level(path: Path) -> None:
    """Count values of level 1 that OpenSlide gives otherwise than they are stored."""
    slides = [open_slide(path, reader) for reader in ("tiff", "openslide")]
    seen = [slide.read(Box(855, 635, 64, 64), 1) for slide in slides]
    print(f"level 1 of {path.name}: {(seen[0] != seen[1]).mean():.0%} of the values differ")


def scores_of_focus(folder: Path) -> None:
    """Focus of images at 0.5 um/px, as they are and blurred by 1 and 2 px."""
    scores = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".png", ".tif", ".jpg"})[:25]:
        image = read_image(path)
        half = np.asarray(cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
        soft = [np.asarray(cv2.GaussianBlur(half, (0, 0), sigma), np.uint8) for sigma in (1, 2)]
        scores.append([focus(each) for each in (half, *soft)])
    low, middle, high = np.quantile(scores, [0.05, 0.5, 0.95], axis=0).round(3).tolist()
    print(f"focus in {folder} (sharp, 0.5 um, 1 um): 5 % {low}, median {middle}, 95 % {high}")


def tiles_in_focus(folder: Path) -> None:
    """Sharpness of tiles of 64 um with tissue, as they are, and blurred by up to 5 um and written as JPEG."""
    scores: dict[float, list[float]] = {sigma: [] for sigma in (0.0, 1.0, 1.5, 2.0, 5.0)}
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".png", ".tif", ".jpg"}):
        image = cv2.resize(read_image(path), None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        tissue = stain.tissue_mask(np.asarray(image, np.uint8))
        for sigma_um, found in scores.items():
            seen = image
            if sigma_um:
                soft = cv2.GaussianBlur(image, (0, 0), sigma_um / 0.5)
                seen = cv2.imdecode(cv2.imencode(".jpg", soft, [cv2.IMWRITE_JPEG_QUALITY, 80])[1], 1)
            for row in range(0, len(image) - 127, 128):
                for column in range(0, image.shape[1] - 127, 128):
                    here = np.s_[row : row + 128, column : column + 128]
                    if tissue[here].mean() >= 0.3:
                        found.append(sharpness(np.asarray(seen[here], np.uint8)))
    for sigma_um, found in scores.items():
        known = np.array(found)[~np.isnan(found)]
        low, middle, high = np.quantile(known, [0, 0.5, 1]).round(2).tolist()
        print(f"sharpness in {folder}, {len(found)} tiles, blur of {sigma_um} um: {low} to {high}, ", end="")
        print(f"median {middle}; {(known < LEAST_FOCUS).mean():.1%} below {LEAST_FOCUS}")


def nuclei_of_blurred(folder: Path) -> None:
    """F1 of labelled images of 0.25 um/px, sharp and blurred."""
    detector = Detector.open(MODEL)
    samples = data.open("folder", folder, mpp=0.25)
    for sigma_um in (0.0, 1.0, 1.5, 2.0, 3.0):
        scores = []
        for k in range(len(samples)):
            sample = samples[k]
            soft = cv2.GaussianBlur(sample.image, (0, 0), sigma_um / 0.25) if sigma_um else sample.image
            found = detector(np.asarray(soft, np.uint8), 0.25)
            scores.append(float(metrics.f1(sample.instances, found.instances)))
        print(f"{folder}, blur of {sigma_um} um: F1 {np.mean(scores):.3f}")


def main() -> None:
    """Print what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("slide", type=Path)
    parser.add_argument("--level-slide", type=Path)
    parser.add_argument("--labelled", type=Path)
    parser.add_argument("--tiles", type=Path, nargs="*", default=[])
    given = parser.parse_args()
    cut_in_five_ways(given.slide)
    if given.level_slide:
        fractional_level(given.level_slide)
    if given.labelled:
        nuclei_of_blurred(given.labelled)
    for folder in given.tiles:
        scores_of_focus(folder)
        tiles_in_focus(folder)


if __name__ == "__main__":
    main()
