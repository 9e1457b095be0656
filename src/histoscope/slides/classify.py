"""Many images through a classifier: a row for each patch, a map for each large image.

Resume, names and failures are as in `histoscope.slides.batch`.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from histoscope.errors import HistoscopeError
from histoscope.files import read_image, whole
from histoscope.images.reading import size_of
from histoscope.slides.batch import FAILURES, OnImage, Outcome, require_mpp, told
from histoscope.slides.detector import known_mpp
from histoscope.slides.geojson import write_tiles
from histoscope.slides.heatmap import draw_heatmap
from histoscope.slides.journal import Job, Journal
from histoscope.slides.patch_classifier import PatchClassifier
from histoscope.slides.result import ending, write_png
from histoscope.slides.tilemap import LEAST_TISSUE, OnTiles, TileMap, classify_tiles
from histoscope.types import Image, Record, Sample

OUTPUTS = {"heatmap": ("_heatmap.png",), "geojson": (".geojson",), "csv": ("_tiles.csv",)}
"""Kind of output of a large image -> how its file's name ends."""
PREDICTIONS = "predictions.csv"
Shown: TypeAlias = Literal["auto", "patch", "tiles"]
"""Whether an image is one patch, is cut into tiles, or that depends on its size."""

_TILED_FROM = 2.0  # patches along the longer side


@dataclass(frozen=True, slots=True)
class Settings:
    """How images are classified.

    Parameters
    ----------
    mpp : float, optional
        Micrometres per pixel of all images; without it each file must say its own.
    shown : {"auto", "patch", "tiles"}
        ``auto`` cuts images that are at least two patches long.
    least_tissue : float in [0, 1]
        Share of a tile that must be tissue.
    kinds : collection of str
        Keys of `OUTPUTS`.
    """

    mpp: float | None = None
    shown: Shown = "auto"
    least_tissue: float = LEAST_TISSUE
    kinds: Collection[str] = tuple(OUTPUTS)


def run(
    classifier: PatchClassifier,
    jobs: list[Job],
    out: Path,
    settings: Settings | None = None,
    *,
    overwrite: bool = False,
    on_image: OnImage | None = None,
    on_tiles: OnTiles | None = None,
) -> Outcome:
    """Classify all images that are not finished in `out`; write what was found in all that are.

    ``predictions.csv`` has a row for each patch, ``summary.csv`` one for each large image.

    Parameters
    ----------
    classifier : PatchClassifier
    jobs : list of Job
        From `histoscope.slides.batch.plan`.
    out : Path
    settings : Settings, optional
    overwrite : bool
        Begin anew.
    on_image : callable, optional
        Told the name of each image when it is done, skipped or has failed.
    on_tiles : callable, optional
        Told how many tiles of a large image are done, of how many.

    Raises
    ------
    ConfigError
        As `histoscope.slides.batch.run`.
    """
    chosen = settings or Settings()
    require_mpp(jobs, chosen.mpp)
    about = {"model": classifier.fingerprint, "turned": classifier.turned, "mpp": chosen.mpp}
    about |= {"as": chosen.shown, "least_tissue": chosen.least_tissue}
    journal = Journal.open(out, about, overwrite=overwrite)
    journal.check(jobs)
    outcome = Outcome()
    patches: list[Job] = []
    large: list[Job] = []

    def done(job: Job, error: str | None = None) -> None:
        if error is None:
            outcome.done.append(journal.row(job))
        else:
            outcome.failed.append({"path": str(job.image), "error": error})
        if on_image is not None:
            on_image(job.name)

    for job in jobs:
        tiled = "tiles" in journal.lines[job.name]["row"] if job.name in journal.lines else None
        if tiled is None:
            tiled = _is_large(job, classifier, chosen)
        if journal.is_finished(job, [OUTPUTS[kind] for kind in chosen.kinds] if tiled else []):
            outcome.skipped += 1
            done(job)
        else:
            (large if tiled else patches).append(job)
    try:
        _classify_patches(classifier, patches, chosen, journal, done)
        for job in large:
            done(job, _classify_large(classifier, job, chosen, journal, on_tiles))
    finally:
        columns = patch_columns(classifier.classes)
        journal.write_summary(columns, path=PREDICTIONS, key="name", always=not journal.lines)
        journal.write_summary(tile_columns(classifier.classes), always=False)
    return outcome


def patch_columns(classes: Sequence[str]) -> list[str]:
    """Columns of the predictions behind the patch's name."""
    return ["predicted", *(f"p_{name}" for name in classes)]


def tile_columns(classes: Sequence[str]) -> list[str]:
    """Columns of the summary of large images behind the image's name."""
    first = ["tiles", "empty_tiles", "width_px", "height_px", "mpp", "tissue_mm2"]
    return [*first, *(f"tiles_{name}" for name in classes), *(f"share_{name}" for name in classes)]


def summarise(tiles: TileMap, classes: Sequence[str]) -> dict[str, Any]:
    """Tiles and shares of the tissue, by class, of a large image."""
    n_classes = len(classes)
    counts = np.bincount(tiles.predicted, minlength=n_classes).tolist()
    area = np.bincount(tiles.predicted, tiles.tissue_mm2, minlength=n_classes)
    total = float(area.sum())
    shares = [round(float(part) / total, 4) if total else None for part in area]
    height, width = tiles.shape
    values = [len(tiles), tiles.n_empty, width, height, tiles.mpp, round(total, 6), *counts, *shares]
    return dict(zip(tile_columns(classes), values, strict=True))


def write_map(
    stem: Path, image: Image, tiles: TileMap, classes: Sequence[str], kinds: Collection[str] = tuple(OUTPUTS)
) -> None:
    """Write the files of one large image, each whole or not at all.

    Parameters
    ----------
    stem : Path
        Folder and name that the files' names begin with.
    image : (H, W, 3) uint8
    tiles : TileMap
    classes : sequence of str
    kinds : collection of str
        Keys of `OUTPUTS`.
    """
    if "heatmap" in kinds:
        write_png(ending(stem, "_heatmap.png"), draw_heatmap(image, tiles, classes))
    if "geojson" in kinds:
        write_tiles(ending(stem, ".geojson"), tiles, classes, name=stem.name)
    if "csv" in kinds:
        with whole(ending(stem, "_tiles.csv")) as temporary:
            tiles.table(classes).to_csv(temporary, index=False, float_format="%.5g")


def _classify_patches(
    classifier: PatchClassifier,
    jobs: list[Job],
    settings: Settings,
    journal: Journal,
    done: Callable[[Job, str | None], None],
) -> None:
    by_name = {job.name: job for job in jobs}
    patches = _Patches(jobs, settings.mpp, classifier)
    columns = patch_columns(classifier.classes)
    for seen in classifier.through(patches, on_skip=lambda name, why: done(by_name[name], why)):
        for index, row in zip(seen.indices, seen.values, strict=True):
            values = [classifier.classes[int(row.argmax())], *(float(f"{value:.6g}") for value in row)]
            journal.add(jobs[index], dict(zip(columns, values, strict=True)))
            done(jobs[index], None)


def _classify_large(
    classifier: PatchClassifier, job: Job, settings: Settings, journal: Journal, on_tiles: OnTiles | None
) -> str | None:
    """Classify and write one large image; what went wrong, if something did."""
    try:
        image = read_image(job.image)
        mpp = known_mpp(job.image, settings.mpp)
        tiles = classify_tiles(image, classifier, mpp, least_tissue=settings.least_tissue, on_tiles=on_tiles)
        write_map(journal.out / job.name, image, tiles, classifier.classes, settings.kinds)
        journal.add(job, summarise(tiles, classifier.classes))
    except FAILURES as error:
        return told(job, error)
    return None


def _is_large(job: Job, classifier: PatchClassifier, settings: Settings) -> bool:
    if settings.shown != "auto":
        return settings.shown == "tiles"
    try:
        longer_um = max(size_of(job.image)) * known_mpp(job.image, settings.mpp)
    except HistoscopeError:
        return False  # a broken file is told when its turn comes
    return longer_um >= _TILED_FROM * classifier.side_um


@dataclass(frozen=True, slots=True)
class _Patches(Sequence[Sample]):
    """Images that are read when they are asked for."""

    jobs: list[Job]
    mpp: float | None
    classifier: PatchClassifier

    @property
    def records(self) -> list[Record]:
        return [Record(job.name) for job in self.jobs]

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: Any) -> Any:
        job = self.jobs[index]
        image = self.classifier.normalised(read_image(job.image))
        return Sample(image, known_mpp(job.image, self.mpp), name=job.name)
