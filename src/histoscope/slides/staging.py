"""Local copies of slides that cannot be read in place: a few in advance, deleted after use."""

import hashlib
import json
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self, TextIO

from histoscope import locks
from histoscope.errors import ConfigError, DataError
from histoscope.files import NO_ROOM, write_text
from histoscope.places import NoRangesError, fetch_whole, forget, read_range
from histoscope.threads import in_order

LIMIT_BYTES = 50 * 10**9
_PIECE_BYTES, _AT_ONCE, _POLL_S = 1 << 23, 4, 0.2
_ABOUT, _LOCK = "about.json", ".lock"


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of a slide, held until it is released.

    Parameters
    ----------
    path : Path
        The slide's file.
    folder : Path
        Deleted by `release`.
    lock : TextIO
    """

    path: Path
    folder: Path
    lock: TextIO

    def release(self) -> None:
        """Delete it."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):
            _lock_of(self.folder).unlink()
        self.lock.close()


@dataclass(eq=False)
class Stage:
    """A folder of copies, shared by the workers of a machine; unused copies make room for others.

    An interrupted copy resumes where it stopped, as long as the slide is unchanged.

    Parameters
    ----------
    folder : Path
        On a disk of this machine.
    limit_bytes : int
        Of all copies in it together.
    """

    folder: Path
    limit_bytes: int = LIMIT_BYTES
    _ahead: list[Path] = field(default_factory=list, init=False)
    _mine: dict[Path, Path] = field(default_factory=dict, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    @classmethod
    def temporary(cls, limit_bytes: int = LIMIT_BYTES) -> Self:
        """Stage in the system's temporary folder, for all calls of a user."""
        owner = os.getuid() if hasattr(os, "getuid") else 0
        return cls(Path(tempfile.gettempdir()) / f"histoscope-stage-{owner}", limit_bytes)

    def take(self, path: Path) -> Copy:
        """Copy a slide with all its files, or find an existing copy, and hold it; waits for space.

        Raises
        ------
        DataError
            If it is larger than the limit, or was changed while it was copied.
        OSError
            If it cannot be read, or the disk is full.
        """
        files, folder = self._found(path)
        size = sum(size for _, _, size in files)
        if size > self.limit_bytes:
            raise DataError(
                f"{path} takes {size / 1e9:.3g} GB, but copies of slides may take only "
                f"{self.limit_bytes / 1e9:.3g} GB; raise --stage-limit"
            )
        lock = _waited_for(_lock_of(folder))
        try:
            while True:
                while not self._has_room(folder, size, frees=True):
                    time.sleep(_POLL_S)
                try:
                    _copy(files, folder)
                    break
                except OSError as error:
                    if error.errno not in NO_ROOM:
                        raise
                    freed = [self._drop(other) for other in self._copies() if other != folder]
                    if not any(freed):
                        raise OSError(error.errno, error.strerror, str(self.folder)) from error
        except BaseException:
            lock.close()
            raise
        return Copy(folder / path.name, folder, lock)

    def prepare(self, paths: Iterable[Path]) -> None:
        """Copy the next slides in the background, as far as there is space; drop the others."""
        self._ahead = list(paths)
        for path in [path for path in self._mine if path not in self._ahead]:
            self._drop(self._mine.pop(path))
        if self._ahead and (self._thread is None or not self._thread.is_alive()):
            self._thread = threading.Thread(target=self._copy_ahead, daemon=True, name="stage")
            self._thread.start()

    def _copy_ahead(self) -> None:
        while left := [path for path in self._ahead if path not in self._mine]:
            path = left[0]
            with suppress(OSError, DataError, ConfigError):  # reported when its turn comes
                files, folder = self._found(path)
                with _if_free(_lock_of(folder)) as is_mine:
                    if is_mine and self._has_room(folder, sum(size for _, _, size in files), frees=False):
                        _copy(files, folder)
                        self._mine[path] = folder
                        continue
            self._ahead = [each for each in self._ahead if each != path]

    def _found(self, path: Path) -> tuple[list[tuple[Path, str, int]], Path]:
        """Files of a slide, with their paths in the folder of its copy and sizes; and the folder."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files, digest = [], hashlib.blake2b(digest_size=8)
        for file, name in _family(forget(path)):
            found = file.stat()
            files.append((file, name, found.st_size))
            digest.update(f"{file}\n{found.st_size}\n{found.st_mtime_ns}\n".encode())
        return files, self.folder / digest.hexdigest()

    def _has_room(self, folder: Path, size: int, *, frees: bool) -> bool:
        """Reserve space for a copy, if necessary by deleting unused copies; whether there was enough."""
        lock = _waited_for(self.folder / _LOCK)
        try:
            others = {other: _bytes_of(other / _ABOUT) for other in self._copies() if other != folder}
            for other in list(others) if frees else ():
                if sum(others.values()) + size > self.limit_bytes and self._drop(other):
                    del others[other]
            if sum(others.values()) + size > self.limit_bytes:
                return False
            folder.mkdir(exist_ok=True)
            write_text(folder / _ABOUT, json.dumps({"bytes": size}))
            return True
        finally:
            lock.close()

    def _copies(self) -> list[Path]:
        return [about.parent for about in self.folder.glob(f"*/{_ABOUT}")]

    def _drop(self, folder: Path) -> bool:
        """Delete a copy unless somebody holds it."""
        with _if_free(_lock_of(folder)) as is_mine:
            if is_mine:
                shutil.rmtree(folder, ignore_errors=True)
                _lock_of(folder).unlink(missing_ok=True)
        return is_mine


def _family(path: Path) -> list[tuple[Path, str]]:
    """Files of a slide, each with its path below the folder of a copy."""
    suffix = path.suffix.lower()
    if suffix == ".mrxs":
        beside = [(file, f"{path.stem}/{file.name}") for file in path.with_suffix("").iterdir()]
        return [(path, path.name), *sorted(beside)]
    if suffix in {".vms", ".vmu"}:
        return sorted((file, file.name) for file in path.parent.iterdir() if file.is_file())
    if suffix == ".dcm":
        from histoscope.slides.by_pydicom import series_of

        return [(file, file.name) for file in series_of(path)]
    return [(path, path.name)]


def _copy(files: Iterable[tuple[Path, str, int]], folder: Path) -> None:
    try:
        for file, name, size in files:
            to = folder / name
            to.parent.mkdir(exist_ok=True)
            if not (to.is_file() and to.stat().st_size == size):
                _fetch(file, size, to)
    except OSError as error:
        if error.errno in NO_ROOM:  # results may be written to the same disk
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _fetch(path: Path, size: int, to: Path) -> None:
    """Copy a file, from where an earlier call stopped."""
    before, part = path.stat().st_mtime_ns, to.with_name(f"{to.name}.part")
    try:
        with part.open("ab") as file:
            pieces = range(file.tell(), size, _PIECE_BYTES)

            def read(start: int) -> bytes:
                return read_range(str(path), start, min(_PIECE_BYTES, size - start))

            for piece in in_order(read, pieces, workers=_AT_ONCE, ahead=_AT_ONCE, name="stage"):
                file.write(piece)
    except NoRangesError:
        fetch_whole(path, part)
    found = forget(path).stat()
    if (found.st_size, found.st_mtime_ns) != (size, before) or part.stat().st_size != size:
        part.unlink()
        raise DataError(f"{path} was changed while it was copied; run again when it is complete")
    part.replace(to)


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_LOCK}")


def _waited_for(path: Path) -> TextIO:
    while True:
        try:
            return locks.take(path)
        except ConfigError:
            time.sleep(_POLL_S)


@contextmanager
def _if_free(path: Path) -> Iterator[bool]:
    try:
        lock = locks.take(path)
    except ConfigError:
        yield False
        return
    try:
        yield True
    finally:
        lock.close()


def _bytes_of(about: Path) -> int:
    try:
        return int(json.loads(about.read_text(encoding="utf-8"))["bytes"])
    except (OSError, ValueError, KeyError):
        return 0
