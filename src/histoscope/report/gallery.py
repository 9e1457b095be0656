"""The gallery of a report: the same images for all levels, the originals and what each network saw.

The ground truth is shown beside the prediction of each level. The images are the best, the median and the
worst by the mean of all levels, so that no level chooses its own images.
"""

import logging
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope.errors import DatasetNotFoundError, HistoscopeError, ShapeError
from histoscope.files import read_image, read_labels
from histoscope.report import seen
from histoscope.report.effects import higher_is_better, image_metric, stacked
from histoscope.report.outlines import PRED_COLOUR, TRUE_COLOUR, draw, svg_path
from histoscope.report.results import RunResult, StudyResults
from histoscope.types import Image, Labels, Mask

CROP_PX = 256
MARGIN_PX = 48
RANKS = ("best", "median", "worst")
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".tif", ".tiff")
Ranked: TypeAlias = tuple[str, str, str, float]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """What the network of one level saw of an image, and what it found there.

    Parameters
    ----------
    level : str
    score : float
        Primary metric of the whole image.
    image : (h, w, 3) uint8
        The picture's region and margin, as the network saw it.
    pred : (h, w) int32
    n_pred : int
        Nuclei found in the region.
    how : {"original", "normalised", "normaliser not saved"}
        What `image` is; the last one is the original too.
    """

    level: str
    score: float
    image: Image
    pred: Labels
    n_pred: int
    how: str

    @property
    def pred_path(self) -> str:
        """Outlines of the predicted nuclei, as SVG path data."""
        return svg_path(self.pred)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One image of the gallery, cropped to a region that is as good or bad as the whole.

    Parameters
    ----------
    rank : {"best", "median", "worst"}
    name, patient : str
    score : float
        Primary metric of the whole image, mean of all levels.
    n_true : int
        Nuclei in the region.
    image : (h, w, 3) uint8
        The region and a margin around it, so that outlines of nuclei at its edge are not closed along it.
    true : (h, w) int32
    frame : (top, left, height, width)
        The region inside `image`.
    views : tuple of View
        One for each level.
    """

    rank: str
    name: str
    patient: str
    score: float
    n_true: int
    image: Image
    true: Labels
    frame: tuple[int, int, int, int]
    views: tuple[View, ...]

    def region(self, image: Image | None = None) -> Image:
        """Cut the region that is shown from an image, its own if left out."""
        return _cut(self.image if image is None else image, self.frame)

    @property
    def true_path(self) -> str:
        """Outlines of the true nuclei, as SVG path data."""
        return svg_path(self.true)

    def drawn(self, zoom: int = 2) -> list[Image]:
        """Enlarge the original region with the ground truth, then each view with what was found."""
        pairs = [(self.image, self.true, TRUE_COLOUR)]
        pairs += [(view.image, view.pred, PRED_COLOUR) for view in self.views]
        return [self._outlined(image, labels, colour, zoom) for image, labels, colour in pairs]

    def _outlined(self, image: Image, labels: Labels, colour: str, zoom: int) -> Image:
        top, left, height, width = self.frame
        place = (zoom * top, zoom * left, zoom * height, zoom * width)
        return _cut(draw(image, [(labels, colour, 2)], zoom=zoom), place)


@dataclass(frozen=True, slots=True, eq=False)
class Gallery:
    """The pictures of one model, of the first seed that each level has.

    Parameters
    ----------
    model : str
    levels : tuple of str
        Those that have finished runs.
    seeds : tuple of int
        Of each level.
    pictures : tuple of Picture
    missing : str
        What could not be shown; empty if all could.
    """

    model: str
    levels: tuple[str, ...]
    seeds: tuple[int, ...]
    pictures: tuple[Picture, ...]
    missing: str = ""


def strip(shelf: Gallery, zoom: int = 2, gap_px: int = 16) -> Image:
    """Put a gallery in one image, for files: an image a row; the ground truth, then each level."""
    rows = [beside(picture.drawn(zoom), gap_px, axis=1) for picture in shelf.pictures]
    return beside(rows, gap_px, axis=0)


def beside(images: Sequence[Image], gap_px: int, *, axis: int) -> Image:
    """Paste images one after the other along an axis, with white between."""
    other = 1 - axis
    wide = max(image.shape[other] for image in images)
    parts = list[Image]()
    for image in images:
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[other] = (0, wide - image.shape[other])
        pad[axis] = (gap_px if parts else 0, 0)
        parts.append(np.pad(image, pad, constant_values=255))
    return np.ascontiguousarray(np.concatenate(parts, axis=axis))


def shelves(study: StudyResults, levels: Container[str] | None = None) -> list[Gallery]:
    """One gallery a model: images under the primary condition, or why there are none.

    Parameters
    ----------
    study : StudyResults
    levels : container of str, optional
        Which levels; all if left out.
    """
    return [
        _shelf(study, model, [name for name in study.levels_of(model) if levels is None or name in levels])
        for model in study.models
    ]


def ranked(table: pd.DataFrame, metric: str) -> list[Ranked]:
    """(rank, name, patient, score) of the best, median and worst image; fewer where there are fewer images.

    Of an even number of images the better one of the middle two is the median.
    """
    ordered = table.sort_values([metric, "name"], ascending=[not higher_is_better(metric), True])
    places = {"best": 0, "median": (len(ordered) - 1) // 2, "worst": len(ordered) - 1}
    chosen: dict[int, str] = {}
    for rank, place in places.items():
        chosen.setdefault(place, rank)
    rows = [(rank, ordered.iloc[place]) for place, rank in chosen.items()]
    return [(rank, str(row["name"]), str(row["patient"]), float(row[metric])) for rank, row in rows]


def choose_region(true: Labels, preds: Sequence[Labels], size_px: int = CROP_PX) -> tuple[slice, slice]:
    """Choose the window whose Dice is nearest to that of the whole image, among those with many nuclei.

    So that a crop scores like its image. Of several predictions, the one that is farthest from its whole
    image counts.

    Parameters
    ----------
    true : (H, W) int32
    preds : sequence of (H, W) int32
    size_px : int
        Side of the window; smaller images are shown whole.
    """
    height, width = (min(size_px, side) for side in true.shape)
    off = [_off(true, pred, height, width) for pred in preds]
    distance = np.max(off, axis=0)
    row, column = np.unravel_index(int(np.argmin(distance)), distance.shape)
    top, left = int(row) * _stride(height), int(column) * _stride(width)
    return slice(top, top + height), slice(left, left + width)


def _off(true: Labels, pred: Labels, height: int, width: int) -> NDArray[np.float64]:
    """Difference of each window's Dice from the whole image's; infinite where there are few nuclei."""
    both, either = (true > 0) & (pred > 0), (true > 0) * 1 + (pred > 0)
    inter, total = _window_sums(both, height, width), _window_sums(either, height, width)
    whole = 2 * both.sum() / max(int(either.sum()), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance: NDArray[np.float64] = np.abs(2 * inter / total - whole)
    distance[(total < np.median(total)) | (total == 0)] = np.inf
    return distance


def _stride(side: int) -> int:
    return max(side // 8, 1)


def _window_sums(mask: NDArray[np.integer] | Mask, height: int, width: int) -> NDArray[np.float64]:
    """Sum of `mask` in every window, by the summed-area table."""
    table = np.pad(mask.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    sums = (
        table[height:, width:] - table[:-height, width:] - table[height:, :-width] + table[:-height, :-width]
    )
    spaced: NDArray[np.float64] = sums[:: _stride(height), :: _stride(width)].astype(np.float64)
    return spaced


def _shelf(study: StudyResults, model: str, levels: Sequence[str]) -> Gallery:
    condition, metric = study.primary_condition, image_metric(study)
    runs, tables = dict[str, RunResult](), list[pd.DataFrame]()
    for level in levels:
        scores = stacked(study, model, condition, level, metric).dropna(subset=metric)
        if len(scores):
            seed = int(scores["seed"].min())
            runs[level] = next(run for run in study.finished(model, level) if run.seed == seed)
            tables.append(scores[scores["seed"] == seed].assign(level=level))
    lacking = [f"no finished run of {level}" for level in levels if level not in runs]
    if not runs:
        return Gallery(model, (), (), (), "no finished run")
    together = pd.concat(tables, ignore_index=True)
    means = together.groupby(["name", "patient"], as_index=False)[metric].mean()
    times = together["name"].value_counts()
    means = means[means["name"].map(times) == len(runs)]
    each = dict(zip(zip(together["level"], together["name"], strict=True), together[metric], strict=True))
    pictures = []
    for row in ranked(means, metric) if len(means) else ():
        try:
            pictures.append(_picture(study, runs, row, each))
        except (HistoscopeError, OSError) as error:
            log.warning("gallery: %s", error)
            lacking.append(f"no image or outlines on disk for {row[1]} ({row[0]})")
    seeds = tuple(run.seed for run in runs.values())
    return Gallery(model, tuple(runs), seeds, tuple(pictures), "; ".join(lacking))


def _picture(
    study: StudyResults, runs: Mapping[str, RunResult], row: Ranked, scores: Mapping[tuple[str, str], float]
) -> Picture:
    rank, name, patient, score = row
    truth, condition = study.folder / "truth", study.primary_condition
    image = seen.restained(study, read_image(_inside(truth / "images", name, IMAGE_SUFFIXES)))
    true = read_labels(_inside(truth / "labels", name, (".png", ".tif")))
    preds = {}
    for level, run in runs.items():
        folder = run.folder if run.folder is not None else study.folder / run.name
        pred = preds[level] = read_labels(_inside(folder / "predictions" / condition, name, (".png", ".tif")))
        if not image.shape[:2] == true.shape == pred.shape:
            raise ShapeError(
                f"{name}: image {image.shape[:2]}, truth {true.shape}, prediction {pred.shape}; expected the "
                "same size"
            )
    rows, columns = choose_region(true, list(preds.values()))
    wide = tuple(slice(max(part.start - MARGIN_PX, 0), part.stop + MARGIN_PX) for part in (rows, columns))
    top, left = rows.start - wide[0].start, columns.start - wide[1].start
    frame = (top, left, rows.stop - rows.start, columns.stop - columns.start)

    def view(level: str, pred: Labels) -> View:
        made = seen.normalised(runs[level], image)
        how = "normaliser not saved" if made is None else "original" if made is image else "normalised"
        shown = (image if made is None else made)[wide]
        return View(level, scores[level, name], shown, pred[wide], _count(pred[rows, columns]), how)

    views = tuple(view(level, pred) for level, pred in preds.items())
    n_true = _count(true[rows, columns])
    return Picture(rank, name, patient, score, n_true, image[wide], true[wide], frame, views)


def _count(labels: Labels) -> int:
    return len(np.setdiff1d(labels, [0]))


def _cut(image: Image, frame: tuple[int, int, int, int]) -> Image:
    top, left, height, width = frame
    return np.ascontiguousarray(image[top : top + height, left : left + width])


def _inside(folder: Path, name: str, suffixes: tuple[str, ...]) -> Path:
    """Find the file called `name` in `folder`; a name from a table must not lead out of it."""
    for suffix in suffixes:
        path = folder / f"{name}{suffix}"
        if path.is_file() and path.resolve().is_relative_to(folder.resolve()):
            return path
    raise DatasetNotFoundError(f"no {' or '.join(suffixes)} called {name!r} in {folder}")
