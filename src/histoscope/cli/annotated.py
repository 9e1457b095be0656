"""``histoscope data from-qupath``: labelled images cut out of slides along annotations."""

import shlex
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from histoscope.cli.pixel_size import CutMpp, Mpp
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.data.annotations.folder import Outcome
    from histoscope.types import Sample


class Origin(StrEnum):
    """Origin of the coordinates."""

    QUPATH = "qupath"
    SLIDE = "slide"


class Objects(StrEnum):
    """Which objects are nuclei."""

    AUTO = "auto"
    DETECTIONS = "detections"
    ANNOTATIONS = "annotations"
    ALL = "all"


def from_qupath(
    image: Annotated[
        Path, typer.Argument(metavar="IMAGE", help="A slide or plain image, or a folder of them.")
    ],
    annotations: Annotated[
        Path,
        typer.Argument(
            metavar="ANNOTATIONS",
            help="GeoJSON from QuPath (.geojson, .json, .gz, .zip), or XML from Aperio ImageScope or "
            "ASAP; or a folder of such files, named like the images.",
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")],
    mpp: Mpp = None,
    to_mpp: CutMpp = None,
    roi_class: Annotated[
        str | None,
        typer.Option(
            help="Class or name of the annotations that are regions of interest. By default those whose "
            "class or name begins with ROI or region, such as QuPath's Region*."
        ),
    ] = None,
    objects: Annotated[
        Objects,
        typer.Option(help="Which objects are nuclei; auto: detections and cells, otherwise annotations."),
    ] = Objects.AUTO,
    classes: Annotated[
        str | None,
        typer.Option(
            help="Classes in order, such as tumour,stroma; others become unknown. By default all, in "
            "alphabetical order."
        ),
    ] = None,
    origin: Annotated[
        Origin | None,
        typer.Option(
            help="Origin of the coordinates: the slide's scanned area, as in QuPath, or its first pixel. "
            "By default, what the file says, or else what its program uses."
        ),
    ] = None,
    patient: Annotated[
        str,
        typer.Option(
            help="The patient, if all slides are from one. By default, each slide is a patient; for "
            "TCGA, the barcode gives the patient."
        ),
    ] = "",
    tile_px: Annotated[
        int, typer.Option(help="Larger images are cut into tiles of this size.", min=64)
    ] = 2048,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Cut labelled images for training out of slides, along annotations from QuPath, ImageScope or ASAP.

    Each region of interest becomes an image. Without regions, a plain image is used as a whole, and a slide
    is cropped to the bounding box of all nuclei. Other annotations, or detections and cells, are nuclei with
    their classes. OUT has our own layout (see docs/data.md), plus `overlays/`: everything that was read,
    drawn on its image.

    Objects that are left out or changed are counted: points, outlines that cross themselves, overlaps, nuclei
    outside all images or cut by their edges. Exit code 1 if slides or images were left out or have no
    counterpart.

    - `histoscope data from-qupath slide.svs slide.geojson mine/`

    - `histoscope data from-qupath slides/ annotations/ mine/ --to-mpp 0.5 --classes tumour,stroma`
    """
    from histoscope.cli.progress import progress
    from histoscope.data.annotations.files import pair
    from histoscope.data.annotations.folder import Cutting, write_annotated
    from histoscope.slides import open_slide

    pairs = pair(image, annotations)
    cutting = Cutting(
        mpp=to_mpp,
        origin=origin,
        roi_class=roi_class,
        objects=objects,
        classes=None if classes is None else [name.strip() for name in classes.split(",")],
        patient=patient,
        tile_px=tile_px,
    )
    with progress("cutting out images") as advance:
        drawn = 0

        def draw(sample: "Sample", names: dict[int, str]) -> None:
            nonlocal drawn
            write_overlay(out / "overlays" / f"{sample.name}.png", sample, list(names.values()))
            drawn += 1
            advance(drawn)

        outcome = write_annotated(out, pairs.found, partial(open_slide, mpp=mpp), cutting, draw)
    lone = {
        "image without annotations": [path.name for path in pairs.lone_images],
        "annotation file without an image": [path.name for path in pairs.lone_annotations],
    }
    tell(outcome, lone, out, as_json=as_json)
    if outcome.failed or any(lone.values()):
        raise typer.Exit(1)


def write_overlay(path: Path, sample: "Sample", names: list[str]) -> None:
    """Write the picture of a labelled image."""
    from histoscope.export import draw
    from histoscope.export.overlay import with_legend
    from histoscope.files import write_image
    from histoscope.nuclei import Nuclei

    if sample.instances is not None:
        nuclei = Nuclei.from_labels(sample.instances, mpp=sample.mpp, classes=sample.classes)
        write_image(path, with_legend(draw(sample.image, nuclei, names), nuclei, names))


def tell(outcome: "Outcome", lone: dict[str, list[str]], out: Path, *, as_json: bool) -> None:
    """Print the outcome of cutting out images."""
    import json

    if as_json:
        told = {
            "images": outcome.images,
            "nuclei": outcome.nuclei,
            "classes": dict(outcome.of_class),
            "counts": dict(outcome.counts),
            "doubts": dict(outcome.doubts),
            "failed": dict(outcome.failed),
            "lone": lone,
        }
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    for name, text in outcome.failed:
        typer.echo(f"left out {name}: {text}", err=True)
    for name, text in outcome.doubts:
        typer.echo(f"{name}: {text}", err=True)
    for what, names in lone.items():
        for name in names:
            typer.echo(f"{what}: {name}", err=True)
    for reason, n in outcome.counts.items():
        typer.echo(f"{n:,} x {reason}")
    if outcome.counts.get("region of interest", 0) == 0:
        typer.echo(
            "no regions of interest: everything in the images that is not outlined counts as background"
        )
    parts = (
        ", ".join(f"{name} {n:,}" for name, n in sorted(outcome.of_class.items())) if outcome.classes else ""
    )
    written = f"{count(outcome.images, 'image')} with {count(outcome.nuclei, 'nucleus')}"
    typer.echo(f"{written}{f' ({parts})' if parts else ''} written to {out}")
    typer.echo(
        f"next: look at {out / 'overlays'}, then histoscope data verify folder {shlex.quote(str(out))}"
    )
