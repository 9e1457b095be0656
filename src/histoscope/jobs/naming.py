"""Unique names of output files, on every file system."""

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import PurePath

from histoscope.errors import ConfigError
from histoscope.export.result import OUTPUTS, TILE_OUTPUTS

JOURNAL, SUMMARY, PREDICTIONS = "predictions.jsonl", "summary.csv", "predictions.csv"
"""Files for the whole folder."""
COHORT, TIMINGS = "cohort.parquet", "timings.csv"
"""Further files in a folder of slides."""
ENDINGS = tuple(dict.fromkeys(chain.from_iterable((*OUTPUTS.values(), *TILE_OUTPUTS.values()))))
"""Suffixes of the files of an image."""

_LONGEST_BYTES = 200  # of the 255 that file systems allow, to leave room for endings
_PLAIN, _WITH_SUFFIX, _WITH_DIGEST = range(3)


def unique_names(paths: Sequence[PurePath], kept: Mapping[int, str] | None = None) -> list[str]:
    """Choose output names so that no two images share a file, also on case-insensitive disks.

    A name is the path without suffix. If two images would then share a file, or a reserved name would be
    taken, the suffix is kept; if that is not enough, six digits derived from the path are added.

    Parameters
    ----------
    paths : sequence of PurePath
        Path of each image, below the folder that names start from; all different.
    kept : mapping of int to str, optional
        Names that some of them already have.

    Returns
    -------
    list of str
        Sub-folders and name, with ``/`` between them.

    Raises
    ------
    ConfigError
        If the kept names leave no room.

    Examples
    --------
    >>> unique_names([PurePath(name) for name in ("a.tif", "slide.tif", "slide.png", "slide.tif.png")])
    ['a', 'slide.tif', 'slide.png', 'slide.tif.png']
    >>> unique_names([PurePath("summary.png")])
    ['summary.png']
    """
    fixed = dict(kept or {})
    levels = [_PLAIN] * len(paths)
    while True:
        names = [fixed.get(k) or _named(path, levels[k]) for k, path in enumerate(paths)]
        groups = _clashing(names)
        if not groups:
            return names
        up: set[int] = set()
        for group in groups:
            free = [k for k in group if k not in fixed and levels[k] < _WITH_DIGEST]
            if not free:
                some = " and ".join(str(paths[k]) for k in group[:2])
                raise ConfigError(f"{some}: no free names can be found for the results; rename the image")
            lowest = min(levels[k] for k in free)
            up |= {k for k in free if levels[k] == lowest}
        for k in up:
            levels[k] += 1


def files_of(name: str, endings: Iterable[str] = ENDINGS) -> list[str]:
    """Paths of an image's files below the output folder."""
    return [name + end for end in endings]


def _named(path: PurePath, level: int) -> str:
    raw = path.with_suffix("").as_posix() if level == _PLAIN else path.as_posix()
    name = "".join("_" if unicodedata.category(sign) in {"Cc", "Cs"} else sign for sign in raw)
    folder, slash, last = name.rpartition("/")
    short = last.encode()[:_LONGEST_BYTES].decode(errors="ignore")
    name = folder + slash + short
    return name if name == raw and level < _WITH_DIGEST else f"{name}-{digits_of(path)}"


def digits_of(path: PurePath) -> str:
    """Six digits derived from a path.

    Examples
    --------
    >>> digits_of(PurePath("a/b.svs"))
    'ef8e50'
    """
    return hashlib.blake2b(path.as_posix().encode(errors="surrogatepass"), digest_size=3).hexdigest()


def _clashing(names: Sequence[str]) -> list[list[int]]:
    """Groups of images with conflicting paths: a shared file, a file against a folder, or a reserved name."""
    owners: dict[str, set[int]] = defaultdict(set)
    folders: dict[str, set[int]] = defaultdict(set)
    for k, name in enumerate(names):
        for file in files_of(name):
            owners[_one_letter(file)].add(k)
        for folder in PurePath(name).parents:
            folders[_one_letter(folder.as_posix())].add(k)
    groups = {tuple(sorted(owner)) for owner in owners.values() if len(owner) > 1}
    # A folder cannot be renamed, so the image whose file is in its place is.
    groups |= {(k,) for file in owners.keys() & folders.keys() for k in owners[file]}
    groups |= {(k,) for file in (JOURNAL, SUMMARY, PREDICTIONS) for k in owners.get(file, ())}
    return [list(group) for group in sorted(groups)]


def _one_letter(file: str) -> str:
    """Name on a disk that ignores case and Unicode normalisation."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", file).casefold())
