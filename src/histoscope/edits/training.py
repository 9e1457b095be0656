"""Corrected parts of slides as labelled images for training.

The rule: an image must be complete, since anything not outlined in it counts as background. So images are cut
only where people checked everything: confirmed regions, and squares of the slide with an edit in which every
nucleus was decided on. With `trust_model`, all squares with an edit are used, and the remaining nuclei count
as the model outlined them.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.data.annotations.annotation import Annotation
from histoscope.data.annotations.folder import Cutting, OpenScene, Outcome, Scene, write_placed
from histoscope.data.annotations.labelling import OUTSIDE
from histoscope.data.annotations.placing import Placed
from histoscope.edits.applying import EDITED, Applied
from histoscope.edits.corrections import Corrections
from histoscope.edits.edit import Edit
from histoscope.edits.merging import State, centre_of, polygons_of
from histoscope.errors import ConfigError, DataError
from histoscope.types import Sample
from histoscope.words import count, listed

SQUARE_UM = 96.0
"""Side of the squares around edits: one and a half training patches."""
LOOKED_AT, TRUSTED = "looked at", "around edits"
_LEAST_UM = 32.0


@dataclass(frozen=True, slots=True)
class Corrected:
    """A slide or image with the corrections of its nuclei.

    Parameters
    ----------
    slide : Path
    corrections : Corrections
    """

    slide: Path
    corrections: Corrections


def write_corrected(
    out: str | Path,
    sources: Sequence[Corrected],
    open_scene: OpenScene,
    cutting: Cutting,
    *,
    square_um: float = SQUARE_UM,
    trust_model: bool = False,
    on_sample: Callable[[Sample, dict[int, str]], None] | None = None,
) -> Outcome:
    """Write corrected parts of slides as a folder for training.

    Parameters
    ----------
    out : str or Path
        A new or empty folder.
    sources : sequence of Corrected
    open_scene : callable
        Opens a slide, such as `histoscope.slides.open_slide`.
    cutting : Cutting
        Resolution, classes, patient and size of tiles.
    square_um : float
        Side of the squares, in micrometres.
    trust_model : bool
        Whether to use squares with nuclei that nobody decided on.
    on_sample : callable, optional
        Called with each image, and the names of its classes, before it is written.

    Returns
    -------
    Outcome
        Its counts include edits that were not applied.

    Raises
    ------
    DataError
        If there is nothing to train on; the message says what is missing.
    """
    if not square_um >= _LEAST_UM:
        raise ConfigError(f"squares are {square_um:g} um wide, expected at least {_LEAST_UM:g}")
    known = [(one, one.corrections.state()) for one in sources]
    authors = sorted({edit.author for _, state in known for edit in _all(state)})
    taken = [
        (one.slide, partial(_placed, one, state, square_um=square_um, trust_model=trust_model))
        for one, state in known
    ]
    title = f"Nuclei of a model, corrected by {listed(authors) or 'nobody'}"
    if trust_model:
        title += "; around the corrections, unchecked nuclei are the model's own"
    outcome = write_placed(out, taken, open_scene, cutting, on_sample, title=title)
    del outcome.counts[OUTSIDE]  # most of a slide is outside
    return outcome


def _placed(one: Corrected, state: State, scene: Scene, *, square_um: float, trust_model: bool) -> Placed:
    """Corrected nuclei of a slide, and the regions to cut out."""
    import shapely

    _check_slide(one, scene)
    fixed = one.corrections.applied()
    mpp = float(np.mean(scene.known_mpp()))
    regions = regions_of(fixed, state, mpp, square_um=square_um, trust_model=trust_model)
    if not regions:
        raise DataError(_nothing(one, state))
    table = fixed.table
    names = [
        "" if k == 0 else name
        for k, name in zip(table["class_id"].to_pylist(), table["class"].to_pylist(), strict=True)
    ]
    placed = Placed(
        shapely.from_wkb(table["geometry"].to_numpy()), names, regions, _counts(one, fixed, state, mpp)
    )
    placed.counts["region of interest"] = len(regions)
    return placed


def regions_of(
    fixed: Applied, state: State, mpp: float, *, square_um: float = SQUARE_UM, trust_model: bool = False
) -> list[Annotation]:
    """Parts of a slide whose nuclei were all decided by people, or by the model if it is trusted.

    Parameters
    ----------
    fixed : Applied
    state : State
    mpp : float
        Micrometres per pixel of level 0.
    square_um : float
        Side of a square.
    trust_model : bool

    Returns
    -------
    list of Annotation
        Confirmed regions, joined where they overlap, then squares that touch none of them; each is named by
        its reason. Regions narrower than 32 um are left out: a training patch has 64.
    """
    import shapely

    confirmed = shapely.union_all(polygons_of(fixed.regions))
    pieces = [piece for piece in _pieces(fixed) if _width(piece) * mpp >= _LEAST_UM]
    table, square_px = fixed.table, square_um / mpp
    undecided = np.array([said == "" for said in table[EDITED].to_pylist()], bool)
    boxes = shapely.bounds(shapely.from_wkb(table["geometry"].to_numpy())).reshape(-1, 4)
    left = _squares_touched(boxes[undecided], square_px)
    squares = []
    for column, row in sorted(_squares_with_edits(fixed, state, square_px)):
        square = shapely.box(*(np.array([column, row, column + 1, row + 1]) * square_px))
        is_seen = (column, row) not in left
        if (is_seen or trust_model) and not shapely.intersects(confirmed, square):
            squares.append(Annotation(square, "Region*", LOOKED_AT if is_seen else TRUSTED))
    return [*(Annotation(piece, "Region*", LOOKED_AT) for piece in pieces), *squares]


def _pieces(fixed: Applied) -> list[Any]:
    """Polygons of the confirmed regions, joined where they overlap."""
    import shapely

    parts = shapely.get_parts(shapely.union_all(polygons_of(fixed.regions)))
    return [part for part in parts if part.geom_type == "Polygon" and part.area]


def _width(polygon: Any) -> float:
    """Shorter side of the box around a polygon."""
    x0, y0, x1, y1 = polygon.bounds
    return float(min(x1 - x0, y1 - y0))


def _squares_with_edits(fixed: Applied, state: State, square_px: float) -> set[tuple[int, int]]:
    """Squares with the centre of a nucleus that somebody decided on."""
    told = {edit.id for edit in fixed.unmatched}
    said = (*state.found.values(), *state.drawn.values())
    centres = [centre_of(edit) for edit in said if edit.id not in told]
    return {(int(x // square_px), int(y // square_px)) for x, y in centres}


def _squares_touched(boxes: NDArray[np.float64], square_px: float) -> set[tuple[int, int]]:
    """Squares that boxes overlap."""
    found: set[tuple[int, int]] = set()
    known = boxes[np.isfinite(boxes).all(axis=1)]
    first, last = np.floor(known[:, :2] / square_px), np.ceil(known[:, 2:] / square_px)
    for (x0, y0), (x1, y1) in zip(first.astype(int).tolist(), last.astype(int).tolist(), strict=True):
        found |= {(x, y) for x in range(x0, x1) for y in range(y0, y1)}
    return found


def _check_slide(one: Corrected, scene: Scene) -> None:
    """Refuse a slide that the nuclei do not belong to."""
    wanted, got = one.corrections.found.of, getattr(scene, "quick_hash", "")
    if wanted and got and wanted != got:
        raise DataError(
            f"{one.slide} is not the slide of {one.corrections.results}: its digest differs; give the "
            "folder of the right one with --slides"
        )


def _nothing(one: Corrected, state: State) -> str:
    """Why a slide yields no image, and what to do."""
    return (
        f"{one.corrections.folder} has {count(len(state), 'corrected nucleus')}, but no area where every "
        "nucleus was checked: confirm a region (an edit 'confirm' with an outline), decide on every "
        "nucleus around a correction, or let the model's other nuclei count as ground truth with "
        "--trust-model"
    )


def _counts(one: Corrected, fixed: Applied, state: State, mpp: float) -> Counter[str]:
    """Number of skipped or conflicting edits, by reason."""
    return +Counter(
        {
            "edit of other results was left out": len(fixed.unmatched),
            "edit of something undone was left out": len(state.lost),
            "nucleus that people disagree about: the latest edit counts": len(state.conflicts),
            "found nucleus was replaced by one that was drawn over it": fixed.replaced,
            "line that is not an edit was left out": len(one.corrections.read().notes),
            f"confirmed region narrower than {_LEAST_UM:g} um was left out": sum(
                _width(piece) * mpp < _LEAST_UM for piece in _pieces(fixed)
            ),
        }
    )


def _all(state: State) -> list[Edit]:
    return [*state.found.values(), *state.drawn.values(), *state.regions]
