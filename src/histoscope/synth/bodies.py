"""Cell bodies visible beside their nucleus: plasma cells, goblet cells, red blood cells."""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.synth.layout import ALONG, CELL_UM, DEPTH, LUMEN, MARGIN_UM, SOLID_UM, TONE, Layout, slope
from histoscope.synth.spec import CLASSES, TissueSpec

Bodies = NDArray[np.float32]
"""(M, 9) float32: x, y, long, short (um), angle, haematoxylin, eosin, cover, pallor of the middle."""


def bodies(layout: Layout, tissue: TissueSpec, rng: Generator) -> Bodies:
    """List the cell bodies of a field, in the order they are laid down."""
    parts = (_goblets(layout, rng), _plasma(layout, rng), _red_cells(layout, tissue, rng))
    return np.concatenate(parts).astype(np.float32)


def _plasma(layout: Layout, rng: Generator) -> NDArray[np.float64]:
    """Basophilic cytoplasm to one side of the nucleus, paler close to it."""
    who = np.flatnonzero(layout.kind == CLASSES["plasma"])
    n = len(who)
    side = rng.uniform(0, 2 * np.pi, n)
    radius = 0.5 * (layout.long[who] + layout.short[who])
    rows = np.empty((n, 9))
    rows[:, 0] = layout.x[who] + 0.75 * radius * np.cos(side)
    rows[:, 1] = layout.y[who] + 0.75 * radius * np.sin(side)
    rows[:, 2], rows[:, 3], rows[:, 4] = radius * 1.85, radius * 1.55, side
    rows[:, 5], rows[:, 6] = rng.uniform(0.36, 0.55, n), rng.uniform(0.36, 0.52, n)
    rows[:, 7], rows[:, 8] = 0.85, 0.3
    return rows


def _goblets(layout: Layout, rng: Generator) -> NDArray[np.float64]:
    """Mucus above the nucleus, in some glands."""
    row, column = _cell(layout, layout.x, layout.y)
    fields = layout.fields
    lumen, tone = fields[row, column, LUMEN], fields[row, column, TONE]
    able = (layout.kind == CLASSES["epithelial"]) & (lumen > -0.5 * SOLID_UM) & (lumen < -6.0)
    who = np.flatnonzero(able & ((tone * 5.17) % 1.0 > 0.62) & (rng.random(len(tone)) < 0.5))
    n = len(who)
    row, column = row[who], column[who]
    up = np.arctan2(*slope(fields[..., DEPTH], row, column))
    rows = np.empty((n, 9))
    size = rng.uniform(2.2, 3.6, n)
    away = layout.long[who] + 0.9 * size
    rows[:, 0], rows[:, 1] = layout.x[who] + away * np.cos(up), layout.y[who] + away * np.sin(up)
    rows[:, 2], rows[:, 3], rows[:, 4] = size * 1.3, size, up
    rows[:, 5], rows[:, 6] = rng.uniform(0.04, 0.12, n), rng.uniform(0.02, 0.08, n)
    rows[:, 7], rows[:, 8] = rng.uniform(0.6, 0.95, n), 0.3
    return rows


def _red_cells(layout: Layout, tissue: TissueSpec, rng: Generator) -> NDArray[np.float64]:
    """Small heaps of red blood cells in the stroma, strung along the fibres."""
    shape = layout.fields.shape[:2]
    heaps = int(rng.poisson(tissue.red_heaps_per_mm2 * shape[0] * shape[1] * CELL_UM**2 * 1e-6))
    size = rng.integers(3, 16, heaps)
    which = np.repeat(np.arange(heaps), size)
    x = rng.uniform(-MARGIN_UM, shape[1] * CELL_UM - MARGIN_UM, heaps)
    y = rng.uniform(-MARGIN_UM, shape[0] * CELL_UM - MARGIN_UM, heaps)
    row, column = _cell(layout, x, y)
    right = np.minimum(column + 1, shape[1] - 1)
    below = np.minimum(row + 1, shape[0] - 1)
    along = layout.fields[..., ALONG]
    turn = np.arctan2(along[below, column] - along[row, column], along[row, right] - along[row, column])
    far, near = rng.normal(0, 1, (2, len(which))) * np.array([[7.0], [2.6]])
    n = len(which)
    rows = np.empty((n, 9))
    rows[:, 0] = x[which] + far * np.cos(turn[which]) - near * np.sin(turn[which])
    rows[:, 1] = y[which] + far * np.sin(turn[which]) + near * np.cos(turn[which])
    rows[:, 2] = rng.uniform(2.6, 3.4, n)
    rows[:, 3] = rows[:, 2] * rng.uniform(0.6, 1.0, n)
    rows[:, 4] = rng.uniform(0, np.pi, n)
    rows[:, 5], rows[:, 6] = 0.02, rng.uniform(0.48, 0.66, n)
    rows[:, 7], rows[:, 8] = 0.92, 0.35
    row, column = _cell(layout, rows[:, 0], rows[:, 1])
    return np.asarray(rows[layout.fields[row, column, DEPTH] < -2.0])


def _cell(
    layout: Layout, x: NDArray[np.floating], y: NDArray[np.floating]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the coarse grid at places in the image."""
    rows, columns = layout.fields.shape[:2]
    row = np.clip((y + MARGIN_UM) / CELL_UM, 0, rows - 1).astype(np.intp)
    column = np.clip((x + MARGIN_UM) / CELL_UM, 0, columns - 1).astype(np.intp)
    return row, column
