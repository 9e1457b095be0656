"""Attribution maps of a classifier, for any backbone."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.errors import ConfigError, ShapeError
from histoscope.explain.attention import has_global_attention, rollout
from histoscope.explain.gradcam import grad_cam, require_captum
from histoscope.models import Classifier
from histoscope.types import Image

BATCH = 8
"""Batch size; gradients of all layers are in memory."""
_OPACITY = 0.6
ROLLOUT, GRAD_CAM = "attention rollout", "Grad-CAM"


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Explanation:
    """Attribution maps; made by `explain`.

    Parameters
    ----------
    method : str
        ``Grad-CAM``, which is of a class, or ``attention rollout``, which is not.
    heat : (N, H, W) float32
        Of each patch, from 0 to 1, the largest value of a patch.
    target : (N,) int
        The class that was explained.
    """

    method: str
    heat: NDArray[np.float32]
    target: NDArray[np.intp]


def method_of(model: Classifier) -> str:
    """Name of the method that explains a classifier.

    Raises
    ------
    ConfigError
        If it is not a classifier.
    MissingDependencyError
        If it needs captum, and that is not installed.
    """
    if not isinstance(model, Classifier):
        raise ConfigError(
            f"explain takes a patch classifier, got a {type(model).__name__}; turn your own network into one "
            "with histoscope.models.wrap(network, kind='patches', classes=[...])"
        )
    if has_global_attention(model):
        return ROLLOUT
    require_captum()
    return GRAD_CAM


def explain(model: Classifier, patches: Sequence[Image], target: Sequence[int] | None = None) -> Explanation:
    """Attribution maps of a classifier: Grad-CAM, or attention rollout for vision transformers.

    Parameters
    ----------
    model : Classifier
    patches : sequence of (H, W, 3) uint8
        All of one size, from ``model.patch``.
    target : sequence of int, optional
        The class to explain, of each patch; by default the one that the model predicts.

    Raises
    ------
    ShapeError
        If there are no patches, or another number of classes.
    MissingDependencyError, ConfigError
        As `histoscope.explain.grad_cam` and `histoscope.explain.rollout`.

    Examples
    --------
    >>> from histoscope import models
    >>> small = {"width": 4, "depth": 2}
    >>> model = models.create("classifier", backbone="unet", classes=["a", "b"], options=small)
    >>> found = explain(model, [np.full((32, 32, 3), 200, np.uint8)])
    >>> found.method, found.heat.shape
    ('Grad-CAM', (1, 32, 32))
    """
    if len(patches) == 0 or (target is not None and len(target) != len(patches)):
        n_classes = "no" if target is None else len(target)
        raise ShapeError(
            f"{len(patches)} patches and {n_classes} classes; expected one class per patch, or none"
        )
    method = method_of(model)
    by_attention = method == ROLLOUT
    training = [module for module in model.modules() if module.training]
    model.eval()
    heats, targets = [], []
    try:
        for first in range(0, len(patches), BATCH):
            stack = np.stack([np.asarray(patch) for patch in patches[first : first + BATCH]])
            x = model.normalised(torch.from_numpy(stack).permute(0, 3, 1, 2).to(model.mean.device))
            if target is None:
                with torch.inference_mode():
                    wanted = model.heads(x)["logits"].argmax(dim=1).tolist()
            else:
                wanted = [int(place) for place in target[first : first + BATCH]]
            heat = rollout(model, x) if by_attention else grad_cam(model, x, wanted)
            heats.append(_spread(heat.cpu().numpy(), stack.shape[1:3]))
            targets += wanted
    finally:
        for module in training:
            module.training = True
    return Explanation(method, np.concatenate(heats), np.array(targets, np.intp))


def blend(patch: Image, heat: NDArray[np.float32]) -> Image:
    """Overlay an attribution map on its patch; warm colours are high values, low ones stay as they are.

    Parameters
    ----------
    patch : (H, W, 3) uint8
    heat : (H, W) float32
        From 0 to 1.

    Raises
    ------
    ShapeError
        If they are of different sizes.
    """
    if patch.shape[:2] != heat.shape:
        raise ShapeError(f"patch is {patch.shape[:2]}, its map {heat.shape}; expected the same size")
    levels = np.rint(np.clip(heat, 0, 1) * 255).astype(np.uint8)
    warm = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)[:, :, ::-1].astype(np.float32)
    opacity = (_OPACITY * np.clip(heat, 0, 1))[:, :, None]
    blended: Image = np.rint(patch + opacity * (warm - patch)).astype(np.uint8)
    return blended


def _spread(heat: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize maps to the patches and scale them to 0...1; a constant map becomes 0."""
    maps = np.stack([cv2.resize(one, shape[::-1], interpolation=cv2.INTER_CUBIC) for one in heat])
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    span = high - low
    flat = span <= 1e-6 * np.abs(high) + 1e-12
    scaled = np.where(flat, 0.0, (maps - low) / np.where(flat, 1.0, span))
    return np.asarray(scaled, np.float32)
