"""What there is to see below a folder: slides, images, and the results of each."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscope.errors import HistoscopeError
from histoscope.images.kinds import IMAGE_SUFFIXES, SLIDE_SUFFIXES
from histoscope.jobs.lines import Results as Journals
from histoscope.jobs.lines import read
from histoscope.jobs.naming import ENDINGS, JOURNAL
from histoscope.predict.slides.planning import names_in_plan
from histoscope.viewer.reading import reading
from histoscope.viewer.results import MOST_MPP, about_of
from histoscope.viewer.study_folders import Studies, is_model, mpp_of_study
from histoscope.viewer.truth import Maps

_TABLES = ("cells.parquet", "tiles.parquet")
_MOST_FILES = 200_000
TRUTH = "ground truth"
_SLIDES = {*IMAGE_SUFFIXES, *SLIDE_SUFFIXES} - {".dcm"}


@dataclass(frozen=True, slots=True)
class Found:
    """Results of one slide or image.

    Parameters
    ----------
    id : str
        Of the page's addresses.
    path : Path
        ``cells.parquet``, ``tiles.parquet``, ``NAME.geojson`` or ``NAME_labels.png``.
    label : str
        How the page calls them: the folder that they lie in, or the file.
    n : int or None
        Number of rows, where the file says so.
    digest : str
        Of the slide or image that they are of, where that is written.
    problem : str
        Why they cannot be shown; empty if they can.
    class_map : Path or None
        Beside a label map, with the classes of its nuclei.
    truth : Path or None
        Label map that they are compared with.
    classes : tuple of str
        Classes in their order, where the file does not say it.
    """

    id: str
    path: Path
    label: str
    n: int | None = None
    digest: str = ""
    problem: str = ""
    class_map: Path | None = None
    truth: Path | None = None
    classes: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """``nuclei``, ``tiles``, ``truth``, or ``outcomes`` of a comparison with that."""
        if self.truth is not None:
            return "outcomes"
        if self.label == TRUTH:
            return "truth"
        return "tiles" if self.path.name == "tiles.parquet" else "nuclei"


@dataclass(slots=True)
class Item:
    """A slide or image, with its results.

    Parameters
    ----------
    id, name, folder : str
        Of the page's addresses; of the file; where it lies, below the folder that is shown.
    path : Path or None
        None where only its results are here.
    results : list of Found
    tissue : Path or None
        ``tissue.geojson``.
    mpp : float or None
        Micrometres per pixel, as the folder says; the file's own comes first.
    study : str
        Id of the study that it is a test image of; empty for most.
    """

    id: str
    name: str
    folder: str
    path: Path | None = None
    results: list[Found] = field(default_factory=list)
    tissue: Path | None = None
    mpp: float | None = None
    study: str = ""


@dataclass(eq=False)
class Library:
    """Slides and results below some folders.

    Parameters
    ----------
    folders : sequence of Path
        Nothing outside of these is opened, but slides that results below them name, if `beyond`.
    beyond : bool
    """

    folders: Sequence[Path]
    beyond: bool = True
    items: dict[str, Item] = field(default_factory=dict)
    studies: dict[str, Path] = field(default_factory=dict)
    models: dict[str, Path] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    by_stem: dict[str, list[Item]] = field(default_factory=dict)

    def search(self) -> "Library":
        """Look at the folders; if it was searched before, others see the earlier results until it is done."""
        found = Library(self.folders, self.beyond)._searched()
        self.items, self.studies, self.models = found.items, found.studies, found.models
        self.left_out, self.by_stem = found.left_out, found.by_stem
        return self

    def _searched(self) -> "Library":
        files = list(dict.fromkeys(path for folder in self.folders for path in self._files(folder)))
        journals, maps, studies = Journals(), Maps(files), Studies(files)
        for path in files:
            if path.suffix.lower() not in _SLIDES or self._is_result(path, journals) or studies.hides(path):
                continue
            if not maps.has(path):
                self._add_with_truth(path, maps)
        for folder in {path.parent for path in files if path.suffix.lower() == ".dcm"}:
            self._add_series(folder)
        for path in files:
            if path.name in _TABLES:
                self._add_table(path)
            elif path.name == JOURNAL:
                self._add_images(path)
        self._add_neighbours(files)
        self._add_studies(studies)
        self.studies.update({self.id_of(folder): folder for folder in studies.runs})
        self.models.update({self._short(path.parent): path.parent for path in files if is_model(path)})
        for item in self.items.values():
            if item.path is not None and not item.study:
                self.by_stem.setdefault(item.path.stem, []).append(item)
        return self

    def of(self, path: Path) -> Item | None:
        """The slide or image at a path."""
        return self.items.get(self.id_of(path))

    def image(self, name: str, root: str) -> Item | None:
        """The image of a data folder by the name that a table of scores has, `CLASS__NAME` in class folders.

        It has ground truth, or lies below a folder called as `root` is; both, where there are several.
        """
        parts, place = tuple(name.split("__")), Path(root).name
        found = [
            (item, any(one.label == TRUTH for one in item.results), place in item.path.parts)
            for item in (*self.by_stem.get(name, ()), *self.by_stem.get(parts[-1], ()))
            if item.path is not None
            if item.path.stem == name or (*item.path.parts[:-1], item.path.stem)[-len(parts) :] == parts
        ]
        found = [one for one in found if one[1] or one[2]]
        best = [one for one in found if one[1] and one[2]] or found
        return best[0][0] if len({item.id for item, *_ in best}) == 1 else None

    def is_below(self, path: Path) -> bool:
        """Whether a file lies in one of the folders, and is not a link that points outside them."""
        place = path.resolve()
        return any(place.is_relative_to(folder.resolve()) for folder in self.folders)

    def id_of(self, path: Path) -> str:
        """Twelve digits that follow from where a file lies below the folders."""
        number, place = self._place(path)
        text = f"{number}\n{place}" if number else place  # of one folder, links outlive others beside it
        return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=6).hexdigest()

    def _short(self, path: Path) -> str:
        number, place = self._place(path)
        return f"{self.folders[number].name}/{place}" if number else place

    def _place(self, path: Path) -> tuple[int, str]:
        """Number of the folder that a file lies in, and where it lies there."""
        for number, folder in enumerate(self.folders):
            if path.is_relative_to(folder):
                return number, path.relative_to(folder).as_posix()
        return 0, path.as_posix()

    def _files(self, folder: Path) -> Iterator[Path]:
        """Files of a folder to the bottom; hidden ones and links that lead out are left out."""
        root, seen = folder.resolve(), 0
        for place, folders, files in os.walk(folder):
            here = Path(place)
            folders[:] = sorted(one for one in folders if not one.startswith("."))
            for name in sorted(files):
                path = here / name
                if name.startswith(".") or not path.is_file():
                    continue
                if path.is_symlink() and not path.resolve().is_relative_to(root):
                    self.left_out.append((self._short(path), "is a link that points outside the folder"))
                    continue
                seen += 1
                if seen > _MOST_FILES:
                    self.left_out.append(
                        (str(folder), f"has more than {_MOST_FILES:,} files: view one of its subfolders")
                    )
                    return
                yield path

    @staticmethod
    def _is_result(path: Path, journals: Journals) -> bool:
        """Whether a picture is one that Histoscope wrote beside its results."""
        if any((path.parent / one).is_file() for one in (*_TABLES, "plan.json")):
            return True
        return any(path.name.endswith(end) for end in ENDINGS) or path in journals

    def _add(self, path: Path) -> Item:
        short = Path(self._short(path))
        folder = "" if short.is_absolute() or short.parent == Path() else short.parent.as_posix()
        key = self.id_of(path)
        return self.items.setdefault(key, Item(key, path.name, folder, path))

    def _add_with_truth(self, path: Path, maps: Maps) -> None:
        """An image, with the label map of its data folder."""
        item, truth = self._add(path), maps.truth_of(path)
        item.mpp = maps.mpp_of(path)
        if truth is not None:
            found = Found(self.id_of(truth), truth, TRUTH, class_map=maps.classes_of(path))
            item.results.append(found)

    def _add_studies(self, studies: Studies) -> None:
        """Studies, and on their test images what each run found, against the truth."""
        for folder in studies.folders:
            key = self.id_of(folder)
            self.studies[key] = folder
            mpp = mpp_of_study(folder)
            for image, outputs in studies.images_of(folder).items():
                item = self.of(image)
                if item is None:
                    continue
                item.study, item.mpp = key, mpp
                truth = next((one.path for one in item.results if one.label == TRUTH), None)
                for path, label in outputs:
                    item.results.append(Found(self.id_of(path), path, label, truth=truth))

    def _add_series(self, folder: Path) -> None:
        from histoscope.slides.by_pydicom import first_files

        with suppress(HistoscopeError, OSError):
            for path in sorted(set(first_files(folder).values())):
                self._add(path)

    def _add_table(self, path: Path) -> None:
        """Results of a slide; its item is made if the slide is not below the folders."""
        key, label = self.id_of(path), path.parent.parent.name or path.parent.name
        try:
            about = about_of(path)
        except HistoscopeError as error:
            found, about = Found(key, path, label, problem=str(error)), {}
        else:
            found = Found(key, path, label, about["rows"], str(about.get("slide_hash", "")))
        item = self._slide_of(path, about)
        item.results.append(found)
        tissue = path.with_name("tissue.geojson")
        if item.tissue is None and tissue.is_file() and self.is_below(tissue):
            item.tissue = tissue

    def _slide_of(self, table: Path, about: dict[str, Any]) -> Item:
        name = str(about.get("slide", table.parent.name))
        planned = _planned(table)
        if planned is not None and (item := self.of(planned)) is not None:
            return item
        same = [item for item in self.items.values() if item.name == name and item.path is not None]
        if len(same) > 1:
            number = self._place(table)[0]
            same = [item for item in same if item.path and self._place(item.path)[0] == number]
        if len(same) == 1:
            return same[0]
        if planned is not None and self.beyond and planned.is_file():
            return self._add(planned)
        key = self.id_of(table.parent)
        return self.items.setdefault(key, Item(key, name, self._short(table.parent)))

    def _add_images(self, journal: Path) -> None:
        """Results of images, by the journal of the folder that they lie in."""
        try:
            with reading(journal):
                self._add_lines(journal)
        except (HistoscopeError, OSError) as error:
            self.left_out.append((self._short(journal), str(error)))

    def _add_lines(self, journal: Path) -> None:
        here = {item.path.resolve(): item for item in self.items.values() if item.path is not None}
        for line in read(journal).lines.values():
            image, digest = Path(line["image"][0]), str(line["image"][1])
            item = here.get(image)
            if item is None and self.beyond and image.is_file():
                item = self._add(image)
            if item is not None:
                self._add_result(item, journal.parent / line["name"], journal.parent.name, digest)
                item.mpp = item.mpp or _mpp_of(line)

    def _add_neighbours(self, files: Sequence[Path]) -> None:
        """Results that lie beside an image, without a journal."""
        known = {found.path for item in self.items.values() for found in item.results}
        stems: dict[Path, list[Item]] = defaultdict(list)
        for item in self.items.values():
            if item.path is not None:
                stems[item.path.with_suffix("")].append(item)
        for path in files:
            stem = path.with_name(path.name.removesuffix(".geojson").removesuffix("_labels.png"))
            items = stems.get(stem, []) if stem.name != path.name and path not in known else []
            if len(items) == 1 and all(found.path.parent != path.parent for found in items[0].results):
                self._add_result(items[0], stem, "beside")

    def _add_result(self, item: Item, stem: Path, label: str, digest: str = "") -> None:
        for end in (".geojson", "_labels.png", "_labels.tif"):
            path = stem.with_name(stem.name + end)
            if path.is_file() and self.is_below(path):
                item.results.append(Found(self.id_of(path), path, label, digest=digest))
                return


def _mpp_of(line: dict[str, Any]) -> float | None:
    """Micrometres per pixel that an image was predicted at, in a line of a journal."""
    row = line.get("row")
    mpp = row.get("mpp") if isinstance(row, dict) else None
    return float(mpp) if isinstance(mpp, int | float) and 0 < mpp < MOST_MPP else None


def _planned(table: Path) -> Path | None:
    """The slide that a table is of, as the plan of the folder of results has it."""
    with suppress(HistoscopeError, OSError), reading(table):
        for out in table.parents[1:4]:
            for path, name in names_in_plan(out).items():
                if out / name == table.parent:
                    return Path(path)
    return None
