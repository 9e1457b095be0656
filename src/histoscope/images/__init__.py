"""Image files: their format, location, pixel size, and pixels in RGB."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.images.finding import Found, Skipped, find_images
    from histoscope.images.guests import ImageReader, add_reader
    from histoscope.images.kinds import kind_of
    from histoscope.images.reading import profile_of, size_of
    from histoscope.images.resolution import check_mpp, mpp_of

_LAZY = {
    "Found": "finding",
    "ImageReader": "guests",
    "Skipped": "finding",
    "add_reader": "guests",
    "check_mpp": "resolution",
    "find_images": "finding",
    "kind_of": "kinds",
    "mpp_of": "resolution",
    "profile_of": "reading",
    "size_of": "reading",
}

__all__ = [
    "Found",
    "ImageReader",
    "Skipped",
    "add_reader",
    "check_mpp",
    "find_images",
    "kind_of",
    "mpp_of",
    "profile_of",
    "size_of",
]

__getattr__, __dir__ = attach(__name__, _LAZY)
