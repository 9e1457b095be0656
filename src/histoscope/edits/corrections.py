"""The corrections of one result file: existing edits, and new ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.edits.applying import Applied, apply
from histoscope.edits.cells import Found, read_cells
from histoscope.edits.choosing import least_sure
from histoscope.edits.edit import Edit
from histoscope.edits.journal import Read, folder_of, read, write
from histoscope.edits.merging import State, centre_of, merged
from histoscope.errors import DataError, HistoscopeError, UnknownNameError
from histoscope.types import class_key


@dataclass(frozen=True, slots=True)
class Wanted:
    """An edit before it is checked, as a person or a page requests it.

    Parameters
    ----------
    kind : str        As for `Edit`. row : int, optional
        Row of the nucleus in the result file.
    drawn : str
        Id of a drawn nucleus, instead of a row.
    class_name : str
        A class of the model; ``confirm`` takes the present one.
    polygon_px : sequence of (float, float)
    undoes : str
        Id of an edit.
    id : str
        Id of the new edit; random if empty. An existing one is not written again, so a request without an
        answer can be repeated.
    """

    kind: str
    row: int | None = None
    drawn: str = ""
    class_name: str = ""
    polygon_px: Sequence[Sequence[float]] = ()
    undoes: str = ""
    id: str = ""


@dataclass(frozen=True)
class Corrections:
    """Corrections of the nuclei of one slide or image.

    Edits are read again each time, since others may write them; the nuclei are read once.

    Parameters
    ----------
    results : Path
        ``cells.parquet``, ``NAME.geojson`` or ``NAME_labels.png`` of `histoscope predict`.
    classes : tuple of str
        Classes that may be assigned in addition to the model's.
    outlines : bool
        Without them a table of a million nuclei opens quickly; `applied` needs them.
    """

    results: Path
    classes: tuple[str, ...] = ()
    outlines: bool = True

    @cached_property
    def found(self) -> Found:
        """The nuclei that the model found."""
        return read_cells(self.results, outlines=self.outlines)

    @property
    def folder(self) -> Path:
        """Where the edits are."""
        return folder_of(self.results)

    def read(self) -> Read:
        """All edits, and what was skipped."""
        return read(self.folder)

    def state(self) -> State:
        """The merged state of all edits."""
        return merged(self.read().edits)

    def applied(self) -> Applied:
        """The corrected nuclei."""
        return apply(self.found, self.state())

    def least_sure(self, n: int) -> NDArray[np.int64]:
        """Rows of the nuclei to check first; those already checked are left out."""
        return least_sure(self.found.table, n, without=self.state().found)

    def nucleus(self, row: int) -> dict[str, Any]:
        """Fields of `Edit` that identify the nucleus of a row.

        Raises
        ------
        DataError
            If there is no such row.
        """
        table = self.found.table
        if not 0 <= row < len(table):
            raise DataError(f"there is no nucleus in row {row}; {self.results.name} has {len(table):,}")
        one = table.slice(row, 1).select(["id", "x_px", "y_px"]).to_pylist()[0]
        return {"nucleus": one["id"], "centre_px": (one["x_px"], one["y_px"])}

    def add(
        self,
        kind: str,
        author: str,
        *,
        row: int | None = None,
        drawn: str = "",
        class_name: str = "",
        polygon_px: Sequence[Sequence[float]] = (),
        undoes: str = "",
    ) -> Edit:
        """Make an edit, check it against nuclei and other edits, and write it.

        Parameters
        ----------
        kind, author : str        As for `Edit`. row : int, optional
            Row of the nucleus in the result file.
        drawn : str
            Id of a drawn nucleus, instead of a row.
        class_name : str
            A class of the model; ``confirm`` takes the present one.
        polygon_px : sequence of (float, float)
        undoes : str
            Id of an edit.

        Returns
        -------
        Edit
            The edit as written.

        Raises
        ------
        DataError
            If the nucleus or edit that it refers to does not exist, or it lacks something.
        UnknownNameError
            If the class is not one of the model's.
        """
        wanted = Wanted(kind, row, drawn, class_name, polygon_px, undoes)
        (answer,) = self.add_all(author, [wanted])
        if isinstance(answer, HistoscopeError):
            raise answer
        return answer

    def add_all(self, author: str, wanted: Sequence[Wanted]) -> list[Edit | HistoscopeError]:
        """Make several edits, each after the one before, and write them together.

        Parameters
        ----------
        author : str
        wanted : sequence of Wanted

        Returns
        -------
        list of Edit or HistoscopeError
            For each, the edit as written, now or before, or why it was refused.

        Raises
        ------
        ConfigError, OSError
            As for `histoscope.edits.write`; then none is written.
        """
        edits = list(self.read().edits)
        known, made = {edit.id: edit for edit in edits}, list[Edit]()
        state, answers = merged(edits), list[Edit | HistoscopeError]()
        said: set[str | int | None] = set()  # what the edits of this call refer to
        for one in wanted:
            if one.id in known:
                answers.append(known[one.id])
                continue
            try:
                if "undo" in said or (one.drawn or one.row) in said:
                    state = merged([*edits, *made])
                edit = self._made(one, author, known, state)
            except HistoscopeError as error:
                answers.append(error)
                continue
            known[edit.id] = edit
            made.append(edit)
            said |= {one.drawn or one.row, edit.id, one.kind}
            answers.append(edit)
            state = replace(state, latest=edit.time)
        if made:
            write(self.folder, made)
        return answers

    def _made(self, one: Wanted, author: str, known: Mapping[str, Edit], state: State) -> Edit:
        """An edit, checked against nuclei and other edits."""
        what: dict[str, Any] = {"undoes": one.undoes, "of": self.found.of}
        what["class_name"] = self._class(one.class_name)
        if one.undoes and one.undoes not in known:
            raise DataError(f"there is no edit {one.undoes!r} to undo in {self.folder}")
        if one.drawn:
            if one.drawn not in state.drawn:
                raise DataError(
                    f"there is no drawn nucleus {one.drawn!r}; it may have been deleted or undone"
                )
            drawn = state.drawn[one.drawn]
            what |= {"nucleus": one.drawn, "centre_px": centre_of(drawn)}
            shown = drawn.class_name
        elif one.row is not None:
            what |= self.nucleus(one.row)
            decided = state.found.get(what["nucleus"])
            shown = (decided.class_name if decided else "") or self._class_of(one.row)
        if one.kind == "confirm" and "nucleus" in what:
            what["class_name"] = what["class_name"] or shown
        if one.kind == "confirm" and "nucleus" not in what:
            what["results"] = self.found.digest
        if one.id:
            what["id"] = one.id
        return Edit.new(one.kind, author, after=state.latest, polygon_px=one.polygon_px, **what)

    def _class_of(self, row: int) -> str:
        """The model's class; empty if it gave none, or was unsure."""
        table = self.found.table
        return str(table["class"][row]) if table["class_id"][row].as_py() else ""

    def _class(self, name: str) -> str:
        """A class in the model's spelling."""
        known = {class_key(one): one for one in (*self.found.classes, *self.classes)}
        if name and class_key(name) not in known:
            raise UnknownNameError("class", name, known.values())
        return known[class_key(name)] if name else ""
