"""The journal of an output folder: finished images, and files that Histoscope wrote.

It is an append-only file of JSON lines: a killed process loses at most the current image. A running call
holds a lock on the journal; the system releases the lock when the process ends.
"""

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any, Self, TextIO

import pandas as pd

from histoscope import locks
from histoscope.errors import ConfigError, FormatVersionError
from histoscope.jobs.lines import State, read
from histoscope.jobs.naming import JOURNAL, SUMMARY, files_of
from histoscope.jobs.ownership import Owned, digest_of
from histoscope.renamed import under_new_names
from histoscope.tables import write_table

FORMAT = 2
OLD_SETTINGS = {"turned": "tta"}
"""Renamed settings in journals of 0.1: old name -> new name."""
_READERS = 4


@dataclass(frozen=True, slots=True)
class Job:
    """An image and the stem of its output files.

    Parameters
    ----------
    image : Path
    name : str
        Sub-folders and name.
    """

    image: Path
    name: str


class Journal:
    """The journal of an output folder, locked from `open` to `close`. Thread-safe.

    Parameters
    ----------
    path : Path
        The journal.
    file : TextIO
        The same file, open for appending.
    state : State
    head : dict, optional
        First line of a new or restarted journal.
    """

    def __init__(self, path: Path, file: TextIO, state: State, head: dict[str, Any] | None) -> None:
        self.out = path.parent
        self.owned = Owned(self.out, state.files)
        self._path = path
        self._file = file
        self._lines = state.lines if head is None else {}
        self._head = head  # written with the first result, so a refused call changes nothing
        self._is_new = state.settings is None
        self._lock = RLock()

    @classmethod
    def open(
        cls, out: Path, settings: Mapping[str, Any], *, overwrite: bool = False, name: str = JOURNAL
    ) -> Self:
        """Open the journal of a folder, or start one.

        Parameters
        ----------
        out : Path
            The folder; created if missing.
        settings : mapping
            What the results depend on.
        overwrite : bool
            Start again: no image counts as finished, and our own files may be overwritten.
        name : str
            Name of the journal's file.

        Raises
        ------
        ConfigError
            If another call writes there, or the journal has other settings.
        FormatVersionError
            If another version of Histoscope wrote it.
        CorruptDataError
            If it is not ours, or damaged.
        """
        path = out / name
        out.mkdir(parents=True, exist_ok=True)
        file = locks.take(path)
        try:
            state = read(path)
            begins = state.settings is None or overwrite
            if not begins:
                _check_settings(path, state, settings)
            _cut_half_a_line(file)
            _add(file, locks.job())
        except BaseException:
            file.close()
            raise
        return cls(path, file, state, {"format": FORMAT, "settings": dict(settings)} if begins else None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the folder; a new journal without results is deleted."""
        if self._is_new and self._head is not None:
            self._path.unlink(missing_ok=True)
        self._file.close()

    def __contains__(self, name: str) -> bool:
        return name in self._lines

    def __len__(self) -> int:
        return len(self._lines)

    def row(self, job: Job) -> dict[str, Any]:
        """Summary row of a finished image."""
        row: dict[str, Any] = self._lines[job.name]["row"]
        return row

    def names_with(self, column: str) -> list[str]:
        """Finished images whose summary row has a column."""
        return [name for name in sorted(self._lines) if column in self._lines[name]["row"]]

    def finished(self, jobs: Iterable[Job], endings: Callable[[Job], Iterable[Iterable[str]]]) -> set[str]:
        """Finished images whose content has not changed, and whose output files exist.

        Images are compared by content, not by path or date.

        Parameters
        ----------
        jobs : iterable of Job
        endings : callable
            Maps an image to the endings of its file names: one of each collection must exist.

        Raises
        ------
        ConfigError
            If an image has the name of another finished image.
        """
        known = [job for job in jobs if job.name in self._lines]
        with ThreadPoolExecutor(_READERS) as readers:
            digests = list(readers.map(_digest_if_there, known))
        same = []
        for job, digest in zip(known, digests, strict=True):
            place, before = self._lines[job.name]["image"]
            if digest == before:
                same.append(job)
            elif digest is not None and place != str(job.image.resolve()):
                raise ConfigError(
                    f"{self.out} holds results of {place} under the name of {job.image}; "
                    "choose another folder, or start over with --overwrite"
                )
        return {job.name for job in same if self._is_written(job.name, endings(job))}

    def require(self, files: Iterable[str]) -> None:
        """Refuse to overwrite files that Histoscope did not write or that have been changed.

        Raises
        ------
        ConfigError
            With the name of the file.
        """
        self.owned.require(files)

    @contextmanager
    def writing(self, files: Sequence[str]) -> Iterator[None]:
        """Record in the journal that the block writes these files, and afterwards their digests.

        So they are recognised as ours, even after a kill or an error.

        Raises
        ------
        ConfigError
            As for `require`.
        """
        with self._lock:
            self.require(files)
            self._add({"writing": list(files)})
            self.owned.files |= dict.fromkeys(files)
        try:
            yield
        finally:
            with self._lock:
                self._add({"files": self.owned.seal(files)})

    def add(self, job: Job, row: Mapping[str, Any], *, digest: str, files: Collection[str]) -> None:
        """Record that an image is finished; outputs of an earlier version of the image are deleted.

        Parameters
        ----------
        job : Job
        row : mapping
            Its summary row, without the name.
        digest : str
            Digest of the image, from `histoscope.jobs.ownership.digest_of`, before its pixels were read.
        files : collection of str
            Files that were written for it.
        """
        line: dict[str, Any] = {"name": job.name, "image": [str(job.image.resolve()), digest]}
        line["row"] = {"image": job.name, **row}
        with self._lock:
            before = self._lines.get(job.name)
            if before is None or before["image"][1] != digest:
                stale = [file for file in files_of(job.name) if file not in files and self.owned.holds(file)]
                if stale:
                    self._add({"files": self.owned.drop(stale)})
            self._lines[job.name] = line
            self._add(line)

    def write_summary(
        self,
        columns: Sequence[str],
        *,
        path: str = SUMMARY,
        key: str = "image",
        shown: Mapping[str, str] | None = None,
        always: bool = True,
    ) -> None:
        """Write the summary table, one row per image, sorted by name.

        Parameters
        ----------
        columns : sequence of str
            Columns after the name; images whose row lacks the first of these are left out.
        path : str
            Name of the file.
        key : str
            Column of the name.
        shown : mapping of str to str, optional
            Text written for each name, if different.
        always : bool
            Write the table even without rows.
        """
        names = self.names_with(columns[0])
        rows = [self._lines[name]["row"] | {"image": (shown or {}).get(name, name)} for name in names]
        if not rows and not always:
            if self.owned.holds(path):  # from another model or other images
                self._add({"files": self.owned.drop([path])})
            return
        table = pd.DataFrame(rows, columns=["image", *columns]).rename(columns={"image": key})
        with self.writing([path]):
            write_table(self.out / path, table)

    def _is_written(self, name: str, endings: Iterable[Iterable[str]]) -> bool:
        return all(any(self.owned.holds(file) for file in files_of(name, ends)) for ends in endings)

    def _add(self, line: Mapping[str, Any]) -> None:
        if self._head is not None:
            _add(self._file, self._head)
            self._head = None
        _add(self._file, line)


def _check_settings(path: Path, state: State, settings: Mapping[str, Any]) -> None:
    if state.format != FORMAT:
        raise FormatVersionError(
            f"{path} has format {state.format!r}, this version of Histoscope reads {FORMAT}; "
            "choose another folder, or start over with --overwrite"
        )
    before = under_new_names(state.settings or {}, OLD_SETTINGS)
    for key in [*settings, *before]:
        then, now = before.get(key), settings.get(key)
        if then != now:
            raise ConfigError(
                f"{path.parent} holds results with {key} {then!r}, but now it is {now!r}; choose another "
                "folder, or start over with --overwrite"
            )


def _add(file: TextIO, line: Mapping[str, Any]) -> None:
    file.write(json.dumps(line) + "\n")
    file.flush()


def _cut_half_a_line(file: TextIO) -> None:
    file.seek(0)
    text = file.read()
    whole = text[: text.rfind("\n") + 1]
    if whole != text:
        file.truncate(len(whole.encode("utf-8")))
    file.seek(0, os.SEEK_END)


def _digest_if_there(job: Job) -> str | None:
    try:
        return digest_of(job.image)
    except OSError:
        return None  # reported when its turn comes
