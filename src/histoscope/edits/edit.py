"""One correction, and its representation as a line."""

import json
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from histoscope.errors import DataError, FormatVersionError

FORMAT = 1
KINDS = ("confirm", "reclassify", "delete", "draw", "undo")
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_TIME_SHAPE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_LARGEST_PX = 1e9
_MOST_POINTS, _MOST_LETTERS = 100_000, 500

Point = tuple[float, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Edit:
    """One person's statement about a nucleus, a region, or an earlier edit.

    Parameters
    ----------
    kind : {"confirm", "reclassify", "delete", "draw", "undo"}
        ``confirm`` says that a nucleus is right as shown or, with an outline instead of a nucleus, that
        everything in a region was checked. ``undo`` reverts any edit, including an undo.
    author : str
    time : str
        UTC, such as ``2026-11-29T18:00:00.000000Z``; these texts sort by time.
    id : str
        Random.
    nucleus : str
        Id in the table of nuclei; for a drawn nucleus, the id of its edit.
    centre_px : (float, float), optional
        x, y of that nucleus in pixels of level 0: the same id may occur in other results.
    class_name : str
        New class; for ``confirm``, the class that was shown. Empty if nuclei have no classes.
    polygon_px : sequence of (float, float)
        Outline of the drawn nucleus or region, in pixels of level 0; not closed.
    undoes : str
        Id of the edit to undo.
    of : str
        Digest of the slide; empty if unknown.
    results : str
        Digest of all nuclei that were shown when a region was confirmed (`Found.digest`): with another
        model's nuclei, the region is not confirmed.

    Raises
    ------
    DataError
        If it is not valid: an unknown kind, a missing part, an outline without an area.
    """

    kind: str
    author: str
    time: str
    id: str
    nucleus: str = ""
    centre_px: Point | None = None
    class_name: str = ""
    polygon_px: tuple[Point, ...] = ()
    undoes: str = ""
    of: str = ""
    results: str = ""

    @classmethod
    def new(
        cls,
        kind: str,
        author: str,
        *,
        after: str = "",
        polygon_px: Sequence[Sequence[float]] = (),
        **what: Any,
    ) -> "Edit":
        """An edit made now.

        Parameters
        ----------
        kind, author : str
        after : str
            Time of the last edit that its author has seen (`State.latest`): this one is later, even if the
            clocks of two machines differ.
        polygon_px : sequence of (float, float)
        **what
            Further fields; ``id`` is random if not given.

        Examples
        --------
        >>> first = Edit.new("delete", "ada", nucleus="n1", centre_px=(1.0, 2.0))
        >>> Edit.new("undo", "bob", undoes=first.id, after="2999-01-01T00:00:00.000000Z").time
        '2999-01-01T00:00:00.000001Z'
        """
        now = datetime.now(UTC).replace(tzinfo=None)
        if after:
            now = max(now, _instant(after) + timedelta(microseconds=1))
        shape = tuple(_point(point) for point in polygon_px)
        shape = shape[:-1] if len(shape) > 1 and shape[0] == shape[-1] else shape
        return cls(
            kind=kind,
            author=author.strip(),
            time=now.strftime(_TIME),
            polygon_px=shape,
            **{"id": secrets.token_hex(8), **what},
        )

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise DataError(f"kind of edit is {self.kind!r}, expected one of {', '.join(KINDS)}")
        for field in fields(self):
            value = getattr(self, field.name)
            if field.type == "str" or field.type is str:
                _check_text(field.name, value)
        for name in ("author", "id"):
            if not getattr(self, name):
                raise DataError(f"an edit has no {name}; every edit has an id and the name of its author")
        _instant(self.time)
        if self.centre_px is not None:
            _point(self.centre_px)
        if self.polygon_px:
            _check_polygon(self.polygon_px)
        self._check_parts()

    def _check_parts(self) -> None:
        """Refuse an edit that lacks what its kind needs."""
        lacks = {
            "draw": not self.polygon_px and "polygon_px, the outline of the nucleus",
            "undo": not self.undoes and "undoes, the id of the edit to undo",
            "reclassify": not self.class_name and "class_name, the new class",
        }.get(self.kind, False)
        is_region = self.kind == "confirm" and not self.nucleus and self.polygon_px
        if is_region and not self.results:
            lacks = "results, the digest of the nuclei that were shown"
        if not lacks and self.kind in {"confirm", "reclassify", "delete"} and not is_region:
            lacks = (not self.nucleus or self.centre_px is None) and "the nucleus, or its centre_px"
        if lacks:
            raise DataError(f"an edit of the kind {self.kind!r} lacks {lacks}")

    def to_line(self) -> str:
        """JSON on one line, without empty fields."""
        said = {key: value for key, value in asdict(self).items() if value not in ("", (), None)}
        return json.dumps({"format": FORMAT, **said}, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_line(cls, line: str) -> "Edit":
        """Read a line.

        Raises
        ------
        FormatVersionError
            If a newer version wrote it.
        DataError
            If it is not an edit.
        """
        try:
            said = json.loads(line)
        except ValueError as error:
            raise DataError(f"not JSON ({error})") from error
        if not isinstance(said, dict):
            raise DataError(f"{type(said).__name__}, expected an edit")
        written = said.pop("format", None)
        if written != FORMAT:
            raise FormatVersionError(f"format {written!r}, this version of Histoscope reads {FORMAT}")
        unknown = sorted(set(said) - {field.name for field in fields(cls)})
        if unknown:
            raise DataError(f"unknown key {unknown[0]!r}")
        try:
            if said.get("centre_px") is not None:
                said["centre_px"] = _point(said["centre_px"])
            said["polygon_px"] = tuple(_point(point) for point in said.get("polygon_px", ()))
            return cls(**said)
        except TypeError as error:
            raise DataError(f"not an edit ({error})") from error


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str) or len(value) > _MOST_LETTERS or not value.isprintable():
        raise DataError(
            f"{name} of an edit is {str(value)[:40]!r}, expected a few words on one line (at most "
            f"{_MOST_LETTERS} characters)"
        )


def _instant(time: object) -> datetime:
    try:
        if isinstance(time, str) and _TIME_SHAPE.fullmatch(time):
            return datetime.strptime(time, _TIME)
    except ValueError:
        pass
    raise DataError(f"time of an edit is {time!r}, expected UTC such as 2026-11-29T18:00:00.000000Z")


def _point(given: Any) -> Point:
    """A point of two finite numbers."""
    try:
        x, y = (float(value) for value in given)
    except (TypeError, ValueError):
        x = y = math.nan
    if not (abs(x) < _LARGEST_PX and abs(y) < _LARGEST_PX):
        raise DataError(f"point of an edit is {given!r}, expected x and y in pixels of level 0")
    return x, y


def _check_polygon(points: tuple[Point, ...]) -> None:
    import shapely

    if not 3 <= len(points) <= _MOST_POINTS:
        raise DataError(f"outline has {len(points)} points, expected 3 to {_MOST_POINTS:,}")
    shape = shapely.Polygon(points)
    if not shape.is_valid or shape.area <= 0:
        reason = shapely.is_valid_reason(shape) if shape.area > 0 else "it has no area"
        raise DataError(f"outline is not a simple polygon: {reason}; draw it again")
