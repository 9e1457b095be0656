"""Many images: what is still to do, one after the other, and a summary. One bad image stops no other."""

import errno
import os
from collections import Counter
from collections.abc import Callable, Collection, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import torch

from histoscope.errors import ConfigError, DatasetNotFoundError, HistoscopeError
from histoscope.files import IMAGE_SUFFIXES, read_image
from histoscope.images.resolution import check_mpp, mpp_of, why_unknown
from histoscope.slides.detector import Detector, known_mpp
from histoscope.slides.journal import Job, Journal
from histoscope.slides.result import OUTPUTS, columns, summarise, write
from histoscope.types import Image, Nuclei

FAILURES = (HistoscopeError, OSError, MemoryError, torch.OutOfMemoryError)
"""What may befall an image and leaves the others alone."""

OnImage: TypeAlias = Callable[[str], None]
"""Told the name of each image when it is done, skipped or has failed."""


@dataclass(slots=True)
class Outcome:
    """What became of the images.

    Parameters
    ----------
    done : list of dict
        A row of the summary for each image of this call, predicted now or before.
    skipped : int
        How many of them were there already.
    failed : list of dict
        ``path`` and ``error`` of each image that could not be predicted.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)


def plan(sources: Iterable[str | Path], out: Path) -> list[Job]:
    """List the images of files, folders (to the bottom) and globs, each with a name of its own.

    Names are paths below the folder or glob that was given. Where two are alike, they begin at the folder
    that all images have in common; images that differ in their suffix alone keep it.

    Raises
    ------
    DatasetNotFoundError
        If a source has no image.
    ConfigError
        If `out` is a file.
    """
    if out.is_file():
        raise ConfigError(f"{out} is a file, expected a folder for the results; give another OUT")
    found: dict[Path, Path] = {}
    for source in sources:
        root, images = _images(Path(source), out.resolve())
        if not images:
            kinds = ", ".join(sorted(IMAGE_SUFFIXES))
            raise DatasetNotFoundError(
                f"no image at {source}; give an image, a folder or a quoted glob ({kinds})"
            )
        for image in images:
            found.setdefault(image, image.relative_to(root))
    names = list(found.values())
    if len({name.with_suffix("") for name in names}) < len(names):
        common = Path(os.path.commonpath([image.resolve().parent for image in found]))
        names = [image.resolve().relative_to(common) for image in found]
    often = Counter(name.with_suffix("") for name in names)
    short = [name if often[name.with_suffix("")] > 1 else name.with_suffix("") for name in names]
    return [Job(image, name.as_posix()) for image, name in zip(found, short, strict=True)]


def run(
    detector: Detector,
    jobs: list[Job],
    out: Path,
    *,
    mpp: float | None = None,
    kinds: Collection[str] = tuple(OUTPUTS),
    overwrite: bool = False,
    on_image: OnImage | None = None,
) -> Outcome:
    """Predict all images that are not finished in `out`, and write the summary of all that are.

    An image is finished when its line stands in the journal, which is written after its files. The next image
    is read and the last one written while the network looks at one.

    Raises
    ------
    ConfigError
        If images do not say their resolution and `mpp` is not given, or `out` holds results of another model,
        of other settings, or of other images of the same names.
    """
    require_mpp(jobs, mpp)
    settings = {"model": detector.fingerprint, "turned": detector.turned, "mpp": mpp}
    journal = Journal.open(out, settings, overwrite=overwrite)
    journal.check(jobs)
    outcome, todo = Outcome(), []
    for job in jobs:
        if journal.is_finished(job, [OUTPUTS[kind] for kind in kinds]):
            outcome.done.append(journal.row(job))
            outcome.skipped += 1
            if on_image is not None:
                on_image(job.name)
        else:
            todo.append(job)

    def save(job: Job, image: Image, nuclei: Nuclei) -> None:
        write(out / job.name, image, nuclei, detector.classes, kinds)
        journal.add(job, summarise(image, nuclei, detector.classes))

    try:
        with closing(_predicted(detector, todo, mpp, save)) as images:
            for job, error in images:
                if error is None:
                    outcome.done.append(journal.row(job))
                else:
                    outcome.failed.append({"path": str(job.image), "error": error})
                if on_image is not None:
                    on_image(job.name)
    finally:
        journal.write_summary(columns(detector.classes))
    return outcome


def require_mpp(jobs: list[Job], mpp: float | None) -> None:
    """Raise, before anything is predicted, if the resolution of an image is not known."""
    if mpp is not None:
        check_mpp(mpp, "--mpp")
        return
    unknown = [job for job in jobs if not _says_mpp(job.image)]
    if unknown:
        more = f" (and {len(unknown) - 1} of {len(jobs)} more images)" if len(unknown) > 1 else ""
        raise ConfigError(
            f"{unknown[0].image}{more} {why_unknown(unknown[0].image)}; give its micrometres per pixel with "
            "--mpp: mostly 0.25 for a 40x scan, 0.5 for 20x"
        )


def _says_mpp(path: Path) -> bool:
    try:
        return mpp_of(path) is not None
    except HistoscopeError:
        return True  # a broken file is told when its turn comes


def _predicted(
    detector: Detector, jobs: list[Job], mpp: float | None, save: Callable[[Job, Image, Nuclei], None]
) -> Generator[tuple[Job, str | None], None, None]:
    """Give each image when it is saved, or with what went wrong; what is being saved at a stop is saved."""
    # Leaving the block waits for what is being read and written, also after Ctrl-C.
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        ahead = [reader.submit(read_image, job.image) for job in jobs[:1]]
        behind: list[tuple[Job, Future[None]]] = []
        for k, job in enumerate(jobs):
            reading = ahead.pop()
            ahead += [reader.submit(read_image, following.image) for following in jobs[k + 1 : k + 2]]
            try:
                image = reading.result()
                nuclei = detector(image, known_mpp(job.image, mpp))
            except FAILURES as error:
                yield job, told(job, error)
                continue
            if behind:
                yield _written(*behind.pop())
            behind.append((job, writer.submit(save, job, image, nuclei)))
        if behind:
            yield _written(*behind.pop())


def _written(job: Job, saving: "Future[None]") -> tuple[Job, str | None]:
    try:
        saving.result()
    except FAILURES as error:
        return job, told(job, error)
    return job, None


def told(job: Job, error: BaseException) -> str:
    """What to say of an image that failed; a full disk ends everything."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        raise error
    if isinstance(error, HistoscopeError):
        return str(error)
    if isinstance(error, OSError):
        return f"{job.image}: {error.strerror or error}"
    return f"{job.image}: out of memory; cut the image into tiles"


def _images(source: Path, out: Path) -> tuple[Path, list[Path]]:
    """Images of a file, folder or glob, and the folder that their names start from."""
    if source.is_file():
        return source.parent, [source]
    if source.is_dir():
        root, found = source, source.rglob("*")
    else:
        parts = source.parts
        fixed = next((k for k, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
        if fixed == len(parts):
            return source, []
        root = Path(*parts[:fixed])
        found = root.glob(str(Path(*parts[fixed:])))
    images = (one for one in found if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file())
    shown = sorted(one for one in images if not one.name.startswith("."))
    # What an earlier call wrote is no input.
    return root, [one for one in shown if out == source.resolve() or out not in one.resolve().parents]
