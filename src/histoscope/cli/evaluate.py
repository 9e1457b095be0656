"""``histoscope evaluate``: scores of a trained model on labelled images."""

from pathlib import Path
from typing import Annotated

import typer

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
    turned: Annotated[
        bool,
        typer.Option("--turned", help="Look at everything in all eight turns and flips: slower, better."),
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="Also write the scores, one row an image, to this CSV file.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print the mean scores as JSON.")] = False,
) -> None:
    """Compare a model's nuclei with the truth, image by image, or its classes, patch by patch.

    Scores come with a 95 % interval by patient (of patches: by patient, or else by source). If the model was
    trained on normalised stains, images are normalised the same way first. Classes are matched by name.

    Images that cannot be read or scored are named at the end; the exit code is then 1.

    Example: `histoscope evaluate runs/unet data/monuseg --mpp 0.25 --split test`
    """
    from histoscope import data as datasets
    from histoscope import models, weights
    from histoscope.cli import scores
    from histoscope.errors import ConfigError, DataError
    from histoscope.files import whole
    from histoscope.train import classification
    from histoscope.train import evaluate as evaluated
    from histoscope.train.experiment import normalised

    folder = weights.find(model)
    notice = weights.licence_notice(folder)
    if notice:
        typer.echo(notice, err=True)
    network = models.load(folder)
    if turned and isinstance(network, models.Classifier):
        raise ConfigError("--turned is for models that find nuclei; this one tells patches apart")
    skipped: dict[str, str] = {}
    dataset = datasets.open(data, root, **({} if mpp is None else {"mpp": mpp}))
    if split:
        chosen = [index for index, record in enumerate(dataset.records) if record.split == split]
        if not chosen:
            known = sorted({record.split for record in dataset.records})
            raise DataError(f"{root} has no part {split!r}; its index names {known}")
        dataset = datasets.subset(dataset, chosen)
    done = iter(range(1, len(dataset) + 1))
    with scores.steps_bar(len(dataset), "Images") as on_step:
        if isinstance(network, models.Classifier):
            shown = normalised(
                classification.in_words_of(network.spec.classes, dataset), models.normalizer_of(folder)
            )
            table = classification.predict_classes(
                network, shown, on_patch=lambda _: on_step(next(done), {}), on_skip=skipped.__setitem__
            )
        else:
            shown = normalised(dataset, models.normalizer_of(folder))
            table = evaluated(
                network,
                shown,
                on_image=lambda *_: on_step(next(done), {}),
                on_skip=skipped.__setitem__,
                turned=turned,
            )
    if out is not None:
        with whole(out) as temporary:
            table.to_csv(temporary, index=False)
    scores.show(table, where=out, as_json=json)
    for name, why in skipped.items():
        scores.note(f"skipped {name}: {why}")
    if skipped:
        scores.note(f"{len(skipped)} of {len(skipped) + len(table)} could not be scored")
        raise typer.Exit(1)
