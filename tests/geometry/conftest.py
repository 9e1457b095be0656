"""Drawn label maps, and predictions as a network would give them."""

from collections.abc import Callable

import numpy as np
import pytest

from histoscope.geometry import object_probability, star_distances

Candidates = tuple[np.ndarray, np.ndarray, np.ndarray]


def draw_labels(seed: int, shape: tuple[int, int] = (96, 128), n: int = 40) -> np.ndarray:
    """Ellipses that cover each other: some split, some cut by the border, some of one pixel."""
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, np.int32)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for number in range(1, n + 1):
        y, x = rows - rng.uniform(0, shape[0]), columns - rng.uniform(0, shape[1])
        angle, radii = rng.uniform(0, np.pi), rng.uniform(0.4, 14, 2)
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        labels[(u / radii[0]) ** 2 + (v / radii[1]) ** 2 <= 1] = number
    holes = rng.random(shape) < 0.002
    labels[holes] = 0
    labels[tuple(rng.integers(0, shape))] = n + 1
    return labels


def ellipses(seed: int, n: int, step_px: int) -> np.ndarray:
    """Draw n x n nuclei that touch, on a shaken grid."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[: n * step_px, : n * step_px]
    labels = np.zeros(rows.shape, np.int32)
    for k in range(n * n):
        top, left = (np.array(divmod(k, n)) + rng.uniform(0.25, 0.75, 2)) * step_px
        y, x, angle, radii = (
            rows - top,
            columns - left,
            rng.uniform(0, 3),
            rng.uniform(0.3, 0.55, 2) * step_px,
        )
        u, v = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
        labels[(u / radii[0]) ** 2 + (v / radii[1]) ** 2 <= 1] = k + 1
    return labels


def candidates_of(labels: np.ndarray, n_rays: int, noise: float, seed: int) -> Candidates:
    """Points, distances, probabilities of all central pixels, shaken by `noise`; no two equally probable."""
    rng = np.random.default_rng(seed)
    probability = object_probability(labels)
    points = np.argwhere(probability > 0.4)
    rows, columns = points.T
    distances = star_distances(labels, n_rays)[rows, columns]
    distances = distances * rng.normal(1, noise, distances.shape) * rng.normal(1, noise, (len(points), 1))
    order = rng.permutation(len(points)) * 1e-5
    return (
        points.astype(np.float32),
        np.maximum(distances, 1e-3).astype(np.float32),
        (probability[rows, columns] * rng.uniform(1 - noise, 1, len(points)) + order).astype(np.float32),
    )


@pytest.fixture(scope="session")
def labels() -> Callable[..., np.ndarray]:
    return draw_labels


@pytest.fixture(scope="session")
def touching() -> Callable[..., np.ndarray]:
    return ellipses


@pytest.fixture(scope="session")
def candidates() -> Callable[..., Candidates]:
    return candidates_of
