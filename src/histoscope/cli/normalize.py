"""``histoscope normalize``: normalise the stains of an image, a folder or a glob to one reference."""

from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.jobs.normalize import Outcome
    from histoscope.stain.normalizer import BaseNormalizer


class Scope(StrEnum):
    """What one estimate of the stains is for."""

    IMAGE = "image"
    FOLDER = "folder"


def normalize(
    source: Annotated[
        str,
        typer.Argument(metavar="IN", help="An image, a folder (searched recursively) or a quoted glob."),
    ],
    out: Annotated[
        Path,
        typer.Argument(
            metavar="OUT", help="Where to write: a folder, or a file if IN is one image. Never IN itself."
        ),
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
        typer.Option(help="Estimate stains for each image, or once per folder (one folder per slide)."),
    ] = Scope.IMAGE,
    white: Annotated[
        str | None,
        typer.Option(
            metavar="R,G,B",
            help="White point: RGB of bare glass, each 1 to 255; estimated from each image if left out.",
        ),
    ] = None,
    save_reference: Annotated[
        Path | None,
        typer.Option(help="JSON file to save the reference in, for other laboratories."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Write finished images again.")] = False,
    workers: Annotated[int, typer.Option(min=0, help="Threads; 0: one per core.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Normalise the stains of images to a reference, so that laboratories look alike.

    File names, sub-folders, pixel size and ICC profile are kept. Images are written as viewers show them: if
    a file asks to be rotated, it is. Formats that cannot be written (SVS, NDPI) become TIFF. Images already
    in OUT from the same reference are skipped, so the same command resumes an interrupted run. Files that
    Histoscope did not write are never overwritten. Images with too little tissue are copied unchanged and
    counted. Files that cannot be read are listed at the end; the exit code is then 1.

    - `histoscope normalize tiles/ normalized/`

    - `histoscope normalize tiles/ out/ --method vahadane --reference good.png --save-reference lab.json`

    - `histoscope normalize "slides/*/tiles/*.png" out/ --reference lab.json --estimate folder`
    """
    import json
    from time import perf_counter

    from histoscope import stain
    from histoscope.cli.progress import progress
    from histoscope.images.finding import lines_of
    from histoscope.jobs import normalize as batch

    begin = perf_counter()
    target = stain.open(method, reference, white=None if white is None else levels_of(white))
    planned = batch.plan(source, out)
    if save_reference is not None:
        save(target, save_reference, overwrite=overwrite)
    for line in lines_of(planned.skipped):
        typer.echo(line, err=True)
    with progress("normalising") as advance:
        outcome = batch.run(
            target,
            planned,
            by_folder=estimate is Scope.FOLDER,
            overwrite=overwrite,
            workers=workers,
            on_image=advance,
        )
    if as_json:
        about = {"method": target.name, "reference": reference, "out": str(out)}
        left_out = [{"path": str(one.path), "reason": one.reason} for one in planned.skipped]
        seconds = {"seconds": round(perf_counter() - begin, 3)}
        typer.echo(json.dumps({**about, **asdict(outcome), "left_out": left_out, **seconds}, indent=2))
    else:
        _report(outcome, target.name, out, by_image=estimate is Scope.IMAGE)
    if outcome.failed:
        raise typer.Exit(1)


def levels_of(white: str) -> tuple[float, ...]:
    """Levels of R, G and B from text such as 230,228,226."""
    from histoscope.errors import ConfigError

    try:
        return tuple(float(level) for level in white.split(","))
    except ValueError:
        raise ConfigError(f"--white is {white!r}, expected three levels such as 230,228,226") from None


def save(target: "BaseNormalizer[Any]", path: Path, *, overwrite: bool) -> None:
    """Write the reference; an existing different one is kept, unless `overwrite`."""
    import tempfile

    from histoscope.errors import ConfigError

    if path.exists() and not overwrite:
        with tempfile.TemporaryDirectory() as folder:
            target.save(Path(folder) / "same.json")
            is_same = (Path(folder) / "same.json").read_bytes() == path.read_bytes()
        if not is_same:
            raise ConfigError(
                f"--save-reference {path} exists with different contents; choose another file, or add "
                "--overwrite"
            )
    target.save(path)


def _report(outcome: "Outcome", method: str, out: Path, *, by_image: bool) -> None:
    from histoscope.jobs.failures import line_of

    typer.echo(f"{count(outcome.normalized, 'image')} normalised ({method}) in {out}")
    if outcome.skipped:
        typer.echo(
            f"{count(outcome.skipped, 'image')} already done and skipped; --overwrite writes them again"
        )
    if outcome.unchanged:
        why = "copied unchanged, with too little tissue to estimate stains from"
        typer.echo(f"{len(outcome.unchanged)} {why}: {_some(outcome.unchanged)}")
    for note, paths in sorted(outcome.notes.items()):
        typer.echo(f"{len(paths)} with {note}: {_some(paths)}")
    if by_image and outcome.notes and outcome.normalized > 1:
        typer.echo(
            "stains were estimated for each image separately; with --estimate folder, all tiles of a "
            "folder (one slide) share one estimate"
        )
    if outcome.turned:
        turned = count(len(outcome.turned), "image")
        typer.echo(f"{turned} rotated upright, as their EXIF or TIFF tags ask: {_some(outcome.turned)}")
    for failure in outcome.failed:
        typer.echo(line_of(failure), err=True)
    if outcome.failed:
        typer.echo(f"{len(outcome.failed)} failed", err=True)


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
