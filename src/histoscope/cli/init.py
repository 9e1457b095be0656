"""``histoscope init``: training settings proposed from the data."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from histoscope.cli.pixel_size import Mpp
from histoscope.cli.progress import progress
from histoscope.errors import ConfigError

if TYPE_CHECKING:
    from histoscope.train.propose import Proposal


def init(
    folder: Annotated[
        Path,
        typer.Argument(metavar="FOLDER", help="Folder of images with labels, or with one folder per class."),
    ],
    out: Annotated[
        Path | None, typer.Option(help="YAML file to write. Default: FOLDER's name with .yaml.")
    ] = None,
    mpp: Mpp = None,
    task: Annotated[
        str | None,
        typer.Option(help="nuclei or patches, if the labels allow both; otherwise the labels decide."),
    ] = None,
    time: Annotated[
        bool,
        typer.Option("--time/--no-time", help="Time a few training steps to estimate the total time."),
    ] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing YAML file.")] = False,
) -> None:
    """Propose training settings for labelled images, as a commented YAML file.

    It recognises images/ with labels/ (one id per nucleus), one folder per class of patches, and published
    sets as unpacked. It summarises images, pixel size, nuclei, classes, patients and stains. In the YAML
    file, a comment gives the reason for each value and the alternatives. Images of one patient stay in one
    part; if patients are unknown, a note says so. Nothing else is written, and nothing is downloaded.

    Examples: `histoscope init data/mine --mpp 0.25`, then `histoscope train mine.yaml`. Both at once:
    `histoscope train --data data/mine --set data.mpp=0.25`
    """
    from histoscope.files import require_writable, write_text
    from histoscope.words import count, duration

    path = out or Path(f"{folder.resolve().name}.yaml")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; --overwrite replaces it, --out names another file")
    require_writable(path, file=True)
    proposal = proposed(folder, task=task, given={"mpp": mpp})
    chosen = proposal.experiment()
    begun = f" from {chosen.initial_weights}" if chosen.initial_weights else ""
    length = f"{chosen.train.steps:,} steps of {count(chosen.train.batch_size, 'patch')}"
    typer.echo(_line("training", f"{chosen.model.name}{begun}, {length}"))
    if time:
        from histoscope.train.pace import seconds_of

        taken = duration(seconds_of(chosen, proposal.parts))
        typer.echo(_line("time", f"about {taken} on this machine, plus validation and testing"))
    head = f"# Settings of histoscope train for {folder}, by histoscope init. Any value may be changed.\n"
    write_text(path, head + proposal.text)
    typer.echo(f"{path} written; next: histoscope train {shlex.quote(str(path))}")


def proposed(
    folder: Path, *, task: str | None = None, given: dict[str, Any] | None = None, start: str = ""
) -> "Proposal":
    """Propose settings for a folder, and print its summary and notes."""
    from histoscope.train.look import look
    from histoscope.train.propose import propose

    with progress("looking") as advance:
        seen = look(folder, task=task, given=given, progress=advance)
    for heading, text in seen.lines():
        typer.echo(_line(heading, text))
    proposal = propose(seen, start)
    typer.echo(_line("parts", ", ".join(f"{name} {len(part):,}" for name, part in proposal.parts)))
    for text in proposal.notes:
        typer.echo(f"note: {text}", err=True)
    return proposal


def _line(heading: str, text: str) -> str:
    return f"{heading:<11}{text}"
