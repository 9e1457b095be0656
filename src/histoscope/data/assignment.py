"""Assigning whole groups to parts, near the requested shares and with even strata."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

_MAX_TRIES = 32
SHARE_TOLERANCE = 0.05
"""How much further from the requested shares a stratified split may be than one based on sizes alone."""


def assign(counts: NDArray[np.float64], shares: NDArray[np.float64], seed: int) -> NDArray[np.intp]:
    """Part of each group: counts is (groups, strata), shares (parts,).

    Assignments by size alone show how close to the shares a split can be. Of those as close, within
    `SHARE_TOLERANCE`, the one with the most even strata is kept.
    """
    sizes = counts.sum(axis=1, keepdims=True)
    by_size = list(_assignments(sizes, shares, np.random.default_rng(seed)))
    if counts.shape[1] == 1:
        return min(by_size, key=lambda owner: _deviation(sizes, shares, owner))
    near = min(_deviation(sizes, shares, owner)[0] for owner in by_size) + SHARE_TOLERANCE + 1e-9
    found = [*_assignments(counts, shares, np.random.default_rng(seed)), *by_size]
    kept = [owner for owner in found if _deviation(sizes, shares, owner)[0] <= near]
    return min(kept, key=lambda owner: _deviation(counts, shares, owner))


def _assignments(
    counts: NDArray[np.float64], shares: NDArray[np.float64], rng: np.random.Generator
) -> Iterator[NDArray[np.intp]]:
    """Assign the groups, in random order, to the part that most lacks their content."""
    totals = counts.sum(axis=0)
    targets = (shares / shares.sum())[:, None] * totals
    for _ in range(int(np.clip(20_000 // len(counts), 1, _MAX_TRIES))):
        owner, lack = np.zeros(len(counts), np.intp), targets.copy()
        empty = np.ones(len(shares), bool)
        for done, group in enumerate(rng.permutation(len(counts))):
            gain = lack @ (counts[group] / totals)
            if empty.any() and len(counts) - done <= empty.sum():  # every part gets at least one group
                gain[~empty] = -np.inf
            part = int(gain.argmax())
            owner[group], empty[part] = part, False
            lack[part] -= counts[group]
        yield owner


def _deviation(
    counts: NDArray[np.float64], shares: NDArray[np.float64], owner: NDArray[np.intp]
) -> tuple[float, float]:
    """Distance of an assignment from the shares: the largest in any stratum, and chi-squared over all."""
    totals = counts.sum(axis=0)
    wanted = (shares / shares.sum())[:, None] * totals
    held = np.stack([counts[owner == part].sum(axis=0) for part in range(len(shares))])
    most = float(np.abs((wanted - held) / totals).max())
    return round(most, 12), float(((held - wanted) ** 2 / wanted).sum())
