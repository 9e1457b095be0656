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
"""With about a hundred, training made models worse or left them as they were; with 600 to 900, better."""


def from_edits(
    outs: Annotated[
        list[Path],
        typer.Argument(
            metavar="OUT...", help="Folders of `histoscope predict` with corrections, or files of results."
        ),
    ],
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="A folder that does not exist yet, or is empty.")
    ],
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
            help="Also use squares around corrections in which some nuclei were not checked: they count as "
            "the model has them, and dataset.yaml says so.",
        ),
    ] = False,
    square_um: Annotated[
        float, typer.Option(help="Side of the squares around corrections, in micrometres.", min=32)
    ] = 96.0,
    patient: Annotated[
        str,
        typer.Option(
            help="Patient of all slides. By default, each slide is a patient; for TCGA, the barcode names it."
        ),
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """Cut labelled images out of slides where people corrected nuclei, to train on.

    Everything in a training image that is not outlined counts as background. So images are cut only where
    every nucleus was checked: confirmed regions, and squares around corrections in which somebody decided on
    every nucleus. `--trust-model` also uses the other squares. Classes are matched by name. FOLDER has our
    own layout (see docs/data.md), with `overlays/`; its licence is that of the slides, which you have to add.

    Corrections of other results, and nuclei about which people disagree, are counted. Exit code 1 if slides
    or images were left out.

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
            "note: most of the nuclei in these images are the model's own, so scores on them say little "
            "about a model: test it on images that people outlined",
            err=True,
        )
    if outcome.nuclei < FEW_NUCLEI:
        typer.echo(
            f"note: {count(outcome.nuclei, 'nucleus')} may be too few to learn from: with a hundred, models "
            f"got no better or worse, with more than {FEW_NUCLEI} better; correct and confirm more regions",
            err=True,
        )
    if not as_json:
        typer.echo(
            f"the licence in {folder / 'dataset.yaml'} is that of the slides: write it in. Then: "
            f"histoscope train --from MODEL --data {shlex.quote(str(folder))}"
        )
    if outcome.failed:
        raise typer.Exit(1)
