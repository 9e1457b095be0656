"""``histoscope normalize``: bring the stains of an image, a folder or a glob to one reference."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from histoscope import words

if TYPE_CHECKING:
    from histoscope.stain import Normalizer

IMAGES_PER_FOLDER = 32


class Scope(StrEnum):
    """What shares one estimate of the stains."""

    IMAGE = "image"
    FOLDER = "folder"


@dataclass
class Tally:
    """What became of the files."""

    normalized: int = 0
    unchanged: list[str] = field(default_factory=list)
    skipped: int = 0
    failed: list[dict[str, str]] = field(default_factory=list)


def normalize(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="An image, a folder (searched to the bottom) or a quoted glob."),
    ],
    out: Annotated[
        Path, typer.Argument(help="Where to write: a folder, or a file if IN is one image. Never IN itself.")
    ],
    method: Annotated[
        str | None,
        typer.Option(
            help="reinhard, macenko, vahadane or ruifrok; macenko unless the reference says otherwise."
        ),
    ] = None,
    reference: Annotated[
        str,
        typer.Option(
            metavar="FILE|NAME", help="What to normalise to: 'default', a saved .json, or an image."
        ),
    ] = "default",
    estimate: Annotated[
        Scope,
        typer.Option(help="Estimate stains for each image, or once per folder (one folder a slide)."),
    ] = Scope.IMAGE,
    save_reference: Annotated[
        Path | None,
        typer.Option(help="Also write the reference as JSON, to share it with other laboratories."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Write files anew that are already in OUT.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0 takes one a core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Give images the stains of a reference, so that slides of different laboratories look alike.

    File names and sub-folders are kept. Images already in OUT are skipped, so an interrupted run goes on
    where it stopped. Images with too little tissue are copied as they are and counted. Files that cannot be
    read are listed at the end; the exit code is then 1.

    - `histoscope normalize tiles/ normalized/`

    - `histoscope normalize tiles/ out/ --method vahadane --reference good.png --save-reference lab.json`

    - `histoscope normalize "slides/*/tiles/*.png" out/ --reference lab.json --estimate folder`
    """
    import json
    from time import perf_counter

    begin = perf_counter()
    target = open_reference(reference, method)
    jobs = plan(source, out)
    if save_reference is not None:
        target.save(save_reference)
    tally = run(target, jobs, estimate, overwrite=overwrite, workers=workers)
    if as_json:
        typer.echo(json.dumps(_summary(tally, target.name, reference, out, perf_counter() - begin), indent=2))
    else:
        _report(tally, target.name, out)
    if tally.failed:
        raise typer.Exit(1)


def open_reference(reference: str, method: str | None) -> "Normalizer":
    """Open the reference of that name, or in that file, for that method."""
    from histoscope import files, stain
    from histoscope.errors import ConfigError
    from histoscope.stain.reference import DEFAULT

    if method is not None:
        stain.get(method)  # a wrong name is told before a wrong file
    if reference == DEFAULT:
        return stain.get(method or "macenko").default()
    path = Path(reference)
    if path.suffix.lower() == ".json":
        return stain.load(path, method)
    if path.suffix.lower() not in files.IMAGE_SUFFIXES:
        raise ConfigError(
            f"--reference {reference!r} is no reference; give {DEFAULT!r}, a .json file or an image"
        )
    return stain.get(method or "macenko").fit(files.read_image(path))


def plan(source: str, out: Path) -> list[tuple[Path, Path]]:
    """Pair each input with its output.

    Raises
    ------
    DatasetNotFoundError
        If nothing is found.
    ConfigError
        If an output would be an input.
    """
    from histoscope.errors import ConfigError, DatasetNotFoundError
    from histoscope.files import IMAGE_SUFFIXES

    path = Path(source)
    if path.is_file():
        jobs = [(path, out if out.suffix.lower() in IMAGE_SUFFIXES else out / path.name)]
    else:
        root, inputs = find(path)
        if out.is_file():
            raise ConfigError(f"{out} is a file, expected a folder for many images; give another OUT")
        if root.resolve() in out.resolve().parents:  # what an earlier run wrote is no input
            inputs = [image for image in inputs if out.resolve() not in image.resolve().parents]
        jobs = [(image, out / image.relative_to(root)) for image in inputs]
    if not jobs:
        kinds = ", ".join(sorted(IMAGE_SUFFIXES))
        raise DatasetNotFoundError(
            f"no image at {source}; give an image, a folder or a quoted glob ({kinds})"
        )
    taken = {image.resolve() for image, _ in jobs}
    for _, target in jobs:
        if target.resolve() in taken:
            raise ConfigError(f"{target} is an input: originals are never written over; give another OUT")
    return jobs


def find(path: Path) -> tuple[Path, list[Path]]:
    """Find the images of a folder or glob, and the folder that their names in OUT start from."""
    from histoscope.files import IMAGE_SUFFIXES

    if path.is_dir():
        root, found = path, path.rglob("*")
    else:
        parts = path.parts
        fixed = next((k for k, part in enumerate(parts) if any(sign in part for sign in "*?[")), len(parts))
        if fixed == len(parts):
            return path, []
        root = Path(*parts[:fixed])
        found = root.glob(str(Path(*parts[fixed:])))
    images = (one for one in found if one.suffix.lower() in IMAGE_SUFFIXES and one.is_file())
    return root, sorted(one for one in images if not one.name.startswith("."))


def run(
    target: "Normalizer", jobs: list[tuple[Path, Path]], scope: Scope, *, overwrite: bool, workers: int
) -> Tally:
    """Normalise all, on several threads: decoding, mapping and encoding all release the GIL."""
    import os
    from concurrent.futures import ThreadPoolExecutor

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    todo = [job for job in jobs if overwrite or not job[1].exists()]
    tally = Tally(skipped=len(jobs) - len(todo))
    columns = (TextColumn("normalizing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    pool = ThreadPoolExecutor(workers or os.cpu_count())
    try:
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=len(todo))
            for folder_jobs, source in _with_sources(target, jobs, todo, scope):
                results = pool.map(lambda job, source=source: one(target, job, source), folder_jobs)
                for (image, _), (outcome, said) in zip(folder_jobs, results, strict=True):
                    count(tally, image, outcome, said)
                    bar.advance(task)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return tally


def one(target: "Normalizer", job: tuple[Path, Path], source: Any) -> tuple[str, str]:
    """Normalise one file; gives what became of it, and the error if it failed."""
    import errno
    import shutil

    from histoscope.errors import HistoscopeError, StainError
    from histoscope.files import read_image, whole, write_image

    image_path, out_path = job
    try:
        image = read_image(image_path)
        try:
            stains: Any = target.estimate(image) if source is None else source
        except StainError:
            with whole(out_path) as temporary:
                shutil.copyfile(image_path, temporary)
            return "unchanged", ""
        write_image(out_path, target(image, source=stains))
    except HistoscopeError as error:
        return "failed", str(error)
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise
        return "failed", f"{image_path}: {error.strerror or error}"
    return "normalized", ""


def count(tally: Tally, image: Path, outcome: str, said: str) -> None:
    """Add one file to the tally."""
    if outcome == "normalized":
        tally.normalized += 1
    elif outcome == "unchanged":
        tally.unchanged.append(str(image))
    else:
        tally.failed.append({"path": str(image), "error": said})


def _with_sources(
    target: "Normalizer", jobs: list[tuple[Path, Path]], todo: list[tuple[Path, Path]], scope: Scope
) -> Iterator[tuple[list[tuple[Path, Path]], Any]]:
    """Cut `todo` into parts that share an estimate, made from the whole folder, done before or not."""
    if scope is Scope.IMAGE:
        yield todo, None
        return
    for folder in dict.fromkeys(image.parent for image, _ in todo):
        siblings = [image for image, _ in jobs if image.parent == folder]
        yield [job for job in todo if job[0].parent == folder], _folder_estimate(target, siblings)


def _folder_estimate(target: "Normalizer", images: list[Path]) -> Any:
    from histoscope.errors import HistoscopeError, StainError
    from histoscope.files import read_image

    pixels = []
    for path in images[:: -(-len(images) // IMAGES_PER_FOLDER)]:
        try:
            pixels.append(read_image(path))
        except HistoscopeError:
            continue  # told when its own turn comes
    try:
        return target.estimate(pixels)
    except StainError:
        return None


def _summary(tally: Tally, method: str, reference: str, out: Path, seconds: float) -> dict[str, Any]:
    return {
        "method": method,
        "reference": reference,
        "out": str(out),
        "normalized": tally.normalized,
        "unchanged": tally.unchanged,
        "skipped": tally.skipped,
        "failed": tally.failed,
        "seconds": round(seconds, 3),
    }


def _report(tally: Tally, method: str, out: Path) -> None:
    typer.echo(f"{words.count(tally.normalized, 'image')} normalised ({method}) in {out}")
    if tally.skipped:
        typer.echo(f"{tally.skipped} were there already; --overwrite writes them anew")
    if tally.unchanged:
        names = ", ".join(tally.unchanged[:3]) + (", ..." if len(tally.unchanged) > 3 else "")
        typer.echo(
            f"{len(tally.unchanged)} copied unchanged, with too little tissue to estimate from: {names}"
        )
    for failure in tally.failed:
        typer.echo(f"failed {failure['path']}: {failure['error']}", err=True)
    if tally.failed:
        typer.echo(f"{len(tally.failed)} failed", err=True)
