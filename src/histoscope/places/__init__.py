"""Remote files: objects in stores (``s3://``) and on web servers, as paths that are read in place.

A `RemotePath` is a `Path` that fsspec reads; code that needs a local file gets a copy, see
`histoscope.slides.staging`.
"""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.places.asking import NoRangesError, PlaceError, fetch_whole, put, read_range, require_put
    from histoscope.places.paths import RemotePath, forget, found_below, is_remote, place, without_folders
    from histoscope.places.ranges import LocalFile, RemoteFile, handle, reading, sampled

_LAZY = {
    "NoRangesError": "asking",
    "PlaceError": "asking",
    "fetch_whole": "asking",
    "put": "asking",
    "read_range": "asking",
    "require_put": "asking",
    "RemotePath": "paths",
    "forget": "paths",
    "found_below": "paths",
    "is_remote": "paths",
    "place": "paths",
    "without_folders": "paths",
    "LocalFile": "ranges",
    "RemoteFile": "ranges",
    "handle": "ranges",
    "reading": "ranges",
    "sampled": "ranges",
}
__all__ = [
    "LocalFile",
    "NoRangesError",
    "PlaceError",
    "RemoteFile",
    "RemotePath",
    "fetch_whole",
    "forget",
    "found_below",
    "handle",
    "is_remote",
    "place",
    "put",
    "read_range",
    "reading",
    "require_put",
    "sampled",
    "without_folders",
]
__getattr__, __dir__ = attach(__name__, _LAZY)
