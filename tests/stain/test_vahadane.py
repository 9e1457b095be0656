from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import nnls

from histoscope import stain
from histoscope.stain import _kernels
from histoscope.stain.vahadane import PENALTY, factorise


def lasso(density, stains, penalty):
    """Non-negative lasso through non-negative least squares: complete the square, then solve."""
    root = np.linalg.cholesky(stains @ stains.T)
    target = np.linalg.solve(root, stains @ density - penalty)
    return nnls(root.T, target)[0]


def objective(density, stains, penalty=PENALTY):
    codes = np.array([lasso(row, stains, penalty) for row in density])
    return 0.5 * ((density - codes @ stains) ** 2).sum() + penalty * codes.sum()


@pytest.fixture
def density(mix):
    image = mix(noise=4.0, shape=(30, 30))
    return stain.optical_density(image[stain.tissue_mask(image)])


def test_codes_agree_with_an_independent_solver(density):
    stains = stain.Macenko.default().target.stains
    stains = stains / np.linalg.norm(stains, axis=1, keepdims=True)
    codes = np.array([lasso(row, stains, PENALTY) for row in density.astype(np.float64)])
    assert (codes == 0).any(axis=0).all()  # every case of the kernel occurs
    moments, cross, total = _kernels.sparse_moments(np.ascontiguousarray(density.T), stains, PENALTY)
    assert_allclose(moments, codes.T @ codes, rtol=1e-4, atol=1e-3)
    assert_allclose(cross, codes.T @ density, rtol=1e-4, atol=1e-3)
    assert total == pytest.approx(codes.sum(), rel=1e-4)


def test_objective_never_rises(density):
    start = stain.Ruifrok.default().target.stains
    values = [objective(density, start)] + [
        objective(density, factorise(np.ascontiguousarray(density.T), start, steps=n)) for n in (1, 2, 4, 8)
    ]
    assert all(later <= earlier * (1 + 1e-4) for earlier, later in pairwise(values))
    assert values[-1] < 0.99 * values[0]


def test_many_small_turns_lead_to_the_same_stains(density):
    density = density[:100]
    start = stain.Ruifrok.default().target.stains
    stains = start.copy()
    for _ in range(300):  # the plain method: code, then refit each stain
        codes = np.array([lasso(row, stains, PENALTY) for row in density])
        for j in range(2):
            row = stains[j] + codes[:, j] @ (density - codes @ stains) / (codes[:, j] @ codes[:, j])
            stains[j] = np.maximum(row, 0) / np.linalg.norm(np.maximum(row, 0))
    assert_allclose(factorise(np.ascontiguousarray(density.T), start), stains, atol=5e-3)


def test_known_mixture_is_recovered(mix):
    stains = np.array([[0.62, 0.68, 0.39], [0.1, 0.9, 0.42]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    assert_allclose(stain.Vahadane.estimate(mix(stains=stains)).stains, stains, atol=0.06)


def test_without_penalty_an_exact_mixture_is_explained_exactly(rng):
    stains = np.array([[0.62, 0.68, 0.39], [0.1, 0.9, 0.42]])
    stains /= np.linalg.norm(stains, axis=1, keepdims=True)
    density = (rng.exponential(1.0, (500, 2)) @ stains).astype(np.float32)
    assert objective(density, factorise(np.ascontiguousarray(density.T), stains, penalty=0.0), 0.0) < 1e-6
