"""Outlines drawn on the image, each class in its own colour."""

from collections.abc import Sequence
from itertools import cycle, islice

import cv2
import numpy as np

from histoscope.errors import ShapeError
from histoscope.slides.outlines import Outlines, trace
from histoscope.types import Image, Nuclei

Colour = tuple[int, int, int]

# Chosen by search among bright colours: any two differ by a CIEDE2000 of 18 or more, for full colour vision
# and for (simulated) protanopia, deuteranopia and tritanopia, and by 9 or more from haematoxylin, eosin,
# blood and glass.
PALETTE: dict[str, Colour] = {
    "yellow": (255, 255, 0),
    "blue": (0, 51, 204),
    "orange": (255, 102, 0),
    "green": (0, 204, 153),
    "dark red": (153, 0, 0),
    "pale lilac": (204, 204, 255),
    "violet": (153, 102, 255),
}
UNCLASSED: Colour = (0, 0, 0)
_SHIFT = 4  # OpenCV's sub-pixel coordinates: sixteenths
_WIDTH_UM = 0.5


def colours(classes: Sequence[str]) -> tuple[Colour, ...]:
    """Colour of class 0, 1, 2, ...; beyond seven classes they come again.

    Examples
    --------
    >>> colours([])                   # a model that tells no classes apart
    ((255, 255, 0),)
    >>> colours(["epithelial", "inflammatory"])
    ((0, 0, 0), (255, 255, 0), (0, 51, 204))
    """
    if not classes:
        return (PALETTE["yellow"],)
    return (UNCLASSED, *(PALETTE[name] for name in colour_names(classes)))


def colour_names(classes: Sequence[str]) -> list[str]:
    """Name of the colour of class 1, 2, ...

    Examples
    --------
    >>> colour_names(["epithelial", "inflammatory"])
    ['yellow', 'blue']
    """
    return list(islice(cycle(PALETTE), len(classes)))


def draw(
    image: Image, nuclei: Nuclei, classes: Sequence[str] = (), *, outlines: Outlines | None = None
) -> Image:
    """Copy `image` with the outlines of all nuclei on it.

    Parameters
    ----------
    image : (H, W, 3) uint8
    nuclei : Nuclei
    classes : sequence of str
        Names of class 1, 2, ...; how many there are decides the colours.
    outlines : Outlines, optional
        Of ``nuclei.instances``, if they are at hand.

    Raises
    ------
    ShapeError
        If the nuclei are of an image of another size.
    """
    if image.shape[:2] != nuclei.instances.shape:
        raise ShapeError(
            f"image is {image.shape[:2]}, its nuclei are on {nuclei.instances.shape}; give their image"
        )
    found = trace(nuclei.instances) if outlines is None else outlines
    palette = colours(classes)
    class_of_ring = nuclei.class_id[found.label - 1]
    rings = [np.rint((ring - 0.5) * 2**_SHIFT).astype(np.int32) for ring in found.rings()]
    width_px = max(round(_WIDTH_UM / nuclei.mpp), 1)
    canvas = np.array(image, order="C")
    for class_id in np.unique(class_of_ring):
        lines = [rings[k] for k in np.flatnonzero(class_of_ring == class_id)]
        colour = palette[int(class_id) % len(palette)]
        cv2.polylines(canvas, lines, True, colour, width_px, cv2.LINE_AA, _SHIFT)  # noqa: FBT003
    return canvas
