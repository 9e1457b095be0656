"""The eight rotations and flips of test-time augmentation: of images, maps, and rays around a point.

Number `k` is ``k % 4`` rotations by 90° counter-clockwise, then for ``k >= 4`` a horizontal flip.
"""

import math

import torch
from torch import Tensor

from histoscope.errors import ConfigError

N_TURNS = 8


def turn(image: Tensor, k: int) -> Tensor:
    """Rotate and flip (B, C, H, W).

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
    """A direction (rows, columns) of the original image in the transformed one.

    Examples
    --------
    >>> direction(1, 0.0, 1.0)
    (-1.0, 0.0)
    """
    for _ in range(k % 4):
        dy, dx = -dx, dy
    return (dy, -dx) if k >= 4 else (dy, dx)


def rays_back(turned: Tensor, k: int, grid: int) -> Tensor:
    """Distances of the original image from those of the transformed one.

    The rays change their order as well as their place; and where an axis is reversed, a grid point stands
    ``grid - 1`` pixels off, by which each distance is corrected along its ray.

    Parameters
    ----------
    turned : (B, n_rays, H, W)
        Distances in pixels in the transformed image; ray i points at the angle 2 pi i / n_rays, from columns
        towards rows.
    k : int
        Number of the transform.
    grid : int
        Pixels from one point of the grid to the next.

    Raises
    ------
    ConfigError
        If the number of rays is not a multiple of 4.
    """
    n_rays = turned.shape[1]
    if n_rays % 4:
        raise ConfigError(f"n_rays is {n_rays}; test-time augmentation needs a multiple of 4")
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
