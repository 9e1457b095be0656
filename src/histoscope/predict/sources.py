"""The slide or image that a result file belongs to."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from histoscope.edits.cells import read_about
from histoscope.edits.journal import ENDING
from histoscope.errors import DatasetNotFoundError, HistoscopeError
from histoscope.images.kinds import IMAGE_SUFFIXES, SLIDE_SUFFIXES
from histoscope.jobs.lines import Results
from histoscope.predict.slides.planning import names_in_plan

_ENDS = (".geojson", "_labels.png", "_labels.tif")
_SUFFIXES = frozenset((*IMAGE_SUFFIXES, *SLIDE_SUFFIXES))


def corrected_results(places: Iterable[Path]) -> list[Path]:
    """Result files that have edits, below folders or given directly.

    Raises
    ------
    DatasetNotFoundError
        If a given path has none.
    """
    found: list[Path] = []
    for place in places:
        folders = sorted({path.parent for path in place.rglob(f"*{ENDING}")}) if place.is_dir() else []
        here = [path for folder in folders for path in _results_of(folder)] or [place] * place.is_file()
        if not here:
            raise DatasetNotFoundError(
                f"no corrected results in {place}; corrections of out/slide/cells.parquet are in "
                "out/slide/edits/, those of out/NAME.geojson in out/NAME.edits/"
            )
        found += here
    return list(dict.fromkeys(found))


def _results_of(folder: Path) -> Iterator[Path]:
    """The result file whose edits are in a folder."""
    if folder.name == "edits":
        stem, ends = folder.with_name("cells.parquet"), [""]
    elif folder.name.endswith(".edits"):
        stem, ends = folder.with_name(folder.name.removesuffix(".edits")), list(_ENDS)
    else:
        return
    paths = (stem.with_name(stem.name + end) for end in ends)
    yield from [path for path in paths if path.is_file()][:1]


def source_of(results: Path, among: Path | None = None) -> Path:
    """The slide or image of a result file.

    Parameters
    ----------
    results : Path
        ``cells.parquet``, ``NAME.geojson`` or ``NAME_labels.png``.
    among : Path, optional
        A slide, or the folder where slides are now. By default, where they were when `predict` was called, or
        beside the results.

    Raises
    ------
    DatasetNotFoundError
        If it is not found.
    """
    name = slide_name(results)
    if among is not None and not among.is_dir():
        return among  # under any name: its digest is compared when it is open
    known = [*_planned(results), *_journalled(results)] if among is None else []
    for path in known:
        if path.exists():
            return path
    for path in sorted(results.parent.iterdir() if among is None else among.rglob("*")):
        is_meant = path.name == name or path.stem == Path(name).stem == name
        if is_meant and path.suffix.lower() in _SUFFIXES:
            return path
    where = f"not in {among}" if among else "neither where it was nor beside its results"
    raise DatasetNotFoundError(f"the slide of {results}, {name}, is {where}; give its folder with --slides")


def slide_name(results: Path) -> str:
    """Name of the slide's file, or of the image without its suffix."""
    if results.suffix == ".parquet":
        return str(read_about(results).get("slide", results.parent.name))
    return next((results.name.removesuffix(end) for end in _ENDS if results.name.endswith(end)), results.stem)


def _planned(results: Path) -> Iterator[Path]:
    """The slide of a result folder, according to the plan of all slides."""
    for out in results.parents[1:4]:
        with suppress(HistoscopeError, OSError, ValueError, KeyError):
            yield from (
                Path(path) for path, name in names_in_plan(out).items() if out / name == results.parent
            )


def _journalled(results: Path) -> Iterator[Path]:
    """The image of a result file, according to the journal of its folder."""
    name = slide_name(results)
    for out in results.parents[:3]:
        stem = results.with_name(name).relative_to(out).as_posix()
        yield from (Path(path) for path, written in Results().names(out).items() if written == stem)
