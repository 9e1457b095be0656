"""Spatial relations between cells of several classes, compared with random labelling.

Random labelling keeps the positions and shuffles the classes, so anything that depends only on where cells
are, such as glass and vessels, is the same on both sides of the comparison.

References
----------
.. [1] Illian et al., Statistical Analysis and Modelling of Spatial Point Patterns, Wiley 2008,
   doi:10.1002/9780470725160, section 7.5
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from histoscope.errors import ShapeError
from histoscope.seeds import RandomSource, generator

N_NEIGHBOURS = 10
"""Cells next to a cell that make its neighbourhood."""
MOST_SOURCES = 10_000
"""Cells of a class that distances are measured from; of more, an even sample is drawn."""
_GRAPH = 64


@dataclass(frozen=True, slots=True, eq=False)
class Spatial:
    """Spatial relations between classes; row: from, column: to. NaN where a class has too few cells.

    Parameters
    ----------
    nearest_um : (C, C) float64
        Mean distance from a cell to the nearest other cell of a class.
    nearest_random_um : (C, C) float64
        The same under random labelling.
    p_value : (C, C) float64
        Two-sided, of the difference of these two, by permutation.
    neighbours : (C, C) float64
        Share of a class among the nearest `N_NEIGHBOURS` cells.
    neighbours_random : (C, C) float64
        The same under random labelling: nearly the share of the class in all cells.
    nearest_any_um : float
        Mean distance from a cell to the nearest other one, of any class.
    """

    nearest_um: NDArray[np.float64]
    nearest_random_um: NDArray[np.float64]
    p_value: NDArray[np.float64]
    neighbours: NDArray[np.float64]
    neighbours_random: NDArray[np.float64]
    nearest_any_um: float = np.nan


def spatial(
    points_um: NDArray[np.float64],
    class_index: NDArray[np.integer],
    n_classes: int,
    *,
    n_permutations: int = 99,
    rng: RandomSource = 0,
) -> Spatial:
    """Distances and neighbourhoods of classes, observed and under random labelling.

    Parameters
    ----------
    points_um : (N, 2) float64
        Positions of cells.
    class_index : (N,) integers
        From 0 to ``n_classes - 1``.
    n_classes : int
    n_permutations : int
        Random labellings; the smallest p value is ``2 / (n_permutations + 1)``.
    rng : seed or Generator

    Raises
    ------
    ShapeError
        If positions and classes do not fit together.

    Examples
    --------
    >>> grid = np.stack(np.meshgrid(np.arange(20.0), np.arange(20.0)), axis=-1).reshape(-1, 2)
    >>> halves = (grid[:, 0] >= 10).astype(int)          # two classes, side by side
    >>> found = spatial(grid, halves, 2)
    >>> found.nearest_um.round(2).tolist(), bool(found.nearest_random_um[0, 1] < 1.5)
    ([[1.0, 5.5], [5.5, 1.0]], True)
    >>> (found.neighbours[0] > found.neighbours_random[0]).tolist()
    [True, False]
    """
    points, kinds = np.asarray(points_um, np.float64), np.asarray(class_index, np.int64)
    if points.ndim != 2 or points.shape[1] != 2 or kinds.shape != (len(points),):
        raise ShapeError(f"points are {points.shape} and classes {kinds.shape}, expected (N, 2) and (N,)")
    if kinds.min(initial=0) < 0 or kinds.max(initial=0) >= n_classes:
        raise ShapeError(f"classes go from {kinds.min()} to {kinds.max()}, expected 0 to {n_classes - 1}")
    random = generator(rng)
    nearest, expected, p_value, shares = (np.full((n_classes, n_classes), np.nan) for _ in range(4))
    counts = np.bincount(kinds, minlength=n_classes)
    shares_random = np.tile(counts / max(len(points), 1), (n_classes, 1))
    if len(points) < 2:
        return Spatial(nearest, expected, p_value, shares, shares_random)
    tree = KDTree(points)
    sizes = np.minimum(counts, MOST_SOURCES)
    for a in np.flatnonzero(counts):
        near = _Near.of(tree, _sample(np.flatnonzero(kinds == a), sizes[a], random))
        shares[a] = np.bincount(kinds[near.others[:, :N_NEIGHBOURS]].ravel(), minlength=n_classes)
        shares[a] /= shares[a].sum()
        nearest[a] = [near.to(points, kinds == b).mean() for b in range(n_classes)]
    pool = _Near.of(tree, _sample(np.arange(len(points)), min(len(points), MOST_SOURCES), random))
    drawn = np.full((n_permutations, n_classes, n_classes), np.nan)
    small = kinds.astype(np.min_scalar_type(n_classes))  # fits the cache, which is what dealing costs
    for k in range(n_permutations):
        dealt, order = random.permutation(small), random.permutation(len(pool.sources))
        for b in np.flatnonzero(counts):
            distances = pool.to(points, dealt == b)[order]
            drawn[k, :, b] = [distances[:n].mean() if n else np.nan for n in sizes]
    known = np.isfinite(nearest) & np.isfinite(drawn).all(axis=0)
    drawn, seen = drawn[:, known], nearest[known]
    expected[known] = drawn.mean(axis=0)
    extreme = 1 + np.minimum((drawn <= seen).sum(axis=0), (drawn >= seen).sum(axis=0))
    p_value[known] = np.minimum(2 * extreme / (n_permutations + 1), 1.0)
    return Spatial(nearest, expected, p_value, shares, shares_random, float(pool.distances[:, 0].mean()))


@dataclass(frozen=True, slots=True, eq=False)
class _Near:
    """The nearest cells of some cells, themselves left out; nearest first."""

    sources: NDArray[np.int64]
    distances: NDArray[np.float64]
    others: NDArray[np.int64]

    @classmethod
    def of(cls, tree: KDTree, sources: NDArray[np.int64]) -> "_Near":
        k = min(_GRAPH, tree.n - 1)
        distances, others = tree.query(tree.data[sources], k + 1, workers=-1)
        # Of cells at the same place, a cell itself need not come first.
        is_self = others == sources[:, None]
        is_self[~is_self.any(axis=1), -1] = True
        shape = len(sources), k
        return cls(sources, distances[~is_self].reshape(shape), others[~is_self].reshape(shape))

    def to(self, points: NDArray[np.float64], wanted: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Distance from each source to the nearest other cell that is wanted; NaN if there is none."""
        hits = wanted[self.others]
        first = hits.argmax(axis=1)
        rows = np.arange(len(self.sources))
        found = np.where(hits[rows, first], self.distances[rows, first], np.nan)
        far = np.flatnonzero(np.isnan(found))
        cells = np.flatnonzero(wanted)
        if len(far) and len(cells) > 1:  # a rare class: its own tree is small
            distances, others = KDTree(points[cells]).query(points[self.sources[far]], 2, workers=-1)
            is_self = cells[others[:, 0]] == self.sources[far]
            found[far] = np.where(is_self, distances[:, 1], distances[:, 0])
        elif len(far) and len(cells) == 1:
            step = points[cells[0]] - points[self.sources[far]]
            found[far] = np.where(cells[0] == self.sources[far], np.nan, np.hypot(*step.T))
        return found


def _sample(indices: NDArray[np.int64], size: int, random: np.random.Generator) -> NDArray[np.int64]:
    if size == len(indices):
        return indices
    return np.sort(random.choice(indices, size, replace=False))
