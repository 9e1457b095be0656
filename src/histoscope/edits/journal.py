"""Edits on disk: lines appended to a file for each author, and never changed."""

import os
import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, TextIO

from histoscope.edits.edit import Edit
from histoscope.errors import ConfigError, DataError, FormatVersionError
from histoscope.files import require_writable, sync_folder
from histoscope.locks import take

ENDING = ".jsonl"
_WAIT_S, _LOOK_S = 10.0, 0.05
_MOST_LETTERS = 60


@dataclass(frozen=True, slots=True)
class Read:
    """Content of the files in a folder.

    Parameters
    ----------
    edits : tuple of Edit
        In the order of file names, then of lines.
    notes : tuple of str
        Lines that are not edits and were skipped, such as one cut short by a power failure.
    """

    edits: tuple[Edit, ...] = ()
    notes: tuple[str, ...] = ()


def folder_of(results: str | Path) -> Path:
    """Folder of the edits of a file of results: ``edits`` beside ``cells.parquet``, or ``NAME.edits``.

    Examples
    --------
    >>> folder_of("out/slide/cells.parquet").as_posix(), folder_of("out/a_labels.png").as_posix()
    ('out/slide/edits', 'out/a.edits')
    """
    path = Path(results)
    if path.suffix == ".parquet":
        return path.with_name("edits")
    stem = re.sub(r"(_labels\.(png|tif)|\.geojson)$", "", path.name)
    return path.with_name(f"{stem}.edits")


def write(folder: str | Path, edits: Sequence[Edit]) -> Path:
    """Append edits of one author to a file of this author and this machine, and wait until the disk has them.

    The file is locked while it is written. There is a file per machine, since locks and appending are safe on
    one machine, but not between two that share a disk. Merging takes the author from the lines, not from file
    names, so files may be copied together from anywhere.

    Parameters
    ----------
    folder : str or Path
        From `folder_of`; created if missing.
    edits : sequence of Edit

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ConfigError
        If the folder cannot be written, or another process holds the file for longer than ten seconds.
    DataError
        If the edits are by several authors, or none.
    OSError
        If the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> one = Edit.new("delete", "ada", nucleus="n1", centre_px=(1.0, 2.0))
    >>> _ = write(folder, [one])
    >>> read(folder).edits == (one,)
    True
    """
    folder = Path(folder)
    authors = {edit.author for edit in edits}
    if len(authors) != 1:
        raise DataError(f"edits by {len(authors)} authors, expected one: each author has a file")
    require_writable(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{_plain(authors.pop())}@{_plain(socket.gethostname())}{ENDING}"
    lines = "".join(edit.to_line() + "\n" for edit in edits)
    is_new = not path.exists()
    with _held(path) as file:
        if not _ends_whole(file.buffer):
            lines = "\n" + lines  # an incomplete line stays separate
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())
    if is_new:
        sync_folder(folder)
    return path


def read(folder: str | Path) -> Read:
    """Read the edits of all authors.

    Parameters
    ----------
    folder : str or Path
        A missing one has no edits.

    Raises
    ------
    FormatVersionError
        If a newer version of Histoscope wrote one, since it may change the meaning of others.
    """
    found: list[Edit] = []
    notes: list[str] = []
    for path in sorted(Path(folder).glob(f"*{ENDING}")):
        lines = path.read_bytes().split(b"\n")
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                found.append(Edit.from_line(line.decode("utf-8")))
            except FormatVersionError as error:
                raise FormatVersionError(
                    f"{path}, line {number}: {error}; open it with the version that wrote it"
                ) from error
            except (DataError, UnicodeDecodeError) as error:
                torn = "was cut short (a power cut?)" if number == len(lines) else "is not an edit"
                notes.append(f"{path.name}: line {number} {torn} and is skipped: {error}")
    return Read(tuple(found), tuple(notes))


def _plain(name: str) -> str:
    """A name that is valid on every disk."""
    return re.sub(r"[^\w.-]+", "_", name).strip(".")[:_MOST_LETTERS] or "_"


def _held(path: Path) -> TextIO:
    """Open and lock a file; other holders write only a few lines."""
    until = time.monotonic() + _WAIT_S
    while True:
        try:
            return take(path)
        except ConfigError:
            if time.monotonic() > until:
                raise
        time.sleep(_LOOK_S)


def _ends_whole(file: BinaryIO) -> bool:
    """Whether a file is empty or ends with a complete line."""
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"
