"""Gallery of patches with their attribution maps, as an image and as an HTML page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

import histoscope
from histoscope import metrics
from histoscope.brief import brief
from histoscope.errors import DataError
from histoscope.pages import templates
from histoscope.types import Image

if TYPE_CHECKING:
    import pandas as pd

_CELL_PX = 224
_INK, _QUIET, _WRONG = (31, 35, 40), (91, 99, 110), (194, 78, 0)


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One patch of a gallery.

    Parameters
    ----------
    name : str
    patch, heat : (H, W, 3) uint8
        The patch as the model takes it, and the same with its attribution map.
    true, predicted : str
        Names of classes; `true` is "" if it is not known.
    probability : float
        Of the predicted class.
    """

    name: str
    patch: Image
    heat: Image
    true: str
    predicted: str
    probability: float

    @property
    def is_wrong(self) -> bool:
        """Whether the ground truth is known and differs."""
        return self.true not in {"", self.predicted}


def mistakes(table: "pd.DataFrame", n: int = 24, *, per_group: int = 1) -> "pd.DataFrame":
    """Rows of the most confident mistakes.

    Parameters
    ----------
    table : DataFrame
        One row per patch, as `histoscope.classify.classification.predict_classes` gives it.
    n : int
        At most so many.
    per_group : int
        At most so many of one group, such as copies of one photograph.

    Returns
    -------
    DataFrame
        Rows of the table with its index, the most confident first, and the columns ``probability`` of the
        predicted class, ``true_class`` and ``predicted_class``.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"name": list("stuv"), "group": list("1122"), "true": [0, 0, 1, 1],
    ...                       "p_a": [0.1, 0.2, 0.7, 0.1], "p_b": [0.9, 0.8, 0.3, 0.9]})
    >>> mistakes(table)[["name", "predicted_class", "probability"]].values.tolist()
    [['s', 'b', 0.9], ['u', 'a', 0.7]]
    """
    about = _named(table[table["true"] >= 0])
    wrong = about[about["true_class"] != about["predicted_class"]]
    return _first(wrong, n, per_group, surest_first=True)


def patches_by_confidence(
    table: "pd.DataFrame", n: int = 24, *, per_group: int = 1, surest_first: bool = True
) -> "pd.DataFrame":
    """Rows of the most, or least, confident predictions, right or wrong; as `mistakes`."""
    return _first(_named(table[table["true"] >= 0]), n, per_group, surest_first=surest_first)


def _named(known: "pd.DataFrame") -> "pd.DataFrame":
    names, true, p = metrics.probabilities(known)
    return known.assign(
        probability=p.max(axis=1, initial=0.0),
        true_class=[names[k] for k in true],
        predicted_class=[names[k] for k in p.argmax(axis=1)],
    )


def _first(about: "pd.DataFrame", n: int, per_group: int, *, surest_first: bool) -> "pd.DataFrame":
    """The first by probability, few of one group."""
    ordered = about.sort_values("probability", ascending=not surest_first, kind="stable")
    if "group" in ordered:
        ordered = ordered[ordered.groupby("group", sort=False).cumcount() < per_group]
    return ordered.head(n)


def sheet(shown: Sequence[Example], *, columns: int = 3, cell_px: int = _CELL_PX) -> Image:
    """Patches in rows, each beside its attribution map, with ground truth and prediction below.

    Parameters
    ----------
    shown : sequence of Example
    columns : int
        Patches in a row.
    cell_px : int
        Side of a patch in the image.

    Raises
    ------
    DataError
        If there is nothing to show.
    """
    if not shown:
        raise DataError(
            "got no patches, expected one or more; a model without mistakes has no gallery of them"
        )
    unit, gap = cell_px // 14, cell_px // 16
    wide, high = 2 * cell_px + gap, cell_px + 3 * unit + gap
    columns = min(columns, len(shown))
    n_rows = -(-len(shown) // columns)
    canvas = Pillow.new("RGB", (columns * (wide + gap) + gap, n_rows * (high + gap) + gap), "white")
    pen = ImageDraw.Draw(canvas)
    bold, small = ImageFont.load_default(size=unit), ImageFont.load_default(size=round(0.8 * unit))
    for place, one in enumerate(shown):
        x, y = gap + (place % columns) * (wide + gap), gap + (place // columns) * (high + gap)
        for left, picture in ((x, one.patch), (x + cell_px + gap, one.heat)):
            canvas.paste(_resized(picture, cell_px), (left, y))
        below = y + cell_px + unit // 3
        pen.text((x, below), caption(one), fill=_WRONG if one.is_wrong else _INK, font=bold)
        pen.text((x, below + 1.4 * unit), _short(one.name, small, wide), fill=_QUIET, font=small)
    return np.asarray(canvas)


def page(shown: Sequence[Example], *, title: str, method: str) -> str:
    """The gallery as one HTML page without other files.

    Parameters
    ----------
    shown : sequence of Example
    title : str
    method : str
        How the maps were made.
    """
    view = {"title": title, "method": method, "shown": shown, "caption": caption}
    return templates(html=True).get_template("patches.html.j2").render(view, version=histoscope.__version__)


def caption(one: Example) -> str:
    """Caption of a patch.

    Examples
    --------
    >>> caption(Example("x", np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1, 3), np.uint8), "a", "b", 0.987))
    'predicted b (0.99), true a'
    """
    if not one.true:
        return f"{one.predicted} ({one.probability:.2f})"
    if one.is_wrong:
        return f"predicted {one.predicted} ({one.probability:.2f}), true {one.true}"
    return f"{one.predicted} ({one.probability:.2f}), correct"


def _resized(picture: Image, side: int) -> Pillow.Image:
    return Pillow.fromarray(np.ascontiguousarray(picture)).resize((side, side), Pillow.Resampling.LANCZOS)


def _short(name: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The end of a name that fits in the width."""
    if font.getlength(name) <= width:
        return name
    while len(name) > 1 and font.getlength("…" + name) > width:
        name = name[1:]
    return "…" + name
