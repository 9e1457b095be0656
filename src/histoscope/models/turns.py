"""The eight turns and flips of a square: of images, of maps, and of rays around a point.

Turn `k` is ``k % 4`` quarter turns against the clock, then for ``k >= 4`` a flip from left to right.
"""

import math

import torch
from torch import Tensor

from histoscope.errors import ConfigError

N_TURNS = 8


def turn(image: Tensor, k: int) -> Tensor:
    """Turn (B, C, H, W).

    Examples
    --------
    >>> image = torch.arange(6).view(1, 1, 2, 3)
    >>> bool((back(turn(image, 5), 5) == image).all())
    True
    """
    turned = torch.rot90(image, k % 4, (2, 3))
    return turned.flip(3) if k >= 4 else turned


def back(turned: Tensor, k: int) -> Tensor:
    """Undo `turn`."""
    return torch.rot90(turned.flip(3) if k >= 4 else turned, -(k % 4), (2, 3))


def direction(k: int, dy: float, dx: float) -> tuple[float, float]:
    """Where a direction (rows, columns) of the upright image points in the turned one.

    Examples
    --------
    >>> direction(1, 0.0, 1.0)
    (-1.0, 0.0)
    """
    for _ in range(k % 4):
        dy, dx = -dx, dy
    return (dy, -dx) if k >= 4 else (dy, dx)


def rays_back(turned: Tensor, k: int, grid: int) -> Tensor:
    """Distances of an upright image from those of a turned one.

    Beside their place, the rays change their order; and where an axis is reversed, a point of the grid is
    another pixel than before, ``grid - 1`` pixels off, by which each distance is corrected along its ray.

    Parameters
    ----------
    turned : (B, n_rays, H, W)
        Distances in pixels; ray i points at the angle 2 pi i / n_rays, from columns towards rows.
    k : int
        The turn.
    grid : int
        Pixels from one point of the grid to the next.

    Raises
    ------
    ConfigError
        If the rays do not come to lie on each other: their number must be a multiple of 4.
    """
    n_rays = turned.shape[1]
    if n_rays % 4:
        raise ConfigError(f"n_rays is {n_rays}; turns need a multiple of 4")
    order, shift = [], []
    reversed_y = -sum(direction(k, 1.0, 0.0)) > 0
    reversed_x = -sum(direction(k, 0.0, 1.0)) > 0
    for ray in range(n_rays):
        angle = 2 * math.pi * ray / n_rays
        dy, dx = math.sin(angle), math.cos(angle)
        ty, tx = direction(k, dy, dx)
        order.append(round(math.atan2(ty, tx) / (2 * math.pi) * n_rays) % n_rays)
        shift.append((grid - 1) * (reversed_y * dy + reversed_x * dx))
    distances = back(turned, k)[:, order]
    return distances + torch.tensor(shift, dtype=turned.dtype, device=turned.device).view(1, -1, 1, 1)
