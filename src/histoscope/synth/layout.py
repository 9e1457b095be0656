"""Layout of tissue: glands, stroma, clusters of lymphocytes, and a position for each nucleus.

All lengths are micrometres; x runs along columns, y along rows, and (0, 0) is the image's top left corner.
Fields live on a coarse grid (one cell is `CELL_UM`) that reaches `MARGIN_UM` beyond the image.
"""

from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.synth._kernels import box_noise, gland_depth, place
from histoscope.synth.spec import CLASSES, TissueSpec
from histoscope.synth.texture import noise_tiles

CELL_UM = 2.0
MARGIN_UM = 16.0
SOLID_UM = 1000.0
"""Height of the epithelium of a nest without lumen."""
BUCKET_UM = 26.0
"""Side of a bucket of the spatial grid; above the reach of any two nuclei that touch."""
ATTEMPTS = 10
"""Places tried for each nucleus that is wanted."""

DEPTH, LUMEN, ACROSS, ALONG, CLUSTER, TONE = range(6)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The tissue plan: coarse fields and one row for each nucleus.

    Parameters
    ----------
    fields : (gh, gw, 6) float32
        Depth inside a gland (negative in stroma), depth inside its lumen (negative outside), coordinates
        across and along the fibres, lymphocyte cluster (0 to 1), and a random tone of each gland.
    x, y, long, short, angle : (N,) float32
        Centre, semi-axes and direction of each nucleus.
    kind : (N,) uint8
        Its class.
    """

    fields: NDArray[np.float32]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    long: NDArray[np.float32]
    short: NDArray[np.float32]
    angle: NDArray[np.float32]
    kind: NDArray[np.uint8]


class Candidates(NamedTuple):
    """Places and shapes (x, y, long, short, angle) that a nucleus may take; `wanted` of them if they fit."""

    shape: NDArray[np.float32]
    kind: int
    wanted: int


def plan(height_um: float, width_um: float, tissue: TissueSpec, rng: Generator) -> Layout:
    """Lay out a field of `height_um` x `width_um`.

    Cost is linear in area and in nuclei. Where the wanted density does not fit, fewer nuclei are placed.
    """
    fields = _fields(height_um, width_um, tissue, rng)
    groups = [draw(fields, tissue, rng) for draw in (_epithelial, _plasma, _lymphocytes, _spindle)]
    shape = np.concatenate([group.shape for group in groups], axis=1)
    kind = np.concatenate([np.full(group.shape.shape[1], group.kind, np.uint8) for group in groups])
    wanted = np.array([group.wanted for group in groups])
    start = np.cumsum([0, *(group.shape.shape[1] for group in groups)])
    shape[:2] += MARGIN_UM
    extent = (np.array(fields.shape[:2]) * CELL_UM / BUCKET_UM).astype(int) + 2
    kept = place(shape, start, wanted, extent, BUCKET_UM, tissue.crowding)
    shape[:2] -= MARGIN_UM
    x, y, long, short, angle = shape[:, kept]
    return Layout(fields, x, y, long, short, angle, kind[kept])


def _fields(height_um: float, width_um: float, tissue: TissueSpec, rng: Generator) -> NDArray[np.float32]:
    shape = tuple(int(np.ceil((size + 2 * MARGIN_UM) / CELL_UM)) + 2 for size in (height_um, width_um))
    fields = np.empty((*shape, 6), dtype=np.float32)
    y, x = (np.arange(size, dtype=np.float32) * CELL_UM for size in shape)
    glands = _glands(shape, tissue, rng)
    edge = 1.6 * noise(shape, 14.0, rng) + 0.8 * noise(shape, 6.0, rng)
    depth, height, fields[..., TONE] = gland_depth(glands, shape[0], shape[1], CELL_UM)
    fields[..., DEPTH] = depth + edge
    fields[..., LUMEN] = depth - height - 1.5 * noise(shape, 8.0, rng)
    angle = rng.uniform(0, np.pi)
    cos, sin = np.float32(np.cos(angle)), np.float32(np.sin(angle))
    along = x[None, :] * cos + y[:, None] * sin
    across = y[:, None] * cos - x[None, :] * sin
    bend = rng.uniform(4.0, 11.0) * noise(shape, 90.0, rng) + 1.5 * noise(shape, 26.0, rng)
    wrap = 14.0 * np.exp(np.minimum(depth, 0.0) / 10.0)  # fibres run round a gland
    fields[..., ACROSS] = across + bend + wrap
    fields[..., ALONG] = along + 6.0 * noise(shape, 60.0, rng)
    fields[..., CLUSTER] = _clusters(shape, fields[..., DEPTH], tissue, rng)
    return fields


def _glands(shape: tuple[int, ...], tissue: TissueSpec, rng: Generator) -> NDArray[np.float32]:
    """Row per gland: x, y, radius, stretch, direction, epithelium, tone, five wave heights, five phases."""
    spacing = 2.05 * tissue.gland_radius_um
    reach = 2 * tissue.gland_radius_um
    rows, columns = (int(np.ceil((size * CELL_UM + 2 * reach) / spacing)) + 1 for size in shape)
    row, column = (index.ravel() for index in np.mgrid[:rows, :columns])
    n = row.size
    jitter = rng.uniform(-0.24, 0.24, (2, n)) + rng.uniform(0, 1, (2, 1))
    glands = np.empty((n, 17), dtype=np.float32)
    glands[:, 0] = (column + 0.5 * (row % 2) + jitter[0]) * spacing - reach
    glands[:, 1] = (row + jitter[1]) * spacing - reach
    glands[:, 2] = tissue.gland_radius_um * rng.lognormal(0.05, 0.22, n)
    glands[:, 3] = rng.uniform(1.0, 1.55, n)
    glands[:, 4] = rng.uniform(0, np.pi, n)
    has_lumen = rng.random(n) < tissue.lumen_fraction
    glands[:, 5] = np.where(has_lumen, tissue.epithelium_um * rng.lognormal(0, 0.15, n), SOLID_UM)
    glands[:, 6] = rng.random(n)
    glands[:, 7:12] = rng.normal(0, 1, (n, 5)) * np.array([0.09, 0.07, 0.05, 0.03, 0.02])
    glands[:, 12:17] = rng.uniform(0, 2 * np.pi, (n, 5))
    # The share is of area: a disc per site would cover about 0.75 of a full lattice.
    taken: NDArray[np.bool_] = rng.random(n) < min(1.0, tissue.gland_fraction / 0.8)
    return np.asarray(glands[taken], dtype=np.float32)


def _clusters(
    shape: tuple[int, ...], depth: NDArray[np.float32], tissue: TissueSpec, rng: Generator
) -> NDArray[np.float32]:
    hills = noise(shape, 45.0, rng) + 0.35 * noise(shape, 15.0, rng)
    if tissue.cluster_fraction <= 0:
        return np.zeros(shape, dtype=np.float32)
    # The noise is near normal with this spread; a fixed threshold keeps small and large images alike.
    threshold = 1.06 * normal_quantile(1 - tissue.cluster_fraction)
    inside = np.clip((hills - threshold) / 0.35 + 0.5, 0, 1)
    return np.asarray(inside * np.clip(-depth / 4.0, 0, 1), dtype=np.float32)


def normal_quantile(share: float) -> float:
    """Give the value that a standard normal number stays below in `share` of cases."""
    return NormalDist().inv_cdf(min(max(share, 1e-4), 1 - 1e-4))


def _epithelial(fields: NDArray[np.float32], tissue: TissueSpec, rng: Generator) -> Candidates:
    depth, lumen = fields[..., DEPTH], fields[..., LUMEN]
    solid = lumen < -0.5 * SOLID_UM
    inside = (depth > 1.5) & (lumen < -1.5)
    # A single layer sits in the basal half; some nuclei ride higher, as in a pseudostratified epithelium.
    weight = np.where(solid, 1.0, np.exp(-(((depth - 6.0) / 3.5) ** 2)) + 0.2) * inside
    x, y, column, row, wanted = _draw(weight, inside.sum(), tissue.epithelial_per_mm2 * tissue.density, rng)
    n = len(x)
    slope_y, slope_x = slope(depth, row, column)
    tone = fields[row, column, TONE]
    stretch = np.where(solid[row, column], 1.25, 1.15 + 0.75 * tone) * rng.lognormal(0, 0.12, n)
    radius = _radius(3.25, n, tissue, rng) * (0.88 + 0.28 * ((tone * 7.31) % 1.0))
    angle = np.where(solid[row, column], rng.uniform(0, np.pi, n), np.arctan2(slope_y, slope_x))
    angle += rng.normal(0, 0.3, n)
    return _candidates((x, y), radius, stretch, angle, "epithelial", wanted, tissue)


def _lymphocytes(fields: NDArray[np.float32], tissue: TissueSpec, rng: Generator) -> Candidates:
    stroma = fields[..., DEPTH] < -1.0
    weight = fields[..., CLUSTER] + 0.015 * stroma  # a few wander outside the clusters
    x, y, _, _, wanted = _draw(weight, weight.sum(), tissue.lymphocyte_per_mm2 * tissue.density, rng)
    n = len(x)
    radius = _radius(2.15, n, tissue, rng)
    stretch, angle = rng.uniform(1.0, 1.3, n), rng.uniform(0, np.pi, n)
    return _candidates((x, y), radius, stretch, angle, "lymphocyte", wanted, tissue)


def _plasma(fields: NDArray[np.float32], tissue: TissueSpec, rng: Generator) -> Candidates:
    stroma = fields[..., DEPTH] < -2.5
    weight = stroma * (0.25 + 3.0 * fields[..., CLUSTER] * (1 - fields[..., CLUSTER]))
    x, y, _, _, wanted = _draw(weight, stroma.sum(), tissue.plasma_per_mm2 * tissue.density, rng)
    n = len(x)
    radius = _radius(2.45, n, tissue, rng)
    stretch, angle = rng.uniform(1.05, 1.3, n), rng.uniform(0, 2 * np.pi, n)
    return _candidates((x, y), radius, stretch, angle, "plasma", wanted, tissue)


def _spindle(fields: NDArray[np.float32], tissue: TissueSpec, rng: Generator) -> Candidates:
    stroma = fields[..., DEPTH] < -0.8
    weight = stroma * (1 - 0.9 * fields[..., CLUSTER])
    x, y, column, row, wanted = _draw(weight, stroma.sum(), tissue.spindle_per_mm2 * tissue.density, rng)
    n = len(x)
    slope_y, slope_x = slope(fields[..., ACROSS], row, column)
    angle = np.arctan2(slope_y, slope_x) + np.pi / 2 + rng.normal(0, 0.12, n)
    radius = _radius(2.35, n, tissue, rng)
    return _candidates((x, y), radius, rng.lognormal(1.1, 0.25, n), angle, "spindle", wanted, tissue)


def _draw(
    weight: NDArray[np.floating], cells: float, per_mm2: float, rng: Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.intp], NDArray[np.intp], int]:
    """Random places in proportion to `weight`, and how many of them are wanted."""
    total = np.cumsum(weight.ravel(), dtype=np.float64)
    wanted = int(rng.poisson(cells * CELL_UM**2 * 1e-6 * per_mm2))
    n = ATTEMPTS * wanted if total[-1] > 0 else 0
    cell = np.minimum(np.searchsorted(total, rng.random(n) * total[-1], side="right"), total.size - 1)
    row, column = np.divmod(cell, weight.shape[1])
    offset = rng.random((2, n))
    x, y = ((index + part) * CELL_UM - MARGIN_UM for index, part in zip((column, row), offset, strict=True))
    return x, y, column, row, wanted


def _radius(mean_um: float, n: int, tissue: TissueSpec, rng: Generator) -> NDArray[np.float64]:
    return (
        mean_um * tissue.nucleus_scale * np.exp(tissue.pleomorphism * np.clip(rng.normal(0, 1, n), -2.5, 2.5))
    )


def _candidates(
    place_um: tuple[NDArray[np.float64], NDArray[np.float64]],
    radius: NDArray[np.float64],
    stretch: NDArray[np.float64],
    angle: NDArray[np.float64],
    kind: str,
    wanted: int,
    tissue: TissueSpec,
) -> Candidates:
    size, slim = (float(getattr(tissue, f"{kind}_{what}")) for what in ("size", "stretch"))
    root = np.sqrt(np.maximum(stretch, 1.0) ** slim)
    long = np.minimum(radius * size * root, 0.5 * BUCKET_UM)
    columns = np.stack([*place_um, long, radius * size / root, angle]).astype(np.float32)
    return Candidates(columns, CLASSES[kind], wanted)


def slope(
    field: NDArray[np.float32], row: NDArray[np.intp], column: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Downhill to uphill direction of `field` at cells, as (dy, dx)."""
    top, left = np.maximum(row - 1, 0), np.maximum(column - 1, 0)
    bottom, right = np.minimum(row + 1, field.shape[0] - 1), np.minimum(column + 1, field.shape[1] - 1)
    return field[bottom, column] - field[top, column], field[row, right] - field[row, left]


def noise(shape: tuple[int, ...], grain_um: float, rng: Generator) -> NDArray[np.float32]:
    """Smooth noise of spread 1 on the coarse grid, with grains about `grain_um` wide."""
    x0, y0 = rng.uniform(0, 512, 2)
    field: NDArray[np.float32] = box_noise(
        noise_tiles()[0], shape[0], shape[1], x0, y0, 4.0 * CELL_UM / grain_um
    )
    return field
