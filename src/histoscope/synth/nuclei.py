"""Nuclear outlines, their exact instance map, and the chromatin inside."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.labels import relabel
from histoscope.synth._kernels import N_RAYS, rasterise
from histoscope.synth.layout import Layout
from histoscope.synth.spec import CLASSES, TissueSpec
from histoscope.types import Labels

SLIVER_UM2 = 3.0
"""A nucleus of which less than this shows is not drawn."""
HIDDEN = 0.4
"""Nor one of which a smaller share shows in front of the others."""

# Spread of the outline's waves 2 to 6, as a share of the radius.
_ROUGHNESS = {
    "epithelial": (0.06, 0.045, 0.035, 0.02, 0.015),
    "lymphocyte": (0.03, 0.025, 0.015, 0.01, 0.01),
    "spindle": (0.05, 0.07, 0.03, 0.03, 0.02),
    "plasma": (0.03, 0.03, 0.02, 0.01, 0.01),
}
# Chromatin: haematoxylin inside, clumps (share), clump size (um), rim, rim width (um), eosin.
_CHROMATIN = {
    "epithelial": (0.92, 0.40, 0.95, 0.80, 0.40, 0.26),
    "lymphocyte": (1.45, 0.30, 1.0, 0.35, 0.45, 0.20),
    "spindle": (1.10, 0.30, 1.1, 0.40, 0.36, 0.26),
    "plasma": (1.05, 0.18, 1.0, 0.55, 0.42, 0.22),
}


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Nuclei as they stand in the image: row k carries label k + 1.

    Parameters
    ----------
    instances : (H, W) int32
        Instance map, ids 1 to N without gaps, each one 4-connected piece.
    x_px, y_px : (N,) float32
        Centres.
    radii_px : (N, 64) float32
        Outline: radius at 64 equal angles, from +x towards +y.
    look : (N, 11) float32
        Chromatin, see `paint_nuclei`.
    kind : (N,) uint8
        Classes.
    """

    instances: Labels
    x_px: NDArray[np.float32]
    y_px: NDArray[np.float32]
    radii_px: NDArray[np.float32]
    look: NDArray[np.float32]
    kind: NDArray[np.uint8]


def draw(layout: Layout, shape_px: tuple[int, int], mpp: float, tissue: TissueSpec, rng: Generator) -> Drawn:
    """Draw the nuclei of `layout` in random order, later ones in front; mostly hidden ones are left out."""
    order = rng.permutation(len(layout.x))
    kind = layout.kind[order]
    x, y = layout.x[order] / np.float32(mpp), layout.y[order] / np.float32(mpp)
    radii = outlines(layout, rng)[order] / np.float32(mpp)
    look = chromatin(kind, tissue, rng)
    instances = np.zeros(shape_px, dtype=np.int32)
    keep = np.ones(len(x), dtype=np.bool_)
    while True:  # each round drops at least one nucleus or ends
        full = rasterise(instances, x, y, radii, keep)
        shown = keep_largest_piece(instances, len(x))
        shows = shown >= np.maximum(HIDDEN * full, max(SLIVER_UM2 / mpp**2, 2.0))
        if (shows == keep).all():
            break
        keep &= shows
    instances, _ = relabel(instances, keep)
    return Drawn(instances, x[keep], y[keep], radii[keep], look[keep], kind[keep])


def keep_largest_piece(labels: Labels, n: int) -> NDArray[np.int64]:
    """Erase all but the largest 4-connected piece of ids 1 to `n`, in place; give the area left of each.

    Examples
    --------
    >>> labels = np.array([[1, 1, 0, 1, 2]], np.int32)
    >>> keep_largest_piece(labels, 2), labels
    (array([2, 1]), array([[1, 1, 0, 0, 2]], dtype=int32))
    """
    from skimage.measure import label

    pieces, n_pieces = label(labels, connectivity=1, return_num=True)
    owner = np.zeros(n_pieces + 1, np.int64)
    owner[pieces.ravel()] = labels.ravel()
    area = np.bincount(pieces.ravel(), minlength=n_pieces + 1)
    order = np.argsort(-area, kind="stable")  # the first of equal ones stays
    ids, first = np.unique(owner[order], return_index=True)
    kept = np.zeros(n_pieces + 1, np.bool_)
    kept[order[first]] = True
    labels[~kept[pieces]] = 0
    left = np.zeros(n + 1, np.int64)
    left[ids] = area[order[first]]
    return left[1:]


def outlines(layout: Layout, rng: Generator) -> NDArray[np.float32]:
    """Radius in micrometres at 64 equal angles: an ellipse with a few random waves, (N, 64)."""
    n = len(layout.x)
    theta = np.arange(N_RAYS) * (2 * np.pi / N_RAYS)
    phi = theta[None, :] - layout.angle[:, None]
    long, short = layout.long[:, None], layout.short[:, None]
    ellipse = long * short / np.hypot(short * np.cos(phi), long * np.sin(phi))
    spread = np.zeros((max(CLASSES.values()) + 1, 5))
    for name, row in _ROUGHNESS.items():
        spread[CLASSES[name]] = row
    height = rng.normal(0, 1, (n, 5)) * spread[layout.kind] * rng.lognormal(0, 0.4, (n, 1))
    phase = rng.uniform(0, 2 * np.pi, (n, 5))
    waves = np.zeros((n, N_RAYS))
    for k in range(5):
        waves += height[:, k, None] * np.cos((k + 2) * phi + phase[:, k, None])
    waves += rng.normal(0, 0.012, (n, N_RAYS))
    return np.asarray(ellipse * np.clip(1 + waves, 0.6, 1.5), dtype=np.float32)


def chromatin(kind: NDArray[np.uint8], tissue: TissueSpec, rng: Generator) -> NDArray[np.float32]:
    """Draw the look of each nucleus, (N, 11): see `paint_nuclei` for the columns."""
    n, vesicular = len(kind), tissue.vesicular
    table = np.zeros((max(CLASSES.values()) + 1, 6))
    for name, row in _CHROMATIN.items():
        table[CLASSES[name]] = row
    base, clump, clump_um, rim, rim_um, eosin = table[kind].T
    dark = rng.lognormal(0, tissue.darkness_spread, n)
    epithelial = kind == CLASSES["epithelial"]
    spread = 5.0  # of the beta distribution; larger is narrower
    pale = np.where(epithelial, rng.beta(spread * vesicular + 0.3, spread * (1 - vesicular) + 0.3, n), 0.0)
    look = np.empty((n, 11), dtype=np.float32)
    look[:, 0] = base * dark * (1.25 - 0.65 * pale)
    look[:, 1] = clump * tissue.chromatin * rng.uniform(0.7, 1.4, n)
    look[:, 2] = clump_um * rng.uniform(0.8, 1.3, n)
    look[:, 3] = rim * dark * (1 + 0.4 * pale)
    look[:, 4] = rim_um
    look[:, 5] = np.where(epithelial, rng.binomial(3, 0.3 + 0.25 * pale), 0)
    look[:, 6] = np.where(kind == CLASSES["plasma"], 0.5, 0.0)
    look[:, 7] = eosin * tissue.nuclear_eosin * rng.uniform(0.8, 1.2, n)
    look[:, 8:10] = rng.uniform(0, 512, (n, 2))
    look[:, 10] = 0.0
    _strange(look, epithelial, tissue, rng)
    return look


def _strange(
    look: NDArray[np.float32], epithelial: NDArray[np.bool_], tissue: TissueSpec, rng: Generator
) -> None:
    """Make some nuclei all but empty, evenly dark, or out of focus.

    Random numbers are drawn only for fractions above 0, so that other tissue does not change.
    """
    n = len(look)
    if tissue.pale_fraction > 0:
        empty = np.flatnonzero(epithelial & (rng.random(n) < tissue.pale_fraction))
        look[empty, 0] *= rng.uniform(0.25, 0.6, len(empty))
        look[empty, 1] *= rng.uniform(0.6, 1.6, len(empty))
        look[empty, 3] *= rng.uniform(0.5, 1.0, len(empty))
        look[empty, 4] = rng.uniform(0.26, 0.42, len(empty))
        look[empty, 5] = rng.integers(1, 4, len(empty))
        look[empty, 7] *= rng.uniform(0.3, 0.9, len(empty))
    if tissue.smudged_fraction > 0:
        smudged = np.flatnonzero(rng.random(n) < tissue.smudged_fraction)
        look[smudged, 0] = rng.uniform(1.1, 2.0, len(smudged))
        look[smudged, 1] *= 0.3
        look[smudged, 3] *= 0.3
        look[smudged, 5] = 0
    if tissue.soft_fraction > 0:
        soft = np.flatnonzero(rng.random(n) < tissue.soft_fraction)
        look[soft, 10] = rng.uniform(0.5, 1.6, len(soft))
