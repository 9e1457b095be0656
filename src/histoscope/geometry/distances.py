"""Star distances and object probabilities of label maps: the training targets of StarDist."""

from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.errors import ConfigError
from histoscope.geometry import _kernels
from histoscope.labels import checked
from histoscope.threads import over
from histoscope.types import Labels

_SMALLEST = 1 << 16  # pixels below which a further thread costs more than it saves


def star_distances(labels: ArrayLike | Labels, n_rays: int, *, grid: int = 1) -> NDArray[np.float32]:
    """Distance from each pixel to the end of its nucleus, along rays.

    Ray k points from the pixel's centre at the angle ``2 pi k / n_rays``: ray 0 along the row (to larger x),
    a quarter turn later down the column (to larger y). A ray takes steps of one pixel; the first step that
    rounds to a pixel of another id, or to none, ends it, and half a pixel (measured along the ray's longer
    axis) is taken back, since the border lies between the two pixels. This is the rule of the ``stardist``
    package (Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30), to the last bit, except:

    - ids may be any above 0; stardist keeps their lowest 16 bits;
    - rays at 30 and 60 degrees from the axes (numbers of rays that are multiples of 3) land half-way between
      two pixels at every other step. There stardist's result depends on the last bit of a float32, and so on
      where in the image the nucleus lies; here it does not.

    Gaps end a ray: holes, and the space to other pieces of a split nucleus.

    Parameters
    ----------
    labels : (H, W) integers
        Instance map; 0 is background.
    n_rays : int
        At least 3.
    grid : int, default 1
        Distances are given for every `grid`-th pixel of every `grid`-th row, in pixels of `labels`.

    Returns
    -------
    (ceil(H / grid), ceil(W / grid), n_rays) float32
        Pixels; 0 on background.

    Raises
    ------
    ShapeError
        If `labels` is not a map of integers from 0 to 2**31 - 1.
    ConfigError
        If `n_rays` is below 3 or `grid` below 1.

    Examples
    --------
    >>> labels = np.zeros((5, 7), int)
    >>> labels[1:4, 1:6] = 1
    >>> star_distances(labels, 4)[2, 2]  # right, down, left, up
    array([3.5, 1.5, 1.5, 1.5], dtype=float32)
    """
    labels, grid = checked(labels), _check_count("grid", grid, 1)
    n_rays = _check_count("n_rays", n_rays, 3)
    height, width = labels.shape
    out = np.zeros((-(-height // grid), -(-width // grid), n_rays), np.float32)
    if labels.size == 0:
        return out
    row_px = -(-width // _kernels.LANES) * _kernels.LANES + 2
    # Ids and numbers of steps of 16 bits take half the time of 32.
    small = int(labels.max()) < 1 << 16 and height + width < 1 << 16
    flat = np.zeros((height + 2) * row_px + 2 * _kernels.LANES, np.uint16 if small else np.int32)
    inner = flat[_kernels.LANES : -_kernels.LANES].reshape(height + 2, row_px)
    inner[1:-1, 1 : width + 1] = labels
    smallest = max(1, _SMALLEST // (4 * width * grid))
    n_steps, done = 64, False
    while not done:  # the longest nucleus is not known before
        n_steps *= 2
        rows, columns, lengths = _steps(n_rays, n_steps)
        offsets = rows * np.int64(row_px) + columns
        done = all(over(_kernels.march, len(out), smallest, flat, row_px, offsets, lengths, grid, out))
    return out


def object_probability(labels: ArrayLike | Labels, *, grid: int = 1) -> NDArray[np.float32]:
    """Object probability: each pixel's distance to the outside of its nucleus, over the nucleus' largest.

    Distances are Euclidean, to the nearest pixel of any other id, and exact. Beyond the image the nucleus is
    assumed to continue, so one cut by the border keeps its centre there; only around a nucleus that fills the
    whole map background is assumed. Pieces of a split nucleus share their largest distance. As
    ``stardist.utils.edt_prob``, but on a `grid` the full distances are subsampled, where stardist subsamples
    the labels.

    Parameters
    ----------
    labels : (H, W) integers
        Instance map; 0 is background.
    grid : int, default 1
        Probabilities are given for every `grid`-th pixel of every `grid`-th row.

    Returns
    -------
    (ceil(H / grid), ceil(W / grid)) float32
        In (0, 1] on nuclei, 0 on background.

    Raises
    ------
    ShapeError
        If `labels` is not a map of integers from 0 to 2**31 - 1.
    ConfigError
        If `grid` is below 1.

    Examples
    --------
    >>> object_probability(np.array([[0, 5, 5, 5, 0, 9, 0]]))
    array([[0. , 0.5, 1. , 0.5, 0. , 1. , 0. ]], dtype=float32)
    """
    labels, grid = checked(labels), _check_count("grid", grid, 1)
    height, width = labels.shape
    out = np.zeros((-(-height // grid), -(-width // grid)), np.float32)
    if labels.size == 0:
        return out
    top = int(labels.max())
    closed = top > 0 and int(labels.min()) == top
    in_row = np.empty(labels.shape, np.int32)
    over(_kernels.row_distances, height, max(1, _SMALLEST // width), labels, closed, in_row)
    distance = np.zeros(labels.shape, np.float32)
    over(_kernels.column_distances, width, max(1, _SMALLEST // height), labels, closed, in_row, distance)
    index = labels
    if top > 4 * labels.size + 4096:  # a table by id would be larger than the map
        index = np.unique(labels, return_inverse=True)[1].reshape(labels.shape).astype(np.int32)
        index += np.int32(labels.min() > 0)
        top = int(index.max())
    tops = np.zeros(top + 1, np.float32)
    _kernels.largest(index.ravel(), distance.ravel(), tops)
    over(_kernels.normalize, len(out), max(1, _SMALLEST // width), index, distance, tops, grid, out)
    return out


def _check_count(name: str, value: int, least: int) -> int:
    if int(value) != value or value < least:
        raise ConfigError(f"{name} is {value}, expected a whole number of at least {least}")
    return int(value)


@lru_cache(maxsize=16)
def _steps(n_rays: int, n_steps: int) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float32]]:
    """Rows and columns that each step of each ray rounds to, and the length of a ray that ends there.

    Positions are summed up in float32, as stardist does it, so that the lengths are the same to the last bit.
    """
    angles = np.arange(n_rays, dtype=np.float32) * np.float32(2 * np.pi / n_rays)
    down, right = (function(angles.astype(np.float64)).astype(np.float32) for function in (np.sin, np.cos))
    places = []
    for direction in (down, right):
        steps = np.broadcast_to(direction[:, None], (n_rays, n_steps)).copy()
        steps[:, 0] = 0
        places.append(np.cumsum(steps, axis=1, dtype=np.float32))
    back = np.float32(0.5) / np.maximum(np.abs(down), np.abs(right)) - np.float32(1)
    y, x = (place + (back * way)[:, None] for place, way in zip(places, (down, right), strict=True))
    rows, columns = (np.rint(place).astype(np.int32) for place in places)
    return rows, columns, np.sqrt(x * x + y * y)
