"""The overlap table (contingency matrix) of two label maps, from which every metric is computed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ShapeError
from histoscope.labels import checked
from histoscope.metrics._kernels import count_pairs, number_ids
from histoscope.types import Labels


@dataclass(frozen=True, slots=True, eq=False)
class Overlap:
    """Sparse overlap table of true and predicted nuclei.

    Ids and pairs are in the order of their first pixel (row by row), so that scores do not depend on the
    numbering of nuclei, not even through ties.

    Parameters
    ----------
    true_ids, pred_ids : (T,), (P,) int32
        The ids that occur, without background.
    true_areas, pred_areas : (T,), (P,) int64
        Pixels of each nucleus.
    true_index, pred_index : (K,) int64
        Positions in `true_ids` and `pred_ids` of each pair of nuclei that shares a pixel.
    pixels : (K,) int64
        Pixels that each pair shares.
    n_pixels : int
        Pixels of the map.

    Examples
    --------
    >>> table = overlap(np.array([[7, 7, 7, 0]]), np.array([[0, 3, 3, 9]]))
    >>> table.true_areas, table.pred_areas, table.pixels, table.iou
    (array([3]), array([2, 1]), array([2]), array([0.66666667]))
    >>> table.background
    0
    """

    true_ids: NDArray[np.int32]
    pred_ids: NDArray[np.int32]
    true_areas: NDArray[np.int64]
    pred_areas: NDArray[np.int64]
    true_index: NDArray[np.int64]
    pred_index: NDArray[np.int64]
    pixels: NDArray[np.int64]
    n_pixels: int

    def __repr__(self) -> str:
        return (
            f"Overlap({len(self.true_ids)} true and {len(self.pred_ids)} predicted nuclei, "
            f"{len(self.pixels)} pairs share pixels)"
        )

    @property
    def unions(self) -> NDArray[np.int64]:
        """(K,) pixels of either nucleus of each pair."""
        return self.true_areas[self.true_index] + self.pred_areas[self.pred_index] - self.pixels

    @property
    def iou(self) -> NDArray[np.float64]:
        """(K,) intersection over union of each pair, in (0, 1]."""
        ratio: NDArray[np.float64] = self.pixels / self.unions
        return ratio

    @property
    def background(self) -> int:
        """Pixels that are background in both maps."""
        return self.n_pixels - int(self.true_areas.sum() + self.pred_areas.sum() - self.pixels.sum())

    def only(self, true_kept: NDArray[np.bool_], pred_kept: NDArray[np.bool_]) -> "Overlap":
        """Table of some of the nuclei, (T,) and (P,) bool, as if the others were background."""
        pairs = true_kept[self.true_index] & pred_kept[self.pred_index]
        return Overlap(
            true_ids=self.true_ids[true_kept],
            pred_ids=self.pred_ids[pred_kept],
            true_areas=self.true_areas[true_kept],
            pred_areas=self.pred_areas[pred_kept],
            true_index=(np.cumsum(true_kept) - 1)[self.true_index[pairs]],
            pred_index=(np.cumsum(pred_kept) - 1)[self.pred_index[pairs]],
            pixels=self.pixels[pairs],
            n_pixels=self.n_pixels,
        )


def overlap(true: ArrayLike | Labels, pred: ArrayLike | Labels) -> Overlap:
    """Overlap table of two label maps, in one pass.

    Time grows with pixels and with borders between nuclei, not with ids: they may be large, with gaps, in
    any order.

    Parameters
    ----------
    true, pred : (H, W) integers
        Instance maps; 0 is background, each id up to 2**31 - 1 a nucleus. A boolean mask is one nucleus.
        int32 is fastest, other types are converted first.

    Returns
    -------
    Overlap

    Raises
    ------
    ShapeError
        If the maps differ in shape, are not two-dimensional, are not integers, or hold negative ids.
    """
    true, pred = checked(true, "true labels", ids=False), checked(pred, "pred labels", ids=False)
    if true.shape != pred.shape:
        raise ShapeError(
            f"true labels are {true.shape}, predicted ones {pred.shape}; expected the same height and width"
        )
    keys, pixels, fine = count_pairs(true.ravel(), pred.ravel())
    if not fine:
        lowest = {"true": int(true.min()), "pred": int(pred.min())}
        name = min(lowest, key=lambda which: lowest[which])
        raise ShapeError(
            f"{name} labels contain the id {lowest[name]}; expected 0 for background and ids above 0"
        )
    true_of, pred_of = (keys >> 32).astype(np.int32), (keys & 0xFFFFFFFF).astype(np.int32)
    true_ids, true_index = number_ids(true_of)
    pred_ids, pred_index = number_ids(pred_of)
    on_true, on_pred = true_of > 0, pred_of > 0
    both = on_true & on_pred
    return Overlap(
        true_ids=true_ids,
        pred_ids=pred_ids,
        true_areas=_sums(true_index[on_true], pixels[on_true], len(true_ids)),
        pred_areas=_sums(pred_index[on_pred], pixels[on_pred], len(pred_ids)),
        true_index=true_index[both],
        pred_index=pred_index[both],
        pixels=pixels[both],
        n_pixels=true.size,
    )


def as_overlap(true: Overlap | ArrayLike | Labels, pred: ArrayLike | Labels | None) -> Overlap:
    """Overlap table of two label maps, or the given one; a `ShapeError` if only one map is given."""
    if isinstance(true, Overlap):
        if pred is not None:
            raise ShapeError(
                "got an Overlap together with a label map; give the Overlap alone, or two label maps"
            )
        return true
    if pred is None:
        raise ShapeError("got one label map, expected the true and the predicted one, or their Overlap")
    return overlap(true, pred)


def classes_of_ids(ids: NDArray[np.int32], classes: ArrayLike, n_classes: int, name: str) -> NDArray[np.intp]:
    """Class of each id.

    Raises
    ------
    ShapeError
        If an id has no entry, or a class is not in 0 to `n_classes`.
    """
    array = np.asarray(classes)
    top = int(ids.max(initial=0))
    if array.ndim != 1 or len(array) <= top or array.dtype.kind not in "iu":
        raise ShapeError(
            f"{name} classes are {array.shape} {array.dtype} for ids up to {top}; expected one whole number "
            "for background, then one for each id"
        )
    found = array[ids].astype(np.intp)
    if found.size and not 0 <= found.min() <= found.max() <= n_classes:
        wrong = found.min() if found.min() < 0 else found.max()
        raise ShapeError(
            f"{name} classes contain {wrong} (nucleus {ids[found == wrong][0]}); expected 0 for no class, "
            f"or 1 to {n_classes}"
        )
    return found


def _sums(index: NDArray[np.int64], values: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    # Sums of pixel counts are exact in float64 up to 2**53.
    return np.bincount(index, weights=values, minlength=n).astype(np.int64)
