"""Which nuclei to look at first."""

from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa

_PER_SQUARE = 4
"""Nuclei per square of the slide if they were spread evenly."""


def least_sure(cells: "pa.Table", n: int, *, without: Collection[str] = ()) -> NDArray[np.int64]:
    """Rows of the nuclei that a model is least sure of, spread over the slide.

    The slide is cut into squares, a quarter as many as nuclei wanted. Each square contributes its least sure
    nucleus, the least sure of these first, then its second, and so on, so that one bad corner does not
    dominate.

    Parameters
    ----------
    cells : pyarrow.Table
        From `read_cells`.
    n : int
    without : collection of str
        Ids of nuclei that were already checked.

    Returns
    -------
    (m,) int64
        At most `n` rows, in the order in which to check them. If nuclei have classes, the least sure has the
        smallest difference between the probabilities of its two most likely classes; otherwise the lowest
        probability.

    Examples
    --------
    >>> import pyarrow as pa
    >>> place = {"x_px": [1.0, 2.0], "y_px": [1.0, 2.0]}
    >>> cells = pa.table({"id": ["a", "b"], "probability": [0.9, 0.6], **place})
    >>> least_sure(cells, 1).tolist()
    [1]
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    is_left = ~pc.is_in(cells["id"], value_set=pa.array(sorted(without), pa.string())).to_numpy()
    rows = np.flatnonzero(is_left)
    if not len(rows) or n < 1:
        return rows[:0]
    sure = _sureness(cells)[rows]
    square = _squares(np.stack([cells["x_px"].to_numpy(), cells["y_px"].to_numpy()], 1)[rows], n)
    order = np.lexsort((rows, sure, square))
    first = np.flatnonzero(np.append(True, np.diff(square[order]) != 0))
    turn = np.empty(len(rows), np.int64)
    turn[order] = np.arange(len(rows)) - np.repeat(first, np.diff(np.append(first, len(rows))))
    chosen = np.lexsort((rows, sure, turn))[:n]
    return np.asarray(rows[chosen], np.int64)


def _sureness(cells: "pa.Table") -> NDArray[np.float64]:
    """Margin of the most likely class, or the probability without two classes; unknown is least sure."""
    columns = [name for name in cells.column_names if name.startswith("p_")]
    if len(columns) < 2:
        sure = cells["probability"].to_numpy().astype(float)
    else:
        shares = np.sort(np.stack([cells[name].to_numpy() for name in columns], 1).astype(float), axis=1)
        sure = shares[:, -1] - shares[:, -2]
    return np.where(np.isnan(sure), -1.0, sure)


def _squares(centre_px: NDArray[np.float64], n: int) -> NDArray[np.int64]:
    """Square of each nucleus, among about ``n / 4`` that contain them all."""
    low, high = centre_px.min(axis=0), centre_px.max(axis=0)
    wide, tall = np.maximum(high - low, 1.0)
    side = np.sqrt(wide * tall / max(n / _PER_SQUARE, 1.0))
    columns = int(wide / side) + 1
    place = ((centre_px - low) / side).astype(np.int64)
    return np.asarray(place[:, 1] * columns + place[:, 0], np.int64)
