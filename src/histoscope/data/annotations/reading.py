"""Reading annotation files: their content shows which program wrote them."""

import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from histoscope.data.annotations.annotation import Annotations
from histoscope.errors import CorruptDataError, DatasetNotFoundError

SUFFIXES = (".geojson", ".json", ".xml")
PACKED = (".gz", ".zip")
_GZIP, _ZIP, _JAVA = b"\x1f\x8b", b"PK\x03\x04", b"\xac\xed"
_EXPECTED = "GeoJSON from QuPath, or XML from Aperio ImageScope or ASAP (also packed as .gz or .zip)"


def read_annotations(path: str | Path) -> list[Annotations]:
    """Read an annotation file.

    Parameters
    ----------
    path : str or Path
        GeoJSON from QuPath, XML from Aperio ImageScope or ASAP; packed by gzip, or several in a ZIP archive.

    Returns
    -------
    list of Annotations
        One; for an archive, one for each of its files.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is none of these, is truncated or empty, or a coordinate is not a finite number.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no annotation file at {path}, expected {_EXPECTED}")
    return [_parsed(content, where) for where, content in _unpacked(path.read_bytes(), str(path))]


def _unpacked(content: bytes, where: str) -> Iterator[tuple[str, bytes]]:
    """Contents of the files inside a file, and their names."""
    try:
        if content.startswith(_GZIP):
            yield from _unpacked(gzip.decompress(content), where)
            return
        if not content.startswith(_ZIP):
            yield where, content
            return
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            names = [
                name
                for name in archive.namelist()
                if name.lower().endswith((*SUFFIXES, ".gz")) and not name.startswith("__MACOSX/")
            ]
            if not names:
                raise CorruptDataError(f"{where} holds no annotation file, expected {_EXPECTED}")
            for name in names:
                yield from _unpacked(archive.read(name), f"{where} ({name})")
    except (EOFError, OSError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise CorruptDataError(f"{where} cannot be unpacked ({error}); copy or export it again") from error


def _parsed(content: bytes, where: str) -> Annotations:
    from histoscope.data.annotations.aperio import read_aperio_xml
    from histoscope.data.annotations.asap import read_asap_xml
    from histoscope.data.annotations.qupath import read_qupath

    if content.startswith(_JAVA):
        raise CorruptDataError(
            f"{where} is QuPath's own data (.qpdata), expected GeoJSON; open it in QuPath, then File > "
            "Export objects as GeoJSON"
        )
    # UTF-16 has a zero byte beside each plain character.
    start = content[:200].replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")[:1]
    if not start:
        raise CorruptDataError(f"{where} is empty, expected {_EXPECTED}")
    if start in {b"{", b"["}:
        return read_qupath(content, where)
    if start != b"<":
        raise CorruptDataError(f"{where} is neither JSON nor XML, expected {_EXPECTED}")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, UnicodeError, ValueError) as error:
        raise CorruptDataError(f"{where} is broken XML ({error}); export it again") from error
    if root.tag == "ASAP_Annotations":
        return read_asap_xml(root, where)
    if root.tag == "Annotations":
        return read_aperio_xml(root, where)
    raise CorruptDataError(f"{where} is XML with root <{root.tag}>, expected {_EXPECTED}")
