"""Levels of the study `transfer_nuclei`: what a network begins from, and how many tiles it learns from."""

from collections.abc import Iterator, Mapping
from typing import Any

from histoscope.studies.synthetic import STUDIED, many, of_size

IMAGENET = "imagenet"
OWN = {"encoder": "unet"}
"""Arguments of the network without an encoder of timm: our own U-Net."""
UNET = {"arguments": OWN, "equal_minutes": True}
DRAWN = {"synthetic": "procedural", "tiles": 0, "part": "pretraining"}

RECIPES: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "scratch": ("From scratch", {}),
    "imagenet": ("ImageNet", {"initial_weights": IMAGENET}),
    "drawn": ("Drawn tissue first", {"initial_level": "drawn_0"}),
    "imagenet_drawn": ("ImageNet, then drawn tissue", {"initial_level": "imagenet_drawn_0"}),
    "drawn_within": ("Drawn tissue, equal minutes", {"initial_level": "drawn_0", "part": "tuning"}),
    "imagenet_drawn_within": (
        "ImageNet, then drawn tissue, equal minutes",
        {"initial_level": "imagenet_drawn_0", "part": "tuning"},
    ),
    "unet": ("Own U-Net", UNET),
    "unet_drawn_within": (
        "Own U-Net, drawn tissue, equal minutes",
        {**UNET, "initial_level": "unet_drawn_0", "part": "tuning"},
    ),
}
"""Beginning -> its label, and what it sets whatever the number of tiles.

Pretraining on drawn tissue comes on top of all the steps on real tiles. With *equal minutes*, it takes part
of the same training time instead.
"""
PRETRAININGS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "drawn_0": ("Drawn tissue alone", DRAWN),
    "imagenet_drawn_0": ("ImageNet, then drawn tissue alone", {**DRAWN, "initial_weights": IMAGENET}),
    "unet_drawn_0": ("Own U-Net, drawn tissue alone", {**DRAWN, **UNET}),
}
"""Levels of no real tile, which others begin from; made once for each seed."""


def _levels() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Name, label and settings of every level."""
    for name, (label, settings) in PRETRAININGS.items():
        yield name, label, dict(settings)
    for size in STUDIED:
        for recipe, (label, settings) in RECIPES.items():
            base = {} if recipe == "scratch" else {"against": f"scratch_{of_size(size)}"}
            words = many(size).replace("real ", "")
            yield f"{recipe}_{of_size(size)}", f"{label}, {words}", {"tiles": size, **settings, **base}


LEVELS: Mapping[str, Mapping[str, Any]] = {name: settings for name, _, settings in _levels()}
"""Name of a level -> its settings."""
LABELS: Mapping[str, str] = {name: label for name, label, _ in _levels()}
