"""``histoscope predict``: the nuclei of images, or the classes of patches and of tiles of large images."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from histoscope.cli.backends import Backend, BackendOption
from histoscope.cli.pixel_size import checked_mpp
from histoscope.cli.workers import checked_workers
from histoscope.weights import WEIGHTS
from histoscope.words import count, listed

if TYPE_CHECKING:
    from histoscope.predict.batch import Outcome


class Output(StrEnum):
    """Outputs of an image."""

    OVERLAY = "overlay"
    LABELS = "labels"
    HEATMAP = "heatmap"
    GEOJSON = "geojson"
    CSV = "csv"


class Shown(StrEnum):
    """How to treat an image."""

    AUTO = "auto"
    PATCH = "patch"
    TILES = "tiles"
    IMAGE = "image"
    SLIDE = "slide"


class Origin(StrEnum):
    """Origin of the coordinates in a slide's GeoJSON."""

    QUPATH = "qupath"
    SLIDE = "slide"


def predict(
    context: typer.Context,
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help=f"{listed(list(WEIGHTS), 'or')} (see `histoscope models`), a model or run folder, or "
            "hf:owner/name.",
        ),
    ],
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="IN",
            help="Images or slides, folders (searched recursively) or quoted globs; slides also s3://, https://.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")],
    mpp: Annotated[
        float | None,
        typer.Option(
            callback=checked_mpp,
            help="Micrometres per pixel of all files, 0.25 at 40x; if left out, each file must contain it.",
        ),
    ] = None,
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Test-time augmentation: all eight rotations and flips. Slower, better."),
    ] = False,
    only: Annotated[list[Output] | None, typer.Option(help="Write only this output. Repeatable.")] = None,
    shown: Annotated[
        Shown,
        typer.Option(
            "--as",
            help="Nuclei: image or slide. Classifiers: patch, tiles or slide. Auto decides for each file.",
        ),
    ] = Shown.AUTO,
    reader: Annotated[
        str,
        typer.Option(
            help="Slides: reader (auto, tiff, openslide, pydicom or picture); the summary names the one used."
        ),
    ] = "auto",
    origin: Annotated[
        Origin,
        typer.Option(
            help="Slides: origin of the GeoJSON coordinates, QuPath's (the scanned area) or that of level 0."
        ),
    ] = Origin.QUPATH,
    roi: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Slides: annotations to use instead of tissue (GeoJSON, ImageScope, ASAP); file or folder.",
        ),
    ] = None,
    cells: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            help="Classifiers: classify these cells of slides, not tiles: cells.parquet, or the folder of "
            "an earlier run.",
        ),
    ] = None,
    csv: Annotated[bool, typer.Option("--csv", help="Slides: also write cells.csv or tiles.csv.")] = False,
    labels: Annotated[
        bool, typer.Option("--labels", help="Slides: also write labels.ome.tif, a pyramid of label maps.")
    ] = False,
    anndata: Annotated[
        bool, typer.Option("--anndata", help="Slides: also write cells.h5ad, for scanpy and squidpy.")
    ] = False,
    least_tissue: Annotated[
        float, typer.Option(min=0, max=1, help="Classifiers: minimum share of tissue in a tile.")
    ] = 0.1,
    least_focus: Annotated[
        float,
        typer.Option(
            min=0,
            help="Slides: minimum sharpness; 0.2 leaves out tissue blurred by 1.5 um, 0 nothing.",
        ),
    ] = 0.2,
    least_area: Annotated[
        float, typer.Option(min=0, help="Models of nuclei: minimum area of a nucleus, in um2.")
    ] = 4.0,
    device: Annotated[
        str,
        typer.Option(
            help="cpu, cuda or cuda:1; for slides also several: cuda:0,cuda:1. By default the fastest."
        ),
    ] = "",
    backend: BackendOption = Backend.AUTO,
    workers: Annotated[
        str,
        typer.Option(
            callback=checked_workers,
            help="Slides: number of processes, which share the GPUs and cores; or ray, or ray://HOST.",
        ),
    ] = "1",
    claim: Annotated[
        bool,
        typer.Option(
            "--claim",
            help="Slides: share OUT with other calls, on any machines; exit when only work taken by "
            "others is left.",
        ),
    ] = False,
    stage: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Remote slides (s3://) that cannot be read in place: folder for copies, on a local disk.",
        ),
    ] = None,
    stage_limit: Annotated[
        str, typer.Option(help="Remote slides: maximum size of all copies together, such as 50GB.")
    ] = "50GB",
    work: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Slides, if OUT is remote: local folder of the ledger, and of results before upload.",
        ),
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Slides: retry those that failed.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Predict finished files again.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the summary as JSON; for slides, also one event per line.")
    ] = False,
) -> None:
    """Find nuclei in images, or classify patches: overlays, label maps, GeoJSON for QuPath, tables.

    With a model of **nuclei**, each image NAME gets these files in OUT:

    - `NAME_overlay.png`: the image with outlines, one colour per class;

    - `NAME_labels.png`: a 16-bit map, one number per nucleus (`.tif` for more than 65,535);

    - `NAME.geojson`: polygons with classes and measurements; drop it onto the open image in QuPath;

    - `NAME.csv`: position, size, shape, stain and class of each nucleus.

    `summary.csv` has counts and densities per mm² of tissue, one row per image.

    A **slide** (SVS, NDPI, MRXS, SCN, BIF, DICOM, any pyramid) gets its own folder, with

    - `cells.parquet`: polygons, classes and measurements, for DuckDB, geopandas and SpatialData;

    - `cells.0001.geojson.gz`, ...: the same for QuPath, and the smaller `centres.geojson.gz`;

    - `overview.png`, `tissue.geojson`, `problems.csv`: a picture of the result, the tissue found, and places
      that could not be read.

    With a **classifier**, `predictions.csv` has one row per patch: its class, and the probability of each.
    An image at least two patches long is cut into tiles, and those with tissue are classified:

    - `NAME_heatmap.png`: the image in the colours of its tiles' classes, more opaque where more probable;

    - `NAME.geojson`: the tiles with classes and probabilities, for QuPath;

    - `NAME_tiles.csv`: position, tissue, class and probabilities of each tile.

    `summary.csv` has the share of each class in the tissue. A **slide** gets a folder with

    - `tiles.parquet`, `tiles.0001.geojson.gz`: the tiles with tissue, their classes and probabilities;

    - `overview.png`: a map of the classes, and `heatmap_CLASS.png`: the probability of each.

    With `--cells`, a classifier looks at a patch around each nucleus found earlier, and writes
    `cells.parquet` with its classes.

    Images are resampled to the network's resolution, so their pixel size matters; results are in the image's
    own pixels. Finished files are skipped, so the same command resumes an interrupted run. Files that cannot
    be read are listed at the end; the exit code is then 1. Files that Histoscope did not write are never
    overwritten, and results of an earlier run are not treated as images.

    - `histoscope predict nuclei tiles/ out/ --mpp 0.25`

    - `histoscope predict nuclei slide.svs out/`

    - `histoscope predict runs/first tile.png out/ --mpp 0.25`

    - `histoscope predict runs/first tiles/ more/*.tif out/ --only geojson --only csv`

    - `histoscope predict runs/colon patches/ out/ --mpp 0.5`

    - `histoscope predict runs/colon slide.svs out/`

    - `histoscope predict runs/celltypes slide.svs typed/ --cells out/slide/cells.parquet`
    """
    from time import perf_counter

    from histoscope import weights
    from histoscope.cli.backends import devices_for
    from histoscope.cli.predict_images import classes_of, nuclei_of
    from histoscope.cli.predict_slides import Start, places_of, predict_slides, refuse, takes_slides
    from histoscope.errors import ConfigError
    from histoscope.images.finding import Skipped, lines_of
    from histoscope.images.reading import turned_upright
    from histoscope.places import is_remote

    begin = perf_counter()
    folder = weights.find(model)  # before torch is loaded: a wrong name is reported at once
    from histoscope.predict import batch

    out, placed = places_of(out, work, stage, stage_limit)
    devices = devices_for(str(backend), device)
    left_out: list[Skipped] = []
    classifies = is_classifier(folder)
    jobs = batch.plan(sources, out, slides=True, on_skip=left_out.append)
    for line in lines_of(left_out):
        typer.echo(line, err=True)
    if upright := turned_upright(job.image for job in jobs if not is_remote(job.image)):
        is_said = "rotated upright, as their EXIF or TIFF tags ask; results fit what viewers show, such as"
        typer.echo(f"{count(len(upright), 'image')} {is_said} {upright[0]}", err=True)
    settings: dict[str, Any] = {"mpp": mpp, "overwrite": overwrite}
    kinds = [str(kind) for kind in only or []]
    as_slides = cells is not None or takes_slides(jobs, out, shown)
    refuse(context, shown, classifies=classifies, as_slides=as_slides, has_cells=cells is not None)
    if not as_slides and len(devices) > 1:
        raise ConfigError(
            f"--device {device}: several devices are for slides, but these are images; give one"
        )
    opened: dict[str, Any] = {"tta": tta, "backend": str(backend)}
    of_slides = {"least_tissue": least_tissue, "cells": cells} if as_slides else {}
    opened |= of_slides if classifies else {"least_area_um2": least_area}
    if as_slides:
        more = [name for name, on in (("csv", csv), ("labels", labels), ("anndata", anndata)) if on]
        written: dict[str, Any] = {"roi": roi, "kinds": ("geojson", *more), "reader": reader}
        written |= {
            **placed,
            "origin": str(origin),
            "least_focus": least_focus,
            "devices": devices,
            "mpp": mpp,
        }
        outcome, told, lines = predict_slides(
            folder, jobs, out, opened, written, Start(workers, claim, overwrite, retry_failed, as_json)
        )
    elif classifies:
        settings |= {"shown": str(shown), "least_tissue": least_tissue}
        outcome, told, lines = classes_of(folder, jobs, out, kinds, devices, opened, **settings)
    else:
        outcome, told, lines = nuclei_of(folder, jobs, out, kinds, devices, opened, **settings)
    about = {"model": model, "out": str(placed["put_to"] or out), "failed": outcome.failed, **told}
    about |= {"left_out": [{"path": str(one.path), "reason": one.reason} for one in left_out]}
    about["seconds"] = round(perf_counter() - begin, 3)
    _print(outcome, about, lines, "slide" if as_slides else "image", as_json=as_json)


def _print(outcome: "Outcome", about: dict[str, Any], lines: list[str], what: str, *, as_json: bool) -> None:
    """Print the summary; the exit code is 1 if an image or slide failed."""
    import json

    from histoscope.cli.slide_events import say
    from histoscope.jobs.failures import line_of

    if as_json:
        done = {"predicted": len(outcome.done) - outcome.skipped, "skipped": outcome.skipped}
        told = {**about, **done, "images": outcome.done}
        if what == "slide":
            say({"event": "end", **told})
        else:
            typer.echo(json.dumps(told, indent=2))
    else:
        for line in lines:
            typer.echo(line)
        if outcome.skipped:
            finished = count(outcome.skipped, f"finished {what}")
            typer.echo(f"{finished} skipped; --overwrite predicts them again")
        if outcome.failed:
            typer.echo(f"{count(len(outcome.failed), what)} failed", err=True)
    for failure in outcome.failed:
        typer.echo(line_of(failure), err=True)
    if outcome.failed:
        raise typer.Exit(1)


def is_classifier(folder: Path) -> bool:
    """Whether a model folder holds a classifier of patches."""
    from histoscope import models

    return bool(models.read_card(folder)["input"].get("patch_px"))
