"""The corrections of one file of results, as the page shows and makes them.

The journal is small and the table is not: so squares stay as the model left them, and the page is told which
rows are none any more, which are of another class, and what was drawn.
"""

import hashlib
import threading
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from histoscope.edits import Corrections, Edit, State, Wanted, apply, merged
from histoscope.edits.applying import covered, matched, rows_of
from histoscope.edits.cells import read_rows
from histoscope.edits.merging import centre_of, polygons_of
from histoscope.errors import ConfigError, DataError, HistoscopeError
from histoscope.export.overlay import colours
from histoscope.files import require_writable
from histoscope.viewer.marks import Marks
from histoscope.viewer.selection import collection

if TYPE_CHECKING:
    import pyarrow as pa
    import shapely

LEAST_CROP_PX, MOST_CROP_PX = 8, 2_048
_LAST = 40
_SPARE = 5.0
"""A crop is so many times as wide as its nucleus reaches from its centre."""
_LEAST_CROP_UM = 24.0
_LARGEST_SHARE = 0.8
"""Of an outline that crosses itself, the largest piece is what was meant if it has this share of the area."""


class Notebook:
    """Corrections of one file of results.

    Parameters
    ----------
    path : Path
        The results; what is known of them stays true while they do not change.
    marks : Marks
        Of the same file.
    author : str
        Who corrects through this page.
    """

    def __init__(self, path: Path, marks: Marks, author: str) -> None:
        classes = tuple(map(str, marks.about.get("classes", ())))
        self._corrections = Corrections(path, classes, outlines=False)
        self._marks, self._author = marks, author
        self._found = self._corrections.found
        self._lock = threading.Lock()
        self._rows: dict[str, int | None] = {}
        self._covered: dict[str, list[int]] = {}
        self._shown: tuple[str, dict[str, Any]] = "", {}

    @property
    def folder(self) -> Path:
        """Where the edits are."""
        return self._corrections.folder

    def stamp(self) -> str:
        """Digits that change with every correction."""
        return stamp_of_journals(self.folder)

    def shown(self) -> dict[str, Any]:
        """What the page has to know of all corrections."""
        with self._lock:
            stamp = self.stamp()
            if self._shown[0] != stamp:
                self._shown = stamp, self._made(stamp)
            return self._shown[1] | {"read_only": self._why_not()}

    def add(self, digest: str, wanted: Sequence[Wanted], author: str = "") -> list[dict[str, str]]:
        """Write edits, and say of each that it is there, or why not.

        Parameters
        ----------
        digest : str
            Of the nuclei that were shown when they were made.
        wanted : sequence of Wanted
        author : str
            In place of the one that the server was given: several may share it.

        Raises
        ------
        DataError
            If these nuclei are others.
        ConfigError, OSError
            If they cannot be written.
        """
        if digest != self._found.digest:
            raise DataError(
                "these corrections belong to earlier results, and the nuclei have been found again since; "
                "reload the page"
            )
        with self._lock:
            tidy: list[Wanted | DataError] = [self._tidied(one) for one in wanted]
            good = [one for one in tidy if isinstance(one, Wanted)]
            written = iter(self._corrections.add_all(author.strip() or self._author, good))
            answers: list[Any] = [next(written) if isinstance(one, Wanted) else one for one in tidy]
        return [
            {"id": one.id, "problem": str(answer) if isinstance(answer, HistoscopeError) else ""}
            for one, answer in zip(wanted, answers, strict=True)
        ]

    def least_sure(self, n: int) -> dict[str, Any]:
        """Nuclei to look at first, each with its outline and the square to show it in."""
        rows = self._corrections.least_sure(n)
        share = self._found.table["probability"].to_numpy()
        least_px = _LEAST_CROP_UM / (self._marks.about.get("mpp") or 0.5)
        nuclei = []
        for fact in self._facts(rows):
            rings = self._marks.rings(int(self._place_of[fact["row"]]))
            centre = np.array([fact["x"], fact["y"]])
            reach = max((float(np.abs(ring - centre).max()) for ring in rings), default=0.0)
            side = min(max(round(max(_SPARE * reach, least_px)), LEAST_CROP_PX), MOST_CROP_PX)
            left, top = (round(at - side / 2) for at in centre.tolist())
            nuclei.append(
                fact
                | {"probability": _number(share[fact["row"]]), "crop_px": [left, top, side]}
                | {"closest": _closest(self._found.table, fact["row"])}
                | {"rings": [np.round(ring, 2).tolist() for ring in rings]}
            )
        return {"nuclei": nuclei, "n_looked_at": len(self._corrections.state().found), "n": len(self._found)}

    def geojson(
        self, rows: Iterable[int], drawn: Iterable[str], offset_px: tuple[float, float]
    ) -> dict[str, Any]:
        """Some nuclei with all corrections applied, as QuPath reads them."""
        state, wanted = self._corrections.state(), set(drawn)
        found = read_rows(self._corrections.results, sorted(set(rows)))
        few = State(found=state.found, drawn={key: one for key, one in state.drawn.items() if key in wanted})
        return collection(apply(found, few), offset_px)

    def _why_not(self) -> str:
        """Why nothing can be written; empty if it can."""
        try:
            require_writable(self.folder)
        except ConfigError as error:
            return f"corrections cannot be kept: {error}"
        return ""

    def _tidied(self, one: Wanted) -> "Wanted | DataError":
        """An edit whose outline lies on the slide and does not cross itself, as hands do at the end."""
        if not one.polygon_px:
            return one
        try:
            points = outline_of(one.polygon_px, self._marks.about.get("size_px"))
        except DataError as error:
            return error
        return replace(one, polygon_px=points)

    def _made(self, stamp: str) -> dict[str, Any]:
        read = self._corrections.read()
        state = merged(read.edits)
        edits = list(state.found.values())
        rows, unmatched = matched(self._found, edits, self._rows_of(edits))
        drawn = [
            one for one in state.drawn.values() if not (one.of and self._found.of) or one.of == self._found.of
        ]
        classes = self._classes([*edits, *drawn])
        place = {name: k for k, name in enumerate(classes, 1)}
        palette = colours(classes)
        regions = [one for one in state.regions if one.results == self._found.digest]
        return {
            "stamp": stamp,
            "author": self._author,
            "digest": self._found.digest,
            "classes": classes,
            "colours": [list(each) for each in palette],
            "found": self._of_rows(rows, place),
            "drawn": [_drawn(one, place) for one in drawn],
            "covered": self._taken(drawn, rows),
            "regions": [_of(one) | {"polygon_px": one.polygon_px} for one in regions],
            "conflicts": self._conflicts(state, rows),
            "last": self._last(state),
            "notes": [*read.notes],
            "n_edits": len(read.edits),
            "n_elsewhere": len(unmatched) + len(state.drawn) - len(drawn) + len(state.regions) - len(regions),
            "n_lost": len(state.lost),
        }

    def _classes(self, edits: Iterable[Edit]) -> list[str]:
        """Classes of the squares, then those of the model that none has, then those that edits name."""
        shown = list(map(str, self._marks.about.get("classes", ())))
        named = sorted({edit.class_name for edit in edits} - {""})
        return list(dict.fromkeys([*shown, *self._found.classes, *named]))

    def _of_rows(self, rows: dict[int, Edit], place: dict[str, int]) -> list[dict[str, Any]]:
        """Edits of nuclei that were found, with what the squares have of them."""
        facts = self._facts(list(rows))
        return [
            _of(edit) | fact | {"class_id": place.get(edit.class_name, fact["was"])}
            for fact, edit in zip(facts, rows.values(), strict=True)
        ]

    @cached_property
    def _place_of(self) -> NDArray[np.uint32]:
        """Place among the marks of each row."""
        places = np.empty(len(self._marks), np.uint32)
        places[self._marks.row] = np.arange(len(places), dtype=np.uint32)
        return places

    def _facts(self, rows: Sequence[int] | NDArray[np.int64]) -> list[dict[str, Any]]:
        """Row, place, class and band as squares have them."""
        chosen, marks = np.asarray(rows, np.int64), self._marks
        at = self._place_of[chosen]
        columns = (chosen, *marks.centre[at].T, marks.class_id[at], marks.band[at])
        names = ("row", "x", "y", "was", "band")
        return [
            dict(zip(names, each, strict=True)) for each in zip(*(c.tolist() for c in columns), strict=True)
        ]

    def _rows_of(self, edits: Sequence[Edit]) -> list[int | None]:
        """Row of each; those that were asked before are remembered."""
        new = [edit.nucleus for edit in edits if edit.nucleus not in self._rows]
        self._rows |= dict(zip(new, rows_of(self._found, new), strict=True))
        return [self._rows[edit.nucleus] for edit in edits]

    def _taken(self, drawn: Sequence[Edit], rows: dict[int, Edit]) -> list[dict[str, Any]]:
        """Nuclei that drawn ones take the place of."""
        taken = sorted({row for one in drawn for row in self._covered_by(one)})
        gone = {row for row, edit in rows.items() if edit.kind == "delete"}
        return self._facts([row for row in taken if row not in gone])

    def _covered_by(self, one: Edit) -> list[int]:
        if one.id not in self._covered:
            shapes = polygons_of([one])
            left, top, right, bottom = (float(side) for side in shapes[0].bounds)
            reach = self._marks.reach_px()
            near: list[int] = []
            if max(right - left, bottom - top) <= 8 * reach:  # else it is much larger than any
                places = self._marks.within((left - reach, top - reach, right + reach, bottom + reach))
                near = sorted(self._marks.row[places].tolist())
            few = read_rows(self._corrections.results, near) if near else None
            found = covered(few, shapes, np.ones(len(few), bool)) if few is not None else []
            self._covered[one.id] = [near[k] for k in found]
        return self._covered[one.id]

    def _conflicts(self, state: State, rows: dict[int, Edit]) -> list[dict[str, Any]]:
        """Nuclei that people say different things of."""
        row_of = {edit.nucleus: row for row, edit in rows.items()}
        found = []
        for one in state.conflicts:
            row = row_of.get(one.nucleus)
            if row is None and one.nucleus not in state.drawn:
                continue
            x, y = centre_of(one.edits[-1])
            said = [_of(edit) for edit in one.edits]
            found.append(
                {"row": row, "drawn": "" if row is not None else one.nucleus, "x": x, "y": y, "said": said}
            )
        return found

    def _last(self, state: State) -> list[dict[str, Any]]:
        """The latest edits that count, the last one first."""
        found = []
        for edit in state.active[: -_LAST - 1 : -1]:
            x, y = centre_of(edit)
            found.append(
                _of(edit) | {"x": x, "y": y, "is_region": edit.kind == "confirm" and not edit.nucleus}
            )
        return found


def stamp_of_journals(folder: Path) -> str:
    """Digits that change when a file of edits does."""
    try:
        facts = sorted(
            (one.name, one.stat().st_size, one.stat().st_mtime_ns) for one in folder.glob("*.jsonl")
        )
    except OSError:
        facts = []
    return hashlib.blake2b(repr(facts).encode(), digest_size=6).hexdigest()


def outline_of(points: Sequence[Sequence[float]], size_px: Sequence[int] | None) -> list[tuple[float, float]]:
    """The outline that a hand meant: without the loops where it crosses itself.

    Parameters
    ----------
    points : sequence of (float, float)
        In pixels of level 0.
    size_px : (int, int) or None
        Width and height of the slide, where they are known.

    Raises
    ------
    DataError
        If it has no area, crosses itself in the middle, or lies outside the slide.

    Examples
    --------
    >>> outline_of([(0, 0), (10, 0), (10, 10)], None)
    [(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)]
    """
    import shapely

    if len(points) < 3:
        raise DataError(f"the outline has {len(points)} points, expected 3 or more; draw it again")
    shape = shapely.Polygon(points)
    if not shape.is_valid:
        shape = _largest(shapely.make_valid(shape), points)
    if size_px and not shape.intersects(shapely.box(0, 0, *size_px)):
        raise DataError("the outline lies outside the slide; draw it on the slide")
    return [(float(x), float(y)) for x, y in shape.exterior.coords[:-1]]


def _largest(shape: "shapely.Geometry", points: Sequence[Sequence[float]]) -> "shapely.Polygon":
    import shapely

    parts = [one for one in shapely.get_parts(shape, return_index=False) if one.geom_type == "Polygon"]
    largest = max(parts, key=lambda one: one.area, default=None)
    if largest is None or largest.area < _LARGEST_SHARE * sum(one.area for one in parts):
        raise DataError("the outline crosses itself, or has no area; draw it again")
    return largest


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _of(edit: Edit) -> dict[str, Any]:
    """What every edit is told by."""
    return {
        "edit": edit.id,
        "kind": edit.kind,
        "author": edit.author,
        "time": edit.time,
        "class_name": edit.class_name,
    }


def _drawn(edit: Edit, place: dict[str, int]) -> dict[str, Any]:
    x, y = centre_of(edit)
    where = {"x": x, "y": y, "polygon_px": edit.polygon_px}
    return _of(edit) | where | {"class_id": place.get(edit.class_name, 0)}


def _closest(cells: "pa.Table", row: int) -> list[tuple[str, float]]:
    """The two most probable classes of a nucleus, with their probabilities; none where there are no two."""
    names = [name for name in cells.column_names if name.startswith("p_")]
    known = [(name[2:], cells[name][row].as_py()) for name in names]
    shares = [(name, float(share)) for name, share in known if share is not None and np.isfinite(share)]
    return sorted(shares, key=lambda one: -one[1])[:2] if len(shares) > 1 else []
