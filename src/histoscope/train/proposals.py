"""What trains well, for nuclei and for patches: values that follow from the data, each with its reason."""

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histoscope import weights
from histoscope.data import Split
from histoscope.images.limits import free_memory
from histoscope.images.resolution import MOST_MPP
from histoscope.models.card import read_card
from histoscope.models.patches.published import weights_at_hand
from histoscope.train.look import Seen

PATCH_UM, DIVISOR = 64.0, 16
"""Side of a patch, some ten nuclei, and what our U-Net of four levels divides it by."""
FINEST_MPP, COARSEST_MPP = 0.25, 0.5
PASSES, LEAST_STEPS, LEAST_TUNING_STEPS, MOST_STEPS = 25, 1000, 500, 6000
"""Times that each pixel of the training part is seen, and bounds of what follows from it; fewer steps at the
least from weights that come along."""
PATCH_PASSES, LEAST_PATCH_STEPS, MOST_PATCH_STEPS, PATCH_BATCH = 10, 200, 2000, 16
USUAL_PX = 224
"""Side that most of timm's backbones bring a patch to."""
RARE, RARE_PATCHES = 0.15, 0.6
"""Of the commonest class, the share below which the rarest gets remedies: of nuclei, of patches."""
SHIPPED = "nuclei-free"
_PIXEL_BYTES = 7
"""Of an image and its label map in memory."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A value, and why it is that."""

    value: Any
    why: str = ""


def of_nuclei(seen: Seen, parts: Split) -> dict[str, Choice]:
    """StarDist: of one kind of nuclei from weights that come along, else by configs/train_stardist.yaml."""
    tunes = not any(seen.classes.values()) and not parts.train.info.classes
    card = read_card(weights.find(SHIPPED)) if tunes else None
    mpp = min(max(seen.mpp, FINEST_MPP), COARSEST_MPP) if card is None else card["input"]["mpp"]
    shape = {"width": 32, "depth": 4, "grid": 2} if card is None else card["arguments"]
    sides = seen.sides_um / mpp
    patch = int(min(PATCH_UM / mpp, sides.min())) // DIVISOR * DIVISOR or DIVISOR
    batch = 4 if patch > PATCH_UM / COARSEST_MPP else 8
    pixels = float(sides.prod(axis=1).mean())
    n, tiles = len(parts.train), _tiles(seen, parts, pixels)
    least = LEAST_STEPS if card is None else LEAST_TUNING_STEPS
    steps = _within(PASSES * (tiles or n) * pixels / (batch * patch**2), least, MOST_STEPS)
    scale = "the images' own" if mpp == seen.mpp else f"the images have {seen.mpp:g}, and are resampled"
    other = "0.5 is four times as fast as 0.25" if card is None else "it is that of the initial weights"
    rare = _rarest(seen.classes, RARE)
    every = max(50, round(steps / 6 / 50) * 50)
    found: dict[str, Choice] = {}
    if tiles is not None:
        found["data.tiles"] = Choice(tiles, "As many training images as the memory of this machine holds.")
    found |= {
        "model.name": Choice(
            "stardist", "The most accurate of the networks here. Others: unet, resunet, deeplab, smp."
        ),
        "model.arguments.mpp": Choice(mpp, f"Micrometres per pixel of its input; {scale}. {other}."),
        "model.arguments.width": Choice(
            shape["width"], "Channels of the first level; 16 is faster, 64 needs a GPU."
        ),
        "model.arguments.depth": Choice(shape["depth"]),
        "model.arguments.grid": Choice(shape["grid"], "A polygon on every second pixel."),
    }
    if card is not None:
        found["initial_weights"] = Choice(
            SHIPPED,
            "Trained on synthetic nuclei, without classes; it takes the arguments above. Without this line, "
            "weights are random: then mpp, width and depth are free, and it takes three times the steps.",
        )
    return found | {
        **_colour(seen),
        "balance": Choice(
            "both" if rare else "none",
            f"Remedies for rare classes: {rare or 'there is none that is rare'}. "
            "Others: none, weights, augmentation, both.",
        ),
        "train.steps": Choice(
            steps,
            f"Each pixel of the training part is seen about {PASSES} times, in {least:,} to {MOST_STEPS:,} "
            "steps. More go on from the finished run.",
        ),
        "train.batch_size": Choice(batch, "Patches a step. A GPU takes 16 as well."),
        "train.patch_px": Choice(
            patch, f"{patch * mpp:.0f} um a side, no more than the smallest image; a multiple of {DIVISOR}."
        ),
        "train.lr": Choice(2e-3, "Highest learning rate; 5e-4 if the loss jumps."),
        "train.evaluate_every": Choice(every, "Steps between two validations; the best weights are kept."),
        "train.monitor": Choice("pq" if seen.classes else "aji", "Validation score of the best weights."),
        "train.precision": Choice("auto", "bf16-mixed where the hardware is fast in it, else 32-true."),
    }


def _tiles(seen: Seen, parts: Split, pixels: float) -> int | None:
    """How many training images fit into memory, where not all do."""
    kept = 0.5 * free_memory() / (_PIXEL_BYTES * pixels) - len(parts.val)
    return None if kept >= len(parts.train) else max(1, int(kept))


def of_patches(seen: Seen, parts: Split) -> dict[str, Choice]:
    """A classifier that begins from what is at hand."""
    at_hand, found = _begun_from(seen.root)
    shown_px = found.get("model.arguments.patch_px", Choice(USUAL_PX)).value
    if seen.sides_um.min() / shown_px > MOST_MPP:
        found["model.arguments.mpp"] = Choice(
            MOST_MPP,
            "Micrometres per pixel of its input, the coarsest there is: the middle of each patch.",
        )
    labels = Counter(str(record.label) for record in parts.train.records)
    rare = _rarest(dict(labels), RARE_PATCHES)
    steps = _within(PATCH_PASSES * len(parts.train) / PATCH_BATCH, LEAST_PATCH_STEPS, MOST_PATCH_STEPS)
    every = max(25, round(steps / 8 / 25) * 25)
    found |= {
        **_colour(seen),
        "balance": Choice(
            "weights" if rare else "none",
            "Classes are weighed in the loss: they differ in number."
            if rare
            else "Classes are about as frequent.",
        ),
        "train.steps": Choice(
            steps,
            f"Each patch is seen about {PATCH_PASSES} times, in {LEAST_PATCH_STEPS} to "
            f"{MOST_PATCH_STEPS:,} steps.",
        ),
        "train.batch_size": Choice(PATCH_BATCH, "Patches a step. A GPU takes 64 as well."),
        "train.lr": Choice(1e-3, "Highest learning rate, of the new head."),
        "train.evaluate_every": Choice(every, "Steps between two validations; the best weights are kept."),
        "train.monitor": Choice("nll", "Validation score of the best weights: the log loss."),
        "train.precision": Choice("auto", "bf16-mixed where the hardware is fast in it, else 32-true."),
    }
    if at_hand:
        found["train.transfer.backbone_lr"] = Choice(
            0.1,
            "Rate of the backbone, of the head's. With probe: {} in place of it, the head alone is fitted.",
        )
    return found


def _begun_from(root: Path) -> tuple[bool, dict[str, Choice]]:
    """Whether ImageNet weights are at hand, and the backbone with what it begins from."""
    at_hand = weights_at_hand(
        root, root.resolve().parent, root.resolve().parent / "pretrained_weights", Path()
    )
    backbone, path = at_hand or ("unet", None)
    found = {
        "model.name": Choice("classifier"),
        "model.arguments.backbone": Choice(
            backbone, "Any of timm's; the smaller ones suffice for thousands of patches. On a GPU: resnet50."
        ),
    }
    if path is not None:
        relative = os.path.relpath(path, root.resolve())
        found["model.arguments.weights"] = Choice(
            relative,
            "ImageNet weights that were found beside the data; the path starts at the data's folder.",
        )
    elif at_hand:
        found["model.arguments.pretrained"] = Choice(
            value=True, why="ImageNet weights, which are in the hub's cache here."
        )
    else:
        shape = read_card(weights.find(SHIPPED))["arguments"]
        found["model.arguments.options"] = Choice(
            {key: shape[key] for key in ("width", "depth", "grid")}, "Of the network that the weights are of."
        )
        found["model.arguments.patch_px"] = Choice(128, "Side that patches are brought to.")
        found["model.arguments.weights"] = Choice(
            SHIPPED,
            "Initial weights: the encoder of the model that comes along, since no ImageNet weights are here. "
            "Where there is internet, backbone: resnet18 with pretrained: true fetches some.",
        )
    return at_hand is not None, found


def _colour(seen: Seen) -> dict[str, Choice]:
    """What is done about stains."""
    return {
        "normalizer": Choice(
            "none",
            "Stain normaliser. Others: reinhard, macenko, vahadane; a study tells whether one helps.",
        ),
        "augment": Choice(
            "default", "Rotations, flips, zoom, blur and brightness. Others: none, light, strong."
        ),
        "jitter": Choice(
            "stain",
            "Random changes of the stains, for those of other laboratories; here, colours differ by "
            f"{seen.stain_spread:.0f} in CIELAB. Others: none, brightness_hue, hed_light.",
        ),
    }


def _rarest(counts: dict[str, int], least: float) -> str:
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
