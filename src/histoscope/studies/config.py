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
    """Further settings of a study of patches.

    Parameters
    ----------
    backbone : dict
        Arguments of the one network that all levels share; its classes are those of the data.
    imagenet : Path, optional
        File of its ImageNet weights; downloaded from the hub if left out.
    test : float
        Share of the patches used for testing.
    drawn : int
        Number of synthetic tiles to pretrain on.
    synthetic, self_supervised : TrainConfig
        Pretraining on synthetic tiles, and on unlabelled training tiles.
    tuned : TransferConfig, optional
        Learning rates and freezing of the backbone when ImageNet's weights are fine-tuned.
    tuned_lr : float
        Learning rate of that fine-tuning.
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
    """Seconds per training step, as measured by ``histoscope study plan`` on the machine of the study.

    Parameters
    ----------
    encoder : float
        For the network with an encoder, as described by ``models``.
    unet : float
        For the same network on our own U-Net, which gets as many more steps as fit into the same time.
    """

    encoder: float = Field(gt=0)
    unet: float = Field(gt=0)


class NucleiConfig(config.Config):
    """Further settings of the study ``transfer_nuclei``, which compares initial weights.

    Parameters
    ----------
    imagenet : Path, optional
        File of the encoder's ImageNet weights; downloaded from the hub if left out.
    step_seconds : StepSeconds, optional
        Speed of both networks.
    """

    imagenet: Path | None = None
    step_seconds: StepSeconds | None = None


class ExternalConfig(DataConfig):
    """An external test set: images of another laboratory that no network of the study is trained on.

    Parameters
    ----------
    part : {"test", "all"}
        Test on its published test part, if it has one, or on all images.
    """

    part: Literal["test", "all"] = "test"


class TissueConfig(SyntheticConfig):
    """A synthetic data set of a study, and the number of labelled tiles it was made from.

    Parameters
    ----------
    fitted_to : int
        Number of labelled real tiles that it was fitted to, reported with the results: a generator fitted to
        30 labelled tiles has cost 30 labelled tiles. If each seed has its own set, fitted to that
        seed's tiles, put ``{seed}`` into `root`.
    """

    fitted_to: int = Field(default=0, ge=0)

    def of_seed(self, seed: int) -> "TissueConfig":
        """Give the data set of a seed."""
        return self.model_copy(update={"root": Path(str(self.root).replace("{seed}", str(seed)))})


@renamed(elsewhere="external")
class StudyConfig(config.Config):
    """A study as written in its YAML file; the declaration gives what the file leaves out.

    Parameters
    ----------
    study : str
        A key of ``STUDIES``.
    data : DataConfig
        The images.
    models : dict
        Name of a network -> its arguments. For a study of patches, sizes of the training part instead:
        ``{groups_16: {}, all: {}}``.
    patches : PatchesConfig
        Further settings of a study of patches.
    nuclei : NucleiConfig
        Further settings of the study ``transfer_nuclei``.
    train : TrainConfig
        Training, the same for every run except for the seed.
    augment : str
        A key of ``augment.AUGMENTATIONS``. If augmentation is the factor, the level decides instead.
    jitter : str
        A key of ``stain.JITTERS``, or none. If the factor's level names a jitter, that is used instead. Only
        for studies of nuclei.
    seeds, levels, conditions : tuple, optional
        Some of the study's own, or further levels and seeds.
    external : dict, optional
        External test sets: a name you choose -> another data set to test on. The set ``tnbc`` gives the
        condition ``external_tnbc``. A single set needs no name; its condition is ``external``.
    synthetic : dict
        Name of a synthetic data set -> its folder, and its share of the patches when mixed with real tiles.
        Levels that need a set not named here are left out.
    pretraining : float
        Share of the steps spent on pretraining on synthetic tissue. Fine-tuning gets the rest, so that all
        levels train equally long.
    tuning_lr : float, optional
        Learning rate of fine-tuning; ``train.lr`` if left out. A low one keeps more of the pretraining.
    sizes : dict
        Network -> numbers of real tiles to train it with, if not all that the levels have.
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
