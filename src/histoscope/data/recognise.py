"""Choosing the reader for a folder by the files in it."""

import inspect
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histoscope import data
from histoscope.data.base import Dataset
from histoscope.data.checks import UNREADABLE
from histoscope.data.readers.index import read_index
from histoscope.errors import DataError, DatasetNotFoundError, HistoscopeError, MissingDependencyError
from histoscope.images.finding import find_images
from histoscope.types import Sample
from histoscope.words import count

SPECIFIC_FIRST = (
    *("pcam", "conic", "pannuke", "consep", "lizard", "tnbc", "dsb2018", "nuinsseg", "monuseg", "kumar"),
    *("breakhis", "kather2016", "nct_crc", "lc25000", "class_folder"),
)
"""Readers in the order in which they are tried, after our own layout: the more specific, the earlier."""
_OF_LABELS = frozenset(
    (
        *("label", "labels", "mask", "masks", "annotation", "annotations", "gt", "ground_truth"),
        *("groundtruth", "instances", "segmentation", "segmentations"),
    )
)
_BESIDE = ("_mask", "_masks", "_label", "_labels", "_gt", "_instances", "_seg")
_SLIDES = frozenset({".svs", ".ndpi", ".scn", ".bif", ".qptiff", ".mrxs", ".czi", ".vsi", ".dcm", ".isyntax"})
_LAYOUT = (
    "expected images/NAME.png with labels/NAME.png (an id for each nucleus, 0 is background), or "
    "CLASS/NAME.png, a folder for each class of patches, or a published set as unpacked (histoscope data "
    "list)"
)
_TRIED = 20
"""Samples to try before giving up on a reader."""


@dataclass(frozen=True, slots=True)
class Recognised:
    """Data set that was opened without the name of its reader.

    `name` is the reader, a key of ``data.DATASETS``, and `first` a sample that can be read. If the pixel size
    is unknown (not `knows_mpp`), pixels are treated as one micrometre.
    """

    name: str
    dataset: Dataset
    knows_mpp: bool
    first: Sample


def recognise(root: str | Path, *, name: str = "", **options: Any) -> Recognised:
    """Open the data set in a folder with the reader that fits its files, or with `name`.

    Options are those of the reader, such as ``mpp=0.25``; readers without one of them are skipped.

    Raises
    ------
    DatasetNotFoundError
        If it contains no training data; the message says what was found, and what to do.
    DataError
        If its layout is recognised, but its files are wrong.
    MissingDependencyError
        If they need a package that is not installed.
    """
    root = Path(root)
    if not root.is_dir():
        what = "is a file" if root.exists() else "does not exist"
        raise DatasetNotFoundError(f"{root} {what}; give the folder of a data set")
    plain = name or _plain_layout(root)
    if plain:
        found = _opened(plain, root, options)
        if found.first.instances is None and found.first.label is None:
            raise DatasetNotFoundError(next(_reasons(root)))
        return found
    for reader in SPECIFIC_FIRST:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about files left out: repeated when the data set is used
                found = _opened(reader, root, options)
        except MissingDependencyError:  # its files are there
            raise
        except UNREADABLE:
            continue
        if len(found.dataset.info.classes) > 1 or found.first.instances is not None:
            return found
    raise DatasetNotFoundError(next(_reasons(root)))


def _plain_layout(root: Path) -> str:
    """Reader of a folder whose layout is unambiguous; "" if readers must be tried."""
    images, index = root / "images", root / "index.csv"
    columns = set(read_index(index)[0]) if index.is_file() and read_index(index) else set()
    is_labelled = (root / "labels").is_dir() or "label" in columns
    if is_labelled and images.is_dir() and find_images(images, deep=False).images:
        return "folder"
    return "class_folder" if {"path", "class"} <= columns else ""


def _opened(name: str, root: Path, options: dict[str, Any]) -> Recognised:
    """Open with one reader and read a sample, to refuse folders that only look like its layout."""
    knows_mpp = True
    try:
        dataset = data.open(name, root, **options)
    except DataError:
        if "mpp" in options or "mpp" not in inspect.signature(data.DATASETS[name]).parameters:
            raise
        knows_mpp = False
        dataset = data.open(name, root, **options, mpp=1.0)
    return Recognised(name, dataset, knows_mpp, _first(dataset))


def _first(dataset: Dataset) -> Sample:
    """The first readable sample; if there is none, why the first cannot be read."""
    why: BaseException | None = None
    for index in range(min(len(dataset), _TRIED)):
        try:
            return dataset[index]
        except UNREADABLE as error:
            why = why or error
    if isinstance(why, HistoscopeError):
        raise why
    raise DataError(
        f"no sample of {dataset.info.name!r} can be read ({why}); histoscope data verify says more"
    )


def _reasons(root: Path) -> Iterator[str]:
    """Reasons why a folder is not training data, and what to do, the likeliest first."""
    found = find_images(root)
    every = [*found.images, *(one.path for one in found.skipped)]
    if not every:
        yield f"{root} holds no images; {_LAYOUT}"
    folders = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    of_labels = [path for path in folders if path.name.lower() in _OF_LABELS]
    others = [path for path in every if not any(path.is_relative_to(folder) for folder in of_labels)]
    if of_labels and not others:
        yield (
            f"{root} holds labels ({of_labels[0].name}/), but no images beside them: put the image of each "
            f"label map into images/, under the same name; {_LAYOUT}"
        )
    slides = [path for path in every if path.suffix.lower() in _SLIDES]
    if slides:
        yield (
            f"{root} holds {count(len(slides), 'whole slide')} (such as {slides[0].name}), but training "
            "needs tiles: export labelled regions as PNG or TIFF, for instance with QuPath, into images/ "
            f"and labels/; {_LAYOUT}"
        )
    if of_labels:
        masks = of_labels[0]
        if not find_images(masks).images:
            yield f"{masks} holds no label map, so there is nothing to learn from; {_LAYOUT}"
        yield (
            f"{root} holds {masks.name}/, but not in a layout that Histoscope reads: name the folders "
            "images/ and labels/, give an image and its label map the same file name, and give each "
            "nucleus its own id (skimage.measure.label numbers the regions of a mask)"
        )
    inner = [folder for folder in folders if (folder / "images").is_dir()]
    if inner:
        parts = ", ".join(f"{folder.name}/" for folder in inner[:3])
        yield (
            f"{root} holds {parts} with images in each: choose one of them, or put all their images into "
            "one images/ (and labels/), with an index.csv that has the columns image_id and split"
        )
    beside = [path for path in every if path.stem.lower().endswith(_BESIDE)]
    if beside:
        yield (
            f"{root} holds {beside[0].name} among its images, which looks like a label map: put images "
            "into images/ and label maps into labels/, under the same name"
        )
    if not (root / "images").is_dir():
        yield from _nearly_classes(root)
    yield (
        f"{root} holds {count(len(every), 'image')} but no labels, so there is nothing to learn from. Put "
        "a label map for each into labels/, or sort patches into a folder for each class. Without "
        "labels, histoscope predict nuclei finds nuclei, and histoscope pretrain learns features"
    )


def _nearly_classes(root: Path) -> Iterator[str]:
    """Describe the problem with folders that are nearly class folders."""
    try:
        data.open("class_folder", root, mpp=1.0)
    except DatasetNotFoundError:
        return
    except DataError as error:
        yield str(error)
