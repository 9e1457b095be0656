"""File formats of images, recognised by their first bytes rather than by suffix."""

from pathlib import Path

from histoscope.errors import CorruptDataError, DatasetNotFoundError
from histoscope.images import guests
from histoscope.places import PlaceError, place

IMAGE_SUFFIXES = guests.OURS
"""Suffixes that are written, and those expected of an image."""
SLIDE_SUFFIXES = (".bif", ".czi", ".dcm", ".mrxs", ".ndpi", ".scn", ".svs", ".svslide", ".vms")
"""Suffixes of slides other than TIFF."""

_READ = {
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"GIF8": "GIF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
}
_UNREAD = {
    b"ZISRAWFILE": "Zeiss CZI",
    b"8BPS": "Photoshop",
    b"SIS\x00": "Olympus ETS",
    b"\x76\x2f\x31\x01": "OpenEXR",
    b"\xff\x0a": "JPEG XL",
    b"\x00\x00\x00\x0cJXL ": "JPEG XL",
    b"II\xbc\x01": "JPEG XR",
    b"\xda\xce\xbe\x0a": "Nikon ND2",
    b"\x70\x00\x00\x00": "Leica LIF",
}
_WITHIN = (
    (8, 12, {b"WEBP"}, "WebP"),
    (128, 132, {b"DICM"}, "DICOM"),
    (4, 12, {b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypavif"}, "HEIF"),
)
_BMP_HEADERS = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}
READ = frozenset({*_READ.values(), "WebP"})
"""Names of the supported formats."""

_PREVIEWS = {".mrxs": "MIRAX", ".vsi": "Olympus VSI"}
"""Slides whose own file begins like a JPEG or TIFF, but contains only a preview."""
_SLIDES = {
    ".ets": "Olympus ETS",
    ".czi": "Zeiss CZI",
    ".zvi": "Zeiss ZVI",
    ".vms": "Hamamatsu VMS",
    ".vmu": "Hamamatsu VMU",
    ".dcm": "DICOM",
    ".dicom": "DICOM",
    ".isyntax": "Philips iSyntax",
    ".i2syntax": "Philips iSyntax",
    ".lif": "Leica LIF",
    ".nd2": "Nikon ND2",
    ".sdpc": "SDPC",
    ".kfb": "KFB",
    ".mds": "Motic",
    ".svslide": "SVSlide",
}
_PICTURES = frozenset(
    {".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".webp", ".gif", ".jp2", ".heic", ".heif", ".avif", ".jxl"}
)
_ONLY_SLIDES = frozenset({"DICOM", "MIRAX", "Hamamatsu VMS", "Hamamatsu VMU", "Zeiss CZI", "SVSlide"})
_ADVICE = "export the region as TIFF or PNG, with QuPath or the vendor's viewer"


def kind_of(path: str | Path) -> str:
    """Name of the format that a file's first bytes show.

    Returns
    -------
    str
        Such as "PNG", "TIFF" or "DICOM"; empty if the bytes are not those of an image.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.tif"
    >>> _ = path.write_bytes(bytes.fromhex("89504e470d0a1a0a"))
    >>> kind_of(path)
    'PNG'
    """
    path = place(path)
    if not path.is_file():
        what = f"{path} is a folder, expected an image" if path.is_dir() else f"no image at {path}"
        raise DatasetNotFoundError(f"{what}; check the path")
    try:
        with path.open("rb") as file:
            head = file.read(132)
    except PlaceError:
        raise
    except OSError as error:
        raise CorruptDataError(f"{path} cannot be read ({error.strerror or error})") from error
    for start, end, values, name in _WITHIN:
        if head[start:end] in values:
            return name
    kind = next((name for magic, name in (_READ | _UNREAD).items() if head.startswith(magic)), "")
    is_text = kind == "BMP" and head[14:18] not in _BMP_HEADERS  # such as a table that begins with "BMI"
    return "" if is_text else kind


def unreadable(path: str | Path) -> str:
    """Say why a file of a known format cannot be read as an image and what to do; empty if it may be read.

    Formats whose own file contains only a preview are recognised by suffix: a MIRAX slide begins like a JPEG,
    but its pixels are in a folder beside it.
    """
    kind, suffix = kind_of(path), Path(path).suffix.lower()
    if (kind in READ and suffix not in _PREVIEWS) or guests.reader_of(Path(path)):
        return ""
    name = _PREVIEWS.get(suffix) or kind or _SLIDES.get(suffix, "")
    return f"{name} files are not read yet: {_ADVICE}" if name else ""


def only_as_slide(path: str | Path) -> bool:
    """Whether a file has a format that slide readers can open, but image readers cannot.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError        As for `kind_of`.
    """
    kind, suffix = kind_of(path), Path(path).suffix.lower()
    return kind in _ONLY_SLIDES or (_PREVIEWS | _SLIDES).get(suffix) in _ONLY_SLIDES


def looks_like_image(path: Path) -> bool:
    """Whether a file's suffix or first bytes are those of an image or slide, supported or not."""
    suffix = path.suffix.lower()
    if suffix in {*IMAGE_SUFFIXES, *_SLIDES, *_PREVIEWS, *_PICTURES} or guests.reader_of(path):
        return True
    try:
        return bool(kind_of(path))
    except CorruptDataError:
        return False
