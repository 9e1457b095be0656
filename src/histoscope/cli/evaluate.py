"""``histoscope evaluate``: scores of a trained model on labelled images."""

import itertools
from collections.abc import Iterator
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from histoscope.cli.backends import Backend, BackendOption
from histoscope.cli.given import images_of
from histoscope.cli.pixel_size import Mpp

if TYPE_CHECKING:
    from histoscope.train.external import Scored
    from histoscope.train.seen import Seen


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Name of a model that comes with Histoscope, a model or run folder, or hf:owner/name.",
        ),
    ],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of the labelled images.")],
    data: Annotated[str, typer.Option(help="Layout of that folder; see `histoscope data list`.")] = "folder",
    mpp: Mpp = None,
    split: Annotated[str, typer.Option(help="Only the images of this published part: train, test.")] = "",
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Test-time augmentation: all eight rotations and flips. Slower, better."),
    ] = False,
    backend: BackendOption = Backend.AUTO,
    out: Annotated[Path | None, typer.Option(help="CSV file for the scores, one row per image.")] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Match class names of data set and model: stroma=connective. Repeatable."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(
            help="Your own score: package.module:function of true and predicted label maps. Repeatable."
        ),
    ] = None,
    audit: Annotated[bool, typer.Option("--audit", help="Also look for copies of training images.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the mean scores as JSON.")] = False,
) -> None:
    """Score a model against ground truth: nuclei image by image, or classes of patches.

    Scores come with a 95 % confidence interval over patients, or over sources if patients are unknown.
    Images go through the model's own stain normaliser. Classes are matched by name.

    Leakage is reported: images that the model has seen are counted and scored separately. These are images
    used for training or validation, images that synthetic training images were fitted to, stain references,
    other images of the same patients and, with `--audit`, rotated, rescaled or recompressed copies. In the
    table of `--out`, the column `seen` marks them.

    Images that cannot be read or scored are named at the end; the exit code is then 1.

    Example: `histoscope evaluate runs/unet data/monuseg --mpp 0.25 --split test`
    """
    from histoscope import data as datasets
    from histoscope import weights
    from histoscope.cli import scores
    from histoscope.cli.progress import Board
    from histoscope.files import require_writable
    from histoscope.tables import write_table
    from histoscope.train import external

    if out is not None:
        require_writable(out, file=True)
    folder = weights.find(model)
    dataset = images_of(datasets.open(data, root, mpp=mpp), split, root)
    dataset = datasets.renamed(dataset, _pairs(classes or []))
    done = itertools.count(1)
    with Board() as board:
        tested = external.score(
            folder,
            dataset,
            tta=tta,
            backend=str(backend),
            more=metric or (),
            copies_in=root if audit else None,
            on_image=lambda *_: board.move("Images", next(done), len(dataset)),
            progress=lambda n, total: board.move("Comparing images", n, total),
        )
    for line in _of_seen(tested.seen):
        scores.note(line)
    if out is not None:
        write_table(out, tested.table)
    _show(tested, where=out, as_json=json)
    for name, why in tested.skipped.items():
        scores.note(f"skipped {name}: {why}")
    if tested.skipped:
        n = len(tested.skipped)
        scores.note(f"{n} of {n + len(tested.table)} could not be scored")
        raise typer.Exit(1)


def _pairs(classes: list[str]) -> dict[str, str]:
    """Class names of the data set and of the model, from THEIRS=OURS."""
    from histoscope.errors import ConfigError
    from histoscope.types import class_key

    wrong = [text for text in classes if not all(text.partition("="))]
    if wrong:
        raise ConfigError(f"--class got {wrong[0]!r}, expected two names such as stroma=connective")
    pairs = [(old, new) for old, _, new in (text.partition("=") for text in classes)]
    given: dict[str, tuple[str, str]] = {}
    for pair in pairs:
        if given.setdefault(class_key(pair[0]), pair) != pair:
            other = given[class_key(pair[0])]
            raise ConfigError(
                f"--class names class {pair[0]!r} twice, {'='.join(other)} and {'='.join(pair)}; keep one"
            )
    return dict(pairs)


def _of_seen(found: "Seen | None") -> Iterator[str]:
    """Lines about the images that the model has seen."""
    if found is None:
        yield (
            "the images that this model was trained on are not known (its card has no list), so they are "
            "scored like all others"
        )
        return
    yield f"warning: {found}" if any(found.status) else str(found)
    yield from found.notes()
    if all(found.status):
        yield "the model has seen every image, so there are no scores on unseen ones"


def _show(tested: "Scored", *, where: Path | None, as_json: bool) -> None:
    """Print scores of all images, then of each part, with intervals over the same unit."""
    from histoscope.cli import scores

    whole, parts = scores.summarise(tested.table), tested.parts()
    if as_json:
        by_part = {part: scores.summarise(rows, whole.unit).as_dict() for part, rows in parts.items()}
        counts = {} if tested.seen is None else {"seen_images": tested.seen.counts()}
        typer.echo(dumps({**whole.as_dict(), **by_part, **counts}))
        return
    tables = {"all" if parts else "": tested.table, **parts}
    for part, rows in tables.items():
        last = where if part == list(tables)[-1] else None
        scores.show(rows, where=last, as_json=False, title=part, unit=whole.unit)
