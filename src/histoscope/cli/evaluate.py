"""``histoscope evaluate``: scores of a trained model on labelled images."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    import pandas as pd

    from histoscope.data import Dataset

from histoscope.cli.given import part_of
from histoscope.cli.pixel_size import checked_mpp


def evaluate(
    model: Annotated[
        str, typer.Argument(help="Name of a model that comes with Histoscope, or a model or run folder.")
    ],
    root: Annotated[Path, typer.Argument(help="Folder of the labelled images.")],
    data: Annotated[str, typer.Option(help="Layout of that folder; see `histoscope data list`.")] = "folder",
    mpp: Annotated[
        float | None,
        typer.Option(callback=checked_mpp, help="Micrometres per pixel, for layouts that do not say."),
    ] = None,
    split: Annotated[str, typer.Option(help="Only the images of this published part: train, test.")] = "",
    tta: Annotated[
        bool,
        typer.Option("--tta", help="Test-time augmentation: all eight rotations and flips. Slower, better."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the scores, one row an image, to this CSV file.")
    ] = None,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", help="Class of the data set that has another name in the model: stroma=connective."
        ),
    ] = None,
    metric: Annotated[
        list[str] | None,
        typer.Option(help="One more score of nuclei: package.module:function of true and predicted labels."),
    ] = None,
    audit: Annotated[
        bool, typer.Option("--audit", help="Also look for copies of images that the model learned from.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="Print the mean scores as JSON.")] = False,
) -> None:
    """Compare a model's nuclei with the truth, image by image, or its classes, patch by patch.

    Scores come with a 95 % interval by patient (of patches: by patient, or else by source). If the model was
    trained on normalised stains, images are normalised the same way first. Classes are matched by name.

    Images that the model was trained or validated on are counted, and scored apart from those that it has
    not seen; so are other images of their patients, and with `--audit` turned, rescaled or recompressed
    copies. The table of `--out` says which is which in its column `seen`.

    Images that cannot be read or scored are named at the end; the exit code is then 1.

    Example: `histoscope evaluate runs/unet data/monuseg --mpp 0.25 --split test`
    """
    from histoscope import data as datasets
    from histoscope import models, weights
    from histoscope.cli import scores
    from histoscope.errors import ConfigError
    from histoscope.files import require_writable
    from histoscope.tables import write_table
    from histoscope.train import evaluate as evaluated
    from histoscope.train import provenance, seen
    from histoscope.train.parts import normalised
    from histoscope.train.tasks import task_of

    if out is not None:
        require_writable(out, file=True)
    folder = weights.find(model)
    opened = models.open_model(folder)
    network = opened.network
    task = task_of(network)
    if tta and not task.takes_tta:
        raise ConfigError("--tta is for models that find nuclei; this one tells patches apart")
    dataset = datasets.open(data, root, **({} if mpp is None else {"mpp": mpp}))
    dataset = part_of(dataset, split, root)
    dataset, learned = provenance.Watched(datasets.renamed(dataset, _pairs(classes or []))), _learned(folder)
    shown = normalised(task.in_classes_of(network, dataset), opened.normalizer)
    skipped: dict[str, str] = {}
    done = iter(range(1, len(shown) + 1))
    with scores.steps_bar(len(shown), "Images") as on_step:
        table = evaluated(
            network,
            shown,
            on_image=lambda *_: on_step(next(done), {}),
            on_skip=skipped.__setitem__,
            tta=tta,
            more=metric or (),
        )
    parts, more = _by_seen(table, dataset, learned, (*seen.roots_of(folder), root) if audit else ())
    if out is not None:
        write_table(out, table)
    _show(table, parts, more, where=out, as_json=json)
    for name, why in skipped.items():
        scores.note(f"skipped {name}: {why}")
    if skipped:
        scores.note(f"{len(skipped)} of {len(skipped) + len(table)} could not be scored")
        raise typer.Exit(1)


def _pairs(classes: list[str]) -> dict[str, str]:
    """Names of the data set and of the model, from THEIRS=OURS."""
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


def _show(
    table: "pd.DataFrame",
    parts: "dict[str, pd.DataFrame]",
    more: dict[str, Any],
    *,
    where: Path | None,
    as_json: bool,
) -> None:
    """Print scores of all images, then of each part, with intervals over one unit."""
    from json import dumps

    from histoscope.cli import scores

    whole = scores.summarise(table)
    if as_json:
        told = {part: scores.summarise(rows, whole.unit).as_dict() for part, rows in parts.items()}
        typer.echo(dumps({**whole.as_dict(), **told, **more}))
        return
    tables = {"all" if parts else "": table, **parts}
    for part, rows in tables.items():
        last = where if part == list(tables)[-1] else None
        scores.show(rows, where=last, as_json=False, title=part, unit=whole.unit)


def _learned(folder: Path) -> "pd.DataFrame | None":
    """What the model learned from; None, and a line that says so, if that is not known."""
    from histoscope.cli import scores
    from histoscope.train import provenance

    learned = provenance.read(folder)
    if learned is None:
        scores.note(
            "it is not known what this model learned from (its card names no list): images that it was "
            "trained on are scored like others"
        )
    return learned


def _by_seen(
    table: "pd.DataFrame", dataset: "Dataset", learned: "pd.DataFrame | None", roots: tuple[Path, ...]
) -> "tuple[dict[str, pd.DataFrame], dict[str, Any]]":
    """Give the table its column ``seen``; the rows of both kinds if there are any, and their counts.

    Copies are looked for if there are folders where the images that were learned from may lie.
    """
    from histoscope.cli import scores
    from histoscope.cli.progress import progress
    from histoscope.train import seen

    if learned is None:
        return {}, {}
    with progress("Comparing pictures") as advance:
        found = seen.seen_in(learned, dataset, audit=bool(roots), roots=roots, progress=advance)
    scores.note(f"warning: {found}" if any(found.status) else str(found))
    for line in found.notes():
        scores.note(line)
    table["seen"] = table["name"].map(dict(zip((r.name for r in dataset.records), found.status, strict=True)))
    is_seen, more = table["seen"] != "", {"seen_images": found.counts()}
    if is_seen.all():
        scores.note("the model has seen every image: there is no score of unseen ones")
    if is_seen.all() or not is_seen.any():
        return {}, more
    parts = {"unseen": table[~is_seen], "seen": table[is_seen]}
    return {
        part: rows for part, rows in parts.items() if "true" not in rows or (rows["true"] >= 0).any()
    }, more
