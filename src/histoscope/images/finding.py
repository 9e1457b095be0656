"""Finding the images of a file, a folder or a glob; files left out are listed with a reason."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from histoscope.brief import brief
from histoscope.errors import ConfigError, CorruptDataError
from histoscope.images.kinds import (
    IMAGE_SUFFIXES,
    SLIDE_SUFFIXES,
    looks_like_image,
    only_as_slide,
    unreadable,
)
from histoscope.places import forget, found_below, is_remote, place

_SLIDES_ELSEWHERE = (*SLIDE_SUFFIXES, ".tif", ".tiff", ".vmu")
JOURNALS = ("predictions.jsonl", "normalized.jsonl", "explained.jsonl", "plan.json")
"""A folder below the searched one that contains one of these holds results of an earlier run."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file or folder that is left out.

    Parameters
    ----------
    path : Path
    reason : str
        Why, and what to do.
    """

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


@brief
@dataclass(frozen=True, slots=True)
class Found:
    """Images found, and files left out.

    Parameters
    ----------
    root : Path
        The folder that names of images start from.
    images : list of Path
        Images, in the order of their paths, all below `root`.
    skipped : list of Skipped
        Slides and pictures of unsupported formats, folders that may not be opened, broken links, and results
        of earlier runs.
    """

    root: Path
    images: list[Path] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def find_images(source: str | Path, *, deep: bool = True, slides: bool = False) -> Found:
    """Find the images of a file, of a folder (recursively) or of a glob.

    A single file is taken unconditionally. In folders and globs, a file is recognised as an image by its
    suffix, or by its first bytes if it has another suffix or none. Links are followed, each folder once.
    Hidden files, and files of other kinds (tables, notes), are left out silently.

    Parameters
    ----------
    source : str or Path
        In remote storage (``s3://``), slides are found by suffix only.
    deep : bool
        Whether to search folders recursively.
    slides : bool
        Whether files that only slide readers can open, such as DICOM, count as images.

    Returns
    -------
    Found
        With no images if there are none.

    Raises
    ------
    ConfigError
        If images, not slides, are searched for in remote storage.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a.png").write_bytes(b""), (folder / "notes.txt").write_text("of Monday")
    >>> _ = (folder / "slide.mrxs").write_bytes(b"")
    >>> found = find_images(folder)
    >>> [image.name for image in found.images], [one.path.name for one in found.skipped]
    (['a.png'], ['slide.mrxs'])
    """
    source = place(source)
    if is_remote(source):
        if not slides:
            raise ConfigError(f"{source}: only slides can be read from remote storage; copy images to a disk")
        return _elsewhere(forget(source))
    if source.is_file():
        return Found(source.parent, [source])
    if source.is_dir():
        found = Found(source)
        paths = _below(source, found, deep=deep)
    else:
        found = Found(_fixed_part(source))
        rest = source.parts[len(found.root.parts) :]
        tops = sorted(found.root.glob(str(Path(*rest)))) if rest else []
        paths = (path for top in tops for path in (_below(top, found, deep=deep) if top.is_dir() else [top]))
    results: dict[Path, bool] = {}
    for path in dict.fromkeys(paths):
        if not path.name.startswith(".") and not _is_result(path, found, results):
            _sort(path, found, slides=slides)
    found.images.sort()
    found.skipped.sort(key=lambda one: one.path)
    return found


def _elsewhere(source: Path) -> Found:
    """Slides of a remote file, folder or glob, without those among results of earlier runs."""
    is_glob = any(sign in str(source) for sign in "*?[")
    if not is_glob and source.is_file():
        return Found(source.parent, [source])
    found = Found(_fixed_part(source) if is_glob else source)
    paths = found_below(source, (*_SLIDES_ELSEWHERE, ".json"))
    results = {path.parent for path in paths if path.name in JOURNALS}
    found.images.extend(path for path in paths if path.suffix != ".json" and path.parent not in results)
    found.skipped.extend(Skipped(folder, "holds results of an earlier run") for folder in sorted(results))
    return found


def lines_of(skipped: Iterable[Skipped]) -> list[str]:
    """Say what was left out, one line per reason.

    Examples
    --------
    >>> lines_of([Skipped(Path(f"{name}.dcm"), "DICOM files are not read yet") for name in "abcd"])
    ['left out 4 files or folders: DICOM files are not read yet (a.dcm, b.dcm, c.dcm, ...)']
    """
    by_reason: dict[str, list[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(str(one.path))
    lines = []
    for reason, names in by_reason.items():
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        is_one = len(names) == 1
        lines.append(
            f"left out {some}: {reason}"
            if is_one
            else f"left out {len(names)} files or folders: {reason} ({some})"
        )
    return lines


def _fixed_part(pattern: Path) -> Path:
    """The folders of a glob before its first wildcard."""
    parts = pattern.parts
    fixed = next((k for k, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
    return place(Path(*parts[:fixed]))


def _below(top: Path, found: Found, *, deep: bool) -> Iterator[Path]:
    """The files of a folder, and of those below it if `deep`; links are followed, each folder once."""

    def refused(error: OSError) -> None:
        found.skipped.append(Skipped(Path(error.filename), f"cannot be opened ({error.strerror})"))

    entered: set[Path] = set()
    for name, folders, files in os.walk(top, onerror=refused, followlinks=True):
        folder = Path(name)
        if folder.resolve() in entered:
            folders.clear()
            continue
        entered.add(folder.resolve())
        folders[:] = sorted(one for one in folders if deep and not one.startswith("."))
        yield from (folder / one for one in files)


def _is_result(path: Path, found: Found, results: dict[Path, bool]) -> bool:
    """Whether a file is in a folder of results below the root; each such folder is reported once."""
    for folder in path.parents[: len(path.parts) - len(found.root.parts) - 1]:
        if folder not in results:
            results[folder] = any((folder / journal).is_file() for journal in JOURNALS)
            if results[folder]:
                reason = "holds results of an earlier run; to use its images, give this folder itself"
                found.skipped.append(Skipped(folder, reason))
        if results[folder]:
            return True
    return False


def _sort(path: Path, found: Found, *, slides: bool) -> None:
    """Add a file to the images, or to what is left out."""
    if path.is_symlink() and not path.exists():
        if path.suffix.lower() in IMAGE_SUFFIXES:
            found.skipped.append(Skipped(path, "is a broken link"))
    elif path.is_file() and looks_like_image(path):
        try:
            reason = "" if slides and only_as_slide(path) else unreadable(path)
        except CorruptDataError:
            reason = ""  # reported when it is read
        if reason:
            found.skipped.append(Skipped(path, reason))
        else:
            found.images.append(path)
