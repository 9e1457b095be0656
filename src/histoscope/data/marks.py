"""What is drawn on pictures, and is no tissue: scale bars, captions, the black around a round field."""

import numpy as np
from numpy.typing import NDArray

from histoscope.types import Image, Mask

_BLACK = 32
"""Largest channel of what counts as black."""
_NEUTRAL, _DARK = 10, 110
"""Largest difference of channels, and largest channel, of a neutral grey that no stain gives."""
_VIVID = 195
"""Least difference of channels of a pure colour that no stain gives."""
_WHITE, _LEAP = 253, 4
"""Least channel of pure white; there must be so many times more of it than of what is nearly white."""
_LEAST_PX = 12
"""Pixels that hang together; single dark ones are tissue."""
_EDGE = 1 / 75
"""What is so near to a mark, as a share of the shorter side, is blurred by it."""
_MOST = 0.75
"""Where more would be marks, the picture is dark, and they are its ground."""
_GREY_PICTURE = 8
"""Median difference of channels up to which a picture is grey itself."""


def find_marks(picture: Image) -> Mask:
    """Find what is drawn on a picture of stained tissue.

    Black, neutral grey and pure colours (red, yellow, blue, green, ...) are no stain's, and white that does
    not go over into paler tissue is not glass. On a grey picture black alone counts; on a picture that is
    mostly dark, as under fluorescence, nothing does.

    Parameters
    ----------
    picture : (H, W, 3) uint8

    Returns
    -------
    (H, W) bool

    Examples
    --------
    >>> picture = np.full((60, 90, 3), (225, 190, 215), np.uint8)
    >>> picture[20:40, 20:40] = (120, 80, 150)  # a nucleus
    >>> picture[50:54, 10:80] = 0  # a scale bar
    >>> marks = find_marks(picture)
    >>> bool(marks[52, 40]), bool(marks[30, 30])
    (True, False)
    """
    import cv2

    most, least = picture.max(axis=2), picture.min(axis=2)
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


def paint_out(grey: NDArray[np.uint8], marks: Mask) -> NDArray[np.uint8]:
    """Fill marks with what is around them, so that nothing of them can be found again.

    Parameters
    ----------
    grey : (H, W) uint8
    marks : (H, W) bool

    Examples
    --------
    >>> grey = np.full((20, 20), 200, np.uint8)
    >>> grey[8:12, 3:17] = 0
    >>> int(paint_out(grey, grey < 100).min()) > 190
    True
    """
    import cv2

    if not marks.any():
        return grey
    return np.asarray(cv2.inpaint(grey, marks.astype(np.uint8), 3, cv2.INPAINT_TELEA), np.uint8)
