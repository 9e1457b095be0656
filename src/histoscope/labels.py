# mypy: disallow-untyped-decorators=False
"""Label maps: numbering nuclei without gaps, and their areas and centroids."""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.compiled import njit
from histoscope.errors import ShapeError
from histoscope.threads import SMALLEST_BAND, over
from histoscope.types import Labels

T = TypeVar("T", bound=np.generic)


def relabel(
    labels: NDArray[np.integer[Any]], keep: NDArray[np.bool_] | None = None
) -> tuple[Labels, NDArray[np.int64]]:
    """Number nuclei 1..N without gaps, in the order of their ids.

    Parameters
    ----------
    labels : (H, W) integers
        0 is background.
    keep : (n,) bool, optional
        Which of the ids 1..n to keep; the others become background. By default, all ids in the map.

    Returns
    -------
    labels : (H, W) int32
        The given array if nothing changes, otherwise a new one.
    ids : (N,) int64
        The id that each nucleus had.

    Raises
    ------
    ShapeError
        If an id is below 0, or above the n of `keep`.

    Examples
    --------
    >>> labels = np.array([[0, 2, 5, 2]], np.int32)
    >>> relabel(labels)
    (array([[0, 1, 2, 1]], dtype=int32), array([2, 5]))
    >>> relabel(labels, np.array([True, False, True, True, True]))
    (array([[0, 0, 4, 0]], dtype=int32), array([1, 3, 4, 5]))
    """
    low, top = int(labels.min(initial=0)), int(labels.max(initial=0))
    if low < 0 or (keep is not None and top > len(keep)):
        most = "" if keep is None else f" up to {len(keep)}"
        raise ShapeError(f"label map holds ids from {low} to {top}, expected 0 for background, ids{most}")
    if keep is None and top > largest_small_id(labels):  # a table indexed by id would take gigabytes
        ids = np.setdiff1d(labels, [0]).astype(np.int64)
        return np.searchsorted(np.append(0, ids), labels).astype(np.int32), ids
    flat = np.ascontiguousarray(labels, np.int32).ravel()
    stays = _present(flat, top)[1:] if keep is None else keep
    ids = np.flatnonzero(stays) + 1
    if keep is not None and len(ids) == len(keep):
        return flat.reshape(labels.shape), ids
    new_id = np.append(0, np.cumsum(stays) * stays).astype(np.int32)
    return _looked_up(flat, new_id).reshape(labels.shape), ids


def centroids(labels: Labels, n: int | None = None) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Number and mean position of the pixels of each nucleus.

    Parameters
    ----------
    labels : (H, W) int32
        Ids from 0 to `n`.
    n : int, optional
        Number of nuclei; by default, the largest id.

    Returns
    -------
    area_px : (n,) int64
        Of id 1, 2, ...
    centroid_px : (n, 2) float64
        x and y of the mean of the pixels' indices; 0 for ids that are not in the map.

    Raises
    ------
    ShapeError
        If an id is below 0 or above `n`.

    Examples
    --------
    >>> centroids(np.array([[0, 1, 1], [0, 0, 3]], np.int32))
    (array([2, 0, 1]), array([[1.5, 0. ],
           [0. , 0. ],
           [2. , 1. ]]))
    """
    low, top = int(labels.min(initial=0)), int(labels.max(initial=0))
    n = top if n is None else n
    if low < 0 or top > n:
        raise ShapeError(f"label map holds ids from {low} to {top}, expected 0 for background, ids up to {n}")
    smallest = max(1, SMALLEST_BAND // max(1, labels.shape[1]))
    sums = over(_sums, len(labels), smallest, np.ascontiguousarray(labels, np.int32), n)
    area, x, y = np.sum(sums, axis=0)[:, 1:]
    return area, np.stack([x, y], axis=1) / np.maximum(area, 1)[:, None]


def checked(labels: ArrayLike, name: str = "labels", *, ids: bool = True) -> Labels:
    """Contiguous, read-only (H, W) int32 view or copy of a label map; a boolean mask is one nucleus.

    With ``ids=False`` ids of int32 maps and smaller types are not checked, which saves a pass over the map.

    Raises
    ------
    ShapeError
        If it is not a map of integers from 0 to 2**31 - 1.
    """
    array = np.asarray(labels)
    if array.ndim != 2:
        raise ShapeError(f"{name} have shape {array.shape}, expected (height, width)")
    if array.dtype.kind not in "iub":
        raise ShapeError(
            f"{name} are {array.dtype}, expected integers; label them, or round and convert them"
        )
    fits = array.dtype == np.int32 or array.dtype.itemsize < 4
    if array.dtype.kind != "b" and array.size and (ids or not fits):
        low, high = int(array.min()), int(array.max())
        if low < 0 or high > np.iinfo(np.int32).max:
            raise ShapeError(
                f"{name} run from {low} to {high}, expected ids from 0 to 2**31 - 1; relabel them"
            )
    return read_only(np.ascontiguousarray(array, dtype=np.int32))


def read_only(array: NDArray[T]) -> NDArray[T]:
    """Read-only view: Numba recompiles a kernel for each mix of writable and read-only arrays."""
    view = array.view()
    view.flags.writeable = False
    return view


def largest_small_id(labels: NDArray[np.integer[Any]]) -> int:
    """Largest id for which tables indexed by id take about as much memory as the map itself."""
    return max(2**20, labels.size)


@njit
def _present(flat: Labels, top: int) -> NDArray[np.bool_]:
    present = np.zeros(top + 1, np.bool_)
    for k in range(flat.size):
        present[flat[k]] = True
    return present


@njit
def _looked_up(flat: Labels, new_id: NDArray[np.int32]) -> Labels:
    out = np.empty(flat.size, np.int32)
    for k in range(flat.size):
        out[k] = new_id[flat[k]]
    return out


@njit
def _sums(start: int, stop: int, labels: Labels, n: int) -> NDArray[np.int64]:
    """(3, n + 1) number, sum of x and sum of y of the pixels of each id, in some rows."""
    sums = np.zeros((3, n + 1), np.int64)
    for y in range(start, stop):
        for x in range(labels.shape[1]):
            k = labels[y, x]
            if k:
                sums[0, k] += 1
                sums[1, k] += x
                sums[2, k] += y
    return sums
