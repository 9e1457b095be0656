"""Merging the edits of all authors.

The rule: an undone edit does not count, unless its undo is undone. The latest remaining edit of a nucleus
decides; at equal times, the alphabetically later author, then the higher id. Of drawn nuclei that overlap by
more than half (intersection over union), the latest is kept. If authors disagree, the rule decides as well,
and the nucleus is listed for a person to check.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.edits.edit import Edit

SAME_IOU = 0.5
"""Outlines that overlap by more are the same nucleus; among disjoint polygons there is at most one match."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """Edits of several authors that disagree about one nucleus.

    Parameters
    ----------
    nucleus : str
        Its id.
    edits : tuple of Edit
        The latest of each author; the last one decides.
    """

    nucleus: str
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class State:
    """Merged edits, before the table of nuclei is known.

    Parameters
    ----------
    found : mapping of str to Edit
        The deciding edit for each nucleus of the table that has edits, by id.
    drawn : mapping of str to Edit
        Nuclei that were drawn and not deleted, by id, each with its class.
    regions : tuple of Edit
        Regions in which everything was checked.
    conflicts : tuple of Conflict
    lost : tuple of Edit
        Edits of a missing drawn nucleus, or undos of missing edits.
    latest : str
        Time of the last edit; empty if there is none.
    active : tuple of Edit
        All that count, without undos and undone edits; the latest last.
    """

    found: Mapping[str, Edit] = field(default_factory=dict)
    drawn: Mapping[str, Edit] = field(default_factory=dict)
    regions: tuple[Edit, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    lost: tuple[Edit, ...] = ()
    latest: str = ""
    active: tuple[Edit, ...] = ()

    @property
    def deleted(self) -> frozenset[str]:
        """Ids in the table that were deleted as not being nuclei."""
        return frozenset(name for name, edit in self.found.items() if edit.kind == "delete")

    def __len__(self) -> int:
        return len(self.found) + len(self.drawn)


def merged(edits: Iterable[Edit]) -> State:
    """Merge edits; order and duplicates make no difference.

    Parameters
    ----------
    edits : iterable of Edit

    Examples
    --------
    >>> nucleus = {"nucleus": "n1", "centre_px": (1.0, 2.0)}
    >>> first = Edit.new("delete", "ada", **nucleus)
    >>> second = Edit.new("reclassify", "bob", **nucleus, class_name="tumour", after=first.time)
    >>> state = merged([second, first])
    >>> state.found["n1"].class_name, len(state.conflicts)
    ('tumour', 1)
    """
    ordered = sorted({_key(edit): edit for edit in edits}.values(), key=_key)
    active, lost = _active(ordered)
    draws = {edit.id: edit for edit in active if edit.kind == "draw"}
    drawn_before = {edit.id for edit in ordered if edit.kind == "draw"}
    opinions: dict[str, list[Edit]] = defaultdict(list)
    for edit in active:
        if edit.kind == "draw":
            opinions[edit.id].append(edit)
        elif edit.nucleus:
            opinions[edit.nucleus].append(edit)
    found: dict[str, Edit] = {}
    drawn: dict[str, Edit] = {}
    conflicts: list[Conflict] = []
    for name, said in sorted(opinions.items()):
        if name not in draws and name in drawn_before:
            lost += said  # its drawing was undone
            continue
        last = said[-1]
        if name not in draws:
            found[name] = last
        elif last.kind != "delete":
            drawn[name] = replace(draws[name], class_name=last.class_name or draws[name].class_name)
        conflicts += _conflict(name, said)
    drawn, doubled = _without_doubles(drawn, {name: opinions[name][-1] for name in drawn})
    regions = tuple(edit for edit in active if edit.kind == "confirm" and not edit.nucleus)
    return State(
        found,
        drawn,
        regions,
        tuple(sorted([*conflicts, *doubled], key=lambda one: (one.nucleus, _key(one.edits[-1])))),
        tuple(sorted(lost, key=_key)),
        ordered[-1].time if ordered else "",
        tuple(active),
    )


def _key(edit: Edit) -> tuple[Any, ...]:
    """Sort key of edits: the whole edit, in case a damaged copy gave two of them the same id."""
    what = (edit.kind, edit.nucleus, edit.centre_px or (), edit.class_name, edit.polygon_px, edit.undoes)
    return edit.time, edit.author, edit.id, *what, edit.of, edit.results


def _active(ordered: Sequence[Edit]) -> tuple[list[Edit], list[Edit]]:
    """Edits that count, without undos; and undos of missing edits.

    An undo is later than the edit that it undoes, so edits are processed from the latest to the first.
    """
    there = {edit.id for edit in ordered}
    undone: set[str] = set()
    active, lost = [], []
    later: set[str] = set()
    for edit in reversed(ordered):
        if edit.kind != "undo":
            if edit.id not in undone:
                active.append(edit)
        elif edit.undoes not in there or edit.undoes in later or edit.undoes == edit.id:
            lost.append(edit)
        elif edit.id not in undone:
            undone.add(edit.undoes)
        later.add(edit.id)
    return active[::-1], lost


def _conflict(nucleus: str, said: Sequence[Edit]) -> list[Conflict]:
    """A conflict, if the authors' latest edits disagree about deletion or class."""
    last = {edit.author: edit for edit in said}
    given = {edit.kind == "delete" or edit.class_name for edit in last.values()}
    if len(given) < 2:
        return []
    return [Conflict(nucleus, tuple(sorted(last.values(), key=_key)))]


def _without_doubles(
    drawn: Mapping[str, Edit], last: Mapping[str, Edit]
) -> tuple[dict[str, Edit], list[Conflict]]:
    """Drawn nuclei without overlaps of more than half: the latest are kept."""
    import shapely

    names = sorted(drawn, key=lambda name: _key(last[name]), reverse=True)
    shapes = polygons_of(drawn[name] for name in names)
    tree = shapely.STRtree(shapes)
    kept: dict[str, Edit] = {}
    doubled: list[Conflict] = []
    for k, name in enumerate(names):
        near = (int(n) for n in sorted(tree.query(shapes[k])))
        same = next(
            (n for n in near if n < k and names[n] in kept and iou(shapes[k], shapes[n]) > SAME_IOU), k
        )
        if same == k:
            kept[name] = drawn[name]
        elif drawn[names[same]].author != drawn[name].author:
            doubled.append(Conflict(names[same], (drawn[name], drawn[names[same]])))
    return dict(sorted(kept.items())), doubled


def polygons_of(edits: Iterable[Edit]) -> NDArray[np.object_]:
    """Shapely polygons of drawn nuclei, (N,)."""
    import shapely

    shapes = [shapely.Polygon(edit.polygon_px) for edit in edits]
    found = np.empty(len(shapes), object)
    found[:] = shapes
    return found


def centre_of(edit: Edit) -> tuple[float, float]:
    """x, y of the nucleus or region of an edit, in pixels of level 0.

    Examples
    --------
    >>> centre_of(Edit.new("draw", "ada", polygon_px=[(0, 0), (4, 0), (4, 2), (0, 2)]))
    (2.0, 1.0)
    """
    import shapely

    if edit.centre_px is not None:
        return edit.centre_px
    centre = shapely.Polygon(edit.polygon_px).centroid
    return centre.x, centre.y


def iou(one: object, other: object) -> float:
    """Intersection over union of two polygons.

    Examples
    --------
    >>> import shapely
    >>> iou(shapely.box(0, 0, 2, 1), shapely.box(1, 0, 3, 1)) == 1 / 3
    True
    """
    import shapely

    common = float(shapely.area(shapely.intersection(one, other)))
    both = float(shapely.area(one)) + float(shapely.area(other)) - common
    return common / both if both else 0.0
