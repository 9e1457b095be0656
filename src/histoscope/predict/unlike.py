"""Warnings about images and slides that look different from those that classes were learned from."""

import json
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histoscope.export import likeness
from histoscope.files import write_text
from histoscope.predict.detector import Detector
from histoscope.types import Image

UNLIKE = "unlike"
"""Column of the summary: distance of an image from those that classes were learned from, 1 at the limit."""
FILE = "unlike.json"
"""The same for a slide, beside its results: a finished slide is not measured again."""


def unlike_of_tiles(detector: Detector, tiles: Callable[[], Sequence[Image]], folder: Path) -> dict[str, Any]:
    """Column of a slide's summary, from tiles of its tissue; none if the card has no reference.

    Parameters
    ----------
    detector : Detector
    tiles : callable
        Gives (h, w, 3) uint8 at the network's resolution; not called if the distance is already known.
    folder : Path
        The slide's result folder, where the distance is kept.
    """
    if detector.likeness is None:
        return {}
    path, mpp = folder / FILE, detector.network.spec.mpp
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if found.get("model") != detector.fingerprint:
        distances = [detector.unlike(tile, detector(tile, mpp)) for tile in tiles()]
        known = [distance for distance in distances if distance is not None]
        found = {UNLIKE: round(float(np.median(known)), 3) if known else None, "model": detector.fingerprint}
        write_text(path, json.dumps(found) + "\n")
    return {UNLIKE: found[UNLIKE]}


def tell_unlike(card: Mapping[str, Any] | None, rows: Sequence[Mapping[str, Any]], what: str) -> None:
    """Warn about rows of a summary beyond the limit; `what` is ``image`` or ``slide``."""
    distances = [row.get(UNLIKE) for row in rows]
    n = sum(distance is not None and not math.isnan(distance) and distance > 1 for distance in distances)
    if n and card is not None:
        whence = card[likeness.KEY].get("name") or "other images"
        look = f"the {what} looks" if len(rows) == 1 else f"{n} of {len(rows)} {what}s look"
        told = f"classes were learned from {whence}, and {look} different: treat classes as a guess"
        warnings.warn(told, stacklevel=4)
