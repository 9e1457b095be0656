"""Rejection of generated tiles that are farther from real tissue than real tissue is from itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from histoscope.brief import brief
from histoscope.files import whole
from histoscope.generate.bank import stored_arrays
from histoscope.generate.network import Generator
from histoscope.models.precision import mixed
from histoscope.types import Sample

PATCH_PX = 96
"""Side of the patches that are compared."""
STRICT = 0.95
"""Quantile of the distances between real patches of different tiles that is the limit."""
_BANDS_PX = (0.7, 1.4, 2.8, 5.6)
_AROUND_PX = 24
"""Context of the widest blur and the discriminator around a patch; a multiple of four."""
_NEIGHBOURS = 3
_SIDES = (2, 3)
"""Patches along a side of a tile that are compared: first few, and more only if those are too far."""


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Realism:
    """Descriptors of real patches, and how near a generated patch must be to them.

    Parameters
    ----------
    real : (P, D) float32
        Descriptors of real patches, standardised.
    mean, spread : (D,) float32
    limit : float
        Largest distance of a patch from its nearest real ones.
    """

    real: NDArray[np.float32]
    mean: NDArray[np.float32]
    spread: NDArray[np.float32]
    limit: float

    def distances(self, described: NDArray[np.float32]) -> NDArray[np.float32]:
        """Mean distance of each patch to its three nearest real ones, (n,)."""
        scaled = (described - self.mean) / self.spread
        return _nearest(cdist(scaled, self.real))

    def median_distance(
        self, model: Generator, maps: NDArray[np.float32], dyes: NDArray[np.float32]
    ) -> float:
        """Median distance of a generated tile's patches, of the middle ones where there are many.

        Of the four in the middle; if that is above the limit, of nine.
        """
        far, seen = np.inf, None
        for few in _SIDES:
            here = [_middle(side, few) for side in maps.shape[1:]]
            if far <= self.limit or here == seen:
                break
            part = np.s_[:, *here]
            far, seen = float(np.median(self.distances(describe(model, maps[part], dyes[part])))), here
        return far

    def save(self, path: str | Path) -> None:
        """Write to an ``.npz``, without pickle."""
        with whole(path) as temporary:
            np.savez_compressed(
                temporary, real=self.real, mean=self.mean, spread=self.spread, limit=np.float32(self.limit)
            )


def load(path: str | Path) -> Realism:
    """Read what `Realism.save` wrote.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError
        If it is not there or cannot be read.
    """
    with stored_arrays(path) as file:
        return Realism(file["real"], file["mean"], file["spread"], float(file["limit"]))


def learn(model: Generator, tiles: Sequence[Sample]) -> Realism:
    """Describe real tiles (canonical stain, the model's resolution), and set the limit."""
    parts = []
    for tile in tiles:
        target = model.targets(tile)
        parts.append(describe(model, target["maps"], target["dyes"]))
    real = np.concatenate(parts)
    tile_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    mean, spread = real.mean(axis=0), real.std(axis=0) + 1e-3
    real = ((real - mean) / spread).astype(np.float32)
    apart = cdist(real, real)
    # A patch is compared with other tiles; if there is only one tile, with its other patches.
    own = tile_of[:, None] == tile_of[None] if len(parts) > 1 else np.eye(len(real), dtype=bool)
    apart[own] = np.inf
    near = _nearest(apart)
    near = near[np.isfinite(near)]
    limit = float(np.quantile(near, STRICT)) if len(near) else np.inf
    return Realism(real, mean.astype(np.float32), spread.astype(np.float32), limit)


def describe(model: Generator, maps: NDArray[np.float32], dyes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Descriptors of the patches of a tile, (n, 20).

    Mean and spread of both dyes inside and outside of nuclei, their strength in four bands of detail, the
    third dye, the share of clear glass, and the mean logit of the discriminator.

    Parameters
    ----------
    model : Generator
    maps, dyes : (C, H, W) and (3, H, W) float32
    """
    # What lies beyond the last patches is left out.
    height, width = (min(side, _starts(side)[-1] + PATCH_PX + _AROUND_PX) for side in maps.shape[1:])
    maps, dyes = maps[:, :height, :width], np.ascontiguousarray(dyes[:, :height, :width])
    logits = logits_of(model, maps, dyes)
    bands = [_bands(dye) for dye in dyes[:2]]
    pixels, inside = cv2.merge(list(dyes)), (maps[0] > 0.5).astype(np.uint8)
    rows = []
    for top in _starts(height):
        for left in _starts(width):
            box = np.s_[top : top + PATCH_PX, left : left + PATCH_PX]
            low = np.s_[top // 4 : (top + PATCH_PX) // 4, left // 4 : (left + PATCH_PX) // 4]
            detail = [np.log(cv2.meanStdDev(band[box])[1].ravel() + 1e-3) for band in bands]
            part = logits[low]
            rows.append([*_colours(pixels[box], inside[box]), *detail[0], *detail[1]])
            rows[-1].append(float(part.mean()) if part.size else 0.0)
    return np.array(rows, np.float32)


def logits_of(model: Generator, maps: NDArray[np.float32], dyes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Logits of the discriminator, one for each 4 x 4 pixels."""
    device = next(model.parameters()).device
    shown = (torch.from_numpy(part)[None].to(device) for part in (maps, dyes))
    with torch.inference_mode(), mixed(device):
        logits = model.discriminator(*shown)[-1]
    return np.asarray(logits[0, 0].float().cpu().numpy(), np.float32)


def _colours(pixels: NDArray[np.float32], inside: NDArray[np.uint8]) -> list[float]:
    """Means and spreads of dyes (h, w, 3), in nuclei and around them; 0 where there are no such pixels."""
    numbers: list[float] = []
    for where in (inside, 1 - inside):
        means, spreads = (part.ravel() for part in cv2.meanStdDev(pixels, mask=where))
        numbers += [means[0], spreads[0], means[1], spreads[1]]
    mean, spread = (part.ravel() for part in cv2.meanStdDev(pixels))
    return [*numbers, mean[2], spread[2], float((pixels[..., 0] + pixels[..., 1] < 0.15).mean())]


def _bands(dye: NDArray[np.float32]) -> NDArray[np.float32]:
    """Detail of four sizes, (H, W, 4)."""
    soft = [dye, *(cv2.GaussianBlur(dye, (0, 0), sigma) for sigma in _BANDS_PX)]
    return np.asarray(cv2.merge([fine - coarse for fine, coarse in pairwise(soft)]), np.float32)


def _starts(side: int) -> list[int]:
    """Where patches begin; one, cut off, in a smaller image."""
    return list(range(0, max(side - PATCH_PX, 0) + 1, PATCH_PX))


def _middle(side: int, few: int) -> slice:
    """The middle of a tile that has more than a few patches along a side."""
    enough = few * PATCH_PX + _AROUND_PX
    start = max(0, side - enough) // 8 * 4  # on the discriminator's grid
    return slice(start, min(start + enough, side))


def _nearest(apart: NDArray[np.floating]) -> NDArray[np.float32]:
    k = min(_NEIGHBOURS, apart.shape[1])
    return np.asarray(np.partition(apart, k - 1, axis=1)[:, :k].mean(axis=1), np.float32)
