"""``histoscope predict``: the nuclei of images, as pictures, labels, polygons and tables."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from histoscope.slides import Detector
    from histoscope.slides.batch import Outcome
    from histoscope.slides.journal import Job


class Output(StrEnum):
    """What can be written of an image."""

    OVERLAY = "overlay"
    LABELS = "labels"
    GEOJSON = "geojson"
    CSV = "csv"


def predict(
    model: Annotated[
        str, typer.Argument(help="Name of a model that comes with Histoscope, or a model or run folder.")
    ],
    sources: Annotated[
        list[str],
        typer.Argument(metavar="IN...", help="Images, folders (searched to the bottom) or quoted globs."),
    ],
    out: Annotated[Path, typer.Argument(help="Folder to write to.")],
    mpp: Annotated[
        float | None,
        typer.Option(help="Micrometres per pixel of all images; if left out, each file must say its own."),
    ] = None,
    turned: Annotated[
        bool,
        typer.Option("--turned", help="Look at everything in all eight turns and flips: slower, better."),
    ] = False,
    only: Annotated[
        list[Output] | None, typer.Option(help="Write only this; may be given several times.")
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Predict images anew that are finished in OUT.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the summary as JSON.")] = False,
) -> None:
    """Find nuclei, and write them for people, for QuPath and for tables.

    For an image NAME, OUT gets

    - `NAME_overlay.png`: the image with outlines, a colour for each class;

    - `NAME_labels.png`: a 16-bit map, one number for each nucleus (`.tif` for more than 65,535);

    - `NAME.geojson`: polygons with classes and measurements; drop it on the open image in QuPath;

    - `NAME.csv`: place, size, shape, stain and class of each nucleus;

    and `summary.csv` has counts and densities per mm² of tissue, one row an image.

    The resolution matters: a network looks for nuclei of a certain size. Images are brought to the network's
    resolution, and results are given on the image's own pixels. Finished images are skipped, so an
    interrupted call goes on where it stopped. Files that cannot be read are listed at the end; the exit code
    is then 1.

    - `histoscope predict runs/first tile.png out/ --mpp 0.25`

    - `histoscope predict runs/first tiles/ more/*.tif out/ --only geojson --only csv`
    """
    import json
    from time import perf_counter

    from histoscope import weights
    from histoscope.slides import Detector, batch
    from histoscope.slides.result import OUTPUTS

    begin = perf_counter()
    folder = weights.find(model)
    jobs = batch.plan(sources, out)
    notice = weights.licence_notice(folder)
    if notice:
        typer.echo(notice, err=True)
    detector = Detector.open(folder, turned=turned)
    kinds = [kind for kind in OUTPUTS if only is None or not only or kind in only]
    outcome = run(detector, jobs, out, mpp=mpp, kinds=kinds, overwrite=overwrite)
    if as_json:
        seconds = round(perf_counter() - begin, 3)
        typer.echo(json.dumps(summary(outcome, detector, model, out) | {"seconds": seconds}, indent=2))
    else:
        report(outcome, detector, out)
    for failure in outcome.failed:
        typer.echo(f"failed {failure['path']}: {failure['error']}", err=True)
    if outcome.failed:
        raise typer.Exit(1)


def run(detector: "Detector", jobs: "list[Job]", out: Path, **settings: Any) -> "Outcome":
    """Predict all, with a bar on stderr that moves once an image."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from histoscope.slides import batch

    columns = (TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=len(jobs))
        return batch.run(detector, jobs, out, on_image=lambda _: bar.advance(task), **settings)


def summary(outcome: "Outcome", detector: "Detector", model: str, out: Path) -> dict[str, Any]:
    """What a machine is told."""
    return {
        "model": model,
        "classes": list(detector.classes),
        "out": str(out),
        "predicted": len(outcome.done) - outcome.skipped,
        "skipped": outcome.skipped,
        "failed": outcome.failed,
        "nuclei": sum(row["nuclei"] for row in outcome.done),
        "images": outcome.done,
    }


def report(outcome: "Outcome", detector: "Detector", out: Path) -> None:
    """What a person is told: counts, all and by class, and the colours of the classes."""
    from histoscope.slides.overlay import colour_names

    n_nuclei = sum(row["nuclei"] for row in outcome.done)
    typer.echo(f"{n_nuclei} nuclei in {len(outcome.done)} images; results in {out}")
    if detector.classes and n_nuclei:
        counts = [sum(row[f"n_{name}"] for row in outcome.done) for name in detector.classes]
        told = zip(detector.classes, counts, colour_names(detector.classes), strict=True)
        typer.echo(", ".join(f"{name} {count} ({colour})" for name, count, colour in told))
    if outcome.skipped:
        typer.echo(f"{outcome.skipped} images were finished already; --overwrite predicts them anew")
    if outcome.failed:
        typer.echo(f"{len(outcome.failed)} images failed", err=True)
