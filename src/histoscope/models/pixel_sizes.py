"""Pixel sizes at which a model works: the curve of AJI against micrometres per pixel on its card."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from histoscope.errors import ConfigError

ON_CARD = "pixel sizes"
TOLERANCE = 0.05
"""AJI may be so far below its best within the range."""


@dataclass(frozen=True, slots=True)
class Curve:
    """AJI of a model on the same tiles at several pixel sizes.

    Parameters
    ----------
    mpp : tuple of float
        Micrometres per pixel, rising, at least two.
    aji : tuple of float
        Mean AJI at each.

    Raises
    ------
    ConfigError
        If these are not as many, or pixel sizes do not rise.

    Examples
    --------
    >>> curve = Curve((0.2, 0.4, 0.6, 0.8), (0.5, 0.6, 0.58, 0.42))
    >>> curve.range
    (0.3, 0.64)
    >>> round(curve.at(0.7), 2), curve.at(2.0)  # beyond what was tried: the last
    (0.5, 0.42)
    """

    mpp: tuple[float, ...]
    aji: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.mpp) != len(self.aji) or len(self.mpp) < 2 or not np.all(np.diff(self.mpp) > 0):
            raise ConfigError(
                f"a curve at {list(self.mpp)} um/px with AJI {list(self.aji)}: expected at least two of "
                "each, equally many, with pixel sizes in rising order"
            )

    @classmethod
    def of(cls, card: Mapping[str, Any] | None) -> "Curve | None":
        """Curve on a card; None if there is none."""
        points: Sequence[Sequence[float]] = ((card or {}).get(ON_CARD) or {}).get("aji") or ()
        if not points:
            return None
        mpp, aji = zip(*points, strict=True)
        return cls(tuple(mpp), tuple(aji))

    @property
    def best(self) -> tuple[float, float]:
        """Pixel size with the highest AJI, and that AJI."""
        place = int(np.argmax(self.aji))
        return self.mpp[place], self.aji[place]

    @property
    def range(self) -> tuple[float, float]:
        """Pixel sizes around the best in which AJI falls by at most `TOLERANCE`, linear between points."""
        place, least = int(np.argmax(self.aji)), self.best[1] - TOLERANCE
        ends = []
        for step in (-1, 1):
            here = place
            while 0 <= here + step < len(self.mpp) and self.aji[here + step] >= least:
                here += step
            end, beyond = self.mpp[here], here + step
            if 0 <= beyond < len(self.mpp):
                share = (self.aji[here] - least) / (self.aji[here] - self.aji[beyond])
                end = round(end + share * (self.mpp[beyond] - end), 2)
            ends.append(end)
        return ends[0], ends[1]

    def at(self, mpp: float) -> float:
        """AJI at a pixel size, linear between points; that of the nearest point beyond them."""
        return float(np.interp(mpp, self.mpp, self.aji))


def warn_outside(mpp: float, card: Mapping[str, Any] | None) -> None:
    """Warn of images with another pixel size than those at which a model was found to work.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel of an image or slide.
    card : mapping, optional
        Of the model; without a curve on it there is no warning.
    """
    curve = Curve.of(card)
    if card is None or curve is None:
        return
    low, high = curve.range
    if low <= mpp <= high:
        return
    at, best = curve.best
    tried = min(max(mpp, curve.mpp[0]), curve.mpp[-1])
    there = "" if tried == at else f", {curve.at(mpp):.2f} at {tried:.3g}"
    beyond = "" if tried == mpp else f", the {'finest' if mpp < tried else 'coarsest'} tested"
    warnings.warn(
        f"{mpp:.3g} um/px is outside the range of {card.get('name') or 'this model'}, {low:g} to {high:g} "
        f"um/px: its AJI is {best:.2f} at {at:g} um/px{there}{beyond}. If the pixel size is right, check "
        "whether nuclei are missed or merged, or use a scan within the range; if it is wrong, correct it "
        "with --mpp (from Python, mpp=)",
        UserWarning,
        stacklevel=2,
    )
