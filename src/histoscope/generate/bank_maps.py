"""Conditions of a learned generator at each pixel: nuclei, their darkness, and the ground around them."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.types import Labels, Mask

GROUND_UM, CELL_UM = 1.5, 1.0
"""Sigma of the blur of the ground (the tissue between nuclei), and side of the cells it is stored in."""
WIDE_UM = 4.0
"""Sigma of the blur that fills the ground under nuclei, and of local contrasts."""
CHROMATIN_UM = 0.7
"""Sigma of the blur of chromatin."""
_NEAR_UM, _FAR_UM = 4.0, 12.0
_GROUND = 6
N_PLAIN = 4 + 3 + _GROUND + 1
"""Maps beside those of the classes."""
BASE = slice(4, 7)
"""The maps that are a blurred image: each nucleus in its mean colour and chromatin, and the ground."""


def ground_of(dyes: NDArray[np.float32], inside: Mask, mpp: float) -> NDArray[np.float32]:
    """Blurred dyes between the nuclei, and their local spread, (H, W, 6).

    Nuclei are filled from their surroundings. Nothing finer than cells of 1 um is kept.

    Parameters
    ----------
    dyes : (H, W, 3) float32
    inside : (H, W) bool
        Pixels of nuclei; they are left out.
    mpp : float

    Returns
    -------
    (H, W, 6) float32
        Means of the three dyes; then the logarithm of the spread of fine haematoxylin, of fine eosin (up to
        about 1 um) and of middling eosin (fibres).

    Examples
    --------
    >>> flat = np.full((16, 16, 3), 0.5, np.float32)
    >>> ground_of(flat, np.zeros((16, 16), bool), 0.5)[8, 8, :3].round(3).tolist()
    [0.5, 0.5, 0.5]
    """
    weight = (~inside).astype(np.float32)
    soft = _blur(dyes, 0.5 / mpp)
    fine = (dyes - soft)[..., :2]
    middling = (soft - _blur(dyes, 2.5 / mpp))[..., 1:2]
    stack = np.concatenate([dyes, fine**2, middling**2], axis=2) * weight[..., None]
    total = stack.sum(axis=(0, 1)) / max(float(weight.sum()), 1.0)
    near = _blur(weight, WIDE_UM / mpp)[..., None]
    ground = (_blur(stack, WIDE_UM / mpp) + 0.01 * total) / (near + 0.01)
    near = _blur(weight, GROUND_UM / mpp)[..., None]
    ground[..., :3] = (_blur(stack[..., :3], GROUND_UM / mpp) + 0.05 * ground[..., :3]) / (near + 0.05)
    ground[..., 3:] = 0.5 * np.log(ground[..., 3:] + 1e-4) + 2.5
    height, width = inside.shape
    cells = (max(1, round(width * mpp / CELL_UM)), max(1, round(height * mpp / CELL_UM)))
    return resized(resized(ground, cells, cv2.INTER_AREA), (width, height))


def chromatin_of(dyes: NDArray[np.float32], inside: Mask, mpp: float) -> NDArray[np.float32]:
    """Haematoxylin within the nuclei, blurred, (H, W), without their surroundings."""
    weight = inside.astype(np.float32)
    sigma = CHROMATIN_UM / mpp
    mean = float(dyes[..., 0][inside].mean()) if inside.any() else 0.0
    near = _blur(weight, sigma)
    return np.asarray((_blur(dyes[..., 0] * weight, sigma) + 1e-3 * mean) / (near + 1e-3), np.float32)


def resized(
    values: NDArray[np.float32], size: tuple[int, int], how: int = cv2.INTER_LINEAR
) -> NDArray[np.float32]:
    """Bring (H, W, C) to a (width, height); the channels lie one behind the other."""
    return planes_resized([np.ascontiguousarray(values[..., k]) for k in range(values.shape[2])], size, how)


def planes_resized(
    planes: Sequence[NDArray[np.float32]], size: tuple[int, int], how: int = cv2.INTER_LINEAR
) -> NDArray[np.float32]:
    """As `resized`, of channels (H, W) each."""
    out = np.empty((len(planes), size[1], size[0]), np.float32)
    for plane, large in zip(planes, out, strict=True):
        cv2.resize(plane, size, dst=large, interpolation=how)
    return out.transpose(1, 2, 0)


def tones_of(dyes: NDArray[np.float32], instances: Labels) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean dyes of each nucleus, (N + 1, 3), and spread of haematoxylin in it, (N + 1,); row 0 is zero."""
    n = int(instances.max(initial=0)) + 1
    ids = instances.ravel()
    area = np.maximum(np.bincount(ids, minlength=n), 1)
    flat = dyes.reshape(-1, 3)
    means = np.stack([np.bincount(ids, flat[:, k], n) / area for k in range(3)], axis=1)
    square = np.bincount(ids, flat[:, 0] ** 2, n) / area
    spread = np.sqrt(np.maximum(square - means[:, 0] ** 2, 0.0))
    means[0], spread[0] = 0.0, 0.0
    return means.astype(np.float32), spread.astype(np.float32)


def maps_of(
    instances: Labels,
    classes: NDArray[np.uint8],
    tone: NDArray[np.float32],
    spread: NDArray[np.float32],
    ground: NDArray[np.float32],
    chromatin: NDArray[np.float32],
    *,
    n_classes: int,
    mpp: float,
) -> NDArray[np.float32]:
    """Input maps of a generator, (14 + n_classes, H, W).

    Parameters
    ----------
    instances : (H, W) int32
    classes : (N + 1,) uint8
    tone, spread : (N + 1, 3) and (N + 1,) float32
        As `tones_of`.
    ground : (H, W, 6) float32
        As `ground_of`.
    chromatin : (H, W) float32
        Haematoxylin of each pixel of a nucleus less its mean.
    n_classes : int
    mpp : float

    Returns
    -------
    (14 + n_classes, H, W) float32
        Inside, border, distance to the border within and outside, the blurred image (3), ground (6),
        spread, and one map for each class.
    """
    maps = np.empty((N_PLAIN + n_classes, *instances.shape), np.float32)
    maps[7:13] = ground.transpose(2, 0, 1)
    inside, class_of = instances > 0, classes[instances]
    maps[0], maps[1] = inside, inside & _differs(instances)
    maps[4:7] = np.where(inside, tone.T[:, instances], maps[7:10])
    maps[4] += np.where(inside, chromatin, np.float32(0))
    maps[13] = np.where(inside, np.float32(3) * spread[instances], np.float32(0))
    for k in range(n_classes):
        maps[N_PLAIN + k] = class_of == k + 1
    _distance(maps[0] > maps[1], mpp / _NEAR_UM, maps[2])
    _distance(instances == 0, mpp / _FAR_UM, maps[3])
    return maps


def _differs(instances: Labels) -> Mask:
    """Pixels of which one of the four neighbours belongs to something else."""
    differs = np.zeros(instances.shape, np.bool_)
    for ahead, behind in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
        edge = instances[ahead] != instances[behind]
        differs[ahead] |= edge
        differs[behind] |= edge
    return differs


def _distance(where: Mask, share: float, out: NDArray[np.float32]) -> None:
    """Write the distance to the nearest pixel that is not in `where`, a pixel being a `share`, up to 1."""
    if where.all():
        out[:] = 1.0
        return
    cv2.distanceTransform(where.view(np.uint8), cv2.DIST_L2, 3, dst=out)
    np.minimum(np.multiply(out, np.float32(share), out=out), np.float32(1), out=out)


def _blur(values: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Gaussian blur; the widest ones on a quarter of the pixels each way."""
    if sigma < 4 or min(values.shape[:2]) < 32:
        soft = cv2.GaussianBlur(np.ascontiguousarray(values), (0, 0), sigma)
        return np.asarray(soft, np.float32).reshape(values.shape)
    height, width = values.shape[:2]
    stack = values if values.ndim == 3 else values[..., None]
    small = resized(stack, (-(-width // 4), -(-height // 4)), cv2.INTER_AREA)
    soft = np.asarray(cv2.GaussianBlur(small, (0, 0), sigma / 4), np.float32).reshape(small.shape)
    return resized(soft, (width, height)).reshape(values.shape)
