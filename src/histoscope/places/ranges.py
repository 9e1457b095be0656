"""Ranges of local and remote files; blocks of remote files are cached."""

import io
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from histoscope.places.asking import read_range
from histoscope.places.paths import RemotePath

BLOCK_BYTES = 1 << 16
"""Size in bytes of the cached blocks; neighbouring blocks are requested together."""
_MOST_BLOCKS, _LONGEST_RUN, _AT_ONCE = 1024, 16, 16


class LocalFile:
    """Ranges of a file on a disk; safe to read from several threads."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        self._lock = threading.Lock()

    def read_at(self, start: int, count: int) -> bytes:
        """Read so many bytes, or fewer where the file ends."""
        if hasattr(os, "pread"):
            return os.pread(self._file, count, start)
        with self._lock:  # on Windows, all threads share one file position
            os.lseek(self._file, start, os.SEEK_SET)
            return os.read(self._file, count)

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Announce what is read next; ignored for disks."""

    def close(self) -> None:
        """Close it."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


class RemoteFile(io.RawIOBase):
    """Ranges of a remote file, with cached blocks; also a file object with a position."""

    def __init__(self, path: Path) -> None:
        found = path.stat()
        self._at = 0
        self._size, self._version = found.st_size, found.st_mtime_ns
        self.name = self._uri = str(path)

    def read_at(self, start: int, count: int) -> bytes:
        """Read so many bytes, or fewer where the file ends."""
        end = min(start + count, self._size)
        if end <= start:
            return b""
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        if last > first:
            self.want([(start, count)])
        blocks = [self._block(k) for k in range(first, last + 1)]
        return b"".join(blocks)[start - first * BLOCK_BYTES : end - first * BLOCK_BYTES]

    def want(self, ranges: Iterable[tuple[int, int]]) -> None:
        """Read the blocks that ranges need, many at once."""
        blocks = {
            k
            for start, count in ranges
            if count
            for k in range(start // BLOCK_BYTES, min(start + count - 1, self._size - 1) // BLOCK_BYTES + 1)
        }
        runs: list[list[int]] = []
        for k in sorted(k for k in blocks if KEPT.get(self._key(k)) is None)[:_MOST_BLOCKS]:
            if runs and runs[-1][-1] == k - 1 and len(runs[-1]) < _LONGEST_RUN:
                runs[-1].append(k)
            else:
                runs.append([k])
        if len(runs) > 1:
            with ThreadPoolExecutor(min(len(runs), _AT_ONCE), "ranges") as pool:
                list(pool.map(self._read, runs))
        elif runs:
            self._read(runs[0])

    def _block(self, k: int) -> bytes:
        return KEPT.get(self._key(k)) or self._read([k])

    def _read(self, run: Sequence[int]) -> bytes:
        """Read adjacent blocks and cache them; returns the first."""
        start, end = run[0] * BLOCK_BYTES, min((run[-1] + 1) * BLOCK_BYTES, self._size)
        found = read_range(self._uri, start, end - start)
        for k in run:
            at = k * BLOCK_BYTES - start
            KEPT.keep(self._key(k), found[at : at + BLOCK_BYTES])
        return found[:BLOCK_BYTES]

    def _key(self, k: int) -> tuple[str, int, int]:
        return self._uri, self._version, k

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move the position."""
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        """The position."""
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the position on."""
        found = self.read_at(self._at, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


class _Blocks:
    """The most recently read blocks, of all files."""

    def __init__(self) -> None:
        self._found: OrderedDict[tuple[str, int, int], bytes] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, int, int]) -> bytes | None:
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
            return self._found.get(key)

    def keep(self, key: tuple[str, int, int], block: bytes) -> None:
        with self._lock:
            self._found[key] = block
            while len(self._found) > _MOST_BLOCKS:
                self._found.popitem(last=False)

    def of(self, uri: str, version: int) -> list[tuple[int, bytes]]:
        with self._lock:
            return [
                (k, block) for (name, of, k), block in self._found.items() if (name, of) == (uri, version)
            ]

    def drop(self, uri: str) -> None:
        with self._lock:
            for key in [key for key in self._found if key[0] == uri]:
                del self._found[key]


KEPT = _Blocks()


def reading(path: Path) -> LocalFile | RemoteFile:
    """Open a file for reading ranges of it, from several threads."""
    return RemoteFile(path) if isinstance(path, RemotePath) else LocalFile(path)


def handle(path: Path) -> Any:
    """What libraries open: a remote file as a file object, a local one by its path."""
    return path.open("rb") if isinstance(path, RemotePath) else path


@contextmanager
def sampled(path: Path) -> Iterator[Path]:
    """Write a local file with the cached blocks of a remote one, and holes for the rest.

    So a library that reads only local files can be used on the part that was read.
    """
    if not isinstance(path, RemotePath):
        yield path
        return
    found = path.stat()
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.name
        with copy.open("wb") as file:
            file.truncate(found.st_size)
            for k, block in KEPT.of(str(path), found.st_mtime_ns):
                file.seek(k * BLOCK_BYTES)
                file.write(block)
        yield copy
