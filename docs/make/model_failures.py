"""Where a model failed most: windows full of one kind of mistake, with the mistakes outlined."""

from collections.abc import Iterable

import numpy as np
from model_sheet import CROP_UM, PREDICTION, Cell, Tile, drawn
from scipy import ndimage

from histoscope import metrics
from histoscope.types import Labels
from histoscope.words import count

KINDS = {
    "wrong": ("outline", "of no nucleus (orange)"),
    "missed": ("missed nucleus", "(blue)"),
    "merged": ("outline", "over several nuclei (orange)"),
}
COLOURS = {"wrong": (255, 102, 0), "missed": (0, 51, 204), "merged": (255, 102, 0)}
TOUCH = 0.3
"""Share of the smaller of two nuclei that they share, from which they count as the same place."""


def failures(tiles: Iterable[Tile]) -> list[Cell]:
    """The window with the most mistakes of each kind, of all tiles."""
    found = {}
    for tile in tiles:
        for kind, labels in mistakes(tile).items():
            n, window = fullest(labels, round(CROP_UM / tile.mpp))
            if n > found.get(kind, (0,))[0]:
                found[kind] = n, window, tile, labels
    cells = []
    for kind in (kind for kind in KINDS if kind in found):
        n, window, tile, labels = found[kind]
        noun, what = KINDS[kind]
        layers = [(tile.pred, PREDICTION, 1), (labels, COLOURS[kind], 2)]
        cells.append(Cell(drawn(tile, window, layers), f"{count(n, noun)} {what}", tile.name))
    return cells


def mistakes(tile: Tile) -> dict[str, Labels]:
    """Label map of each kind of mistake."""
    table = metrics.overlap(tile.true, tile.pred)
    of_true = table.pixels / table.true_areas[table.true_index]
    of_pred = table.pixels / table.pred_areas[table.pred_index]
    paired = np.maximum(of_true, of_pred) > TOUCH
    swallowed = np.bincount(table.pred_index[of_true > 0.5], minlength=len(table.pred_ids))
    return {
        "wrong": _only(tile.pred, np.delete(table.pred_ids, table.pred_index[paired])),
        "missed": _only(tile.true, np.delete(table.true_ids, table.true_index[paired])),
        "merged": _only(tile.pred, table.pred_ids[swallowed > 1]),
    }


def fullest(labels: Labels, side: int) -> tuple[int, tuple[slice, slice]]:
    """How many nuclei have their centre in the fullest window, and that window."""
    height, width = (min(side, each) for each in labels.shape)
    ids = np.setdiff1d(labels, [0])
    centres = np.array(ndimage.center_of_mass(labels > 0, labels, ids)).reshape(-1, 2)
    best = 0, (slice(0, height), slice(0, width))
    for top in range(0, labels.shape[0] - height + 1, max(height // 8, 1)):
        for left in range(0, labels.shape[1] - width + 1, max(width // 8, 1)):
            inside = (centres >= (top, left)) & (centres < (top + height, left + width))
            n = int(inside.all(axis=1).sum())
            if n > best[0]:
                best = n, (slice(top, top + height), slice(left, left + width))
    return best


def _only(labels: Labels, ids: Labels) -> Labels:
    return np.where(np.isin(labels, ids), labels, 0)
