"""Batch classification: a row for each patch, a heat map for each large image.

Resuming, names and failures work as in `histoscope.predict.batch`.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

from histoscope import __version__
from histoscope.errors import DataError, HistoscopeError
from histoscope.export.geojson import write_tiles
from histoscope.export.heatmap import draw_heatmap
from histoscope.export.result import TILE_OUTPUTS, ending, write_png
from histoscope.export.tilemap import TileMap
from histoscope.files import read_image
from histoscope.images.reading import size_of
from histoscope.jobs.failures import message_of
from histoscope.jobs.journal import Job, Journal
from histoscope.jobs.naming import PREDICTIONS, SUMMARY, files_of
from histoscope.jobs.ownership import digest_of
from histoscope.predict.batch import OnBegin, OnImage, Outcome, refuse_slides, require_mpp
from histoscope.predict.detector import known_mpp
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.predict.tilemap import LEAST_TISSUE, OnTiles, classify_tiles
from histoscope.tables import write_table
from histoscope.types import Image, Record, Sample

OUTPUTS = TILE_OUTPUTS
Shown: TypeAlias = Literal["auto", "patch", "tiles"]
"""How an image is classified: as one patch, in tiles, or by its size."""

_TILED_FROM = 2.0  # patches along the longer side


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of batch classification.

    Parameters
    ----------
    mpp : float, optional
        Micrometres per pixel of all images; by default that of each file.
    shown : {"auto", "patch", "tiles"}
        ``auto`` tiles images that are at least two patches long.
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
    on_begin: OnBegin | None = None,
    on_image: OnImage | None = None,
    on_tiles: OnTiles | None = None,
) -> Outcome:
    """Classify all images that are not finished in `out`, and write tables of all finished ones.

    ``predictions.csv`` has a row for each patch, ``summary.csv`` one for each large image.

    Parameters
    ----------
    classifier : PatchClassifier
    jobs : list of Job
        From `histoscope.predict.batch.plan`.
    out : Path
    settings : Settings, optional
    overwrite : bool
        Discard earlier results.
    on_begin : callable, optional
        Called with the number of unfinished images.
    on_image : callable, optional
        Called with the name of each image when it is done or has failed.
    on_tiles : callable, optional
        Called with the number of finished tiles of a large image, and of all its tiles.

    Raises
    ------
    ConfigError
        As for `histoscope.predict.batch.run`.
    """
    chosen = settings or Settings()
    refuse_slides(out)
    require_mpp(jobs, chosen.mpp)
    about = {"histoscope": __version__, "model": classifier.fingerprint, "tta": classifier.tta}
    about |= {"mpp": chosen.mpp, "as": chosen.shown, "least_tissue": chosen.least_tissue}
    is_large = {job.name: _is_large(job, classifier, chosen) for job in jobs}
    ends = [OUTPUTS[kind] for kind in chosen.kinds]
    outcome = Outcome()

    def tell(job: Job, error: str | None) -> None:
        outcome.take(job, error, journal, on_image)

    with Journal.open(out, about, overwrite=overwrite) as journal:
        finished = journal.finished(jobs, lambda job: ends if is_large[job.name] else [])
        todo = [job for job in jobs if job.name not in finished]
        large = [job for job in todo if is_large[job.name]]
        maps = chain.from_iterable(_files(job, chosen) for job in large)
        journal.require([PREDICTIONS, SUMMARY, *maps])
        outcome.begin(jobs, finished, journal, on_begin)
        try:
            patches = [job for job in todo if not is_large[job.name]]
            _classify_patches(classifier, patches, chosen, journal, tell)
            for job in large:
                tell(job, _classify_large(classifier, job, chosen, journal, on_tiles))
        finally:
            columns, always = patch_columns(classifier.classes), len(journal) == 0
            shown = patch_names(journal.names_with("predicted"))
            journal.write_summary(columns, path=PREDICTIONS, key="name", shown=shown, always=always)
            journal.write_summary(tile_columns(classifier.classes), always=False)
    outcome.done = [row | {"image": shown.get(row["image"], row["image"])} for row in outcome.done]
    return outcome


def patch_names(names: Sequence[str]) -> dict[str, str]:
    """Name each patch as data sets do, unless two names would be the same.

    Examples
    --------
    >>> patch_names(["aca/1", "aca/n/2", "aca/n__2"])
    {'aca/1': 'aca__1', 'aca/n/2': 'aca/n/2', 'aca/n__2': 'aca/n__2'}
    """
    flat = {name: name.replace("/", "__") for name in names}
    often = Counter(flat.values())
    return {name: short if often[short] == 1 else name for name, short in flat.items()}


def patch_columns(classes: Sequence[str]) -> list[str]:
    """Columns of the predictions after the patch's name."""
    return ["predicted", *(f"p_{name}" for name in classes)]


def tile_columns(classes: Sequence[str]) -> list[str]:
    """Columns of the summary of large images after the image's name."""
    first = ["tiles", "empty_tiles", "width_px", "height_px", "mpp", "tissue_mm2"]
    return [*first, *(f"tiles_{name}" for name in classes), *(f"share_{name}" for name in classes)]


def summarise(tiles: TileMap, classes: Sequence[str]) -> dict[str, Any]:
    """Number of tiles and share of the tissue of a large image, by class."""
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
    """Write the files of one large image, each completely or not at all.

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
        write_table(ending(stem, "_tiles.csv"), tiles.table(classes), float_format="%.5g")


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
            found = dict(zip(columns, values, strict=True))
            journal.add(jobs[index], found, digest=patches.digests[index], files=())
            done(jobs[index], None)


def _classify_large(
    classifier: PatchClassifier, job: Job, settings: Settings, journal: Journal, on_tiles: OnTiles | None
) -> str | None:
    """Classify and write one large image; returns the error, if any."""
    try:
        digest, image = digest_of(job.image), read_image(job.image)
        mpp = known_mpp(job.image, settings.mpp)
        tiles = classify_tiles(image, classifier, mpp, least_tissue=settings.least_tissue, on_tiles=on_tiles)
        files = _files(job, settings)
        with journal.writing(files):
            write_map(journal.out / job.name, image, tiles, classifier.classes, settings.kinds)
        journal.add(job, summarise(tiles, classifier.classes), digest=digest, files=files)
    except Exception as error:  # noqa: BLE001  (no image may end the batch)
        return message_of(job, error)
    return None


def _files(job: Job, settings: Settings) -> list[str]:
    return files_of(job.name, chain.from_iterable(OUTPUTS[kind] for kind in settings.kinds))


def _is_large(job: Job, classifier: PatchClassifier, settings: Settings) -> bool:
    if settings.shown != "auto":
        return settings.shown == "tiles"
    try:
        longer_um = max(size_of(job.image)) * known_mpp(job.image, settings.mpp)
    except HistoscopeError:
        return False  # reported when it is read
    return longer_um >= _TILED_FROM * classifier.side_um


@dataclass(frozen=True, slots=True)
class _Patches(Sequence[Sample]):
    """Images, read on access."""

    jobs: list[Job]
    mpp: float | None
    classifier: PatchClassifier
    digests: dict[int, str] = field(default_factory=dict)

    @property
    def records(self) -> list[Record]:
        return [Record(job.name) for job in self.jobs]

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, index: Any) -> Any:
        job = self.jobs[index]
        try:
            self.digests[index] = digest_of(job.image)
            image = self.classifier.normalised(read_image(job.image))
            return Sample(image, known_mpp(job.image, self.mpp), name=job.name)
        except Exception as error:
            raise DataError(message_of(job, error)) from error
