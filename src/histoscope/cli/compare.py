"""``histoscope data compare``: real against synthetic tissue."""

from pathlib import Path
from typing import Annotated

import typer

from histoscope.cli.pixel_size import checked_mpp


def compare(
    real: Annotated[
        Path,
        typer.Argument(metavar="REAL", help="Folder of the real data set that the generator was fitted to."),
    ],
    synthetic: Annotated[Path, typer.Argument(metavar="SYNTHETIC", help="Folder of the synthetic data set.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for realism.html and realism.json.")],
    form: Annotated[str, typer.Option("--format", help="Reader of REAL (see data list).")] = "folder",
    synthetic_form: Annotated[
        str, typer.Option("--synthetic-format", help="Reader of SYNTHETIC.")
    ] = "folder",
    mpp: Annotated[
        float | None,
        typer.Option(callback=checked_mpp, help="Micrometres per pixel of REAL, if its files lack it."),
    ] = None,
    synthetic_mpp: Annotated[
        float | None, typer.Option(callback=checked_mpp, help="Micrometres per pixel of SYNTHETIC.")
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            help="Encoder of the features: nuclei-free, nuclei-research, a model folder or a timm backbone."
        ),
    ] = "nuclei-free",
    seed: Annotated[int, typer.Option(min=0, help="Seed for the two halves and the order of the sheet.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Measure how close synthetic tissue is to real tissue, and whether a generator memorised its tiles.

    Writes one page: kernel distance, also between two halves of the real images for comparison; distributions
    of size, shape and colour; a shuffled sheet with its key; and the nearest pairs. If REAL has a part
    'train', its other parts are the reference. Exit code 1 if images could not be read; they are named and
    left out.

    Example: `histoscope data compare data/my_tiles mine realism`
    """
    from histoscope import data, weights
    from histoscope.cli.progress import progress
    from histoscope.files import require_writable
    from histoscope.generate.realism import compare_tissue
    from histoscope.generate.realism_encoder import encoder as encoder_of
    from histoscope.generate.realism_page import write_page

    require_writable(out)
    if encoder in weights.WEIGHTS and (notice := weights.licence_notice(weights.find(encoder))):
        typer.echo(notice, err=True)
    sets, left_out = [], 0
    for name, root, size in ((form, real, mpp), (synthetic_form, synthetic, synthetic_mpp)):
        with progress(f"reading {root}") as advance:
            kept, skipped = data.readable(data.open(name, root, mpp=size), progress=advance)
        for problem in skipped:
            typer.echo(f"left out {problem.name}: {problem.message}", err=True)
        sets.append(kept)
        left_out += len(skipped)
    with progress("comparing") as advance:
        found = compare_tissue(
            sets[0], sets[1], encoder_of(encoder), encoder=encoder, seed=seed, progress=advance
        )
    page = write_page(
        out,
        found,
        real=sets[0].info.name or real.name,
        synthetic=sets[1].info.name or synthetic.name,
        seed=seed,
    )
    if as_json:
        typer.echo((page.parent / "realism.json").read_text(encoding="utf-8"))
        raise typer.Exit(bool(left_out))
    typer.echo(str(found.distance))
    typer.echo(
        f"{found.nearest.suspicious:.1%} of the synthetic patches are suspiciously close to the tiles "
        f"that were seen (chance: 1%); {len(found.nearest.shared)} show the same place as a real tile"
    )
    typer.echo(f"page: {page}")
    if left_out:
        raise typer.Exit(1)
