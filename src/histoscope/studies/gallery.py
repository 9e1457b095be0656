"""The gallery of a report: best, median and worst image of each level, with true and predicted outlines."""

import base64
import io
import logging
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope.errors import DatasetNotFoundError, HistoscopeError, ShapeError
from histoscope.files import read_image, read_labels
from histoscope.studies.effects import higher_is_better, image_metric, stacked
from histoscope.studies.outlines import PRED_COLOUR, TRUE_COLOUR, draw, svg_path
from histoscope.studies.results import RunResult, StudyResults
from histoscope.types import Image, Labels, Mask

CROP_PX = 256
MARGIN_PX = 48
RANKS = ("best", "median", "worst")
IMAGE_SUFFIXES = (".jpg", ".png", ".jpeg", ".tif", ".tiff")
Ranked: TypeAlias = tuple[str, str, str, float]
log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One image of the gallery, cropped to a region that is as good or bad as the whole.

    Parameters
    ----------
    rank : {"best", "median", "worst"}
    name, patient : str
    score : float
        Primary metric of the whole image.
    n_true, n_pred : int
        Nuclei in the region.
    image : (h, w, 3) uint8
        The region and a margin around it, so that outlines of nuclei at its edge are not closed along it.
    true, pred : (h, w) int32
    frame : (top, left, height, width)
        The region inside `image`.
    """

    rank: str
    name: str
    patient: str
    score: float
    n_true: int
    n_pred: int
    image: Image
    true: Labels
    pred: Labels
    frame: tuple[int, int, int, int]

    @property
    def jpeg(self) -> str:
        """The region as base64 JPEG."""
        from PIL import Image as Pillow

        buffer = io.BytesIO()
        Pillow.fromarray(_cut(self.image, self.frame)).save(buffer, "JPEG", quality=88)
        return base64.b64encode(buffer.getvalue()).decode("ascii")

    @property
    def true_path(self) -> str:
        """Outlines of the true nuclei, as SVG path data."""
        return svg_path(self.true)

    @property
    def pred_path(self) -> str:
        """Outlines of the predicted nuclei, as SVG path data."""
        return svg_path(self.pred)

    def drawn(self, zoom: int = 2) -> Image:
        """Enlarge the region, with both outlines in its pixels."""
        drawn = draw(self.image, [(self.true, TRUE_COLOUR, 3), (self.pred, PRED_COLOUR, 2)], zoom=zoom)
        top, left, height, width = self.frame
        return _cut(drawn, (zoom * top, zoom * left, zoom * height, zoom * width))


@dataclass(frozen=True, slots=True, eq=False)
class Shelf:
    """The pictures of one level and model, from its first seed.

    Parameters
    ----------
    model, level : str
    seed : int
    pictures : tuple of Picture
    missing : str
        Why there are none; empty otherwise.
    """

    model: str
    level: str
    seed: int
    pictures: tuple[Picture, ...]
    missing: str = ""


def strip(shelf: Shelf, zoom: int = 2, gap_px: int = 16) -> Image:
    """Paste the pictures of a shelf side by side on white, for files."""
    drawn = [picture.drawn(zoom) for picture in shelf.pictures]
    height = max(picture.shape[0] for picture in drawn)
    width = sum(picture.shape[1] for picture in drawn) + gap_px * (len(drawn) - 1)
    canvas = np.full((height, width, 3), 255, np.uint8)
    left = 0
    for picture in drawn:
        canvas[: picture.shape[0], left : left + picture.shape[1]] = picture
        left += picture.shape[1] + gap_px
    return canvas


def shelves(study: StudyResults, levels: Container[str] | None = None) -> list[Shelf]:
    """One shelf a level and model: pictures under the primary condition, or why there are none.

    Parameters
    ----------
    study : StudyResults
    levels : container of str, optional
        Which levels; all if left out.
    """
    return [
        _shelf(study, model, level)
        for model in study.models
        for level in study.levels_of(model)
        if levels is None or level in levels
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


def choose_region(true: Labels, pred: Labels, size_px: int = CROP_PX) -> tuple[slice, slice]:
    """Choose the window whose Dice is nearest to that of the whole image, among those with many nuclei.

    So a crop neither flatters nor shames the image it stands for.

    Parameters
    ----------
    true, pred : (H, W) int32
    size_px : int
        Side of the window; smaller images are shown whole.
    """
    height, width = (min(size_px, side) for side in true.shape)
    inter, total = (
        _window_sums(mask, height, width) for mask in ((true > 0) & (pred > 0), (true > 0) * 1 + (pred > 0))
    )
    whole = 2 * ((true > 0) & (pred > 0)).sum() / max(int((true > 0).sum() + (pred > 0).sum()), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        distance = np.abs(2 * inter / total - whole)
    distance[(total < np.median(total)) | (total == 0)] = np.inf
    row, column = np.unravel_index(int(np.argmin(distance)), distance.shape)
    top, left = int(row) * _stride(height), int(column) * _stride(width)
    return slice(top, top + height), slice(left, left + width)


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


def _shelf(study: StudyResults, model: str, level: str) -> Shelf:
    condition = study.primary_condition
    metric = image_metric(study)
    scores = stacked(study, model, condition, level, metric).dropna(subset=metric)
    if scores.empty:
        return Shelf(model, level, -1, (), "no finished run")
    seed = int(scores["seed"].min())
    run = next(run for run in study.finished(model, level) if run.seed == seed)
    pictures, problems = [], []
    for rank, name, patient, score in ranked(scores[scores["seed"] == seed], metric):
        try:
            pictures.append(_picture(study, run, condition, (rank, name, patient, score)))
        except (HistoscopeError, OSError) as error:
            log.warning("gallery: %s", error)
            problems.append(f"{name} ({rank})")
    missing = f"no image or outlines on disk for {', '.join(problems)}" if problems else ""
    return Shelf(model, level, seed, tuple(pictures), missing)


def _picture(
    study: StudyResults, run: RunResult, condition: str, row: tuple[str, str, str, float]
) -> Picture:
    rank, name, patient, score = row
    truth = study.folder / "truth"
    image = read_image(_inside(truth / "images", name, IMAGE_SUFFIXES))
    true = read_labels(_inside(truth / "labels", name, (".png", ".tif")))
    folder = run.folder if run.folder is not None else study.folder / run.name
    pred = read_labels(_inside(folder / "predictions" / condition, name, (".png", ".tif")))
    if not image.shape[:2] == true.shape == pred.shape:
        raise ShapeError(
            f"{name}: image {image.shape[:2]}, truth {true.shape}, prediction {pred.shape}; expected one size"
        )
    rows, columns = choose_region(true, pred)
    counts = [len(np.setdiff1d(labels[rows, columns], [0])) for labels in (true, pred)]
    wide = tuple(slice(max(part.start - MARGIN_PX, 0), part.stop + MARGIN_PX) for part in (rows, columns))
    top, left = rows.start - wide[0].start, columns.start - wide[1].start
    frame = (top, left, rows.stop - rows.start, columns.stop - columns.start)
    return Picture(
        rank, name, patient, score, counts[0], counts[1], image[wide], true[wide], pred[wide], frame
    )


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
