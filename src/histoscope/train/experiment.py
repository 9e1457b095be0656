"""A whole training experiment from one YAML file: data, split, normaliser, model, training, test."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from pydantic import Field, model_validator

from histoscope import config, metrics, models, stain
from histoscope.balance import BalanceConfig
from histoscope.classify.probe import ProbeConfig
from histoscope.data import Dataset, Split
from histoscope.data.base import Progress
from histoscope.errors import ConfigError, HistoscopeError
from histoscope.export import likeness
from histoscope.files import write_text
from histoscope.locks import alone_in
from histoscope.models.arguments import new_arguments
from histoscope.models.card import write_card
from histoscope.renamed import renamed
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.tables import read_table, write_table
from histoscope.train import provenance, run_folder
from histoscope.train.checks import check_machine, check_remedies
from histoscope.train.choices import check_normalizer, get_augment, get_balance, get_jitter
from histoscope.train.config import TrainConfig
from histoscope.train.mix import SyntheticConfig
from histoscope.train.parts import SplitDataConfig, in_classes_of, join_parts, open_parts
from histoscope.train.plan import Plan, arguments
from histoscope.train.probing import ProbePatches
from histoscope.train.seen import seen_in
from histoscope.train.steps import OnStep
from histoscope.train.tasks import Listener, OnSample, Task, task_of
from histoscope.train.training import TestSets, Training, train_and_test
from histoscope.words import listed

OnNote = Callable[[str], None]
"""Called with messages: what was loaded, what was skipped."""


class ModelConfig(config.Config):
    """A network.

    Parameters
    ----------
    name : str
        A key of ``models.MODELS``, ``timm/NAME``, ``smp/NAME``, or the name of a plug-in (docs/plugins.md).
    arguments : dict
        Arguments of the network, such as ``{width: 16, depth: 5, mpp: 0.5}``; see docs/reference/models.md.
    """

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _take_old_arguments(cls, values: Any) -> Any:
        if not isinstance(values, dict) or not isinstance(given := values.get("arguments"), dict):
            return values
        return values | {"arguments": new_arguments(str(values.get("name")), given)}


@renamed(begin_from="initial_weights")
class Experiment(config.Config):
    """Configuration of ``histoscope train``.

    Parameters
    ----------
    data : SplitDataConfig
    more : list of SplitDataConfig, optional
        Further data sets. Each is split on its own, then the parts are joined.
    model : ModelConfig
    synthetic : SyntheticConfig, optional
        A synthetic data set to train on as well, and its share of the patches.
    initial_weights : Path, optional
        A model of the same kind whose weights training starts from, such as one pretrained on synthetic
        tiles.
    normalizer : str
        ``none``, a key of ``stain.NORMALIZERS``, or the name of a plug-in. It is saved with the model, and
        evaluation applies it.
    reference : Path, optional
        Image or saved reference whose stain the normaliser brings images to; the bundled one if left out.
    white : (3,) numbers, optional
        RGB of bare glass, each 1 to 255; if left out, it is estimated for each image.
    augment : str
        A key of ``augment.AUGMENTATIONS``, or the name of a plug-in, such as ``package.module:function``.
    jitter : str
        ``none``, a key of ``stain.JITTERS``, or the name of a plug-in: random changes of colour.
    balance : str
        A key of ``balance.BALANCES``, or the name of a plug-in: remedies for rare classes.
    metrics : sequence of str
        Further scores of the test images: names of plug-ins, or ``package.module:name`` of a function of the
        true and the predicted label map.
    train : TrainConfig
    probe : ProbeConfig, optional
        Fit only the head of a classifier, on features of the frozen backbone, instead of training it.
    out : Path
        Run folder.
    """

    data: SplitDataConfig
    more: tuple[SplitDataConfig, ...] = ()
    model: ModelConfig
    synthetic: SyntheticConfig | None = None
    initial_weights: Path | None = None
    normalizer: str = "none"
    reference: Path | None = None
    white: tuple[float, float, float] | None = None
    augment: str = "default"
    jitter: str = "none"
    balance: str = "none"
    metrics: tuple[str, ...] = ()
    train: TrainConfig = TrainConfig()
    probe: ProbeConfig | None = None
    out: Path = Path("runs/train")


def run(
    experiment: Experiment,
    *,
    on_step: OnStep | None = None,
    on_image: OnSample | None = None,
    on_note: OnNote | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Train, evaluate on the test part, and write the run folder.

    Parameters
    ----------
    experiment : Experiment
    on_step : callable, optional
        Called with step and losses after each step of training.
    on_image : callable, optional
        Called with each test sample and, where nuclei are found, these.
    on_note : callable, optional
        Called with messages.
    progress : callable, optional
        Called with (patches done, all patches) while features are computed.

    Returns
    -------
    DataFrame
        Scores on the test part, a row per image or patch, as in ``per_image.csv``; nothing is run twice.

    Raises
    ------
    ConfigError
        If the run folder belongs to an experiment with other settings, or another call writes it.
    """
    _check_names(experiment)
    with alone_in(experiment.out):
        return _run(experiment, Listener.of(step=on_step, sample=on_image, note=on_note), progress)


def _run(experiment: Experiment, listener: Listener, progress: Progress | None) -> pd.DataFrame:
    """Train and test in a folder that is locked."""
    out, skipped = experiment.out, dict[str, str]()
    standing = run_folder.stand(experiment, out)
    finished = out / run_folder.RESULT
    if finished.is_file() and standing.is_settled:
        _check_unchanged(experiment, standing, listener.note)
        listener.note(
            f"{out} is finished: nothing was trained, these are its scores. Raise train.steps to continue "
            "it, or start another run with --set out=..."
        )
        return read_table(finished)
    check_machine(experiment.train)
    torch.manual_seed(experiment.train.seed)
    given = _opened(experiment)
    parts = join_parts(given)
    model = models.create_for(parts.train.info.classes, experiment.model.name, arguments(experiment))
    parts = provenance.watched(in_classes_of(model, parts))
    _check_model(experiment, model)
    normalizer = _normalizer(experiment)
    plan = Plan(experiment, parts, standing, normalizer)
    task = task_of(model)
    if experiment.probe is not None:
        task = ProbePatches(experiment.probe, progress=progress)

    def start() -> None:
        plan.begin()
        if experiment.probe is None:
            listener.note(plan.length)

    skip = skipped.__setitem__ if task.skips_unreadable else None
    listener = replace(listener, start=start, skip=skip)
    train, val = task.samples(plan, model, listener)
    test = TestSets(sets={"test": plan.shown.test}, metrics=experiment.metrics)
    training = Training(model=model, train=train, val=val, recipe=plan.recipe, test=test)
    table = train_and_test(task, training, out, listener).tables["test"]
    if skipped:
        listed = "; ".join(f"{name} ({why})" for name, why in list(skipped.items())[:5])
        listener.note(f"skipped {len(skipped)} patches that cannot be read: {listed}")
    _finish_card(plan, task, table, given)
    write_table(out / run_folder.CONTENT, plan.contents())
    write_table(finished, table)
    _tell_seen(out / "model", parts.test, listener.note)
    return read_table(finished)


def _tell_seen(model: Path, test: Dataset, note: OnNote) -> None:
    """Say which test images the network has seen, such as those of what training began from."""
    learned = provenance.read(model)
    if learned is not None and any((found := seen_in(learned, test)).status):
        note(f"test images: {found}; so not all of these scores are on new images")


def _opened(experiment: Experiment) -> list[Split]:
    """Training, validation and test part of each data set; no pixel is read."""
    return [open_parts(each, seed=experiment.train.seed) for each in (experiment.data, *experiment.more)]


def _normalizer(experiment: Experiment) -> BaseNormalizer[Any] | None:
    if experiment.normalizer == "none":
        return None
    return stain.open(experiment.normalizer, experiment.reference, white=experiment.white)


def _check_unchanged(experiment: Experiment, standing: run_folder.Standing, note: OnNote) -> None:
    """Refuse to give the scores of a finished run if its images, as far as they are here, have changed."""
    if not (experiment.out / run_folder.CONTENT).is_file():
        return note("this version cannot tell whether its images have changed since: an older one trained it")
    try:
        parts = provenance.watched(
            in_classes_of(models.load(experiment.out), join_parts(_opened(experiment)))
        )
        normalizer = _normalizer(experiment)
    except (HistoscopeError, OSError) as error:
        return note(f"whether its images have changed since cannot be told: {error}")
    return Plan(experiment, parts, standing, normalizer).check_unchanged()


def _check_names(experiment: Experiment) -> None:
    """Check all names before any file is read."""
    models.get(experiment.model.name)
    check_normalizer(experiment.normalizer, experiment.white, experiment.reference)
    get_augment(experiment.augment)
    get_jitter(experiment.jitter)
    get_balance(experiment.balance)
    for name in experiment.metrics:
        metrics.get(name)


def _check_model(experiment: Experiment, model: models.Model) -> None:
    """Refuse settings that are not for this kind of model."""
    if not model.task:
        raise ConfigError(
            f"model {model.name!r} neither finds nuclei nor classifies; train takes one of the others "
            "(histoscope synth fits a generator)"
        )
    task_of(model).check_experiment(experiment, model)
    check_remedies(model, get_balance(experiment.balance) or BalanceConfig())


def _finish_card(plan: Plan, task: Task, table: pd.DataFrame, given: Sequence[Split]) -> None:
    """Write on the model's card its test scores, and which data sets taught it classes."""
    folder = plan.experiment.out / "model"
    more = [name.rpartition(":")[2] for name in plan.experiment.metrics]
    scores = {name: round(value, 4) for name, value in task.summary(table, *more).items()}
    card = models.read_card(folder) | {"test": {"images": len(table), **scores}}
    if isinstance(looks := card.get(likeness.KEY), dict):
        sheets = [parts.train.info for parts in given]
        looks["name"] = listed([sheet.title or sheet.name for sheet in sheets if sheet.classes])
    write_card(folder, card)
    write_text(folder / "config.yaml", config.dump(plan.experiment))
