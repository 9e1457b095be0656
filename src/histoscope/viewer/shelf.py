"""Slides and marks that are open, each opened once however many ask for it at once."""

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Generic, TypeVar

from histoscope.errors import ConfigError, DatasetNotFoundError, HistoscopeError
from histoscope.jobs.ownership import digest_of
from histoscope.slides import open_slide
from histoscope.types import Image
from histoscope.viewer.heat import Heat
from histoscope.viewer.keeping import keep, kept, path_of
from histoscope.viewer.labelled import Compared, LabelResults
from histoscope.viewer.library import Found, Item, Library
from histoscope.viewer.marks import Marks
from histoscope.viewer.normalised import recolouring
from histoscope.viewer.pyramid import Pyramid
from histoscope.viewer.reading import reading
from histoscope.viewer.results import JsonResults, Results, open_results
from histoscope.viewer.scratch import Scratch
from histoscope.viewer.tissue import rings_of
from histoscope.viewer.truth import sheet_of

T = TypeVar("T")
_SLIDES, _MARKS = 16, 8
_KEPT_FROM = 20_000
"""Fewer marks than these are sorted as fast as they are read."""


def stamp_of(path: Path) -> str:
    """Digits that change when a file does.

    Raises
    ------
    DatasetNotFoundError
        If it is gone.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise DatasetNotFoundError(f"{path} is gone ({error.strerror}); reload the page") from error
    facts = f"{stat.st_size}:{stat.st_mtime_ns}"
    return hashlib.blake2b(facts.encode(), digest_size=6).hexdigest()


class Lately(Generic[T]):
    """The last few results that were requested, or why they could not be made.

    Examples
    --------
    >>> lately = Lately[int](2)
    >>> lately.get("a", lambda: 1), lately.get("a", lambda: 2)
    (1, 1)
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._things: OrderedDict[Hashable, T | HistoscopeError] = OrderedDict()
        self._locks: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        """The thing of a key, made by the first who asks; the others wait for it.

        Raises
        ------
        HistoscopeError
            What `make` raised, without trying again.
        """
        with self._lock:
            own = self._locks.setdefault(key, threading.Lock())
        with own:
            with self._lock:
                thing = self._things.get(key)
            if thing is None:
                try:
                    thing = make()
                except HistoscopeError as error:
                    thing = error
            with self._lock:
                self._things[key] = thing
                self._things.move_to_end(key)
                while len(self._things) > self._most:
                    self._locks.pop(self._things.popitem(last=False)[0], None)
        if isinstance(thing, HistoscopeError):
            raise thing
        return thing


class Shelf:
    """Opens what a library names.

    Parameters
    ----------
    library : Library
    """

    def __init__(self, library: Library) -> None:
        self.library, self.scratch = library, Scratch()
        self._pyramids: Lately[Pyramid] = Lately(_SLIDES)
        self._results: Lately[Results] = Lately(_MARKS)
        self._stains: Lately[Callable[[Image], Image]] = Lately(_SLIDES)
        self._marks: Lately[Marks] = Lately(_MARKS)

    def item(self, key: str) -> Item:
        """The slide or image of an id.

        Raises
        ------
        DatasetNotFoundError
        """
        item = self.library.items.get(key) or self.scratch.items.get(key)
        if item is None:
            raise DatasetNotFoundError(f"slide {key} is no longer there; reload the page")
        return item

    def found(self, key: str) -> Found:
        """The results of an id.

        Raises
        ------
        DatasetNotFoundError
        """
        if preview := self.scratch.previews.get(key):
            return preview
        for item in self.library.items.values():
            for found in item.results:
                if found.id == key:
                    return found
        raise DatasetNotFoundError(f"results {key} are no longer there; reload the page")

    def pyramid(self, item: Item) -> Pyramid:
        """The slide of an item, open.

        Raises
        ------
        ConfigError
            If it is not there, or not the one that the results are of.
        CorruptDataError
            If it cannot be opened.
        """
        path = item.path
        if path is None:
            raise ConfigError(
                f"the slide {item.name} is not inside the folder; name its folder too: "
                "histoscope view RESULTS SLIDES"
            )
        return self._pyramids.get((path, stamp_of(path)), lambda: self._opened(item, path))

    def recolouring(self, item: Item, method: str) -> Callable[[Image], Image]:
        """What a normaliser does to a slide; measured once.

        Raises
        ------
        ConfigError
            If the slide cannot be opened or measured.
        """
        slide = self.pyramid(item).slide
        return self._stains.get(
            (slide.path, stamp_of(slide.path), method), lambda: recolouring(slide, method)
        )

    def results(self, found: Found) -> Results:
        """The file of results, open."""
        return self._results.get((found.path, stamp_of(found.path)), lambda: self._read(found))

    def tissue(self, item: Item) -> dict[str, Any]:
        """Outlines of the tissue of a slide.

        Raises
        ------
        ConfigError
            If there are none.
        """
        if item.tissue is None:
            raise ConfigError("tissue detection was not run for this slide")
        return rings_of(self._own(item.tissue))

    def heat(self, found: Found, kind: int) -> bytes:
        """Probabilities of a class of tiles, packed.

        Raises
        ------
        ConfigError
            If these are not tiles, or have no such class.
        """
        if found.kind != "tiles":
            raise ConfigError("these are nuclei; heat maps are of tiles")
        path = self._own(found.path)
        with reading(path):
            return Heat.of(path, kind).packed()

    def marks(self, found: Found) -> Marks:
        """The results sorted by place; kept beside them where there are many."""
        stamp = stamp_of(found.path)
        return self._marks.get((found.path, stamp), lambda: self._sorted(found, stamp))

    def _sorted(self, found: Found, stamp: str) -> Marks:
        path = path_of(found.path)
        marks = kept(path, stamp)
        if marks is None:
            with reading(found.path):
                marks = self.results(found).marks()
            if len(marks) >= _KEPT_FROM:
                keep(path, marks, stamp)
        return marks

    def _read(self, found: Found) -> Results:
        """Results as their file and what is known of it say."""
        path = self._own(found.path)
        with reading(path):
            if found.truth is not None:
                return Compared(path, self._own(found.truth))
            if found.class_map is not None:
                sheet = sheet_of(found.class_map.parents[1])
                names = {} if sheet is None else sheet.classes
                return LabelResults(path, self._own(found.class_map), names)
            return JsonResults(path, found.classes) if found.classes else open_results(path)

    def _own(self, path: Path) -> Path:
        """A path that may have become a link since the folder was looked at."""
        if not self.library.is_below(path) and not self.scratch.has(path):
            raise ConfigError(f"{path} lies outside the folder; name its folder too")
        return path

    def _opened(self, item: Item, path: Path) -> Pyramid:
        slide = open_slide(path)
        digests = {found.digest for found in item.results} - {""}
        is_ours = self.library.is_below(path) or self.scratch.has(path)
        if not is_ours and (
            not self.library.beyond or digests.isdisjoint({slide.quick_hash, digest_of(path)})
        ):
            slide.close()
            raise ConfigError(
                f"{path} lies outside the folder, and is not the slide of these results; name its folder "
                "too: histoscope view RESULTS SLIDES"
            )
        pyramid = Pyramid(slide)
        weakref.finalize(pyramid, slide.close)  # when the last request that reads it is answered
        return pyramid
