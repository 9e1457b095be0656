"""``histoscope data from-edits``: labelled images cut out of slides where their nuclei were corrected."""

import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from histoscope.cli.annotated import tell, write_overlay
from histoscope.cli.pixel_size import CutMpp, Mpp
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.types import Sample

FEW_NUCLEI = 500
"""With about a hundred, training made models worse or had no effect; with 600 to 900, better."""


def from_edits(
    outs: Annotated[
        list[Path],
        typer.Argument(
            metavar="OUT...",
            help="Folders written by `histoscope predict`, with corrections, or result files.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A new or empty folder.")],
    slides: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the slides, or one slide, if they are no longer where `predict` found them."
        ),
    ] = None,
    mpp: Mpp = None,
    to_mpp: CutMpp = None,
    trust_model: Annotated[
        bool,
        typer.Option(
            "--trust-model",
            help="Also use squares around corrections in which some nuclei were not checked: the model's "
            "outlines then count as ground truth, and dataset.yaml says so.",
        ),
    ] = False,
    square_um: Annotated[
        float, typer.Option(help="Side of the squares around corrections, in micrometres.", min=32)
    ] = 96.0,
    patient: Annotated[
        str,
        typer.Option(
            help="The patient, if all slides are from one. By default, each slide is a patient; for "
            "TCGA, the barcode gives the patient."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Cut labelled images for training out of slides, where people corrected nuclei.

    Everything in a training image that is not outlined counts as background. So images are cut only where
    every nucleus was checked: in confirmed regions, and in squares around corrections in which every nucleus
    was decided on. `--trust-model` also uses the other squares. Classes are matched by name. FOLDER has our
    own layout (see docs/data.md), plus `overlays/`; its licence is that of the slides, which you have to fill
    in.

    Corrections that belong to other results, and nuclei about which people disagree, are counted. Exit code 1
    if slides or images were left out.

    - `histoscope data from-edits out/ mine/`, then `histoscope train --from nuclei --data mine`

    - `histoscope data from-edits out/slide1/cells.parquet out/slide2/cells.parquet mine/ --trust-model`
    """
    from histoscope.cli.progress import progress
    from histoscope.data.annotations.folder import Cutting
    from histoscope.data.write import require_new
    from histoscope.edits import Corrections
    from histoscope.edits.training import Corrected, write_corrected
    from histoscope.predict.sources import corrected_results, source_of
    from histoscope.slides import open_slide

    require_new(folder)
    sources = [Corrected(source_of(path, slides), Corrections(path)) for path in corrected_results(outs)]
    with progress("cutting out images") as advance:
        drawn = 0

        def draw(sample: "Sample", names: dict[int, str]) -> None:
            nonlocal drawn
            write_overlay(folder / "overlays" / f"{sample.name}.png", sample, list(names.values()))
            drawn += 1
            advance(drawn)

        outcome = write_corrected(
            folder,
            sources,
            partial(open_slide, mpp=mpp),
            Cutting(mpp=to_mpp, patient=patient),
            square_um=square_um,
            trust_model=trust_model,
            on_sample=draw,
        )
    tell(outcome, {}, folder, as_json=as_json)
    if trust_model:
        typer.echo(
            "note: most nuclei in these images are the model's own, so scores on them say little about a "
            "model; test it on images outlined by people",
            err=True,
        )
    if outcome.nuclei < FEW_NUCLEI:
        typer.echo(
            f"note: {count(outcome.nuclei, 'nucleus')} may be too few to train on: with about a hundred, "
            f"models got worse or did not change; with more than {FEW_NUCLEI}, they got better. Correct "
            "and confirm more regions",
            err=True,
        )
    if not as_json:
        typer.echo(
            f"fill in the licence in {folder / 'dataset.yaml'}, that of the slides. Then: histoscope "
            f"train --from MODEL --data {shlex.quote(str(folder))}"
        )
    if outcome.failed:
        raise typer.Exit(1)
