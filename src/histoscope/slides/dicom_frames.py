"""The frames of a DICOM file: their positions and pixels."""

from collections.abc import Iterable
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError, IncompleteError
from histoscope.places import handle, is_remote, reading

_CODECS = {
    **dict.fromkeys(("4.50", "4.51", "4.57", "4.70"), "jpeg8_decode"),
    **dict.fromkeys(("4.80", "4.81"), "jpegls_decode"),
    **dict.fromkeys(("4.90", "4.91", "4.201", "4.202", "4.203"), "jpeg2k_decode"),
    **dict.fromkeys(("4.110", "4.111", "4.112"), "jpegxl_decode"),
}
"""Decoders by the end of the transfer syntax UID; others are left to pydicom."""


class Frames:
    """The frames of one file."""

    def __init__(self, header: Any) -> None:
        self.header = header
        self.path: Path = header.lies_at
        self.codec = _codec_of(header, self.path)
        self.shape = int(header.Rows), int(header.Columns)
        self.count = int(header.get("NumberOfFrames", 1))

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """One frame, (rows, columns, 3), as RGB."""
        pixels = _decoded(self, number)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise CorruptDataError(f"a frame is {pixels.shape} {pixels.dtype}, expected RGB of 8 bits")
        return pixels

    def check_whole(self) -> None:
        """Refuse a file that ends before its frames.

        Raises
        ------
        IncompleteError
        """
        header, syntax = self.header, self.header.file_meta.TransferSyntaxUID
        if syntax.is_encapsulated:
            place, length = self._index[-1][-1]
            expected = place + length
        elif syntax.is_deflated:
            return
        else:
            bits = int(header.BitsAllocated) * int(header.SamplesPerPixel)
            expected = header.pixels_at + self.count * self.shape[0] * self.shape[1] * bits // 8
        found = self.path.stat().st_size
        if found < expected:
            raise IncompleteError(
                f"{self.path} ends before its pixel data: it has {found:,} of at least {expected:,} "
                "bytes; copy it again"
            )

    def want(self, numbers: Iterable[int]) -> None:
        """Announce the frames that are read next, so that remote ones are requested together."""
        if self.codec and is_remote(self.path):
            reading(self.path).want(chain(*(self._index[number] for number in numbers)))

    def fragments(self, number: int) -> list[bytes]:
        """Stored bytes of one frame."""
        with self.path.open("rb") as file:
            parts = []
            for place, length in self._index[number]:
                file.seek(place)
                parts.append(file.read(length))
        return parts

    @cached_property
    def _index(self) -> list[list[tuple[int, int]]]:
        """Positions of each frame's fragments in the file, from the headers of all of them."""
        import struct

        if is_remote(self.path):
            return self._index_by_table()
        found: list[tuple[int, int]] = []
        with self.path.open("rb") as file:
            file.seek(self.header.pixels_at)
            offsets = b""
            begin = 0
            while True:
                head = file.read(8)
                if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
                    break
                length = struct.unpack("<I", head[4:])[0]
                if begin:
                    found.append((file.tell(), length))
                    file.seek(length, 1)
                else:  # the first item is the table of offsets
                    offsets, begin = file.read(length), file.tell()
        if len(found) == self.count:
            return [[one] for one in found]
        starts = struct.unpack(f"<{len(offsets) // 4}I", offsets)
        of_frames = [
            [one for one in found if start <= one[0] - 8 - begin < end]
            for start, end in zip(starts, [*starts[1:], 1 << 62], strict=bool(starts))
        ]
        if len(of_frames) != self.count or not all(of_frames):
            raise IncompleteError(
                f"{self.path} holds {sum(map(bool, of_frames)) or len(found)} of {self.count} frames; it was "
                "cut short: copy it again"
            )
        return of_frames

    def _index_by_table(self) -> list[list[tuple[int, int]]]:
        """The same from the offset table, for frames in one piece; scanning headers reads the whole file."""
        import struct

        with self.path.open("rb") as file:

            def length_at(place: int) -> int:
                file.seek(place)
                return int(struct.unpack("<4xI", file.read(8).ljust(8, b"\0"))[0])

            begin = self.header.pixels_at + 8 + length_at(self.header.pixels_at)
            long = bytes(self.header.get("ExtendedOffsetTable") or b"")
            file.seek(self.header.pixels_at + 8)
            short = file.read(begin - file.tell())
            starts = struct.unpack(f"<{len(long) // 8}Q", long) or struct.unpack(
                f"<{len(short) // 4}I", short
            )
            if len(starts) != self.count:
                raise CorruptDataError(f"{self.path} has no table of frame offsets")
            ends = [*starts[1:], starts[-1] + 8 + length_at(begin + starts[-1])]
            for k in (0, self.count // 2):
                if length_at(begin + starts[k]) != ends[k] - starts[k] - 8:
                    raise CorruptDataError(
                        f"{self.path} has fragmented frames, or a wrong table of frame offsets"
                    )
        return [[(begin + start + 8, end - start - 8)] for start, end in zip(starts, ends, strict=True)]


def _decoded(frames: Frames, number: int) -> NDArray[Any]:
    import imagecodecs
    from pydicom.pixels.utils import pixel_array

    if not frames.codec:
        return np.asarray(pixel_array(handle(frames.path), index=number))
    stored = b"".join(frames.fragments(number))
    # The JPEG itself tells whether it holds YCbCr. The header is wrong about it in files from wsi2dcm.
    return np.asarray(getattr(imagecodecs, frames.codec)(stored))


def _codec_of(header: Any, path: Path) -> str:
    """Name of the decoder of a file's frames; empty if pydicom needs none."""
    from pydicom.pixels.decoders.base import get_decoder

    syntax = header.file_meta.TransferSyntaxUID
    codec = _CODECS.get(str(syntax).removeprefix("1.2.840.10008.1.2."))
    if codec is not None:
        return codec
    try:
        if get_decoder(syntax).is_available:
            return ""
    except NotImplementedError:
        pass
    raise CorruptDataError(
        f"{path} is compressed as {syntax.name}, which cannot be read; convert it to JPEG or JPEG 2000"
    )
