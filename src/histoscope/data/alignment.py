"""Registration of a label map to its image: turned, flipped or shifted label maps."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope.types import Image, Labels

_WINDOW_PX = 65
"""Window of the local mean that is subtracted, so that glass and folds matter little."""
_LEAST_NOISE = 0.03
"""Optical density below which variation is noise."""
_MAX_SHIFT = 0.25
"""Shifts up to this share of the shorter side are tried, but at most `_MAX_SHIFT_PX`."""
_MAX_SHIFT_PX = 128
_NEAR_PX = 2
"""Annotators are up to 2 px off."""
_LEAST_FIT, _LEAST_SIGMAS = 0.2, 4.0
"""Minimum fit, absolute and as a multiple of the fit expected by chance for as many nuclei."""
_SURE, _BETTER_SHIFT = 1.5, 1.1
"""How many times better another position must fit; on 295 published tiles none reaches 0.5 and 0.98."""
_LEAST_SIDE_PX = 32
_NO_FIT, _ENOUGH_NUCLEI, _ALIKE = 0.1, 20, 0.5
"""This many nuclei with so low a fit are from another image; on the published tiles, it is at least 0.27."""


@dataclass(frozen=True, slots=True)
class Placement:
    """How a label map fits its image once it is flipped, turned and moved.

    It is flipped left to right first, then turned by quarter turns anticlockwise; `fit` is the correlation of
    nuclei and darkness (or brightness), 0 to 1.
    """

    turns: int = 0
    flipped: bool = False
    down_px: int = 0
    right_px: int = 0
    fit: float = 0.0

    def __str__(self) -> str:
        words = ["flipped left to right"] * self.flipped
        words += [f"turned {90 * self.turns}° anticlockwise"] * bool(self.turns)
        if self.down_px or self.right_px:
            words.append(f"moved {self.down_px} px down and {self.right_px} px to the right")
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Misplaced:
    """A label map that fits its image much better in another position (`best`; None if none) than `here`."""

    here: Placement
    best: Placement | None

    @property
    def sure(self) -> bool:
        """Whether the other position is better by more than chance."""
        return self.best is not None and self.best.fit >= _SURE * self.here.fit

    def __str__(self) -> str:
        if self.best is None:
            return (
                f"the label map does not match the nuclei (fit {self.here.fit:.2f}), not even turned or "
                "moved: is it from another image?"
            )
        return (
            f"the label map does not match the nuclei; it would if {self.best} (fit {self.best.fit:.2f}, "
            f"now {self.here.fit:.2f})"
        )


def misplaced(image: Image, instances: Labels) -> Misplaced | None:
    """Find the position in which a label map fits its image much better than now; None if it is right.

    Nuclei are darker (or, under fluorescence, brighter) than their surroundings. The mask of the nuclei and
    the optical density, both minus their local mean, are correlated in all eight rotations and flips and over
    shifts. Tiles with too little to be sure pass; if many nuclei fit nowhere, the label map may be from
    another image.

    Examples
    --------
    >>> image = np.full((120, 120, 3), 230, np.uint8)
    >>> for row, column in [(20, 30), (40, 90), (70, 20), (95, 60)]:
    ...     image[row - 7 : row + 7, column - 7 : column + 7] = (90, 60, 140)
    >>> labels = (image[..., 0] < 150).astype(np.int32)
    >>> misplaced(image, labels) is None
    True
    >>> print(misplaced(image, np.rot90(labels).copy()).best)
    turned 270° anticlockwise
    """
    if min(instances.shape) < _LEAST_SIDE_PX or not instances.any():
        return None
    here, best = placements(image, instances)
    factor = _BETTER_SHIFT if (best.turns, best.flipped) == (0, False) else _SURE
    n_nuclei, share = np.count_nonzero(np.unique(instances)), float(np.mean(instances > 0))
    by_chance = np.sqrt(share / n_nuclei)  # 1 / sqrt(number of nuclei that fill the image)
    if best.fit < max(_LEAST_FIT, _LEAST_SIGMAS * by_chance, factor * here.fit):
        fits_nowhere = n_nuclei >= _ENOUGH_NUCLEI and here.fit < _NO_FIT and _shows_things(image, instances)
        return Misplaced(here, None) if fits_nowhere else None
    return Misplaced(here, best)


def placements(image: Image, instances: Labels) -> tuple[Placement, Placement]:
    """Fit of a label map in its present position (within 2 px), and the best of all other positions."""
    density, mask = _halved(image, instances)
    density = _less_local_mean(density)
    density /= np.sqrt(_mean_around(density**2) + _LEAST_NOISE**2)
    mask = _less_local_mean(mask)
    reach = max(1, int(min(_MAX_SHIFT * min(density.shape), _MAX_SHIFT_PX / 2)))
    near = _NEAR_PX // 2
    here, others = Placement(), []
    for flipped in (False, True):
        for turns in range(4):
            turned = np.rot90(mask[:, ::-1] if flipped else mask, turns)
            if turned.shape != density.shape:
                continue
            fit = _correlations(density, turned, reach)
            if not turns and not flipped:
                middle = fit[reach - near : reach + near + 1, reach - near : reach + near + 1]
                here = Placement(fit=float(middle.max()))
                middle[:] = 0
            row, column = divmod(int(fit.argmax()), fit.shape[1])
            shift = 2 * (row - reach), 2 * (column - reach)
            others.append(Placement(turns, flipped, *shift, float(fit[row, column])))
    return here, max(others, key=lambda place: place.fit)


def _halved(image: Image, instances: Labels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Optical density and mask of nuclei at half the size, for speed."""
    import cv2

    size = instances.shape[1] // 2, instances.shape[0] // 2
    grey = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)
    mask = cv2.resize((instances > 0).astype(np.float32), size, interpolation=cv2.INTER_AREA)
    density = -np.log((grey.astype(np.float32) + 1) / 256)
    return np.asarray(density, np.float32), np.asarray(mask, np.float32)


def _shows_things(image: Image, instances: Labels) -> bool:
    """Whether an image is more than a constant or noise: neighbouring pixels are similar."""
    density = _halved(image, instances)[0]
    density -= density.mean()
    spread = float(np.mean(density**2))
    return spread > _LEAST_NOISE**2 and float(np.mean(density[:, 1:] * density[:, :-1])) > _ALIKE * spread


def _mean_around(values: NDArray[np.float32]) -> NDArray[np.float32]:
    import cv2

    side = _WINDOW_PX // 2
    return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT), np.float32)


def _less_local_mean(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return values - _mean_around(values)


def _correlations(a: NDArray[np.float32], b: NDArray[np.float32], reach: int) -> NDArray[np.float64]:
    """Absolute correlation of `a` with `b` shifted by -reach to reach pixels down and right."""
    from scipy import fft

    shape = [fft.next_fast_len(side + reach, real=True) for side in a.shape]
    product = fft.rfft2(a - a.mean(), shape) * fft.rfft2(b - b.mean(), shape).conj()
    spread = a.size * float(a.std()) * float(b.std())
    moved = np.roll(fft.irfft2(product, shape), (reach, reach), (0, 1))[: 2 * reach + 1, : 2 * reach + 1]
    return np.abs(moved) / spread if spread > 0 else np.zeros_like(moved, np.float64)
