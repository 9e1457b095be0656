"""Distractors: structures that resemble nuclei, and artefacts; as rows for the drawing kernels."""

from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.synth.layout import CELL_UM, MARGIN_UM, Layout, noise, normal_quantile
from histoscope.synth.spec import DistractorSpec

Rows = NDArray[np.float32]
# Optical density of what no dye made: brown and black grains; blue, green and black ink.
_GRAINS = np.array([[0.27, 0.57, 0.78], [0.60, 0.57, 0.56]])
_INKS = np.array([[0.93, 0.35, 0.06], [0.84, 0.28, 0.46], [0.60, 0.58, 0.55]])


@dataclass(frozen=True, slots=True, eq=False)
class Strays:
    """Distractors of one image.

    Parameters
    ----------
    blots : (N, 8) float32
        Debris and ghosts, in haematoxylin and eosin; see `paint_blots`.
    folds : (M, 6) float32
        See `paint_folds`.
    specks : (K, 8) float32
        Grains of pigment (first layer) and ink (second), each in a colour of its own.
    colours : (2, 3) float32
        Optical density of the two.
    mucin, unfocused : (gh, gw) float32 or None
        From 0 to 1 on the coarse grid of the layout.
    blur_um : float
        Sigma of the blur where the image is out of focus.
    """

    blots: Rows
    folds: Rows
    specks: Rows
    colours: NDArray[np.float32]
    mucin: NDArray[np.float32] | None
    unfocused: NDArray[np.float32] | None
    blur_um: float


def scatter(layout: Layout, spec: DistractorSpec, rng: Generator) -> Strays | None:
    """Place distractors in a field; None, and no random number drawn, if none are asked for."""
    if spec == DistractorSpec():
        return None
    shape = layout.fields.shape[:2]
    blots = [_debris(shape, spec, rng), _ghosts(shape, spec, rng)]
    specks = [_grains(shape, spec, rng), _ink(shape, spec, rng)]
    colours = np.stack([rng.choice(_GRAINS), rng.choice(_INKS)]).astype(np.float32)
    return Strays(
        np.concatenate(blots).astype(np.float32),
        _folds(shape, spec, rng).astype(np.float32),
        np.concatenate(specks).astype(np.float32),
        colours,
        _patches(shape, spec.mucin_fraction, 40.0, rng),
        _patches(shape, spec.out_of_focus_fraction, 120.0, rng),
        float(rng.uniform(0.4, 1.0)),
    )


def _places(shape: tuple[int, ...], per_mm2: float, rng: Generator) -> tuple[NDArray[np.float64], int]:
    """Random places (2, n) in micrometres, x and y, and their number."""
    high = np.array([shape[1], shape[0]]) * CELL_UM
    n = int(rng.poisson(per_mm2 * high.prod() * 1e-6))
    return rng.random((2, n)) * high[:, None] - MARGIN_UM, n


def _heaps(
    shape: tuple[int, ...], per_mm2: float, size: tuple[int, int], spread_um: float, rng: Generator
) -> tuple[NDArray[np.float64], int]:
    """Places (2, n) in heaps of `size` members."""
    centre, heaps = _places(shape, per_mm2, rng)
    which = np.repeat(np.arange(heaps), rng.integers(*size, heaps))
    wide = spread_um * rng.lognormal(0, 0.5, heaps)[which]
    return centre[:, which] + rng.normal(0, 1, (2, len(which))) * wide, len(which)


def _rows(
    place: NDArray[np.float64],
    long: NDArray[np.float64],
    slim: NDArray[np.float64],
    layers: tuple[NDArray[np.float64], NDArray[np.float64]],
    edge: NDArray[np.float64],
    rng: Generator,
) -> NDArray[np.float64]:
    angle = rng.uniform(0, np.pi, len(long))
    return np.stack([*place, long, long * slim, angle, *layers, edge], axis=1)


def _debris(shape: tuple[int, ...], spec: DistractorSpec, rng: Generator) -> NDArray[np.float64]:
    place, n = _heaps(shape, spec.debris_per_mm2, (2, 12), 2.2, rng)
    layers = (rng.uniform(0.5, 1.7, n), rng.uniform(0.0, 0.5, n))
    return _rows(
        place, rng.lognormal(-0.7, 0.45, n), rng.uniform(0.4, 1, n), layers, rng.uniform(0.2, 0.5, n), rng
    )


def _ghosts(shape: tuple[int, ...], spec: DistractorSpec, rng: Generator) -> NDArray[np.float64]:
    place, n = _places(shape, spec.ghosts_per_mm2, rng)
    layers = (rng.uniform(0.08, 0.32, n), rng.uniform(0.0, 0.12, n))
    return _rows(place, rng.uniform(2, 5, n), rng.uniform(0.4, 1, n), layers, rng.uniform(1.4, 2.6, n), rng)


def _grains(shape: tuple[int, ...], spec: DistractorSpec, rng: Generator) -> NDArray[np.float64]:
    place, n = _heaps(shape, spec.pigment_per_mm2, (5, 50), 3.5, rng)
    layers = (rng.uniform(0.5, 2.2, n), np.zeros(n))
    return _rows(
        place, rng.lognormal(-0.6, 0.4, n), rng.uniform(0.5, 1, n), layers, rng.uniform(0.15, 0.4, n), rng
    )


def _ink(shape: tuple[int, ...], spec: DistractorSpec, rng: Generator) -> NDArray[np.float64]:
    place, n = _heaps(shape, spec.ink_per_mm2, (3, 40), 14.0, rng)
    layers = (np.zeros(n), rng.uniform(0.4, 2.0, n))
    return _rows(
        place, rng.lognormal(0.5, 0.9, n), rng.uniform(0.15, 0.7, n), layers, rng.uniform(0.2, 0.8, n), rng
    )


def _folds(shape: tuple[int, ...], spec: DistractorSpec, rng: Generator) -> NDArray[np.float64]:
    place, n = _places(shape, spec.folds_per_mm2, rng)
    long, wide = rng.uniform(30, 110, n), rng.lognormal(1.1, 0.5, n)
    return np.stack([*place, long, wide, rng.uniform(0, np.pi, n), rng.uniform(0.5, 1.3, n)], axis=1)


def _patches(
    shape: tuple[int, ...], share: float, grain_um: float, rng: Generator
) -> NDArray[np.float32] | None:
    """Smooth patches that cover a share of the field."""
    if share <= 0:
        return None
    hills = noise(shape, grain_um, rng)
    return np.asarray(np.clip((hills - normal_quantile(1 - share)) / 0.4 + 0.5, 0, 1), np.float32)
