"""Turns of images and of rays."""

import math

import numpy as np
import pytest
import torch

from histoscope.errors import ConfigError
from histoscope.models import turns


@pytest.mark.parametrize("k", range(turns.N_TURNS))
def test_back_undoes_turn(k):
    image = torch.randn(2, 3, 4, 6)
    torch.testing.assert_close(turns.back(turns.turn(image, k), k), image, rtol=0, atol=0)


def test_all_turns_differ():
    image = torch.arange(9).view(1, 1, 3, 3)
    assert len({tuple(turns.turn(image, k).flatten().tolist()) for k in range(turns.N_TURNS)}) == 8


@pytest.mark.parametrize("k", range(turns.N_TURNS))
def test_a_direction_turns_as_the_picture_does(k):
    image = torch.zeros(1, 1, 9, 9)
    image[0, 0, 4, 4], image[0, 0, 6, 5] = 1, 2  # a step of two rows down and one column right
    turned = turns.turn(image, k)[0, 0]
    start, end = (turned == 1).nonzero()[0], (turned == 2).nonzero()[0]
    assert turns.direction(k, 2, 1) == tuple((end - start).tolist())


def circle_distances(height, width, n_rays, grid, centre, radius):
    """Distance from each grid point inside of a circle to its outline along each ray."""
    angle = 2 * math.pi * np.arange(n_rays) / n_rays
    y, x = np.mgrid[0:height:grid, 0:width:grid].astype(float)
    y, x = y - centre[0], x - centre[1]
    along = y[None] * np.sin(angle)[:, None, None] + x[None] * np.cos(angle)[:, None, None]
    across = y**2 + x**2 - along**2
    out = np.sqrt(np.maximum(radius**2 - across, 0)) - along
    return torch.from_numpy(np.where(y**2 + x**2 < radius**2, out, 0))[None]


@pytest.mark.parametrize("k", range(turns.N_TURNS))
@pytest.mark.parametrize("grid", [1, 2, 4])
def test_rays_of_a_turned_picture_come_back(k, grid):
    height, width, centre = 48, 64, (20.0, 37.0)
    there = torch.zeros(1, 1, height, width)
    there[0, 0, int(centre[0]), int(centre[1])] = 1
    turned_centre = turns.turn(there, k)[0, 0].nonzero()[0].double().tolist()
    size = turns.turn(there, k).shape[2:]
    upright = circle_distances(height, width, 16, grid, centre, 12.0)
    turned = circle_distances(*size, 16, grid, turned_centre, 12.0)
    back = turns.rays_back(turned, k, grid)
    near_centre = (upright > 9).all(dim=1, keepdim=True).expand_as(upright)
    assert near_centre.any()
    # Exact on grid 1; else to first order: exact where the outline crosses the ray at a right angle.
    tolerance = 1e-9 if grid == 1 else 0.35 * (grid - 1)
    assert (back - upright)[near_centre].abs().max() < tolerance


def test_rays_that_do_not_meet_are_refused():
    with pytest.raises(ConfigError, match="multiple of 4"):
        turns.rays_back(torch.zeros(1, 6, 2, 2), 1, 1)
