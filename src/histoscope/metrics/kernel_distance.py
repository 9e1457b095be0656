"""Kernel distance (unbiased squared MMD) of two sets of features, with its null distribution."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from histoscope.brief import brief
from histoscope.errors import ShapeError
from histoscope.metrics.keys import group_codes
from histoscope.seeds import RandomSource, generator

DEGREE = 3
_BLOCK = 1024


@brief
@dataclass(frozen=True, slots=True, eq=False)
class KernelDistance:
    """A kernel distance with its null distribution.

    Parameters
    ----------
    value : float
        Distance between all real and all synthetic features.
    against : (n_splits,) float64
        Distance between a random half of the real groups and as many synthetic groups (at most all).
    null : (n_splits,) float64
        Distance between that half and the other half of the real groups.
    """

    value: float
    against: NDArray[np.float64]
    null: NDArray[np.float64]

    @property
    def share_beyond(self) -> float:
        """Share of splits in which synthetic tissue is farther from a real half than the other real half."""
        return float((self.against > self.null).mean())

    def __str__(self) -> str:
        """In one line."""
        low, high = np.percentile(self.null, (2.5, 97.5))
        return (
            f"kernel distance {self.value:.4g}; half against half {np.median(self.against):.4g}, real "
            f"against real {np.median(self.null):.4g} (95 % of splits {low:.3g} to {high:.3g}); farther "
            f"than real in {self.share_beyond:.0%} of splits"
        )


def kernel_distance(real: ArrayLike, synthetic: ArrayLike) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel ``(x.y / d + 1)**3`` [1]_ [2]_.

    Parameters
    ----------
    real, synthetic : (N, d) and (M, d) floats
        Features, one row per patch; at least two rows each.

    Returns
    -------
    float
        0 on average for two samples of one distribution, so it may be slightly negative.

    Raises
    ------
    ShapeError
        If the arrays do not fit, hold less than two rows or something that is not finite.

    Notes
    -----
    Compare distances only of features of one network, layer and scale. With the features of Inception this is
    the kernel inception distance (KID).

    References
    ----------
    .. [1] Gretton et al., JMLR 13, 2012.
    .. [2] Bińkowski et al., ICLR 2018, arXiv:1801.01401.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> same, other = rng.normal(size=(2, 200, 8))
    >>> abs(kernel_distance(same, other)) < 0.05 < kernel_distance(same, other + 1)
    True
    """
    x, y = _checked(real, synthetic)
    sums, diagonal = _block_sums(np.vstack([x, y]), np.repeat([0, 1], [len(x), len(y)]), 2)
    counts = np.array([len(x), len(y)])
    return _unbiased(sums, diagonal, counts, np.array([True, False]), np.array([False, True]))


def kernel_distance_with_null(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    real_groups: ArrayLike | None = None,
    synthetic_groups: ArrayLike | None = None,
    n_splits: int = 200,
    rng: RandomSource | None = None,
) -> KernelDistance:
    """Kernel distance, with the distances between halves of the real set as null distribution.

    Groups (patients) are not split: patches of one slide in both halves would bias the null downwards.

    Parameters
    ----------
    real, synthetic : (N, d) and (M, d) floats
    real_groups, synthetic_groups : (N,) and (M,) values, optional
        Patient of each row; by default each row is a group. At least four groups of real rows and two of
        synthetic ones.
    n_splits : int
        Random splits.
    rng : int or Generator, optional
        Seed or generator of the splits; by default seed 0.

    Raises
    ------
    ShapeError
        As `kernel_distance`, or if there are too few groups.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> real, alike = rng.normal(size=(2, 120, 4))
    >>> found = kernel_distance_with_null(real, alike, real_groups=np.arange(120) // 10, n_splits=50)
    >>> found.null.shape, 0.1 < found.share_beyond < 0.9
    ((50,), True)
    """
    x, y = _checked(real, synthetic)
    rng = generator(0 if rng is None else rng)
    code_x, n_x = _codes(real_groups, len(x), "real_groups", 4)
    code_y, n_y = _codes(synthetic_groups, len(y), "synthetic_groups", 2)
    codes = np.concatenate([code_x, code_y + n_x])
    sums, diagonal = _block_sums(np.vstack([x, y]), codes, n_x + n_y)
    counts = np.bincount(codes, minlength=n_x + n_y)
    all_groups = np.arange(n_x + n_y)
    is_real = all_groups < n_x
    value = _unbiased(sums, diagonal, counts, is_real, ~is_real)
    against, null = np.empty(n_splits), np.empty(n_splits)
    half = n_x // 2
    for k in range(n_splits):
        order, made = rng.permutation(n_x), n_x + rng.permutation(n_y)[: n_x - half]
        first, second, synth = (np.isin(all_groups, part) for part in (order[:half], order[half:], made))
        null[k] = _unbiased(sums, diagonal, counts, first, second)
        against[k] = _unbiased(sums, diagonal, counts, first, synth)
    return KernelDistance(value, against, null)


def _checked(real: ArrayLike, synthetic: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x, y = np.asarray(real, np.float64), np.asarray(synthetic, np.float64)
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2 or not x.shape[1]:
        raise ShapeError(
            f"real features are {x.shape}, synthetic ones {y.shape}; expected (N, d) and (M, d), with at "
            "least two rows each and the same d"
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ShapeError("features hold NaN or infinite values; leave those rows out")
    return x, y


def _codes(groups: ArrayLike | None, n: int, name: str, least: int) -> tuple[NDArray[np.int64], int]:
    codes = group_codes(np.arange(n) if groups is None else groups, name)
    if codes.shape != (n,):
        raise ShapeError(f"{name} has shape {codes.shape}, expected ({n},): a group for each row")
    sizes = np.bincount(codes)
    if len(sizes) < least or n - sizes.max() < 2:
        raise ShapeError(
            f"{name} holds {len(sizes)} group(s); at least {least} are needed, with two rows outside the "
            "largest, to split them in half"
        )
    return codes.astype(np.int64), len(sizes)


def _block_sums(
    rows: NDArray[np.float64], codes: NDArray[np.int64], n_groups: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sum of the kernel between each two groups, and of its diagonal within each group."""
    scale = 1.0 / rows.shape[1]
    order = np.argsort(codes, kind="stable")
    rows, codes = rows[order], codes[order]
    starts = np.searchsorted(codes, np.arange(n_groups))
    sums = np.zeros((n_groups, n_groups))
    for k in range(0, len(rows), _BLOCK):
        kernel = (rows[k : k + _BLOCK] @ rows.T * scale + 1.0) ** DEGREE
        np.add.at(sums, codes[k : k + _BLOCK], np.add.reduceat(kernel, starts, axis=1))
    diagonal = (np.einsum("ij,ij->i", rows, rows) * scale + 1.0) ** DEGREE
    return sums, np.bincount(codes, diagonal, minlength=n_groups).astype(np.float64)


def _unbiased(
    sums: NDArray[np.float64],
    diagonal: NDArray[np.float64],
    counts: NDArray[np.int64],
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
) -> float:
    within = 0.0
    for part in (first, second):
        n = int(counts[part].sum())
        if n < 2:
            return float("nan")
        within += (sums[np.ix_(part, part)].sum() - diagonal[part].sum()) / (n * (n - 1))
    between = sums[np.ix_(first, second)].sum() / (counts[first].sum() * counts[second].sum())
    return float(within - 2 * between)
