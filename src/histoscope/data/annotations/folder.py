"""A labelled folder from slides and their annotations."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from histoscope.data.alignment import misplaced
from histoscope.data.annotations.crops import Crop, crops_of, on_level_0
from histoscope.data.annotations.labelling import Fates, labelled
from histoscope.data.annotations.naming import numbered_classes
from histoscope.data.annotations.placing import Placed, place
from histoscope.data.annotations.reading import read_annotations
from histoscope.data.base import Datasheet
from histoscope.data.write import require_new, write_folder
from histoscope.errors import ConfigError, CorruptDataError, DataError
from histoscope.types import Image, Record, Sample, class_key
from histoscope.words import count

_TCGA = re.compile(r"TCGA-\w{2}-\w{4}(?!\w)", re.IGNORECASE)
_SAME_MPP = 0.01
"""A pixel whose sides differ by less counts as square."""
_LEAST_TILE_PX = 64
_LARGE_UM2 = 2000
_LARGE = f"nucleus larger than {_LARGE_UM2:,} um2: is it a region of interest (--roi-class), or an area?"


class Scene(Protocol):
    """The parts of `histoscope.slides.Slide` that are used here."""

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of level 0."""
        ...

    @property
    def bounds(self) -> Any:
        """x, y, width and height of the scanned area."""
        ...

    @property
    def reader_name(self) -> str:
        """``picture`` for a plain image."""
        ...

    def known_mpp(self) -> tuple[float, float]:
        """Micrometres per pixel, across and down."""
        ...

    def scale_at(self, mpp: float) -> tuple[float, float]:
        """Pixels of level 0 per pixel at a resolution."""
        ...

    def size_at(self, mpp: float) -> tuple[int, int]:
        """Width and height at a resolution."""
        ...

    def read(self, box: Any) -> Image:
        """Pixels of a box of level 0."""
        ...

    def read_at(self, box: Any, mpp: float) -> Image:
        """Pixels of a box at a resolution."""
        ...


@dataclass(frozen=True, slots=True)
class Cutting:
    """How labelled images are cut out of slides.

    Parameters
    ----------
    mpp : float, optional
        Micrometres per pixel of the images; by default those of the slide.
    origin, roi_class, objects
        As for `histoscope.data.annotations.placing.place`.
    classes : sequence of str, optional
        As for `histoscope.data.annotations.naming.numbered_classes`.
    patient : str
        The patient of all slides. By default each slide is its own patient; for TCGA slides, the barcode
        gives the patient.
    tile_px : int
        Larger images are cut into tiles of this size.
    """

    mpp: float | None = None
    origin: str | None = None
    roi_class: str | None = None
    objects: str = "auto"
    classes: Sequence[str] | None = None
    patient: str = ""
    tile_px: int = 2048

    def __post_init__(self) -> None:
        if self.tile_px < _LEAST_TILE_PX:
            raise ConfigError(f"tile_px is {self.tile_px}, expected at least {_LEAST_TILE_PX}")


@dataclass(slots=True)
class Outcome:
    """Outcome of writing a folder.

    Parameters
    ----------
    images, nuclei : int
        Images written; nuclei with a pixel in one of them, each counted once.
    classes : dict of int to str
    of_class : Counter of str
        Number of nuclei of each class.
    counts : Counter of str
        Number of objects left out or changed, by reason.
    doubts : list of (str, str)
        Images whose label map does not seem to match their nuclei, and why.
    failed : list of (str, str)
        Slides and images that were left out, and why.
    """

    images: int = 0
    nuclei: int = 0
    classes: dict[int, str] = field(default_factory=dict)
    of_class: Counter[str] = field(default_factory=Counter)
    counts: Counter[str] = field(default_factory=Counter)
    doubts: list[tuple[str, str]] = field(default_factory=list)
    failed: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """A slide, its annotations, and the images to cut out of it."""

    path: Path
    placed: Placed
    crops: list[Crop]
    scale: tuple[float, float]
    mpp: float
    is_resampled: bool
    is_whole: bool

    @property
    def stem(self) -> str:
        return self.path.name if self.path.is_dir() else self.path.stem

    @property
    def patient(self) -> str:
        barcode = _TCGA.match(self.stem)
        return barcode[0].upper() if barcode else self.stem

    def corner(self, crop: Crop) -> tuple[int, int]:
        """Level 0 pixel at the corner of a crop."""
        return round(crop.box[0] * self.scale[0]), round(crop.box[1] * self.scale[1])

    def named(self) -> Iterator[tuple[str, Crop]]:
        """Crops with their names; regions with the same corner are distinguished by a number."""
        times: Counter[str] = Counter()
        for crop in self.crops:
            x, y = self.corner(crop)
            name = self.stem if self.is_whole else f"{self.stem}_x{x}_y{y}"
            times[name] += 1
            yield (name if times[name] == 1 else f"{name}_{times[name]}"), crop


OpenScene = Callable[[Path], AbstractContextManager[Scene]]
PlaceOn = Callable[[Scene], Placed]
"""Gives the nuclei and regions of a slide."""


def write_annotated(
    out: str | Path,
    pairs: Sequence[tuple[Path, Sequence[Path]]],
    open_scene: OpenScene,
    cutting: Cutting = Cutting(),
    on_sample: Callable[[Sample, dict[int, str]], None] | None = None,
) -> Outcome:
    """Cut labelled images out of slides and write them as a folder for training.

    Each region of interest becomes an image; without regions, a plain image is taken as a whole, and a slide
    is cropped to the box around all nuclei. If a region is not an upright rectangle, pixels outside it are
    painted white, since nuclei there have no labels. Images are named by their corner on level 0:
    ``SLIDE_x100_y200``.

    Slides that cannot be opened or do not fit their annotations are left out, and so are images that cannot
    be decoded; with a single slide, this is an error.

    Parameters
    ----------
    out : str or Path
        A folder that does not exist yet, or is empty.
    pairs : sequence of (Path, sequence of Path)
        Slides and their annotation files.
    open_scene : callable
        Opens a slide, such as `histoscope.slides.open_slide`.
    cutting : Cutting
    on_sample : callable, optional
        Called with each image, and the names of its classes, before it is written.

    Returns
    -------
    Outcome

    Raises
    ------
    DataError
        If `out` holds files, annotations cannot be read or do not fit their slide, or hold no nuclei.
    ConfigError
        If a slide does not give its resolution.
    """
    sources = [(path, partial(_read, path=path, files=files, cutting=cutting)) for path, files in pairs]
    return write_placed(out, sources, open_scene, cutting, on_sample)


def write_placed(
    out: str | Path,
    sources: Sequence[tuple[Path, PlaceOn]],
    open_scene: OpenScene,
    cutting: Cutting = Cutting(),
    on_sample: Callable[[Sample, dict[int, str]], None] | None = None,
    *,
    title: str = "Images cut out along annotations",
) -> Outcome:
    """Cut labelled images out of slides whose nuclei and regions are known; see `write_annotated`.

    Parameters
    ----------
    out : str or Path
    sources : sequence of (Path, callable)
        Slides, and for each a function that gives nuclei and regions once it is open.
    open_scene, cutting, on_sample
        As of `write_annotated`.
    title : str
        Of the datasheet.
    """
    require_new(Path(out))
    outcome = Outcome()
    plans = _plans(sources, open_scene, cutting, outcome)
    names = [name for plan in plans for name in plan.placed.class_names]
    if not names:
        regions = sum(len(plan.placed.regions) for plan in plans)
        raise DataError(
            f"{sources[0][0].name}: {count(regions, 'region')} of interest but no nuclei, expected "
            "outlines of nuclei (choose the objects with --objects and --roi-class)"
        )
    outcome.classes, numbers = numbered_classes(names, cutting.classes)
    records = [
        Record(name, cutting.patient or plan.patient, plan.stem, tags=_tags(plan, crop))
        for plan in plans
        for name, crop in plan.named()
    ]
    info = Datasheet(Path(out).name, title=title, classes=outcome.classes)

    def samples() -> Iterator[Sample]:
        for plan in plans:
            for sample in _cut(plan, open_scene, numbers, cutting.patient, outcome):
                if on_sample is not None:
                    on_sample(sample, outcome.classes)
                yield sample

    write_folder(out, samples(), info, records=records)
    outcome.counts = +outcome.counts
    return outcome


def _plans(
    sources: Sequence[tuple[Path, PlaceOn]], open_scene: OpenScene, cutting: Cutting, outcome: Outcome
) -> list[_Plan]:
    """What to cut out of each slide; raises the first error if no slide is usable."""
    plans, errors = [], []
    for path, place_on in sources:
        try:
            plans.append(_plan(path, place_on, open_scene, cutting, outcome.counts))
        except DataError as error:
            errors.append(error)
            outcome.failed.append((path.name, str(error)))
    if not plans and errors:
        raise errors[0]
    return plans


def _read(scene: Scene, *, path: Path, files: Sequence[Path], cutting: Cutting) -> Placed:
    """Nuclei and regions in annotation files."""
    return place(
        [each for file in files for each in read_annotations(file)],
        scene.size,
        (scene.bounds[0], scene.bounds[1]),
        where=f"{files[0]} on {path.name}",
        origin=cutting.origin,
        roi_class=cutting.roi_class,
        objects=cutting.objects,
    )


def _plan(
    path: Path, place_on: PlaceOn, open_scene: OpenScene, cutting: Cutting, counts: Counter[str]
) -> _Plan:
    """Choose the parts of a slide that become images."""
    with open_scene(path) as scene:
        placed = place_on(scene)
        sides = scene.known_mpp()
        is_square = abs(sides[0] - sides[1]) <= _SAME_MPP * min(sides)
        is_resampled = cutting.mpp is not None or not is_square
        mpp = cutting.mpp or (sum(sides) / 2 if is_square else min(sides))
        scale = scene.scale_at(mpp) if is_resampled else (1.0, 1.0)
        size = scene.size_at(mpp) if is_resampled else scene.size
        is_whole = scene.reader_name == "picture"
    counts.update(placed.counts)
    if not len(placed.nuclei) and not placed.regions:
        crops = []
    else:
        crops = crops_of(
            placed.nuclei, placed.regions, size, scale, tile_px=cutting.tile_px, is_whole=is_whole
        )
    return _Plan(path, placed, crops, scale, mpp, is_resampled, is_whole and not placed.regions)


def _tags(plan: _Plan, crop: Crop) -> dict[str, str]:
    x, y = plan.corner(crop)
    return {"x_px": str(x), "y_px": str(y), "region": crop.name}


def _cut(
    plan: _Plan, open_scene: OpenScene, numbers: dict[str, int], patient: str, outcome: Outcome
) -> Iterator[Sample]:
    """Images of a slide with their label maps."""
    import shapely

    nuclei, fates = plan.placed.nuclei, Fates(len(plan.placed.nuclei))
    class_id = np.array([numbers.get(class_key(name), 0) for name in plan.placed.class_names], np.uint8)
    tree = shapely.STRtree(nuclei)
    with open_scene(plan.path) as scene:
        for name, crop in plan.named():
            try:
                image = scene.read_at(crop.box, plan.mpp) if plan.is_resampled else scene.read(crop.box)
            except CorruptDataError as error:
                outcome.failed.append((name, str(error)))
                continue
            inside = np.sort(tree.query(on_level_0(crop.box, plan.scale), predicate="intersects"))
            image, labels, shown = labelled(image, crop, nuclei[inside], plan.scale, inside, fates)
            sample = Sample(
                image,
                plan.mpp,
                labels,
                np.append(0, class_id[shown]).astype(np.uint8) if numbers else None,
                name=name,
                source=plan.stem,
                patient=patient or plan.patient,
            )
            outcome.images += 1
            shift = misplaced(image, labels)
            if shift is not None:
                outcome.doubts.append((name, str(shift)))
            yield sample
    is_seen = fates.best == fates.SEEN
    outcome.nuclei += int(is_seen.sum())
    outcome.of_class.update(outcome.classes.get(k, "no class") for k in class_id[is_seen].tolist())
    outcome.counts.update(fates.counts())
    area_um2 = shapely.area(nuclei) / (plan.scale[0] * plan.scale[1]) * plan.mpp**2
    outcome.counts[_LARGE] += int((area_um2 > _LARGE_UM2).sum())
