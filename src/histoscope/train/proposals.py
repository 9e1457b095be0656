"""Proposed hyperparameters for nuclei and for patches, which follow from the data."""

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histoscope import models, weights
from histoscope.data import Split
from histoscope.errors import ConfigError
from histoscope.images.limits import free_memory
from histoscope.images.resolution import MOST_MPP
from histoscope.models.card import NORMALISER, STAIN_REFERENCE, read_card
from histoscope.models.patches.published import weights_at_hand
from histoscope.train.look import Seen

PATCH_UM, DIVISOR = 64.0, 16
"""Side of a patch, some ten nuclei, and what our U-Net of four levels divides it by."""
FINEST_MPP, COARSEST_MPP = 0.25, 0.5
PASSES, LEAST_STEPS, LEAST_TUNING_STEPS, MOST_STEPS = 25, 1000, 500, 6000
"""Times that each pixel of the training part is seen, and bounds of what follows from it; fewer steps at the
least from weights that come along."""
LR, FURTHER_LR, FURTHER_EMA, LEAST_FURTHER_STEPS = 0.002, 0.0005, 0.99, 200
"""A model that is given goes on in smaller and fewer steps, so that little of what it knows is lost."""
PATCH_PASSES, LEAST_PATCH_STEPS, MOST_PATCH_STEPS, PATCH_BATCH = 10, 200, 2000, 16
USUAL_PX, SMALL_PX = 224, 128
"""Side that most of timm's backbones bring a patch to, and ours."""
RARE, RARE_PATCHES = 0.15, 0.6
"""Of the commonest class, the share below which the rarest gets remedies: of nuclei, of patches."""
_PIXEL_BYTES = 7
"""Of an image and its label map in memory."""


def of_nuclei(seen: Seen, parts: Split, start: str = "") -> dict[str, Any]:
    """StarDist: of one kind of nuclei from shipped weights, else by configs/train_stardist.yaml.

    With a model to start from, its network, trained further with a low learning rate.
    """
    tunes = not any(seen.classes.values()) and not parts.train.info.classes
    begun = start or (weights.DEFAULT if tunes else None)
    card = None if begun is None else read_card(begun)
    mpp = min(max(seen.mpp, FINEST_MPP), COARSEST_MPP) if card is None else card["input"]["mpp"]
    sides = seen.sides_um / mpp
    patch = int(min(PATCH_UM / mpp, sides.min())) // DIVISOR * DIVISOR or DIVISOR
    batch = 4 if patch > PATCH_UM / COARSEST_MPP else 8
    pixels = float(sides.prod(axis=1).mean())
    # As many training images as half of the memory holds, if not all.
    held = 0.5 * free_memory() / (_PIXEL_BYTES * pixels) - len(parts.val)
    tiles = None if held >= len(parts.train) else max(1, int(held))
    least = LEAST_FURTHER_STEPS if start else LEAST_STEPS if card is None else LEAST_TUNING_STEPS
    steps = _within(PASSES * (tiles or len(parts.train)) * pixels / (batch * patch**2), least, MOST_STEPS)
    return {
        "tiles": tiles,
        "mpp": mpp,
        "shape": {"width": 32, "depth": 4, "grid": 2} if card is None else card["arguments"],
        "initial_weights": begun,
        "start": _network_of(start) if start else None,
        "lr": FURTHER_LR if start else LR,
        "ema": FURTHER_EMA if start else 0.0,
        "rare": _rarest(seen.classes, RARE),
        "passes": PASSES,
        "bounds": f"{least:,} to {MOST_STEPS:,}",
        "steps": steps,
        "batch_size": batch,
        "patch_px": patch,
        "divisor": DIVISOR,
        "evaluate_every": max(50, round(steps / 6 / 50) * 50),
    }


def _network_of(start: str) -> dict[str, Any]:
    """Name, arguments and normaliser of the model that training starts from."""
    card = read_card(start)
    name, arguments = str(card["architecture"]), dict(card.get("arguments", {}))
    if models.get(name).task != "nuclei":
        raise ConfigError(f"{start} is a {name}, which does not find nuclei; --from needs a model that does")
    for key in ("pretrained", "weights"):  # what it once began from
        arguments.pop(key, None)
    normalizer = str(card.get(NORMALISER, "none"))
    reference = None if normalizer == "none" else str(weights.find(start) / STAIN_REFERENCE)
    return {"name": name, "arguments": arguments, "normalizer": normalizer, "reference": reference}


def of_patches(seen: Seen, parts: Split) -> dict[str, Any]:
    """A classifier with the initial weights that are at hand."""
    root = seen.root.resolve()
    at_hand = weights_at_hand(seen.root, root.parent, root.parent / "pretrained_weights", Path())
    backbone, path = at_hand or ("unet", None)
    side_px = USUAL_PX if at_hand else SMALL_PX
    shape = read_card(weights.find(weights.DEFAULT))["arguments"]
    steps = _within(PATCH_PASSES * len(parts.train) / PATCH_BATCH, LEAST_PATCH_STEPS, MOST_PATCH_STEPS)
    return {
        "tiles": None,
        "is_at_hand": at_hand is not None,
        "backbone": backbone,
        "mpp": MOST_MPP if seen.sides_um.min() / side_px > MOST_MPP else None,
        "weights": None if path is None else os.path.relpath(path, root),
        "options": {key: shape[key] for key in ("width", "depth", "grid")},
        "patch_px": SMALL_PX,
        "shipped": weights.DEFAULT,
        "rare": _rarest(Counter(str(record.label) for record in parts.train.records), RARE_PATCHES),
        "passes": PATCH_PASSES,
        "bounds": f"{LEAST_PATCH_STEPS} to {MOST_PATCH_STEPS:,}",
        "steps": steps,
        "batch_size": PATCH_BATCH,
        "evaluate_every": max(25, round(steps / 8 / 25) * 25),
    }


def _rarest(counts: Mapping[str, int], least: float) -> str:
    """Name the rarest class, if its share of the commonest is below `least`; of those that occur."""
    there = {name: n for name, n in counts.items() if n}
    if len(there) < 2:
        return ""
    rarest, commonest = min(there, key=there.__getitem__), max(there, key=there.__getitem__)
    if there[rarest] >= least * there[commonest]:
        return ""
    return f"{rarest} has {there[rarest]:,}, {commonest} {there[commonest]:,}"


def _within(steps: float, least: int, most: int) -> int:
    return min(max(round(steps / 100) * 100, least), most)
