"""Assignment of the four drawn kinds of nucleus to the classes of a data set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscope.synth.spec import CLASSES

# What is typical: area (um2), longer than wide, darkness against the median nucleus.
_TYPICAL = {
    "epithelial": (33.0, 1.35, 0.90),
    "lymphocyte": (14.0, 1.20, 1.25),
    "spindle": (17.0, 2.30, 1.05),
    "plasma": (19.0, 1.20, 1.00),
}
_SCALE = np.array([0.35, 0.22, 0.25])
_TAKEN = 0.8
"""How much farther, in such scales, another kind may be before a second class shares one."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a class of nuclei looks like on average.

    Parameters
    ----------
    n : int
        Nuclei measured.
    log_area, log_area_sd, log_axes : float
        Mean and spread of the logarithm of the area (um2); mean logarithm of length over width.
    darkness : float
        Mean haematoxylin against that of the median nucleus of its tile.
    """

    n: int
    log_area: float
    log_area_sd: float
    log_axes: float
    darkness: float


def typical() -> NDArray[np.float64]:
    """Typical values of the four kinds, (4, 3): log area, log axes, log darkness."""
    return np.asarray(np.log(np.array([_TYPICAL[name] for name in CLASSES])))


def assign(looks: Mapping[str, Look]) -> dict[str, str]:
    """Assign each class the most similar drawn kind; a class of the same name keeps it.

    Two classes share a kind only if no other is nearly as similar.

    Examples
    --------
    >>> small, slim = Look(90, 2.6, 0.2, 0.2, 1.2), Look(40, 2.8, 0.3, 0.9, 1.0)
    >>> assign({"inflammatory": small, "fibroblast": slim})
    {'inflammatory': 'lymphocyte', 'fibroblast': 'spindle'}
    """
    kinds, chosen = list(CLASSES), {name: name for name in looks if name in CLASSES}
    free = sorted((name for name in looks if name not in chosen), key=lambda name: -looks[name].n)
    for name in free:
        one = looks[name]
        here = np.array([one.log_area, one.log_axes, np.log(max(one.darkness, 0.05))])
        far = np.linalg.norm((typical() - here) / _SCALE, axis=1)
        far += [_TAKEN * (kind in chosen.values()) for kind in kinds]
        chosen[name] = kinds[int(far.argmin())]
    return {name: chosen[name] for name in looks}


def guess(
    log_area: NDArray[np.float64],
    log_axes: NDArray[np.float64],
    darkness: NDArray[np.float64],
    allowed: Sequence[str] = ("epithelial", "lymphocyte", "spindle"),
) -> NDArray[np.uint8]:
    """Most similar kind of each nucleus, where there are no classes.

    Sizes count against the median of the tile, since laboratories draw outlines tighter or wider.
    """
    here = np.stack([log_area - np.median(log_area) + np.log(22.0), log_axes, np.log(darkness)], axis=1)
    table = typical()
    rows = [list(CLASSES).index(name) for name in allowed]
    far = np.linalg.norm((here[:, None] - table[None, rows]) / _SCALE, axis=2)
    return np.asarray(np.array([CLASSES[name] for name in allowed], np.uint8)[far.argmin(axis=1)])
