"""One gzip stream from pieces that were compressed in several threads."""

import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

_LEVEL = 1
_HEAD = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
"""Gzip header without a name or time: the same bytes in each run."""
_END = b"\x03\x00"


class Packed(NamedTuple):
    """A piece of a stream.

    Parameters
    ----------
    plain, deflated : bytes
    """

    plain: bytes
    deflated: bytes


def packed(text: str) -> Packed:
    """Compress a piece; it ends on a whole byte, so that the next can follow."""
    plain = text.encode()
    deflate = zlib.compressobj(_LEVEL, zlib.DEFLATED, -zlib.MAX_WBITS)
    return Packed(plain, deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH))


@contextmanager
def gzip_file(path: Path) -> Iterator[Callable[[Packed], None]]:
    """Write a gzip file piece by piece.

    It is a single member, since some readers support only one.

    Examples
    --------
    >>> import gzip, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / "a.gz"
    ...     with gzip_file(path) as write:
    ...         write(packed("one, "))
    ...         write(packed("two"))
    ...     gzip.decompress(path.read_bytes())
    b'one, two'
    """
    check = size = 0
    with path.open("wb") as file:
        file.write(_HEAD)

        def write(piece: Packed) -> None:
            nonlocal check, size
            check, size = zlib.crc32(piece.plain, check), size + len(piece.plain)
            file.write(piece.deflated)

        yield write
        file.write(_END + struct.pack("<LL", check, size & 0xFFFFFFFF))
