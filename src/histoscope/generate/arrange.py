"""New layouts from a bank: a real tile's arrangement, rotated and warped, with other nuclei in its places."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.errors import ConfigError
from histoscope.generate.bank import BORDER, LEAST_UM2, LEVEL, SIDE, STEPS, Bank
from histoscope.generate.bank_maps import CELL_UM, planes_resized
from histoscope.labels import relabel
from histoscope.seeds import RandomSource, generator
from histoscope.synth._stamp import KNOTS, stamp
from histoscope.synth.nuclei import keep_largest_piece
from histoscope.synth.picture import check_size
from histoscope.synth.spec import StainSpec
from histoscope.types import Labels

ATTEMPTS = 6
"""Places tried for each nucleus that is wanted."""
OVERLAP = 0.15
"""Share of a nucleus that may lie under those placed before it."""
_WARP_UM, _WAVE_UM = 1.5, 40.0
_MARGIN_UM, _FAR_UM = 8.0, 40.0
_SIMILAR = 24


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Arrangement:
    """A layout: labels, and the conditions of the generator.

    Parameters
    ----------
    instances : (H, W) int32
        Ids 1 to N without gaps, each one connected piece.
    classes : (N + 1,) uint8
    tone, spread : (N + 1, 3) and (N + 1,) float32
        Mean dyes of each nucleus and spread of haematoxylin in it.
    ground : (H, W, 6) float32
        As `histoscope.generate.bank_maps.ground_of`.
    chromatin : (H, W) float32
        Soft haematoxylin of each pixel of a nucleus less its mean.
    stain : StainSpec
        Of the tile that the arrangement comes from.
    tile : int
        Its number in the bank.
    wanted, placed : int
        Nuclei to be centred in the tile, and those of them that fitted.
    mpp : float
    """

    instances: Labels
    classes: NDArray[np.uint8]
    tone: NDArray[np.float32]
    spread: NDArray[np.float32]
    ground: NDArray[np.float32]
    chromatin: NDArray[np.float32]
    stain: StainSpec
    tile: int
    wanted: int
    placed: int
    mpp: float


class Places(NamedTuple):
    """Positions of nuclei, in micrometres of the new tile, and which nucleus of the bank each had."""

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    angle: NDArray[np.float64]
    like: NDArray[np.intp]

    def taken(self, which: NDArray[np.intp] | NDArray[np.bool_] | list[int]) -> "Places":
        """A subset."""
        index = np.asarray(which) if len(which) else np.zeros(0, np.intp)
        return Places(self.x[index], self.y[index], self.angle[index], self.like[index])


class _Move(NamedTuple):
    """Map from the new tile to the real one: a warp, then rotation and scaling about two centres."""

    matrix: NDArray[np.float64]
    centre: NDArray[np.float64]
    origin: NDArray[np.float64]
    waves: NDArray[np.float64]


def arrange(
    bank: Bank,
    shape_px: tuple[int, int],
    *,
    mpp: float,
    rng: RandomSource,
    tile: int | None = None,
    density: float = 1.0,
) -> Arrangement:
    """Draw a layout.

    The arrangement of a real tile (density, classes, neighbours, directions) is rotated, flipped, scaled and
    warped; each position gets another nucleus of the same class and of similar size and elongation, itself
    deformed. Each nucleus is tried in a few places and then left out, so a density that does not fit is
    reached in part.

    Parameters
    ----------
    bank : Bank
    shape_px : (rows, columns)
    mpp : float
        Micrometres per pixel.
    rng : int or numpy.random.Generator
        A seed draws the same layout each time.
    tile : int, optional
        Number of the real tile; drawn at random if left out.
    density : float in (0, 10]
        Times that of the real tile.

    Raises
    ------
    ConfigError
        If the size, the tile or the density is out of range.

    Examples
    --------
    >>> from histoscope import synth
    >>> from histoscope.generate.bank import cut_bank
    >>> bank = cut_bank([synth.generate((128, 128), mpp=0.5)], synth.CLASSES)
    >>> new = arrange(bank, (64, 96), mpp=0.5, rng=0)
    >>> new.instances.shape, len(new.classes) == int(new.instances.max()) + 1
    ((64, 96), True)
    """
    check_size(shape_px, mpp)
    if not 0 < density <= 10:
        raise ConfigError(f"density is {density}, expected a factor above 0 and up to 10")
    if tile is not None and not 0 <= tile < len(bank.tiles):
        raise ConfigError(f"tile is {tile}, expected 0 to {len(bank.tiles) - 1}: the bank's tiles")
    rng = generator(rng)
    which = int(rng.integers(len(bank.tiles))) if tile is None else tile
    size_um = np.array([shape_px[1] * mpp, shape_px[0] * mpp])
    move = _move(bank, which, size_um, rng)
    places = _places(bank, which, size_um, move, rng)
    places = _thickened(places, bank, density, rng)
    instances, chromatin, drawn = _draw(bank, places, shape_px, mpp, rng)
    tone = np.concatenate([np.zeros((1, 3), np.float32), bank.nuclei.tone[drawn.like]])
    tone[1:, 0] *= rng.normal(1.0, 0.05, len(drawn.like))
    spread = np.concatenate([np.zeros(1, np.float32), bank.nuclei.spread[drawn.like]])
    classes = np.concatenate([[0], bank.nuclei.kind[drawn.like]]).astype(np.uint8)
    return Arrangement(
        instances, classes, tone.astype(np.float32), spread,
        _ground(bank, which, shape_px, mpp, move), chromatin,
        bank.tiles[which].stain, which, _within(places, size_um), _within(drawn, size_um), mpp,
    )  # fmt: skip


def _within(places: Places, size_um: NDArray[np.float64]) -> int:
    width, height = size_um
    return int(((places.x >= 0) & (places.x < width) & (places.y >= 0) & (places.y < height)).sum())


def _move(bank: Bank, which: int, size_um: NDArray[np.float64], rng: Generator) -> _Move:
    angle, scale = rng.uniform(0, 2 * np.pi), rng.uniform(0.93, 1.08)
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    matrix = np.array([[cos, sin], [-sin, cos]]) @ np.diag([1.0, rng.choice([-1.0, 1.0])])
    tile = bank.tiles[which]
    span = np.array([tile.width_um, tile.height_um])
    # Where the real tile is large enough, little of the new one is mirrored.
    free = np.maximum((span - size_um) / 2, 0.1 * span)
    origin = span / 2 + rng.uniform(-1, 1, 2) * free
    # Each wave: two wave numbers, a phase, and how far it pushes along x and y.
    waves = np.column_stack(
        [
            rng.normal(0, 2 * np.pi / _WAVE_UM / 1.5, (6, 2)),
            rng.uniform(0, 2 * np.pi, 6),
            rng.normal(0, _WARP_UM / np.sqrt(3), (6, 2)),
        ]
    )
    return _Move(matrix, size_um / 2, origin, waves)


def _warp(points: NDArray[np.float64], move: _Move) -> NDArray[np.float64]:
    phase = points @ move.waves[:, :2].T + move.waves[:, 2]
    return np.asarray(np.sin(phase) @ move.waves[:, 3:], np.float64)


def _places(bank: Bank, which: int, size_um: NDArray[np.float64], move: _Move, rng: Generator) -> Places:
    """Positions of a tile's nuclei in the new tile; beyond the tile's borders it is mirrored."""
    tile, nuclei = bank.tiles[which], bank.nuclei
    own = np.flatnonzero(nuclei.tile == which)
    span = np.array([tile.width_um, tile.height_um])
    reach = np.ceil((np.linalg.norm(size_um) / 2 * 1.1 + 10) / span).astype(int)
    back = np.linalg.inv(move.matrix)
    # Mirrored copies of the tile, (copies, 1, 2); in each its nuclei, (copies, nuclei, 2).
    copies = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(
        -1, 1, 2
    )
    flip = 1 - 2 * (copies % 2)
    at = np.stack([nuclei.x_um[own], nuclei.y_um[own]], axis=1).astype(np.float64)
    at = np.where(flip > 0, at, span - at) + copies * span
    xy = (at - move.origin) @ back.T + move.centre
    of_copy, of_own = _inside(xy, size_um, _FAR_UM)  # the rest is out of the warp's reach
    xy = xy[of_copy, of_own]
    xy -= _warp(xy, move)
    shows = _inside(xy, size_um, _MARGIN_UM)
    xy, flip, like = xy[shows], flip[of_copy[shows], 0], own[of_own[shows]]
    along = np.stack([np.cos(nuclei.angle[like]), np.sin(nuclei.angle[like])], axis=1) * flip @ back.T
    angle = np.arctan2(along[:, 1], along[:, 0])
    xy += rng.normal(0, 0.4, xy.shape)
    angle = angle + rng.normal(0, 0.15, len(angle))
    return Places(xy[:, 0], xy[:, 1], angle, like.astype(np.intp))


def _inside(points: NDArray[np.float64], size_um: NDArray[np.float64], margin: float) -> Any:
    """Indices of points (..., 2) in a box or at most `margin` from it."""
    return np.nonzero(((points > -margin) & (points < size_um + margin)).all(axis=-1))


def _thickened(places: Places, bank: Bank, density: float, rng: Generator) -> Places:
    """Drop positions at random, or add some beside others, and shuffle them."""
    n = len(places.x)
    wanted = int(rng.binomial(n, density)) if density <= 1 else n + int(rng.poisson((density - 1) * n))
    order = rng.permutation(n)[:wanted]
    extra = rng.integers(n, size=max(0, wanted - n)) if n else np.zeros(0, np.intp)
    chosen = np.concatenate([order, extra]).astype(np.intp)
    x, y, angle, like = places.taken(chosen)
    apart = 2.2 * np.sqrt(bank.nuclei.area_um2[like[len(order) :]] / np.pi)
    turn, far = rng.uniform(0, 2 * np.pi, len(apart)), apart * rng.uniform(0.9, 1.8, len(apart))
    x[len(order) :] += far * np.cos(turn)
    y[len(order) :] += far * np.sin(turn)
    return Places(x, y, angle, like)


def _draw(
    bank: Bank, places: Places, shape_px: tuple[int, int], mpp: float, rng: Generator
) -> tuple[Labels, NDArray[np.float32], Places]:
    """Place a nucleus at each position where one fits; labels, chromatin and the positions used."""
    instances, chromatin = np.zeros(shape_px, np.int32), np.zeros(shape_px, np.float32)
    nuclei, n = bank.nuclei, len(places.x)
    stand_in = _others(bank, places.like, rng)
    contrast = np.clip(nuclei.spread[places.like] / np.maximum(nuclei.spread[stand_in], 1e-3), 0.6, 1.6)
    back, half = _turned(bank, stand_in, places.angle, mpp, rng)
    dents = rng.standard_normal((n, KNOTS, KNOTS), np.float32) * np.float32(0.5 * LEVEL)
    nudge = rng.normal(0, 1, (n, ATTEMPTS, 2)) * (0.5 * np.arange(ATTEMPTS))[:, None]
    at = np.floor((np.stack([places.y, places.x], axis=1)[:, None] + nudge) / mpp).astype(np.int64)
    stored = nuclei.shape, nuclei.chromatin
    drawn = stand_in.astype(np.int64), back, half, dents, contrast.astype(np.float64) / STEPS
    kept = stamp(instances, chromatin, stored, BORDER, drawn, at, OVERLAP)
    labels, placed = _tidy(instances, places.taken(kept), mpp)
    return labels, chromatin, placed


def _turned(
    bank: Bank, which: NDArray[np.intp], angle: NDArray[np.float64], mpp: float, rng: Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Random rotation, flip and stretch of stored nuclei: matrices (n, 2, 2) to stored pixels, extents."""
    nuclei, n = bank.nuclei, len(which)
    flip = rng.choice([-1.0, 1.0], n)
    turn = angle - nuclei.angle[which] * flip
    cos, sin = np.cos(turn), np.sin(turn)
    scale = nuclei.side_um[which].astype(np.float64) / SIDE / mpp
    wider = np.zeros((n, 2, 2))
    wider[:, 0, 0], wider[:, 1, 1] = rng.normal(1.0, 0.05, (2, n))
    wider[:, 0, 1] = rng.normal(0, 0.04, n)
    wider[..., 1] *= flip[:, None]
    turned = np.stack([cos, -sin, sin, cos], axis=1).reshape(n, 2, 2)
    half = np.ceil(0.72 * SIDE * scale * 1.1).astype(np.int64) + 1
    return np.linalg.inv(scale[:, None, None] * turned @ wider), half


def _tidy(instances: Labels, placed: Places, mpp: float) -> tuple[Labels, Places]:
    """Erase detached pieces and slivers, and number without gaps."""
    shows = keep_largest_piece(instances, len(placed.x))
    keep = shows * mpp**2 >= LEAST_UM2
    return relabel(instances, keep)[0], placed.taken(keep)


def _others(bank: Bank, like: NDArray[np.intp], rng: Generator) -> NDArray[np.intp]:
    """For each nucleus, another of its class, of similar size and elongation, not cut by a border."""
    nuclei = bank.nuclei
    out = np.empty(len(like), np.intp)
    for kind in np.unique(nuclei.kind[like]):
        which = np.flatnonzero(nuclei.kind[like] == kind)
        pool, area = _pool(bank, int(kind))
        cut = ~nuclei.whole[like[which]]
        wanted = np.log(nuclei.area_um2[like[which]]) + rng.normal(0, 0.1, len(which))
        wanted[cut] = rng.choice(area, int(cut.sum()))  # their size is unknown
        first = np.clip(np.searchsorted(area, wanted) - _SIMILAR, 0, max(0, len(pool) - 2 * _SIMILAR))
        window = np.minimum(first[:, None] + np.arange(2 * _SIMILAR), len(pool) - 1)
        differs = np.abs(np.log(nuclei.stretch[pool[window]] / nuclei.stretch[like[which], None]))
        near = np.argsort(differs, axis=1)[:, : _SIMILAR // 2]
        pick = near[np.arange(len(which)), rng.integers(near.shape[1], size=len(which))]
        out[which] = pool[window[np.arange(len(which)), pick]]
    return out


@lru_cache(maxsize=32)
def _pool(bank: Bank, kind: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Uncut nuclei of a class, or of any if it has none, from small to large; logarithms of their areas."""
    nuclei = bank.nuclei
    pool = np.flatnonzero(nuclei.whole & (nuclei.kind == kind))
    pool = pool if len(pool) else np.flatnonzero(nuclei.whole)
    pool = pool[np.argsort(nuclei.area_um2[pool], kind="stable")]
    return pool, np.log(nuclei.area_um2[pool])


def _ground(
    bank: Bank, which: int, shape_px: tuple[int, int], mpp: float, move: _Move
) -> NDArray[np.float32]:
    """The real tile's ground, warped as its nuclei were."""
    cells = [max(2, int(np.ceil(side * mpp / CELL_UM))) for side in shape_px]
    step = [side * mpp / n for side, n in zip(shape_px, cells, strict=True)]
    y, x = ((np.arange(n) + 0.5) * length for n, length in zip(cells, step, strict=True))
    points = np.stack(np.meshgrid(x, y), axis=-1)
    real = (points + _warp(points, move) - move.centre) @ move.matrix.T + move.origin
    place = (real / CELL_UM - 0.5).astype(np.float32)
    moved = cv2.remap(bank.tiles[which].ground, place, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    return planes_resized(cv2.split(moved), shape_px[::-1])
