"""Label maps as results: those of a data folder, with classes, and those of a model against the truth."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.base import classes_of
from histoscope.errors import ConfigError, ShapeError
from histoscope.export.cells import polygons_of
from histoscope.files import read_labels
from histoscope.labels import relabel
from histoscope.metrics import overlap
from histoscope.nuclei import Nuclei
from histoscope.types import Labels
from histoscope.viewer.marks import Marks
from histoscope.viewer.sorting import Batch, sorted_marks

FOUND, MISSED, FALSE_POSITIVE, MERGED, SPLIT = OUTCOMES = (
    "found",
    "missed",
    "false positive",
    "merged",
    "split",
)
"""What became of a nucleus; classes of the page, from 1."""
OUTCOME_COLOURS = ((0, 0, 0), (0, 204, 153), (0, 51, 204), (255, 102, 0), (255, 255, 0), (153, 102, 255))
"""Of nothing, then of each outcome: from the palette of classes, so that all people can tell them apart."""
_LEAST_IOU, _MOST = 0.5, 0.5


class LabelResults:
    """``NAME_labels.png``, or a label map of a data folder with its class map.

    Parameters
    ----------
    path : Path
    class_map : Path, optional
        Class of each pixel.
    names : mapping of int to str
        Of classes.
    """

    def __init__(
        self, path: Path, class_map: Path | None = None, names: Mapping[int, str] = MappingProxyType({})
    ) -> None:
        labels, self._ids = relabel(_ids_of(read_labels(path)))
        classes = None if class_map is None else classes_of(labels, read_labels(class_map))
        self._nuclei = Nuclei.from_labels(labels, mpp=1.0, classes=classes)
        most = max([*names, int(self._nuclei.class_id.max(initial=0))], default=0)
        self._classes = [names.get(k, f"class {k}") for k in range(1, most + 1)]

    def marks(self) -> Marks:
        """All nuclei, by id."""
        nuclei = self._nuclei
        batch = Batch(nuclei.centroid_px, nuclei.class_id, nuclei.probability, polygons_of(nuclei))
        return sorted_marks([batch], {"classes": self._classes, "size_px": list(nuclei.shape[::-1])})

    def features(self, row: int) -> dict[str, Any]:
        """Class, number and area of one nucleus."""
        nuclei = self._nuclei
        if not 0 <= row < len(nuclei):
            raise ConfigError(f"there is no such row; the map has {len(nuclei):,}")
        name = ["nucleus", *self._classes][int(nuclei.class_id[row])]
        return {"class": name, "id": int(self._ids[row]), "area_px": int(nuclei.area_px[row])}


class Compared:
    """Nuclei of a model against the truth: found, missed, false positive, merged or split.

    A predicted nucleus is *merged* if more than half of each of two true ones lies in it; else *found* if it
    has an IoU above 0.5 with one; else *split* if most of it lies in a true nucleus that others share; else
    a *false positive*. A true nucleus that has no part in the first three is *missed*, and drawn as it
    should have been.

    Parameters
    ----------
    path, truth : Path
        Label maps of the model and of the ground truth.

    Raises
    ------
    ShapeError
        If they are of different sizes.
    """

    def __init__(self, path: Path, truth: Path) -> None:
        pred, self._ids = relabel(read_labels(path))
        true, _ = relabel(read_labels(truth))
        if pred.shape != true.shape:
            raise ShapeError(
                f"{path.name} is {pred.shape}, its ground truth {true.shape}; expected the same size"
            )
        self._outcome, self._missed, self._best = outcomes(true, pred)
        self._pred, self._true = (Nuclei.from_labels(labels, mpp=1.0) for labels in (pred, true))

    def marks(self) -> Marks:
        """Predicted nuclei, then those that were missed."""
        pred, true, missed = self._pred, self._true, self._missed
        batches = [
            Batch(pred.centroid_px, self._outcome, self._best, polygons_of(pred)),
            Batch(
                true.centroid_px[missed],
                np.full(len(missed), 1 + OUTCOMES.index(MISSED)),
                np.ones(len(missed)),
                polygons_of(true)[missed],
            ),
        ]
        about = {"classes": list(OUTCOMES), "colours": OUTCOME_COLOURS, "size_px": list(pred.shape[::-1])}
        return sorted_marks(batches, about | {"n_true": len(true)})

    def features(self, row: int) -> dict[str, Any]:
        """What became of one nucleus, and its IoU with the true one that it overlaps most."""
        n = len(self._pred)
        if not 0 <= row < n + len(self._missed):
            raise ConfigError(f"there is no such row; the map has {n + len(self._missed):,}")
        if row >= n:
            at = int(self._missed[row - n])
            return {"class": MISSED, "area_px": int(self._true.area_px[at])}
        return {
            "class": OUTCOMES[int(self._outcome[row]) - 1],
            "id": int(self._ids[row]),
            "iou": round(float(self._best[row]), 3),
            "area_px": int(self._pred.area_px[row]),
        }


def outcomes(true: Labels, pred: Labels) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.float64]]:
    """Tell what became of each nucleus, see `Compared`.

    Parameters
    ----------
    true, pred : (H, W) int32
        Ids without gaps.

    Returns
    -------
    outcome : (P,) uint8
        Of each predicted nucleus: its place in `OUTCOMES`, from 1.
    missed : (M,) int64
        True nuclei that were missed: their ids, less one.
    best : (P,) float64
        Largest IoU of each predicted nucleus.

    Examples
    --------
    >>> true, pred = np.array([[1, 1, 2, 2, 0, 3, 4]]), np.array([[1, 1, 1, 1, 2, 3, 0]])
    >>> outcome, missed, _ = outcomes(true, pred)
    >>> [OUTCOMES[k - 1] for k in outcome], (missed + 1).tolist()
    (['merged', 'false positive', 'found'], [4])
    """
    table = overlap(true, pred)
    n_pred, n_true = int(pred.max(initial=0)), int(true.max(initial=0))
    of_pred, of_true = table.pred_ids[table.pred_index] - 1, table.true_ids[table.true_index] - 1
    best = np.zeros(n_pred)
    np.maximum.at(best, of_pred, table.iou)
    most_of_true = table.pixels > _MOST * table.true_areas[table.true_index]
    most_of_pred = table.pixels > _MOST * table.pred_areas[table.pred_index]
    is_shared = np.bincount(of_true[most_of_pred], minlength=n_true) > 1
    is_piece = most_of_pred & is_shared[of_true]
    is_merged = np.bincount(of_pred[most_of_true], minlength=n_pred) > 1
    is_found = best > _LEAST_IOU
    is_split = np.bincount(of_pred[is_piece], minlength=n_pred) > 0
    outcome = np.full(n_pred, 1 + OUTCOMES.index(FALSE_POSITIVE), np.uint8)
    for name, has in ((SPLIT, is_split), (FOUND, is_found), (MERGED, is_merged)):
        outcome[has] = 1 + OUTCOMES.index(name)
    told = (table.iou > _LEAST_IOU) | (most_of_true & is_merged[of_pred]) | is_piece
    return outcome, np.flatnonzero(np.bincount(of_true[told], minlength=n_true) == 0), best


def _ids_of(labels: Labels) -> Labels:
    """Label map of a mask: where there is a single value, each piece of pixels that touch is a nucleus."""
    values = np.unique(labels)
    if len(values[values > 0]) != 1:
        return labels
    import cv2

    _, pieces = cv2.connectedComponents((labels > 0).astype(np.uint8), connectivity=8)
    return np.asarray(pieces, np.int32)
