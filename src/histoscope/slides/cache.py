"""Most recently used decoded tiles, since crops overlap."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable

from histoscope.types import Image


class TileCache:
    """Keeps the most recently used tiles, up to so many bytes; safe to use from several threads.

    Examples
    --------
    >>> import numpy as np
    >>> cache = TileCache(30)
    >>> for key in (1, 2, 1, 3, 1):
    ...     _ = cache.get(key, lambda: np.zeros((2, 2, 3), np.uint8))
    >>> cache.keys()
    (3, 1)
    """

    def __init__(self, most_bytes: int = 1 << 26) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._tiles: OrderedDict[Hashable, Image] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Image]) -> Image:
        """The tile of a key; made if missing, outside the lock, so that threads decode in parallel."""
        with self._lock:
            if key in self._tiles:
                self._tiles.move_to_end(key)
                return self._tiles[key]
        tile = make()
        with self._lock:
            if key not in self._tiles:
                self._tiles[key] = tile
                self._bytes += tile.nbytes
            while self._bytes > self._most_bytes and len(self._tiles) > 1:
                self._bytes -= self._tiles.popitem(last=False)[1].nbytes
        return tile

    def keys(self) -> tuple[Hashable, ...]:
        """Keys of the cached tiles, the most recently used last."""
        with self._lock:
            return tuple(self._tiles)


def pasted(out: Image, box: tuple[int, int, int, int], tile: Image, left: int, top: int) -> None:
    """Copy the part of a tile inside a box.

    Parameters
    ----------
    out : (height, width, 3) uint8
        Pixels of the box, changed.
    box : (x, y, width, height)
    tile : (h, w, 3) uint8
    left, top : int
        Upper left corner of the tile, in pixels of the box's level.
    """
    x, y, width, height = box
    y0, y1 = max(top, y), min(top + tile.shape[0], y + height)
    x0, x1 = max(left, x), min(left + tile.shape[1], x + width)
    if y0 < y1 and x0 < x1:
        out[y0 - y : y1 - y, x0 - x : x1 - x] = tile[y0 - top : y1 - top, x0 - left : x1 - left]
