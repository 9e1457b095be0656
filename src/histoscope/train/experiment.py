"""A whole training experiment from one YAML file: data, split, normaliser, model, training, test."""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from pydantic import Field

from histoscope import augment, balance, config, data, models, stain
from histoscope.data import Dataset, Split
from histoscope.data.base import Progress
from histoscope.data.patch_files import groups_of_two_classes
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.files import read_image, whole, write_text
from histoscope.models import Classifier
from histoscope.models.checkpoint import read_card
from histoscope.models.initial import begin_from
from histoscope.train import classification
from histoscope.train.config import TrainConfig
from histoscope.train.evaluation import OnImage, evaluate, summary
from histoscope.train.features import extract
from histoscope.train.log import RunLog
from histoscope.train.loop import Color, OnStep, fit
from histoscope.train.mix import SyntheticConfig, about_data, mixture, open_synthetic
from histoscope.train.parts import DataConfig, in_classes_of, join_parts, open_parts
from histoscope.train.probe import ProbeConfig, fit_probe
from histoscope.types import Sample

OnNote = Callable[[str], None]
"""Called with lines for people: what was loaded, what was skipped."""
STAIN_REFERENCE = "stain_reference.json"


class ModelConfig(config.Config):
    """A model's name, and its arguments beside it."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class Experiment(config.Config):
    """What ``histoscope train`` reads.

    Parameters
    ----------
    data : DataConfig
    more : list of DataConfig, optional
        Further data sets; each is parted by itself, then the parts are joined.
    model : ModelConfig
    synthetic : SyntheticConfig, optional
        A synthetic data set to learn from, and its share of the patches.
    begin_from : Path, optional
        A model of the same kind whose weights training goes on from, such as one pretrained on synthetic
        tiles.
    normalizer : str
        ``none`` or a key of ``stain.NORMALIZERS``; it goes into the model's card, and evaluation applies it.
    reference : Path, optional
        Image or saved reference that the normaliser brings stains to; the bundled one if left out.
    augment : str
        A key of ``augment.AUGMENTATIONS``.
    jitter : str
        ``none`` or a key of ``stain.JITTERS``: colours changed at random while training.
    balance : str
        A key of ``balance.BALANCES``: remedies for rare classes.
    train : TrainConfig
    probe : ProbeConfig, optional
        Instead of training a classifier, fit its head alone, on features of the frozen backbone.
    out : Path
        Run folder.
    """

    data: DataConfig
    more: tuple[DataConfig, ...] = ()
    model: ModelConfig
    synthetic: SyntheticConfig | None = None
    begin_from: Path | None = None
    normalizer: str = "none"
    reference: Path | None = None
    augment: str = "default"
    jitter: str = "none"
    balance: str = "none"
    train: TrainConfig = TrainConfig()
    probe: ProbeConfig | None = None
    out: Path = Path("runs/train")


def run(
    experiment: Experiment,
    *,
    on_step: OnStep | None = None,
    on_image: OnImage | None = None,
    on_note: OnNote | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train, test on the part that was kept away, and write the run folder.

    Parameters
    ----------
    experiment : Experiment
    on_step : callable, optional
        Called with step and losses after each step of training.
    on_image : callable, optional
        Called with each test sample and its nuclei.
    on_note : callable, optional
        Called with lines for people.
    progress : callable, optional
        Called with (patches done, all patches) while features are computed.

    Returns
    -------
    DataFrame
        Scores on the test part, one row an image or patch; also in ``per_image.csv``. A finished run is not
        run again.

    Raises
    ------
    ConfigError
        If the run folder belongs to an experiment with other settings.
    """
    out, note = experiment.out, on_note or _nobody
    finished = out / "per_image.csv"
    _check_folder(experiment)
    if finished.is_file():
        return pd.read_csv(finished)
    torch.manual_seed(experiment.train.seed)
    given = [open_parts(each, seed=experiment.train.seed) for each in (experiment.data, *experiment.more)]
    parts = join_parts(given)
    model = models.create_for(parts.train.info.classes, experiment.model.name, _arguments(experiment))
    parts = in_classes_of(model, parts)
    if isinstance(model, Classifier) and (experiment.synthetic or experiment.begin_from):
        raise ConfigError(
            "'synthetic' and 'begin_from' are for models that find nuclei; a classifier begins from its "
            "argument 'weights'"
        )
    if experiment.probe is not None and not isinstance(model, Classifier):
        raise ConfigError(f"a probe is for classifiers, not for model {model.name!r}; leave it out")
    write_text(out / "config.yaml", config.dump(experiment))
    normalizer = get_normalizer(experiment.normalizer, experiment.reference)
    shown = Split(*(normalised(part, normalizer) for _, part in parts))
    if isinstance(model, Classifier):
        table = _of_patches(experiment, model, shown, on_step, note, progress)
    else:
        train, val = _samples(experiment, model, shown, normalizer, note)
        if experiment.begin_from is not None:
            note(f"weights: {begin_from(model, experiment.begin_from)}")
        fitted = _fit(experiment, model, train, val, on_step)
        table = evaluate(fitted, shown.test, on_image=on_image)
    _finish_card(experiment, parts, table, normalizer)
    with whole(finished) as temporary:
        table.to_csv(temporary, index=False)
    return table


def _samples(
    experiment: Experiment,
    model: models.Model,
    shown: Split,
    normalizer: stain.Normalizer | None,
    note: OnNote,
) -> tuple[Sequence[Sample], list[Sample]]:
    """Training and validation samples in memory, the synthetic ones among them, at the model's resolution."""
    chosen, mpp = experiment.synthetic, model.spec.mpp
    if chosen is None:
        return at_model(shown.train, mpp), at_model(shown.val, mpp)
    drawn = normalised(open_synthetic(chosen, model.spec.classes, seed=experiment.train.seed), normalizer)
    val = at_model(shown.val, mpp)
    real = at_model(shown.train, mpp) if chosen.share < 1 else []
    note(
        f"learning from {len(real)} real tiles and {len(drawn)} of {drawn.info.name}, which give "
        f"{chosen.share:.0%} of the patches"
    )
    return mixture(real, at_model(drawn, mpp), drawn, chosen.share), val


def _of_patches(
    experiment: Experiment,
    model: Classifier,
    parts: Split,
    on_step: OnStep | None,
    note: OnNote,
    progress: Progress | None,
) -> pd.DataFrame:
    """Train or probe a classifier, and classify the test part."""
    skipped: dict[str, str] = {}
    classification.check_seen(parts.train, parts.val, parts.test)
    mixed = groups_of_two_classes([record for _, part in parts for record in part.records])
    if mixed:
        first = f"{mixed[0].name}: {mixed[0].message}"
        note(f"groups with patches of several classes: {len(mixed)}, taken as they are ({first})")
    classification.settle(model, parts.train, mpp_given="mpp" in experiment.model.arguments)
    note(f"backbone {model.arguments['backbone']}: {model.loaded}")
    if experiment.probe is not None:
        table = _probe(experiment, experiment.probe, model, parts, skipped, note, progress)
    else:
        train, val = (
            classification.in_memory(model, part, skipped.__setitem__) for part in (parts.train, parts.val)
        )
        fitted = cast("Classifier", _fit(experiment, model, train, val, on_step))
        table = classification.predict_classes(fitted, parts.test, on_skip=skipped.__setitem__)
    if skipped:
        listed = "; ".join(f"{name} ({why})" for name, why in list(skipped.items())[:5])
        note(f"skipped {len(skipped)} patches that cannot be read: {listed}")
    return table


def _fit(
    experiment: Experiment,
    model: models.Model,
    train: Sequence[Sample],
    val: Sequence[Sample],
    on_step: OnStep | None,
) -> models.Model:
    """Train; the model with the best weights."""
    return fit(
        model,
        train,
        val,
        experiment.train,
        out=experiment.out,
        augment=augment.get(experiment.augment),
        color=get_jitter(experiment.jitter),
        balance=balance.get(experiment.balance),
        on_step=on_step,
    ).model


def _probe(
    experiment: Experiment,
    chosen: ProbeConfig,
    model: Classifier,
    parts: Split,
    skipped: dict[str, str],
    note: OnNote,
    progress: Progress | None,
) -> pd.DataFrame:
    """Fit the head on cached features, save the model, and classify the test part from its features."""
    out = experiment.out
    with RunLog(out, tensorboard=experiment.train.tensorboard) as log:
        features = {
            name: extract(model, part, cache=chosen.cache, progress=progress, on_skip=skipped.__setitem__)
            for name, part in parts
        }
        ready = log.seconds
        probed = fit_probe(model, features["train"], features["val"], pulls=chosen.pulls)
        scores = classification.scores(classification.classify_features(model, features["val"], parts.val))
        log.write(1, {"loss": scores["nll"], "pull": probed.pull})
        log.write(1, scores, part="val")
    computed = sum(part.computed for part in features.values())
    about = {
        "probe": probed.to_dict(),
        "features": {"computed": computed, "seconds": round(ready, 2)},
        "validation": scores,
    }
    models.save(model, out / "model", about)
    note(
        f"features of {sum(map(len, features.values()))} patches in {ready:.1f} s ({computed} computed, the "
        f"others from the cache); probe fitted in {probed.seconds:.1f} s, penalty {probed.pull:g}"
    )
    return classification.classify_features(model, features["test"], parts.test)


def _check_folder(experiment: Experiment) -> None:
    """Refuse a folder that holds a run with other settings; what was not set then had its default."""
    settled = experiment.out / "config.yaml"
    if not settled.is_file():
        return
    try:
        same = config.load(Experiment, settled) == experiment
    except ConfigError:
        same = False
    if not same:
        raise ConfigError(
            f"{experiment.out} holds a run with other settings; choose another folder with --set out=..."
        )


def _arguments(experiment: Experiment) -> dict[str, Any]:
    """Arguments of the model; a relative path of weights starts here, or else from the data set's folder."""
    given = dict(experiment.model.arguments)
    weights = given.get("weights")
    if isinstance(weights, str) and not Path(weights).exists():
        beside = experiment.data.root / weights
        given["weights"] = str(beside) if beside.exists() else weights
    return given


def _nobody(line: str) -> None:
    """Nobody wants to know."""


def get_normalizer(name: str, reference: Path | None) -> stain.Normalizer | None:
    """Fitted normaliser, or None for ``none``."""
    if name == "none":
        return None
    kind = stain.get(name)
    if reference is None:
        return kind.default()
    if reference.suffix == ".json":
        return stain.load(reference, name)
    return kind.fit(read_image(reference))


def get_jitter(name: str) -> Color | None:
    """Random change of colour, or None for ``none``."""
    if name == "none":
        return None
    if name not in stain.JITTERS:
        raise UnknownNameError("jitter", name, ["none", *stain.JITTERS])
    return stain.JITTERS[name]


def normalizer_of(model_folder: Path) -> stain.Normalizer | None:
    """The normaliser that a trained model's images must go through, or None."""
    saved = model_folder / STAIN_REFERENCE
    return stain.load(saved) if saved.is_file() else None


def normalised(dataset: Dataset, normalizer: stain.Normalizer | None) -> Dataset:
    """The data set with each image normalised when it is read."""
    if normalizer is None:
        return dataset

    def change(sample: Sample) -> Sample:
        return replace(sample, image=normalizer(sample.image))

    return data.mapped(dataset, change)


def at_model(dataset: Dataset, mpp: float) -> list[Sample]:
    """All samples in memory, at a model's resolution."""
    return [data.resample(sample, mpp) for sample in dataset]


def _finish_card(
    experiment: Experiment, parts: Split, table: pd.DataFrame, normalizer: stain.Normalizer | None
) -> None:
    """Write on the model's card what it was trained on and how it did."""
    folder = experiment.out / "model"
    sheets = [parts.train.info] if experiment.synthetic is None or experiment.synthetic.share < 1 else []
    if experiment.synthetic is not None:
        sheets.append(open_synthetic(experiment.synthetic).info)
    learned = about_data(sheets)
    scores = {name: round(value, 4) for name, value in summary(table).items()}
    about = {
        "stain normaliser": experiment.normalizer,
        "training data": learned,
        "weights licence": learned["licence"] or "as the training data",
        **({} if experiment.begin_from is None else {"begun from": str(experiment.begin_from)}),
        "split": {name: [record.name for record in part.records] for name, part in parts},
        "test": {"images": len(table), **scores},
    }
    if normalizer is not None:
        normalizer.save(folder / STAIN_REFERENCE)
    card = read_card(folder) | about
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    write_text(folder / "config.yaml", config.dump(experiment))
