"""A whole training experiment from one YAML file: data, split, normaliser, model, training, test."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pandas as pd
import torch
from pydantic import Field

from histoscope import config, models
from histoscope.balance import BalanceConfig
from histoscope.classify import classification
from histoscope.classify.features import extract
from histoscope.classify.probe import ProbeConfig, fit_probe
from histoscope.data import Split
from histoscope.data.base import Progress
from histoscope.data.readers.patch_files import groups_of_two_classes
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.files import write_text
from histoscope.locks import alone_in
from histoscope.models import Classifier
from histoscope.models.patches.initial import begin_from
from histoscope.tables import read_table, write_table
from histoscope.train import census, provenance, run_folder
from histoscope.train.checks import check_fit, check_machine, check_remedies
from histoscope.train.choices import check_normalizer, get_augment, get_balance, get_jitter, get_normalizer
from histoscope.train.config import TrainConfig
from histoscope.train.evaluation import OnImage, evaluate, summary
from histoscope.train.log import RunLog
from histoscope.train.loop import OnStep, fit
from histoscope.train.mix import SyntheticConfig, mixture, open_synthetic
from histoscope.train.parts import DataConfig, at_model, in_classes_of, join_parts, normalised, open_parts
from histoscope.train.plan import Plan, arguments
from histoscope.types import Sample
from histoscope.words import count

OnNote = Callable[[str], None]
"""Called with lines for people: what was loaded, what was skipped."""


class ModelConfig(config.Config):
    """A network.

    Parameters
    ----------
    name : str
        A key of ``models.MODELS``.
    arguments : dict
        What it is made with, such as ``{width: 16, depth: 5, mpp: 0.5}``; docs/reference/models.md has them.
    """

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
    white : (3,) numbers, optional
        Levels of bare glass, 1 to 255; without it, each image's own is looked for.
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
    white: tuple[float, float, float] | None = None
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
        Scores on the test part, a row an image or patch, as in ``per_image.csv``; nothing is run twice.

    Raises
    ------
    ConfigError
        If the run folder belongs to an experiment with other settings, or another call writes it.
    """
    _check_names(experiment)
    with alone_in(experiment.out):
        return _run(experiment, on_step, on_image, on_note or _nobody, progress)


def _run(
    experiment: Experiment,
    on_step: OnStep | None,
    on_image: OnImage | None,
    note: OnNote,
    progress: Progress | None,
) -> pd.DataFrame:
    """Train and test in a folder that is held."""
    out = experiment.out
    standing = run_folder.stand(experiment, out)
    finished = out / run_folder.RESULT
    if finished.is_file() and standing.is_settled:
        _check_unchanged(experiment, standing, note)
        note(
            f"{out} is finished: nothing was trained, these are its scores. More train.steps go on from it; "
            "--set out=... starts another run"
        )
        return read_table(finished)
    check_machine(experiment.train)
    torch.manual_seed(experiment.train.seed)
    parts = _opened(experiment)
    model = models.create_for(parts.train.info.classes, experiment.model.name, arguments(experiment))
    parts = provenance.watched(in_classes_of(model, parts))
    _check_model(experiment, model)
    normalizer = get_normalizer(experiment.normalizer, experiment.reference, experiment.white)
    plan = Plan(experiment, parts, standing, normalizer)
    if isinstance(model, Classifier):
        table = _of_patches(plan, model, on_step, note, progress)
    else:
        train, val = _samples(plan, model, note)
        if experiment.begin_from is not None:
            note(f"weights: {begin_from(model, experiment.begin_from)}")
        fitted = _fit(plan, model, train, val, on_step, note)
        table = evaluate(fitted, plan.shown.test, on_image=on_image)
    _finish_card(plan, table)
    write_table(out / run_folder.CONTENT, plan.contents())
    write_table(finished, table)
    return read_table(finished)


def _opened(experiment: Experiment) -> Split:
    """Training, validation and test part of all data sets; no pixel is read."""
    given = [open_parts(each, seed=experiment.train.seed) for each in (experiment.data, *experiment.more)]
    return join_parts(given)


def _check_unchanged(experiment: Experiment, standing: run_folder.Standing, note: OnNote) -> None:
    """Refuse to give the scores of a finished run for others than its images, as far as these are here."""
    if not (experiment.out / run_folder.CONTENT).is_file():
        return note("this version cannot tell whether its images have changed since: an older one trained it")
    try:
        parts = provenance.watched(in_classes_of(models.load(experiment.out), _opened(experiment)))
        normalizer = get_normalizer(experiment.normalizer, experiment.reference, experiment.white)
    except (HistoscopeError, OSError) as error:
        return note(f"whether its images have changed since cannot be told: {error}")
    return Plan(experiment, parts, standing, normalizer).check_unchanged()


def _check_names(experiment: Experiment) -> None:
    """Refuse names that nothing answers to, before any file is read."""
    models.get(experiment.model.name)
    check_normalizer(experiment.normalizer, experiment.white, experiment.reference)
    get_augment(experiment.augment)
    get_jitter(experiment.jitter)
    get_balance(experiment.balance)


def _check_model(experiment: Experiment, model: models.Model) -> None:
    """Refuse settings that are not for this kind of model."""
    if not isinstance(model, (Classifier, models.Segmenter)):
        raise ConfigError(
            f"model {model.name!r} neither finds nuclei nor classifies; train takes one of the others "
            "(histoscope synth fits a generator)"
        )
    if isinstance(model, Classifier) and (experiment.synthetic or experiment.begin_from):
        raise ConfigError(
            "'synthetic' and 'begin_from' are for models that find nuclei; a classifier begins from its "
            "argument 'weights'"
        )
    check_remedies(model, get_balance(experiment.balance) or BalanceConfig())
    if experiment.probe is not None and not isinstance(model, Classifier):
        raise ConfigError(f"a probe is for classifiers, not for model {model.name!r}; leave it out")


def _samples(plan: Plan, model: models.Model, note: OnNote) -> tuple[Sequence[Sample], list[Sample]]:
    """Training and validation samples in memory, the synthetic ones among them, at the model's resolution."""
    chosen, mpp, shown = plan.experiment.synthetic, model.spec.mpp, plan.shown
    drawn, share = None, 0.0
    if chosen is not None:  # first: no pixel is read where its classes are others
        opened = open_synthetic(chosen, model.spec.classes, seed=plan.experiment.train.seed)
        drawn, share = normalised(opened, plan.normalizer), chosen.share
    note(f"reading {count(sum(len(part) for _, part in shown), 'image')}")
    real, val = at_model(shown.train, mpp) if share < 1 else [], at_model(shown.val, mpp)
    if real:
        for line in census.lines(plan.parts, real, val, model, plan.experiment.model.arguments):
            note(line)
    if drawn is None:
        return real, val
    note(
        f"learning from {count(len(real), 'real tile')} and {len(drawn):,} of {drawn.info.name}, which give "
        f"{share:.0%} of the patches"
    )
    return mixture(real, at_model(drawn, mpp), drawn, share), val


def _of_patches(
    plan: Plan,
    model: Classifier,
    on_step: OnStep | None,
    note: OnNote,
    progress: Progress | None,
) -> pd.DataFrame:
    """Train or probe a classifier, and classify the test part."""
    skipped: dict[str, str] = {}
    experiment, parts = plan.experiment, plan.shown
    classification.check_seen(parts.train, parts.val, parts.test)
    mixed = groups_of_two_classes([record for _, part in parts for record in part.records])
    if mixed:
        first = f"{mixed[0].name}: {mixed[0].message}"
        note(f"groups with patches of several classes: {len(mixed)}, taken as they are ({first})")
    for name, part in parts:
        note(str(census.count_patches(name, part.records, part.info.classes)))
    classification.settle(model, parts.train, mpp_given="mpp" in experiment.model.arguments)
    note(f"backbone {model.arguments.get('backbone', models.name_of(model))}: {model.loaded}")
    if experiment.probe is not None:
        run_folder.begin(experiment, experiment.out, plan.standing)
        table = _probe(plan, experiment.probe, model, skipped, note, progress)
    else:
        train, val = (
            classification.in_memory(model, part, skipped.__setitem__) for part in (parts.train, parts.val)
        )
        fitted = cast("Classifier", _fit(plan, model, train, val, on_step, note))
        table = classification.predict_classes(fitted, parts.test, on_skip=skipped.__setitem__)
    if skipped:
        listed = "; ".join(f"{name} ({why})" for name, why in list(skipped.items())[:5])
        note(f"skipped {len(skipped)} patches that cannot be read: {listed}")
    return table


def _fit(
    plan: Plan,
    model: models.Model,
    train: Sequence[Sample],
    val: Sequence[Sample],
    on_step: OnStep | None,
    note: OnNote,
) -> models.Model:
    """Train; the model with the best weights."""
    experiment, shorter = plan.experiment, plan.standing.shorter
    check_fit(model, train, val, experiment.train)
    card = plan.card | plan.write_list()
    run_folder.begin(experiment, experiment.out, plan.standing)
    length = f"training for {experiment.train.steps:,} steps of {count(experiment.train.batch_size, 'patch')}"
    if shorter:
        note(f"{length}: goes on from the first {shorter:,}, whose scores are kept beside the new ones")
    elif (experiment.out / run_folder.CHECKPOINT).is_file():
        note(f"{length}: goes on from the last checkpoint")
    else:
        note(f"{length}; how long it takes is told after the first")
    return fit(
        model,
        train,
        val,
        experiment.train,
        out=experiment.out,
        augment=get_augment(experiment.augment),
        color=get_jitter(experiment.jitter),
        balance=get_balance(experiment.balance),
        on_step=on_step,
        card=card,
        normalizer=plan.normalizer,
        keep_checkpoint=True,
    ).model


def _probe(
    plan: Plan,
    chosen: ProbeConfig,
    model: Classifier,
    skipped: dict[str, str],
    note: OnNote,
    progress: Progress | None,
) -> pd.DataFrame:
    """Fit the head on cached features, save the model, and classify the test part from its features."""
    out, parts = plan.experiment.out, plan.shown
    with RunLog(out, tensorboard=plan.experiment.train.tensorboard) as log:
        features = {
            name: extract(model, part, cache=chosen.cache, progress=progress, on_skip=skipped.__setitem__)
            for name, part in parts
        }
        ready = log.seconds
        probed = fit_probe(model, features["train"], features["val"], l2=chosen.l2)
        scores = classification.scores(classification.classify_features(model, features["val"], parts.val))
        log.write(1, {"loss": scores["nll"], "l2": probed.l2})
        log.write(1, scores, part="val")
    computed = sum(part.computed for part in features.values())
    about = {
        "probe": probed.to_dict(),
        "features": {"computed": computed, "seconds": round(ready, 2)},
        "validation": scores,
    }
    models.save(model, out / "model", {**plan.card, **plan.write_list(), **about}, plan.normalizer)
    note(
        f"features of {sum(map(len, features.values()))} patches in {ready:.1f} s ({computed} computed, the "
        f"others from the cache); probe fitted in {probed.seconds:.1f} s, L2 penalty {probed.l2:g}"
    )
    return classification.classify_features(model, features["test"], parts.test)


def _nobody(line: str) -> None:
    """Nobody wants to know."""


def _finish_card(plan: Plan, table: pd.DataFrame) -> None:
    """Write on the model's card how it did."""
    folder = plan.experiment.out / "model"
    scores = {name: round(value, 4) for name, value in summary(table).items()}
    card = models.read_card(folder) | {"test": {"images": len(table), **scores}}
    write_text(folder / "card.json", json.dumps(card, indent=2) + "\n")
    write_text(folder / "config.yaml", config.dump(plan.experiment))
