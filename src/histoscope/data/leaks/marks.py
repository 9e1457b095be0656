"""Annotations burned into images: scale bars, captions, the black border of a round field of view."""

import numpy as np
from numpy.typing import NDArray

from histoscope.types import Image, Mask

_BLACK = 32
"""Largest channel of black."""
_NEUTRAL, _DARK = 10, 110
"""Largest difference of channels, and largest channel, of neutral grey, which does not occur in stains."""
_VIVID = 195
"""Smallest difference of channels of a pure colour, which does not occur in stains."""
_WHITE, _LEAP = 253, 4
"""Smallest channel of pure white; there must be this many times more of it than of nearly white."""
_LEAST_PX = 12
"""Minimum number of connected pixels; single dark ones are tissue."""
_EDGE = 1 / 75
"""Distance from a mark, as a share of the shorter side, within which pixels are blurred by it."""
_MOST = 0.75
"""If more than this share would be marks, the image is dark, and they are its background."""
_GREY_PICTURE = 8
"""Median difference of channels up to which the image itself is grey."""
_GLASS, _TINT, _BARE = 180, 16, 0.5
"""Smallest channel of bare glass, largest difference of its channels, and its share of an image."""
_INK = 10
"""How many levels ink differs from glass at least."""
_LETTERS, _LETTER_SHARE = 3, 0.4
"""A line of text has this many pieces with at least this share of its height."""
_LONG, _HIGH, _LOW = 2.5, 1 / 8, 1 / 120
"""Minimum ratio of length to height of a line, and its largest and smallest height, in shorter sides."""
_THIN_PX, _THIN = 2.0, 0.12
"""Half the thickness of its strokes: at most this many pixels, and this share of its height."""
_SLENDER = 6
"""Minimum ratio of length to height of a bar."""
_FULL, _FLAT, _FLAT_LEVELS = 0.92, 0.5, 16
"""Share of its frame that a box fills, and share of it within so many levels of one colour."""
_MARGIN = 0.1
"""A box is no further from an edge than this share of the shorter side."""


def find_marks(image: Image) -> Mask:
    """Mask of what is drawn on an image of stained tissue: scale bars, captions, boxes.

    Black, neutral grey and pure colours (red, yellow, blue, green, ...) do not occur in stains, and white
    without a transition to pale tissue is not glass. If most of an image is bare glass, lines of text in any
    colour and boxes of one colour count, too. On a grey image, only black counts; on a mostly dark image, as
    in fluorescence, nothing does.

    Examples
    --------
    >>> image = np.full((60, 90, 3), (225, 190, 215), np.uint8)
    >>> image[20:40, 20:40] = (120, 80, 150)  # a nucleus
    >>> image[50:54, 10:80] = 0  # a scale bar
    >>> marks = find_marks(image)
    >>> bool(marks[52, 40]), bool(marks[30, 30])
    (True, False)
    """
    import cv2

    most, least = image.max(axis=2), image.min(axis=2)
    spread = most - least
    marks = np.asarray(most <= _BLACK, bool)
    coloured = spread[most > _BLACK]
    if coloured.size and np.median(coloured) > _GREY_PICTURE:
        marks |= (spread <= _NEUTRAL) & (most <= _DARK)
    marks |= spread >= _VIVID
    white, near_white = least >= _WHITE, (least >= _WHITE - 7) & (least < _WHITE)
    if white.sum() > _LEAP * near_white.sum():  # overexposed glass has both
        marks |= white
    marks = _without_specks(marks)
    marks |= _on_glass(image, marks)
    if not marks.any() or marks.mean() > _MOST:
        return np.zeros(marks.shape, bool)
    reach = 1 + round(_EDGE * min(marks.shape))
    around = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    return np.asarray(cv2.dilate(marks.astype(np.uint8), around) > 0, bool)


def _without_specks(marks: Mask) -> Mask:
    import cv2

    _, pieces, about, _ = cv2.connectedComponentsWithStats(marks.astype(np.uint8), connectivity=8)
    kept = about[:, cv2.CC_STAT_AREA] >= _LEAST_PX
    kept[0] = False
    return np.asarray(kept[pieces], bool)


def _on_glass(image: Image, marks: Mask) -> Mask:
    """Text and boxes in any colour, on an image that is mostly bare glass apart from other marks."""
    import cv2

    rest = image[~marks]
    glass = np.median(rest, axis=0) if rest.size else np.zeros(3)
    if glass.min() < _GLASS or np.ptp(glass) > _TINT:
        return np.zeros(marks.shape, bool)
    contrast = np.where(marks, 0, np.abs(image - glass).max(axis=2)).astype(np.uint8)
    if (contrast[~marks] <= _INK).mean() < _BARE:  # pale tissue, whose nuclei stand in rows like letters
        return np.zeros(marks.shape, bool)
    reach = 2 * (min(contrast.shape) // 30) + 1
    around = cv2.dilate(contrast, np.ones((reach, reach), np.uint8))
    drawn = (contrast > _INK) & (2.0 * contrast > around)
    wide = np.ones((min(contrast.shape) // 24 | 1,) * 2, np.uint8)
    ground = cv2.morphologyEx(contrast, cv2.MORPH_OPEN, wide)  # tissue; glass below strokes
    strokes = drawn & (ground <= np.maximum(_INK, contrast // 4))
    bars = _bars(strokes) | _bars(strokes.T).T
    strokes &= ~bars
    return _boxes(image, drawn, glass) | bars | _lines(strokes) | _lines(strokes.T).T


def _lines(strokes: Mask) -> Mask:
    """Horizontal rows of thin strokes in three or more pieces of the same height."""
    import cv2
    from scipy import ndimage

    side = min(strokes.shape)
    gap = side // 50
    ink = np.ascontiguousarray(strokes, np.uint8)
    joined = cv2.dilate(ink, np.ones((1, 2 * gap + 1), np.uint8))
    n, line_of, about, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    n_pieces, piece_of, pieces, _ = cv2.connectedComponentsWithStats(ink, connectivity=8)
    height, width = about[:, cv2.CC_STAT_HEIGHT], about[:, cv2.CC_STAT_WIDTH] - 2 * gap
    owner = np.zeros(n_pieces, np.intp)
    owner[piece_of] = line_of
    is_letter = pieces[:, cv2.CC_STAT_HEIGHT] >= _LETTER_SHARE * height[owner]
    letters = np.bincount(owner[1:][is_letter[1:]], minlength=n)
    thickness = ndimage.maximum(cv2.distanceTransform(ink, cv2.DIST_L2, 3), line_of, np.arange(n))
    is_text = (letters >= _LETTERS) & (width >= _LONG * height) & (thickness <= _THIN_PX + _THIN * height)
    is_text &= (height >= max(4, _LOW * side)) & (height <= _HIGH * side)
    is_text[0] = False
    return np.asarray(is_text[line_of], bool)


def _bars(strokes: Mask) -> Mask:
    """Horizontal bars, also if letters touch them."""
    import cv2

    run = np.ones((1, min(strokes.shape) // 12 | 1), np.uint8)
    runs = cv2.morphologyEx(strokes.astype(np.uint8), cv2.MORPH_OPEN, run)
    _, pieces, about, _ = cv2.connectedComponentsWithStats(runs, connectivity=8)
    width, height, area = (
        about[:, cv2.CC_STAT_WIDTH],
        about[:, cv2.CC_STAT_HEIGHT],
        about[:, cv2.CC_STAT_AREA],
    )
    is_bar = (area >= _FULL * width * height) & (width >= _SLENDER * height)
    is_bar[0] = False
    return np.asarray(is_bar[pieces], bool)


def _boxes(image: Image, drawn: Mask, glass: NDArray[np.float64]) -> Mask:
    """Upright rectangles of mostly one colour, including any text in them."""
    import cv2
    from scipy import ndimage

    found = np.zeros(drawn.shape, bool)
    solid = ndimage.binary_fill_holes(drawn)  # letters in a box may have the colour of glass
    _, _, about, _ = cv2.connectedComponentsWithStats(solid.astype(np.uint8), connectivity=8)
    about = about[1:]
    large = about[:, cv2.CC_STAT_WIDTH : cv2.CC_STAT_HEIGHT + 1].min(axis=1) >= max(8, min(drawn.shape) // 40)
    for left, top, width, height, area in about[large].tolist():
        margin = min(left, top, drawn.shape[1] - left - width, drawn.shape[0] - top - height)
        if area < _FULL * width * height or margin > _MARGIN * min(drawn.shape):
            continue
        frame = np.s_[top : top + height, left : left + width]
        colours = image[frame].astype(np.float32)
        ground = np.median(colours, axis=(0, 1))
        alike = np.abs(colours - ground).max(axis=2) <= _FLAT_LEVELS
        found[frame] |= alike.mean() >= _FLAT and np.abs(ground - glass).max() > _FLAT_LEVELS
    return found
