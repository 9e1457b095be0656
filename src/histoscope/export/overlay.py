"""Overlays: outlines of nuclei on the image, coloured by class."""

import warnings
from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import cycle

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from histoscope.class_names import UNSURE
from histoscope.errors import ShapeError
from histoscope.nuclei import Nuclei
from histoscope.types import Image, Labels

Colour = tuple[int, int, int]

# Found by search: any two differ by a CIEDE2000 of 18 or more, for normal colour vision
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
UNSURE_COLOUR = "slate"
COLOURS = PALETTE | {UNSURE_COLOUR: (102, 136, 136)}
"""Colours of all classes, that of `unsure` among them, by name."""
_SHIFT = 4  # OpenCV's sub-pixel coordinates: sixteenths
_WIDTH_UM = 0.5
_INK, _PAPER = (31, 35, 40), (255, 255, 255)
_MOST_OF_IMAGE = 0.15
"""A legend that would cover a larger share is left out."""


def colours(classes: Sequence[str], *, unsure: bool = False) -> tuple[Colour, ...]:
    """Colour of class 0, 1, 2, ...; repeated beyond seven classes. `unsure`, if it is class 0, has its own.

    Examples
    --------
    >>> colours([])                   # a model without classes
    ((255, 255, 0),)
    >>> colours(["epithelial", "inflammatory"])
    ((0, 0, 0), (255, 255, 0), (0, 51, 204))
    """
    if not classes:
        return (PALETTE["yellow"],)
    return (
        COLOURS[UNSURE_COLOUR] if unsure else UNCLASSED,
        *(COLOURS[name] for name in colour_names(classes)),
    )


def colours_by_name(classes: Sequence[str]) -> Mapping[str, Colour]:
    """Colour of each name of a class in a table; all other names have that of nuclei without a class.

    Examples
    --------
    >>> found = colours_by_name(["epithelial", "unsure"])
    >>> found["epithelial"], found["unsure"], found["nucleus"]
    ((255, 255, 0), (102, 136, 136), (0, 0, 0))
    """
    other, *known = colours(classes)
    return defaultdict(lambda: other, zip(classes, known, strict=True))


def colour_names(classes: Sequence[str]) -> list[str]:
    """Name of the colour of class 1, 2, ..., and of `unsure` if it is among them.

    Examples
    --------
    >>> colour_names(["epithelial", "inflammatory"])
    ['yellow', 'blue']
    """
    ordinary = cycle(PALETTE)
    return [UNSURE_COLOUR if name == UNSURE else next(ordinary) for name in classes]


def draw(
    image: Image,
    nuclei: Nuclei | Labels,
    classes: Sequence[str] = (),
    *,
    mpp: float = 0.25,
    outlines: object = None,
) -> Image:
    """Copy `image` with the outlines of all nuclei on it.

    Parameters
    ----------
    image : (H, W, 3) uint8
    nuclei : Nuclei, or (H, W) integers
        Or a label map, such as ground truth; `Nuclei.from_labels` gives its nuclei classes.
    classes : sequence of str
        Names of class 1, 2, ...
    mpp : float
        Micrometres per pixel of a label map, for the width of lines.
    outlines : object
        No longer used: nuclei have their own.

    Raises
    ------
    ShapeError
        If the nuclei belong to an image of another size.
    """
    warn_outlines(outlines)
    if isinstance(nuclei, np.ndarray):
        nuclei = Nuclei.from_labels(nuclei, mpp=mpp)
    if image.shape[:2] != nuclei.shape:
        raise ShapeError(
            f"image is {image.shape[:2]}, but its nuclei are on {nuclei.shape}; give the "
            "image that they were found in"
        )
    found = nuclei.outlines
    palette = colours(classes, unsure=nuclei.may_be_unsure)
    class_of_ring = nuclei.class_id[found.label - 1]
    rings = [np.rint((ring - 0.5) * 2**_SHIFT).astype(np.int32) for ring in found.rings()]
    # Antialiasing adds about a pixel; a wider line would hide the chromatin along the border.
    width_px = max(round(_WIDTH_UM / nuclei.mpp) - 1, 1)
    canvas = np.array(image, order="C")
    for class_id in np.unique(class_of_ring):
        lines = [rings[k] for k in np.flatnonzero(class_of_ring == class_id)]
        colour = palette[int(class_id) % len(palette)]
        cv2.polylines(canvas, lines, True, colour, width_px, cv2.LINE_AA, _SHIFT)  # noqa: FBT003
    return canvas


def with_legend(canvas: Image, nuclei: Nuclei, classes: Sequence[str]) -> Image:
    """Copy an overlay with a legend of colours and counts, in the corner with the fewest nuclei.

    Parameters
    ----------
    canvas : (H, W, 3) uint8
        From `draw`.
    nuclei : Nuclei
    classes : sequence of str
        Names of class 1, 2, ... Without classes or nuclei, or on an image too small for it, there is no
        legend.
    """
    counts = np.bincount(nuclei.class_id, minlength=len(classes) + 1).tolist()
    unsure = nuclei.may_be_unsure
    names, palette = [UNSURE if unsure else "no class", *classes], colours(classes, unsure=unsure)
    order = [*range(1, len(names)), 0] if unsure else range(len(names))
    lines = [(palette[k], f"{names[k]} {counts[k]:,}") for k in order if counts[k]]
    if not classes or not lines:
        return canvas
    box = _legend(lines, unit=int(np.clip(canvas.shape[1] // 60, 10, 28)))
    height, width = box.shape[:2]
    if height * width > _MOST_OF_IMAGE * canvas.shape[0] * canvas.shape[1] or width > canvas.shape[1]:
        return canvas
    rows, columns = (
        (slice(0, side), slice(whole - side, whole))
        for side, whole in zip((height, width), canvas.shape[:2], strict=True)
    )
    corners = [(row, column) for row in rows for column in columns]
    emptiest = min(corners, key=lambda corner: _pixels_in(nuclei, corner))
    with_box = np.array(canvas)
    with_box[emptiest] = box
    return with_box


def warn_outlines(outlines: object) -> None:
    """Warn about the former argument outlines."""
    if outlines is not None:
        warnings.warn(
            "outlines= is no longer used and will be removed in the next version: nuclei have their own "
            "outlines",
            DeprecationWarning,
            stacklevel=3,
        )


def _pixels_in(nuclei: Nuclei, window: tuple[slice, slice]) -> int:
    shape = window[0].stop - window[0].start, window[1].stop - window[1].start
    return int(np.count_nonzero(nuclei.to_labels(shape, corner=(window[0].start, window[1].start))))


def _legend(lines: Sequence[tuple[Colour, str]], unit: int) -> Image:
    """A box with a swatch and words in each line; `unit` is the height of letters."""
    font = ImageFont.load_default(size=unit)
    step, margin = round(1.5 * unit), unit // 2
    width = 2 * margin + round(1.5 * unit + max(font.getlength(words) for _, words in lines))
    box = Pillow.new("RGB", (width, 2 * margin + step * len(lines)), _PAPER)
    pen = ImageDraw.Draw(box)
    for k, (colour, words) in enumerate(lines):
        y = margin + step * k + (step - unit) // 2
        pen.rectangle((margin, y, margin + unit, y + unit), fill=colour)
        pen.text((margin + round(1.5 * unit), y + unit / 2), words, fill=_INK, font=font, anchor="lm")
    return np.asarray(box)
