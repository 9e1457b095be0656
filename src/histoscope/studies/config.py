"""What a study is run with: data, networks, training. Ten lines of YAML."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from histoscope import config
from histoscope.errors import UnknownNameError
from histoscope.models.arguments import new_arguments
from histoscope.renamed import renamed, warn
from histoscope.studies import get, synthetic
from histoscope.studies.factors import DEFAULTS, FACTORS
from histoscope.studies.folder import NEW_NAMES
from histoscope.studies.study import EXTERNAL, Condition, Run, Study, runs
from histoscope.train import TrainConfig
from histoscope.train.config import TransferConfig
from histoscope.train.mix import SyntheticConfig
from histoscope.train.parts import DataConfig


class PatchesConfig(config.Config):
    """What a study of patches needs beside the rest.

    Parameters
    ----------
    backbone : dict
        Arguments of the one network that all levels share; its classes are those of the data.
    imagenet : Path, optional
        File of its ImageNet weights; the hub's are fetched if left out.
    test : float
        Share of the patches that is tested on.
    drawn : int
        Synthetic tiles to pretrain on.
    synthetic, self_supervised : TrainConfig
        How it is pretrained on these, and on unlabelled training tiles.
    tuned : TransferConfig, optional
        Rates and freezing of the backbone where ImageNet's weights are fine-tuned.
    tuned_lr : float
        Learning rate there.
    """

    backbone: dict[str, Any] = Field(default_factory=lambda: {"backbone": "tf_efficientnet_lite0"})
    imagenet: Path | None = None
    test: float = Field(default=0.2, gt=0, lt=1)
    drawn: int = Field(default=1000, ge=8)
    synthetic: TrainConfig = TrainConfig(steps=150, batch_size=32)
    self_supervised: TrainConfig = TrainConfig(steps=150, batch_size=64)
    tuned: TransferConfig | None = None
    tuned_lr: float = Field(default=1e-3, gt=0)


class StepSeconds(config.Config):
    """Seconds of a training step, as ``histoscope study plan`` measures them on the machine of the study.

    Parameters
    ----------
    encoder : float
        Of the network with an encoder, which ``models`` describes.
    unet : float
        Of the same network on our own U-Net. It learns for so many more steps that the minutes are equal.
    """

    encoder: float = Field(gt=0)
    unet: float = Field(gt=0)


class NucleiConfig(config.Config):
    """What a study of beginnings of networks that find nuclei needs beside the rest.

    Parameters
    ----------
    imagenet : Path, optional
        File of the encoder's ImageNet weights; the hub's are fetched if left out.
    step_seconds : StepSeconds, optional
        Pace of both networks.
    """

    imagenet: Path | None = None
    step_seconds: StepSeconds | None = None


class ExternalConfig(DataConfig):
    """An external test set: images of another laboratory, which no network of the study learns from.

    Parameters
    ----------
    part : {"test", "all"}
        Test on its published test part, if it has one, or on all of it.
    """

    part: Literal["test", "all"] = "test"


class TissueConfig(SyntheticConfig):
    """A synthetic data set of a study, and the labels that went into it.

    Parameters
    ----------
    fitted_to : int
        Labelled real tiles that it was fitted to. It stands beside the results: who fits a generator to 30
        labelled tiles has labelled 30 tiles. Where each seed has a set of its own, fitted to that seed's
        tiles, `root` has ``{seed}`` in it.
    """

    fitted_to: int = Field(default=0, ge=0)

    def of_seed(self, seed: int) -> "TissueConfig":
        """Give the data set of a seed."""
        return self.model_copy(update={"root": Path(str(self.root).replace("{seed}", str(seed)))})


@renamed(elsewhere="external")
class StudyConfig(config.Config):
    """A study as its YAML file gives it; what it leaves out comes from the declaration.

    Parameters
    ----------
    study : str
        A key of ``STUDIES``.
    data : DataConfig
        The images.
    models : dict
        Name of a network -> its arguments. Of a study of patches, sizes of the training part instead:
        ``{groups_16: {}, all: {}}``.
    patches : PatchesConfig
        What a study of patches needs beside the rest.
    nuclei : NucleiConfig
        What the study ``transfer_nuclei`` needs beside the rest.
    train : TrainConfig
        The same for every run, but for the seed.
    augment : str
        A key of ``augment.AUGMENTATIONS``; the factor's level instead, where augmentation is the factor.
    jitter : str
        A key of ``stain.JITTERS``, or none; the factor's level instead, where it names one. Of studies of
        nuclei alone.
    seeds, levels, conditions : tuple, optional
        A choice of the study's own, or further levels and seeds.
    external : dict, optional
        External test sets: a name of your choice -> another data set to test on. A set ``tnbc`` is condition
        ``external_tnbc``. One set may stand here without a name; its condition is ``external``.
    synthetic : dict
        Name of a synthetic data set -> where it lies, and its share of the patches where it is mixed with
        real tiles. Levels that need one that is not named are left out.
    pretraining : float
        Share of the steps that pretraining on synthetic tissue takes. Tuning takes the rest, so that all
        levels learn equally long.
    tuning_lr : float, optional
        Learning rate of tuning; ``train.lr`` if left out. A low one keeps more of what pretraining taught.
    sizes : dict
        Network -> numbers of real tiles that it is trained with, where not all that the levels have.
    out : Path, optional
        Folder of the study; ``runs/<study>`` if left out.
    """

    study: str
    data: DataConfig
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    patches: PatchesConfig = PatchesConfig()
    nuclei: NucleiConfig = NucleiConfig()
    train: TrainConfig = TrainConfig()
    augment: str = "default"
    jitter: str = "none"
    seeds: tuple[int, ...] = ()
    levels: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    external: dict[str, ExternalConfig] | None = None
    synthetic: dict[Literal["procedural", "learned"], TissueConfig] = Field(default_factory=dict)
    pretraining: float = Field(default=0.5, gt=0, lt=1)
    tuning_lr: float | None = Field(default=None, gt=0)
    sizes: dict[str, tuple[int | Literal["all"], ...]] = Field(default_factory=dict)
    out: Path | None = None

    @field_validator("models")
    @classmethod
    def _take_old_arguments(cls, values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {name: new_arguments(name, given) for name, given in values.items()}

    @field_validator("external", mode="before")
    @classmethod
    def _name_the_only_one(cls, given: Any) -> Any:
        return named(given)

    @field_validator("conditions")
    @classmethod
    def _take_old_conditions(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in NEW_NAMES.keys() & set(names):
            warn(f"conditions: {name}", f"conditions: {NEW_NAMES[name]}")
        return tuple(NEW_NAMES.get(name, name) for name in names)

    @property
    def declared(self) -> Study:
        """The study with this file's choices in the place of its own."""
        study = get(self.study)
        known, given = FACTORS[study.factor].levels, {"", *self.synthetic}
        possible = (level for level in study.levels if synthetic.source_of(level, known) in given)
        levels = self.levels or tuple(possible)
        return dataclasses.replace(
            study,
            levels=levels,
            baseline=synthetic.baseline(study.baseline, levels),
            models=tuple(self.models) or study.models,
            seeds=self.seeds or study.seeds,
            conditions=_chosen(_conditions(study, self.external or {}), self.conditions),
        )

    @property
    def folder(self) -> Path:
        """Where the study is written."""
        return self.out if self.out is not None else Path("runs") / self.study

    def runs(self) -> list[Run]:
        """Every run of the study."""
        study = self.declared
        return [run for run in runs(study.levels, study.models, study.seeds) if self._is_wanted(run)]

    def needed(self, run: Run) -> Run | None:
        """Give the run whose weights are the initial ones of this run, if there is one."""
        level = self.settings(run)["initial_level"]
        return dataclasses.replace(run, level=level) if level else None

    def steps(self, run: Run) -> int:
        """Count the steps that a run trains for."""
        total, pace = self.train.steps, self.nuclei.step_seconds
        if pace is not None and self.settings(run)["equal_minutes"]:
            total = max(1, round(total * pace.encoder / pace.unet))
        before = min(max(1, round(total * self.pretraining)), max(1, total - 1))
        parts = {"all": total, "pretraining": before, "tuning": max(1, total - before)}
        return parts[self.settings(run)["part"]]

    def training(self, run: Run) -> TrainConfig:
        """Say how a run is trained: as all are, but for its seed, its steps, and the rate of tuning."""
        tuned = bool(self.settings(run)["initial_level"])
        lr = self.tuning_lr if tuned and self.tuning_lr else self.train.lr
        return dataclasses.replace(self.train, seed=run.seed, steps=self.steps(run), lr=lr)

    def _is_wanted(self, run: Run) -> bool:
        """Whether a run's network is to be trained with its number of real tiles."""
        tiles, sizes = self.settings(run)["tiles"], self.sizes.get(run.model)
        return tiles == 0 or sizes is None or synthetic.of_size(tiles) in map(str, sizes)

    def settings(self, run: Run) -> dict[str, Any]:
        """Settings of a run: those of its level; for the rest, those of this file."""
        level = FACTORS[self.declared.factor].levels[run.level]
        arguments = {**self.models.get(run.model, {}), **level.get("arguments", {})}
        return {**DEFAULTS, "augment": self.augment, "jitter": self.jitter, **level, "arguments": arguments}


def all_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse names that do not exist; the message offers the nearest."""
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def named(external: Any) -> Any:
    """Settings of external test sets by their names; the only one, without a name, is ``external``.

    Examples
    --------
    >>> named({"root": "data/consep"}), named({"tnbc": {"root": "data/tnbc"}})
    ({'external': {'root': 'data/consep'}}, {'tnbc': {'root': 'data/tnbc'}})
    """
    is_one = isinstance(external, DataConfig) or (isinstance(external, dict) and "root" in external)
    return {EXTERNAL.name: external} if is_one else external


def condition_of(name: str) -> str:
    """Condition of an external test set.

    Examples
    --------
    >>> condition_of("tnbc"), condition_of("external")
    ('external_tnbc', 'external')
    """
    return name if name == EXTERNAL.name else f"{EXTERNAL.name}_{name}"


def _conditions(study: Study, names: Iterable[str]) -> list[Condition]:
    """Conditions of a study, one for each external test set."""
    found = []
    for condition in study.conditions:
        away = [dataclasses.replace(condition, name=condition_of(name)) for name in names]
        found += away if condition.external and away else [condition]
    return found


def _chosen(known: Sequence[Condition], names: Sequence[str]) -> tuple[Condition, ...]:
    if not names:
        return tuple(known)
    by_name = {condition.name: condition for condition in known}
    all_known("condition", names, by_name)
    return tuple(by_name[name] for name in names)
