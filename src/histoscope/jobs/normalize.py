"""Stain normalisation of many image files."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any, TypeAlias

from histoscope import __version__
from histoscope.errors import ConfigError, DatasetNotFoundError, HistoscopeError, StainError
from histoscope.files import IMAGE_SUFFIXES, read_image, whole, write_image
from histoscope.images.finding import Skipped, find_images, lines_of
from histoscope.images.reading import profile_of, size_of, turned_upright
from histoscope.images.resolution import mpp_of
from histoscope.jobs.failures import message_of
from histoscope.jobs.journal import Job, Journal
from histoscope.jobs.ownership import digest_of
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.stain.tissue import PEN
from histoscope.threads import in_order

JOURNAL = "normalized.jsonl"
IMAGES_PER_FOLDER = 32
LARGE_PX = 50_000_000
"""Larger images are normalised one at a time, to save memory."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Images to normalise, and their output files.

    Parameters
    ----------
    out : Path
        Output folder.
    jobs : list of Job
        Images and the names of their files below `out`.
    skipped : list of Skipped
        Files that are left out, and why.
    is_file : bool
        Whether a single image is written to a given file, not to a folder of results.
    """

    out: Path
    jobs: list[Job]
    skipped: list[Skipped] = field(default_factory=list)
    is_file: bool = False


@dataclass(slots=True)
class Outcome:
    """Results of a batch.

    Parameters
    ----------
    normalized, skipped : int
        Number of images done now; already done.
    unchanged : list of str
        Images with too little tissue to estimate stains from, copied unchanged.
    turned : list of str
        Images that were rotated as their orientation asks.
    notes : dict of str to list of str
        Limitations of estimates, in words, each with the images or folders that it applies to.
    failed : list of dict
        ``path`` and ``error`` of each image that could not be done.
    """

    normalized: int = 0
    skipped: int = 0
    unchanged: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    failed: list[dict[str, str]] = field(default_factory=list)


OnImage: TypeAlias = Callable[[int, int], None]
"""Called with (images done, images to do)."""


def plan(source: str | Path, out: Path) -> Plan:
    """Find the images, and name their output files.

    Names are those of the images, with their sub-folders. For formats that cannot be written (SVS, NDPI,
    WebP, ...), ``.tif`` is added. Files in `out` do not count as images if `out` is inside the searched
    folder.

    Raises
    ------
    DatasetNotFoundError
        If nothing is found.
    ConfigError
        If a result would overwrite an image or another result, or `out` is a file.
    """
    path = Path(source)
    if path.is_file() and out.suffix.lower() in IMAGE_SUFFIXES and not out.is_dir():
        made = Plan(out.parent, [Job(path, out.name)], is_file=True)
    else:
        if out.is_file():
            raise ConfigError(f"{out} is a file, expected a folder for the results; give another OUT")
        found = find_images(path)
        folder, root = out.resolve(), found.root.resolve()
        inside = [
            image for image in found.images if root in folder.parents and folder in image.resolve().parents
        ]
        left_out = [
            *found.skipped,
            *(Skipped(image, "is in the folder for the results") for image in inside),
        ]
        images = [image for image in found.images if image not in set(inside)]
        if not images:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            why = "".join(f"; {line}" for line in lines_of(left_out))
            raise DatasetNotFoundError(
                f"no image at {source}; give an image, a folder or a quoted glob ({kinds}){why}"
            )
        made = Plan(out, [Job(image, _name(image.relative_to(found.root))) for image in images], left_out)
    _check(made)
    return made


def run(
    target: BaseNormalizer[Any],
    planned: Plan,
    *,
    by_folder: bool = False,
    overwrite: bool = False,
    workers: int = 0,
    on_image: OnImage | None = None,
) -> Outcome:
    """Normalise all unfinished images, in several threads.

    An image is done if the journal of the folder says so, for this reference and the present content of the
    image. Files that are not ours are never overwritten. With `by_folder`, the images of a folder share one
    estimate of the stains (one folder per slide).

    Raises
    ------
    ConfigError
        If the folder holds results with another reference, files that are not ours, or is being written to.
    """
    settings = {"histoscope": __version__, "reference": fingerprint(target), "by_folder": by_folder}
    with _journal(planned, settings, overwrite=overwrite) as journal:
        groups = _groups(planned.jobs) if by_folder else {}
        finished: set[str] = set()
        if journal is not None:
            known = journal.finished(planned.jobs, lambda _: [("",)])
            finished = {
                job.name
                for job in planned.jobs
                if job.name in known and journal.row(job)["group"] == groups.get(job.image, "")
            }
            journal.require([job.name for job in planned.jobs if job.name not in finished])
        todo = [job for job in planned.jobs if job.name not in finished]
        work = _Work(target, planned.out, journal, groups, Outcome(skipped=len(finished)))
        work.all(todo, planned.jobs if by_folder else None, workers or os.cpu_count() or 1, on_image)
    return work.outcome


def fingerprint(target: BaseNormalizer[Any]) -> str:
    """Digest of a normaliser's parameters, 16 digits."""
    text = json.dumps([target.name, target.values()], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class _Work:
    target: BaseNormalizer[Any]
    out: Path
    journal: Journal | None
    groups: dict[Path, str]
    outcome: Outcome
    large: Lock = field(default_factory=Lock)

    def all(
        self, todo: list[Job], of_folders: list[Job] | None, workers: int, on_image: OnImage | None
    ) -> None:
        """Normalise all images."""
        pairs = self._with_sources(todo, of_folders)
        with closing(in_order(self.one, pairs, workers=workers, ahead=2 * workers)) as results:
            for n_done, result in enumerate(results, start=1):
                self.count(*result)
                if on_image is not None:
                    on_image(n_done, len(todo))

    def one(self, pair: tuple[Job, Any]) -> tuple[Job, str, str, Sequence[str]]:
        """Normalise one image: the outcome, the error if it failed, and notes on the stain estimate."""
        job, source = pair
        try:
            rows, columns = size_of(job.image)
            with self.large if rows * columns > LARGE_PX else nullcontext():
                return job, *self._made(job, source)
        except Exception as error:  # noqa: BLE001  (no image may end the others)
            return job, "failed", message_of(job, error), ()

    def count(self, job: Job, what: str, error: str, notes: Sequence[str]) -> None:
        """Count the outcome of one image."""
        self.note(job.image, notes)
        if what == "failed":
            self.outcome.failed.append({"path": str(job.image), "error": error})
            return
        if what == "unchanged":
            self.outcome.unchanged.append(str(job.image))
        else:
            self.outcome.normalized += 1
        self.outcome.turned += map(str, turned_upright([job.image]))

    def note(self, path: Path, notes: Sequence[str]) -> None:
        """Add notes on the stain estimate of an image or folder."""
        for each in notes:
            self.outcome.notes.setdefault(each, []).append(str(path))

    def _made(self, job: Job, source: Any) -> tuple[str, str, Sequence[str]]:
        digest, path = digest_of(job.image), self.out / job.name
        image = read_image(job.image)
        about: dict[str, Any] = {"mpp": mpp_of(job.image), "icc": profile_of(job.image)}
        what = "normalized"
        notes: Sequence[str] = ()
        try:
            stains: Any = self.target.measure(image) if source is None else source
            notes = stains.notes if source is None else ()
        except StainError as error:
            stains, what = None, "unchanged"
            notes = ("pen marks and no tissue (copied unchanged)",) if PEN in str(error) else ()
        with nullcontext() if self.journal is None else self.journal.writing([job.name]):
            if stains is not None:
                write_image(path, self.target(image, source=stains), **about)
            elif path.suffix == job.image.suffix:
                with whole(path) as temporary:
                    shutil.copyfile(job.image, temporary)
            else:
                write_image(path, image, **about)
        if self.journal is not None:
            row = {"what": what, "group": self.groups.get(job.image, "")}
            self.journal.add(job, row, digest=digest, files=[job.name])
        return what, "", notes

    def _with_sources(self, todo: list[Job], of_folders: list[Job] | None) -> Iterator[tuple[Job, Any]]:
        """Yield each image with the stain estimate of its folder, if folders share one."""
        if of_folders is None:
            yield from ((job, None) for job in todo)
            return
        for folder in dict.fromkeys(job.image.parent for job in todo):
            source = self._of_folder(folder, [job.image for job in of_folders if job.image.parent == folder])
            yield from ((job, source) for job in todo if job.image.parent == folder)

    def _of_folder(self, folder: Path, images: list[Path]) -> Any:
        pixels = []
        for path in _chosen(images):
            try:
                pixels.append(read_image(path))
            except HistoscopeError:
                continue  # reported when its own turn comes
        try:
            found = self.target.measure(pixels) if pixels else None
        except StainError:
            return None
        self.note(folder, found.notes if found is not None else ())
        return found


def _name(path: Path) -> str:
    """Output name of an image."""
    is_written = path.suffix.lower() in IMAGE_SUFFIXES
    return path.as_posix() if is_written else f"{path.as_posix()}.tif"


def _check(planned: Plan) -> None:
    """Refuse output files that would overwrite an image or each other."""
    taken = {job.image.resolve() for job in planned.jobs}
    names: dict[str, Path] = {}
    for job in planned.jobs:
        path = planned.out / job.name
        if path.resolve() in taken:
            raise ConfigError(f"{path} is an input: originals are never overwritten; give another OUT")
        if job.name in names:
            raise ConfigError(
                f"{names[job.name]} and {job.image} would both be written to {path}; rename one of them"
            )
        names[job.name] = job.image


@contextmanager
def _journal(planned: Plan, settings: dict[str, Any], *, overwrite: bool) -> Iterator[Journal | None]:
    """Open the journal of the output folder; a single output file has none."""
    if not planned.is_file:
        with Journal.open(planned.out, settings, overwrite=overwrite, name=JOURNAL) as journal:
            yield journal
        return
    path = planned.out / planned.jobs[0].name
    if os.path.lexists(path) and not overwrite:
        raise ConfigError(f"{path} exists; --overwrite replaces it")
    yield None


def _groups(jobs: Sequence[Job]) -> dict[Path, str]:
    """Digest, for each image, of the images that its folder's stain estimate is made from."""
    groups: dict[Path, str] = {}
    for folder in dict.fromkeys(job.image.parent for job in jobs):
        siblings = [job.image for job in jobs if job.image.parent == folder]
        text = "".join(digest_of(path) for path in _chosen(siblings))
        groups |= dict.fromkeys(siblings, hashlib.blake2b(text.encode(), digest_size=8).hexdigest())
    return groups


def _chosen(images: list[Path]) -> list[Path]:
    """At most `IMAGES_PER_FOLDER` images, evenly spaced."""
    return images[:: -(-len(images) // IMAGES_PER_FOLDER)]
