"""Batch prediction of nuclei: resumable, with a journal and a summary; one bad image does not stop it."""

import os
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePath
from typing import Any, TypeAlias

from histoscope import __version__
from histoscope.errors import ConfigError, DatasetNotFoundError, HistoscopeError
from histoscope.export.result import OUTPUTS, columns, summarise, write
from histoscope.files import IMAGE_SUFFIXES, read_image
from histoscope.images.finding import Skipped, find_images, lines_of
from histoscope.images.kinds import SLIDE_SUFFIXES
from histoscope.images.resolution import check_mpp, mpp_of, why_unknown
from histoscope.jobs.failures import message_of
from histoscope.jobs.journal import Job, Journal
from histoscope.jobs.lines import Results
from histoscope.jobs.naming import SUMMARY, files_of, unique_names
from histoscope.jobs.ownership import digest_of
from histoscope.memory import is_out_of_memory
from histoscope.places import is_remote, place
from histoscope.predict.detector import Detector, known_mpp
from histoscope.predict.slides.planning import names_in_plan
from histoscope.predict.unlike import UNLIKE, tell_unlike
from histoscope.tables import read_table
from histoscope.types import Image, Nuclei

OnBegin: TypeAlias = Callable[[int], None]
"""Called with the number of unfinished images."""
OnImage: TypeAlias = Callable[[str], None]
"""Called with the name of each image when it is done or has failed."""


@dataclass(slots=True)
class Outcome:
    """Result of a batch.

    Parameters
    ----------
    done : list of dict
        The summary row of each image of this call, predicted now or earlier.
    skipped : int
        How many of them were already done.
    failed : list of dict
        ``path`` and ``error`` of each image that could not be predicted.
    failed_before : int
        How many failed in an earlier call and were not tried again.
    """

    done: list[dict[str, Any]] = field(default_factory=list)
    skipped: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)
    failed_before: int = 0

    def begin(
        self, jobs: Sequence[Job], finished: Collection[str], journal: Journal, on_begin: OnBegin | None
    ) -> None:
        """Record the images that are already finished."""
        self.done += [journal.row(job) for job in jobs if job.name in finished]
        self.skipped = len(self.done)
        if on_begin is not None:
            on_begin(len(jobs) - self.skipped)

    def take(self, job: Job, error: str | None, journal: Journal, on_image: OnImage | None) -> None:
        """Record the result of one image."""
        if error is None:
            self.done.append(journal.row(job))
        else:
            self.failed.append({"path": str(job.image), "error": error})
        if on_image is not None:
            on_image(job.name)


def plan(
    sources: Iterable[str | Path],
    out: Path,
    *,
    slides: bool = False,
    on_skip: Callable[[Skipped], None] | None = None,
) -> list[Job]:
    """List the images of files, folders (recursively) and globs, each once, with a unique name.

    Names are paths below the given folder or glob. If two are equal, they start at the folder that all images
    have in common; see `histoscope.jobs.naming` for further rules. An image with results in `out` keeps its
    name. Results of an earlier run do not count as images, wherever they are.

    Parameters
    ----------
    sources : iterable of str or Path
    out : Path
        Folder of the results.
    slides : bool
        Whether files that only slide readers can open count as images.
    on_skip : callable, optional
        Called with each file that is left out, and why.

    Raises
    ------
    DatasetNotFoundError
        If a source has no image.
    ConfigError
        If `out` is a file.
    """
    if out.is_file():
        raise ConfigError(f"{out} is a file, expected a folder for the results; give another OUT")
    images: dict[Path, tuple[Path, PurePath]] = {}
    results = Results()
    for source in sources:
        found = find_images(source, slides=slides)
        local = [image for image in found.images if not is_remote(image)]
        reasons = {image: _why_ours(image, found.root, results, out) for image in local}
        ours = [Skipped(image, reason) for image, reason in reasons.items() if reason]
        left_out = {one.path for one in ours}
        if on_skip is not None:
            for one in [*found.skipped, *ours]:
                on_skip(one)
        taken = [image for image in found.images if image not in left_out]
        if not taken and not (ours and place(source).is_file()):  # shell globs match our files, too
            raise DatasetNotFoundError(_nothing(source, [*found.skipped, *ours], slides=slides))
        for image in taken:
            images.setdefault(image.resolve(), (image, image.relative_to(found.root)))
    if not images:
        raise DatasetNotFoundError("all the images given are results of an earlier run; give others")
    places = [image for image, _ in images.values()]
    paths = [path for _, path in images.values()]
    if len({path.with_suffix("") for path in paths}) < len(paths):
        absolute = [Path.cwd() / place for place in places]  # links are not followed here
        common = os.path.commonpath([place.parent for place in absolute])
        paths = [place.relative_to(common) for place in absolute]
    known = results.names(out) | names_in_plan(out)
    kept = {k: known[key] for k, key in enumerate(map(str, images)) if key in known}
    return [Job(place, name) for place, name in zip(places, unique_names(paths, kept), strict=True)]


def _why_ours(image: Path, root: Path, results: Results, out: Path) -> str:
    """Why an image is one of our results; "" if it is not."""
    if image in results:
        return "is a result of an earlier run"
    folder = out.resolve()
    is_below = root.resolve() in folder.parents and folder in image.resolve().parents
    return "is in the folder for the results" if is_below else ""


def _nothing(source: str | Path, skipped: Sequence[Skipped], *, slides: bool) -> str:
    kinds = ", ".join(sorted({*IMAGE_SUFFIXES, *(SLIDE_SUFFIXES if slides else ())}))
    why = "".join(f"; {line}" for line in lines_of(skipped))
    what = "image or slide" if slides else "image"
    return f"no {what} at {source}; give an {what}, a folder or a quoted glob ({kinds}){why}"


def refuse_slides(out: Path) -> None:
    """Refuse a folder for image results that holds results of slides: each has its own summary.

    Raises
    ------
    ConfigError
    """
    path = out / SUMMARY
    if path.is_file() and list(read_table(path))[:2] == ["image", "slide"]:
        raise ConfigError(f"{out} holds results of slides; give images another OUT")


def run(
    detector: Detector,
    jobs: list[Job],
    out: Path,
    *,
    mpp: float | None = None,
    kinds: Collection[str] = tuple(OUTPUTS),
    overwrite: bool = False,
    on_begin: OnBegin | None = None,
    on_image: OnImage | None = None,
) -> Outcome:
    """Predict all images that are not finished in `out`, and write the summary of all finished ones.

    An image is finished when its line is in the journal, which is written after its files. While the network
    predicts one image, the next is read and the previous one written.

    Raises
    ------
    ConfigError
        If images do not give their resolution and `mpp` is not given, or `out` holds results of another
        model, other settings, or other images with the same names.
    """
    refuse_slides(out)
    require_mpp(jobs, mpp)
    settings: dict[str, Any] = {"histoscope": __version__, "model": detector.fingerprint}
    # A third-party detector may still use the names of 0.1.
    tta = detector.tta if hasattr(detector, "tta") else getattr(detector, "turned", False)
    settings |= {"tta": tta, "mpp": mpp}
    names = getattr(detector, "names", detector.classes)
    ends = [OUTPUTS[kind] for kind in kinds]
    looks = [] if getattr(detector, "likeness", None) is None else [UNLIKE]
    outcome = Outcome()

    def files(job: Job) -> list[str]:
        return files_of(job.name, chain.from_iterable(ends))

    def save(job: Job, digest: str, image: Image, nuclei: Nuclei) -> None:
        with journal.writing(files(job)):
            write(out / job.name, image, nuclei, names, kinds)
        row = summarise(image, nuclei, names)
        row |= {column: detector.unlike(image, nuclei) for column in looks}
        journal.add(job, row, digest=digest, files=files(job))

    with Journal.open(out, settings, overwrite=overwrite) as journal:
        finished = journal.finished(jobs, lambda _: ends)
        todo = [job for job in jobs if job.name not in finished]
        journal.require([SUMMARY, *chain.from_iterable(map(files, todo))])
        outcome.begin(jobs, finished, journal, on_begin)
        try:
            with closing(_predicted(detector, todo, mpp, save)) as images:
                for job, error in images:
                    outcome.take(job, error, journal, on_image)
        finally:
            journal.write_summary([*columns(names), *looks])
    if looks:
        tell_unlike(detector.card, outcome.done, "image")
    return outcome


def require_mpp(jobs: list[Job], mpp: float | None) -> None:
    """Raise, before anything is predicted, if the resolution of an image is unknown."""
    if mpp is not None:
        check_mpp(mpp, "--mpp")
        return
    unknown = [job for job in jobs if not _says_mpp(job.image)]
    if unknown:
        more = f" (and {len(unknown) - 1} more of {len(jobs)} images)" if len(unknown) > 1 else ""
        raise ConfigError(
            f"{unknown[0].image}{more} {why_unknown(unknown[0].image)}; give its micrometres per pixel "
            "with --mpp: usually 0.25 for a 40x scan, 0.5 for 20x"
        )


def _says_mpp(path: Path) -> bool:
    try:
        return mpp_of(path) is not None
    except HistoscopeError:
        return True  # reported when it is read


def _predicted(
    detector: Detector, jobs: list[Job], mpp: float | None, save: Callable[[Job, str, Image, Nuclei], None]
) -> Generator[tuple[Job, str | None], None, None]:
    """Yield each image when it is saved, or with its error; on a stop, saves in progress are completed.

    Three images are in memory at a time. If memory ran out, an image is tried once more alone, at the end.
    """
    starved: list[Job] = []

    def settled(job: Job, error: BaseException | None) -> Iterator[tuple[Job, str | None]]:
        if error is not None and is_out_of_memory(error):
            starved.append(job)
        else:
            yield job, None if error is None else message_of(job, error)

    # Leaving the block waits for reads and writes in progress, also after Ctrl-C.
    with ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
        writer.submit(int)  # so that its thread starts before images fill the memory
        ahead = [reader.submit(_read, job) for job in jobs[:1]]
        behind: list[tuple[Job, Future[None]]] = []
        for k, job in enumerate(jobs):
            reading = [ahead.pop()]
            ahead += [reader.submit(_read, following) for following in jobs[k + 1 : k + 2]]
            try:
                found = _detect(detector, job, reading.pop().result(), mpp)
            except Exception as error:  # noqa: BLE001  (no image may end the batch)
                yield from settled(job, error)
                continue
            for written, saving in behind:
                yield from settled(written, saving.exception())
            behind = [(job, writer.submit(save, job, *found))]
            del found
        for written, saving in behind:
            yield from settled(written, saving.exception())
    del behind
    for job in starved:
        try:
            save(job, *_detect(detector, job, _read(job), mpp))
        except Exception as error:  # noqa: BLE001
            yield job, message_of(job, error)
        else:
            yield job, None


def _read(job: Job) -> tuple[str, Image]:
    return digest_of(job.image), read_image(job.image)


def _detect(
    detector: Detector, job: Job, read: tuple[str, Image], mpp: float | None
) -> tuple[str, Image, Nuclei]:
    digest, image = read
    return digest, image, detector(image, known_mpp(job.image, mpp))
