"""``histoscope explain``: attribution maps of a classifier, the most confident mistakes first."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from histoscope.cli.given import images_of
from histoscope.cli.pixel_size import Mpp
from histoscope.words import count

if TYPE_CHECKING:
    import pandas as pd

    from histoscope.data import Dataset
    from histoscope.explain import Example
    from histoscope.models import Classifier


class Which(StrEnum):
    """Which patches to show."""

    MISTAKES = "mistakes"
    SUREST = "surest"
    UNSURE = "unsure"


EXPLAINED = "explained.jsonl"
"""Name of the journal."""
FILES = ("patches.html", "patches.png", "confusion.svg", "reliability.svg", "predictions.csv")

_TITLES = {
    Which.MISTAKES: "Most confident mistakes",
    Which.SUREST: "Most confident predictions",
    Which.UNSURE: "Least confident predictions",
}


def explain(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="A model or run folder of a classifier.")],
    root: Annotated[Path, typer.Argument(metavar="ROOT", help="Folder of patches with their classes.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write to.")],
    data: Annotated[
        str, typer.Option(help="Layout of that folder; see `histoscope data list`.")
    ] = "class_folder",
    mpp: Mpp = None,
    split: Annotated[str, typer.Option(help="Only the patches of this published part: train, test.")] = "",
    which: Annotated[Which, typer.Option(help="Which patches to show.")] = Which.MISTAKES,
    n: Annotated[int, typer.Option("--n", min=1, help="How many patches to show.")] = 24,
    per_group: Annotated[
        int, typer.Option(min=1, help="Maximum number of patches of one patient or source.")
    ] = 1,
) -> None:
    """Explain a classifier's predictions with attribution maps, the most confident mistakes first.

    Maps are made by Grad-CAM, or by attention rollout for transformers. OUT gets

    - `patches.html`: a page of patches with their maps, in one file;

    - `patches.png`: the same as a sheet;

    - `confusion.svg`: the confusion matrix;

    - `reliability.svg`: the reliability diagram: predicted probability against accuracy;

    - `predictions.csv`: class and probabilities of every patch.

    Files that Histoscope did not write are never overwritten. Patches that cannot be read are listed at the
    end; the exit code is then 1.

    Example: `histoscope explain runs/colon data/lc25000 out/ --mpp 0.5 --split test`
    """
    from histoscope import data as datasets
    from histoscope import models
    from histoscope.classify import classification
    from histoscope.cli import scores
    from histoscope.cli.progress import counted
    from histoscope.explain import method_of
    from histoscope.jobs.journal import Journal
    from histoscope.train.parts import normalised

    opened = models.open_model(model, models.Classifier)
    network = opened.network
    method_of(network)  # a missing package is reported before any work
    _require_apart(root, out)
    skipped: dict[str, str] = {}
    dataset = images_of(datasets.open(data, root, mpp=mpp), split, root)
    shown = normalised(classification.in_words_of(network.spec.classes, dataset), opened.normalizer)
    title = f"{_TITLES[which]} of {Path(model).name} on {dataset.info.name}"
    with Journal.open(out, {}, overwrite=True, name=EXPLAINED) as journal:
        journal.require(FILES)
        with counted("Patches", len(shown)) as on_patch:
            table = classification.predict_classes(
                network, shown, on_patch=on_patch, on_skip=skipped.__setitem__
            )
        chosen = choose(table, str(which), n, per_group)
        method, gallery = explained(network, shown, chosen)
        with journal.writing(FILES):
            write(out, table, gallery, method, title=title)
    wrong = int((table["true"] != table["predicted"]).sum())
    typer.echo(
        f"{count(len(table), 'patch')}, {wrong} misclassified; {len(gallery)} shown in {out}/patches.html"
    )
    for name, why in skipped.items():
        scores.note(f"skipped {name}: {why}")
    if skipped:
        raise typer.Exit(1)


def _require_apart(root: Path, out: Path) -> None:
    """Refuse an output folder among the patches: the next run would take it for a class."""
    from histoscope.errors import ConfigError

    if out.resolve() == root.resolve() or root.resolve() in out.resolve().parents:
        raise ConfigError(f"OUT is {out}, inside the folder of patches {root}; choose a folder outside it")


def choose(table: "pd.DataFrame", which: str, n: int, per_group: int) -> "pd.DataFrame":
    """Rows of the patches to show."""
    from histoscope.explain import mistakes, patches_by_confidence

    if which == "mistakes":
        return mistakes(table, n, per_group=per_group)
    return patches_by_confidence(table, n, per_group=per_group, surest_first=which == "surest")


def explained(network: "Classifier", dataset: "Dataset", rows: "pd.DataFrame") -> "tuple[str, list[Example]]":
    """Name of the attribution method, and patches with their maps."""
    from histoscope.explain import Example, blend
    from histoscope.explain import explain as explained_by

    if rows.empty:
        return "", []
    place = {record.name: index for index, record in enumerate(dataset.records)}
    samples = [dataset[place[name]] for name in rows["name"]]
    patches = [network.patch(sample.image, sample.mpp) for sample in samples]
    targets = [network.spec.classes.index(name) for name in rows["predicted_class"]]
    found = explained_by(network, patches, targets)
    columns: Any = rows[["name", "true_class", "predicted_class", "probability"]]
    shown = [
        Example(name, patch, blend(patch, heat), true, predicted, float(probability))
        for patch, heat, (name, true, predicted, probability) in zip(
            patches, found.heat, columns.itertuples(index=False), strict=True
        )
    ]
    return found.method, shown


def write(out: Path, table: "pd.DataFrame", gallery: "list[Example]", method: str, *, title: str) -> None:
    """Write page, sheet, figures and table."""
    from histoscope import metrics
    from histoscope.explain import page, sheet
    from histoscope.files import write_image, write_text
    from histoscope.report.patch_figures import confusion_matrix, reliability_diagram
    from histoscope.tables import write_table

    write_text(out / "patches.html", page(gallery, title=title, method=method))
    (out / "patches.png").unlink(missing_ok=True)
    if gallery:
        write_image(out / "patches.png", sheet(gallery))
    known = table[table["true"] >= 0]
    names, true, p = metrics.probabilities(known)
    write_text(
        out / "confusion.svg", confusion_matrix(metrics.confusion(true, p.argmax(1), len(names)), names)
    )
    write_text(out / "reliability.svg", reliability_diagram(metrics.reliability(true, p)))
    write_table(out / "predictions.csv", table)
