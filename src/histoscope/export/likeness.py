"""Similarity of an image to those that classes were learned from: colours in and around nuclei."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from math import nan
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError
from histoscope.nuclei import Nuclei
from histoscope.types import Image, Labels

KEY = "classes learned from"
"""Key in a model card."""
WINDOW_UM = 64.0
MOST_WINDOWS = 64
"""Number of evenly spread windows of an image that are used."""
LEAST_NUCLEI = 5
"""Minimum number of nuclei in a window."""
RING_UM = 3.0
"""Width of the surroundings of nuclei that are measured."""
LIMIT = 0.99
"""Share of held-out images of the same kind within the limit."""


@dataclass(frozen=True, slots=True)
class Likeness:
    """Appearance of the images that classes were learned from; see `learned`.

    Parameters
    ----------
    images : int
        Number of images.
    mpp : float
        Micrometres per pixel at which they were measured.
    mean : (D,) numbers
        Mean of the values that `described` returns for their windows.
    spread : (D, D) numbers
        Covariance of the same.
    limit : float
        Distance that `LIMIT` of such images do not exceed, each left out of mean and spread in turn.
    """

    images: int
    mpp: float
    mean: tuple[float, ...]
    spread: tuple[tuple[float, ...], ...]
    limit: float

    def unlike(self, image: Image, nuclei: Nuclei) -> float:
        """Distance of an image relative to the limit: above 1, it looks different. NaN with few nuclei.

        Parameters
        ----------
        image : (H, W, 3) uint8
            The network's input, at the resolution of the nuclei.
        nuclei : Nuclei
            Found in it.
        """
        inverse = np.linalg.inv(np.array(self.spread))
        return _distance(described(image, nuclei, self.mpp), np.array(self.mean), inverse) / self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a model card: less than 10 kB."""
        return asdict(self)

    @classmethod
    def of_card(cls, found: Any) -> "Likeness | None":
        """Read it from a card; None if the card has none.

        Raises
        ------
        CorruptDataError
            If it is not in the form of `to_dict`.
        """
        if found is None:
            return None
        try:
            mean, spread = np.array(found["mean"], float), np.array(found["spread"], float)
            numbers = int(found["images"]), float(found["mpp"]), float(found["limit"])
            np.linalg.cholesky(spread)
            if (
                spread.shape != (len(mean),) * 2
                or not np.isfinite([*numbers, *mean]).all()
                or min(numbers) <= 0
            ):
                raise ValueError(f"mean {mean.shape}, spread {spread.shape}, images, mpp and limit {numbers}")
        except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
            raise CorruptDataError(
                f"the card's likeness is broken ({error}); copy the card again, or train again"
            ) from error
        return cls(
            numbers[0], numbers[1], tuple(mean.tolist()), tuple(map(tuple, spread.tolist())), numbers[2]
        )


def learned(
    seen: Iterable[tuple[Image, Nuclei]], others: Iterable[tuple[Image, Nuclei]], mpp: float
) -> Likeness | None:
    """Appearance of the images that classes were learned from, and the distances between such images.

    Parameters
    ----------
    seen : iterable of (Image, Nuclei)
        Training images with classes, and the nuclei that the network finds there.
    others : iterable of (Image, Nuclei)
        Validation images with classes: used only for the limit.
    mpp : float
        Micrometres per pixel at which to measure.

    Returns
    -------
    Likeness or None
        None if fewer than three images have enough nuclei.

    Notes
    -----
    The distance of an image is the median Mahalanobis distance of its windows, with a covariance shrunk by
    the method of Ledoit and Wolf [1]_.

    References
    ----------
    .. [1] Ledoit and Wolf, Journal of Multivariate Analysis 88(2), 2004, doi:10.1016/S0047-259X(03)00096-4
    """
    rows, held = ([found for each in part if len(found := described(*each, mpp))] for part in (seen, others))
    if len(rows) < 3:
        return None
    distances = [
        _distance(found, *_fitted(rows[:k] + rows[k + 1 :], inverted=True)) for k, found in enumerate(rows)
    ]
    distances += [_distance(found, *_fitted(rows, inverted=True)) for found in held]
    mean, spread = _fitted(rows)
    limit = float(np.quantile(distances, LIMIT))
    short = [tuple(float(f"{value:.6g}") for value in row) for row in (mean, *spread)]
    return Likeness(len(rows), mpp, short[0], tuple(short[1:]), float(f"{limit:.4g}"))


def described(image: Image, nuclei: Nuclei, mpp: float) -> NDArray[np.float64]:
    """Describe the windows of an image that contain some nuclei.

    Parameters
    ----------
    image : (H, W, 3) uint8
    nuclei : Nuclei
        On its grid.
    mpp : float
        Micrometres per pixel at which to measure.

    Returns
    -------
    (N, 14) float64
        Optical density of R, G and B in nuclei, mean and logarithm of the standard deviation; the same around
        them; logarithms of their median area in pixels, and of their number.
    """
    side = max(round(WINDOW_UM / nuclei.mpp), 1)
    places = [(top, left) for top in _starts(image.shape[0], side) for left in _starts(image.shape[1], side)]
    chosen = np.unique(np.linspace(0, len(places) - 1, min(len(places), MOST_WINDOWS)).round().astype(int))
    rows = []
    for top, left in (places[k] for k in chosen):
        window = image[top : top + side, left : left + side]
        labels = nuclei.to_labels(window.shape[:2], corner=(top, left))
        if (row := _described(*_at(window, labels, nuclei.mpp / mpp), mpp)) is not None:
            rows.append(row)
    return np.array(rows, float).reshape(len(rows), 14)


def _starts(length: int, side: int) -> Sequence[int]:
    """First pixels of windows that cover a length, the last at its end."""
    n = max(-(-length // side), 1)
    return [round(max(length - side, 0) * k / max(n - 1, 1)) for k in range(n)]


def _at(window: Image, labels: Labels, scale: float) -> tuple[Image, Labels]:
    """Pixels and labels at another resolution; unchanged if it is nearly the same."""
    if abs(scale - 1) < 0.03:
        return window, labels
    size = tuple(max(round(n * scale), 1) for n in window.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return (
        np.asarray(cv2.resize(window, size, interpolation=how), np.uint8),
        np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.int32),
    )


def _described(window: Image, labels: Labels, mpp: float) -> NDArray[np.float64] | None:
    """One window; None if it contains too few nuclei, or no surroundings."""
    areas = np.bincount(labels.ravel())[1:]
    areas, inside = areas[areas > 0], labels > 0
    reach = np.ones((2 * max(round(RING_UM / mpp), 1) + 1,) * 2, np.uint8)
    around = (cv2.dilate(inside.astype(np.uint8), reach) > 0) & ~inside
    if len(areas) < LEAST_NUCLEI or np.count_nonzero(around) < 100:
        return None
    density = -np.log((window.astype(np.float32) + 1) / 256)
    parts = [density[where] for where in (inside, around)]
    colours = [each for part in parts for each in (part.mean(axis=0), np.log(part.std(axis=0) + 1e-3))]
    return np.concatenate([*colours, np.log([np.median(areas), len(areas)])])


_LEAST_STD, _RIDGE = 1e-3, 1e-4
"""So that windows of which some numbers are all alike, or follow from each other, have an inverse."""


def _fitted(
    rows: Sequence[NDArray[np.float64]], *, inverted: bool = False
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of all windows, and their covariance, or its inverse."""
    from sklearn.covariance import ledoit_wolf

    every = np.concatenate(rows)
    scale = np.maximum(every.std(axis=0), _LEAST_STD)
    shares = ledoit_wolf(every / scale)[0] + _RIDGE * np.eye(every.shape[1])
    spread = shares * np.outer(scale, scale)
    return every.mean(axis=0), np.linalg.inv(spread) if inverted else spread


def _distance(rows: NDArray[np.float64], mean: NDArray[np.float64], inverse: NDArray[np.float64]) -> float:
    """Median Mahalanobis distance of the windows; NaN without any."""
    if not len(rows):
        return nan
    away = rows - mean
    return float(np.median(np.sqrt(np.einsum("ij,jk,ik->i", away, inverse, away))))
