"""Encoders of patches: a model that ships with Histoscope, a model folder, or a timm backbone."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscope import models, weights
from histoscope.classify.features import extract
from histoscope.errors import ConfigError
from histoscope.models.card import read_card
from histoscope.models.patches.classifier import Classifier
from histoscope.models.patches.hub import foundation
from histoscope.types import Sample

MPP, PATCH_PX = 0.5, 128


def encoder(name: str) -> Callable[[Sequence[Sample]], NDArray[np.float32]]:
    """Make an encoder of patches.

    Parameters
    ----------
    name : str
        A model that ships with Histoscope (``nuclei-free``, ``nuclei-research``), a model folder, or a timm
        backbone, whose published weights are downloaded.

    Returns
    -------
    callable
        Samples to (N, D) float32.

    Raises
    ------
    ConfigError
        If the model has no encoder that can be taken out.
    """
    network = classifier(name).eval()

    def encode(patches: Sequence[Sample]) -> NDArray[np.float32]:
        return np.asarray(extract(network, patches).values)

    return encode


def classifier(name: str) -> Classifier:
    """The network whose features are taken."""
    if name not in weights.WEIGHTS and not Path(name).is_dir():
        return Classifier(backbone=name, pretrained=True, mpp=None if foundation(name) else MPP)
    folder = weights.find(name)
    card = read_card(folder)
    if card.get("architecture") == "classifier":
        return models.load(folder, Classifier)
    arguments = card.get("arguments", {})
    if arguments.get("encoder", "unet") != "unet":
        raise ConfigError(
            f"{name}: its encoder is {arguments['encoder']!r}; give a model with a plain U-Net body, or a "
            "timm backbone"
        )
    options = {key: arguments[key] for key in ("width", "depth", "grid") if key in arguments}
    return Classifier(
        backbone="unet", options=options, weights=folder, mpp=arguments.get("mpp", MPP), patch_px=PATCH_PX
    )
