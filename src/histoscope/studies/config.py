"""What a study is run with: data, networks, training. Ten lines of YAML."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from histoscope import config, models
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.images.resolution import LEAST_MPP, MOST_MPP
from histoscope.models.arguments import new_arguments
from histoscope.renamed import renamed
from histoscope.studies import get, synthetic
from histoscope.studies.factors import DEFAULTS, FACTORS
from histoscope.studies.study import Condition, Run, Study, runs
from histoscope.train import TrainConfig
from histoscope.train.choices import check_normalizer, get_augment, get_balance, get_jitter
from histoscope.train.config import TransferConfig, check_seed, check_unlabelled
from histoscope.train.mix import SyntheticConfig


class DataConfig(config.Config):
    """The images of a study.

    Parameters
    ----------
    name : str
        A key of ``data.DATASETS``, or the name of a plug-in (docs/plugins.md).
    root : Path
        Folder of the data set.
    mpp : float, optional
        Micrometres per pixel, for formats that do not say.
    val : float
        Share of the published training part that validates; unused where one is published. With 0 none
        does, and the last weights are kept: where labels are counted, validation would need some too.
    val_by : str
        What must not be in training and validation: ``patient``, ``name`` where patients are not known, or
        a column of the index, such as the hospital.
    licence, citation : str, optional
        Terms and paper, for copies that do not say.
    """

    name: str
    root: Path
    mpp: float | None = Field(default=None, ge=LEAST_MPP, le=MOST_MPP)
    val: float = Field(default=0.15, ge=0, lt=1)
    val_by: str = "patient"
    licence: str = ""
    citation: str = ""


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
        Tiles of tissue that are drawn to pretrain on.
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
    train : TrainConfig
        The same for every run, but for the seed.
    augment : str
        A key of ``augment.AUGMENTATIONS``; the factor's level instead, where augmentation is the factor.
    jitter : str
        A key of ``stain.JITTERS``, or none; the factor's level instead, where it names one. Of studies of
        nuclei alone.
    seeds, levels, conditions : tuple, optional
        A choice of the study's own, or further levels and seeds.
    external : DataConfig, optional
        External test set: another data set to test on; its test part, or all of it where it has none.
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
    train: TrainConfig = TrainConfig()
    augment: str = "default"
    jitter: str = "none"
    seeds: tuple[int, ...] = ()
    levels: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    external: DataConfig | None = None
    synthetic: dict[Literal["procedural", "learned"], TissueConfig] = Field(default_factory=dict)
    pretraining: float = Field(default=0.5, gt=0, lt=1)
    tuning_lr: float | None = Field(default=None, gt=0)
    sizes: dict[str, tuple[int | Literal["all"], ...]] = Field(default_factory=dict)
    out: Path | None = None

    @field_validator("models")
    @classmethod
    def _take_old_arguments(cls, values: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        return {name: new_arguments(name, given) for name, given in values.items()}

    @property
    def declared(self) -> Study:
        """The study with this file's choices in the place of its own."""
        study = get(self.study)
        known, given = FACTORS[study.factor].levels, {"", *self.synthetic}
        possible = (level for level in study.levels if synthetic.source_of(known[level]) in given)
        levels = self.levels or tuple(possible)
        return dataclasses.replace(
            study,
            levels=levels,
            baseline=synthetic.baseline(levels) or study.baseline,
            models=tuple(self.models) or study.models,
            seeds=self.seeds or study.seeds,
            conditions=_chosen(study, self.conditions),
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
        """Tell which run must be finished before this one begins."""
        level = self.settings(run)["initial_level"]
        return dataclasses.replace(run, level=level) if level else None

    def steps(self, run: Run) -> int:
        """Count the steps that a run trains for."""
        total = self.train.steps
        before = min(max(1, round(total * self.pretraining)), max(1, total - 1))
        parts = {"all": total, "pretraining": before, "tuning": max(1, total - before)}
        return parts[self.settings(run)["part"]]

    def training(self, run: Run) -> TrainConfig:
        """Say how a run is trained: as all are, but for its seed, its steps, and the rate of tuning."""
        tuned = self.settings(run)["part"] == "tuning"
        lr = self.tuning_lr if tuned and self.tuning_lr else self.train.lr
        return dataclasses.replace(self.train, seed=run.seed, steps=self.steps(run), lr=lr)

    def trainings(self, runs: Sequence[Run]) -> list[TrainConfig]:
        """Say how runs, and the networks that they begin from, are trained; the seeds aside."""
        before = {run.level for run in runs} & {"synthetic", "self_supervised"}
        is_made = self.declared.task == "patches"
        return [*([self.train] if runs else []), *(getattr(self.patches, one) for one in before if is_made)]

    def _is_wanted(self, run: Run) -> bool:
        """Whether a run's network is to be trained with its number of real tiles."""
        tiles, sizes = self.settings(run)["tiles"], self.sizes.get(run.model)
        return tiles == 0 or sizes is None or synthetic.of_size(tiles) in map(str, sizes)

    def settings(self, run: Run) -> dict[str, Any]:
        """Settings of a run: those of its level; for the rest, those of this file."""
        level = FACTORS[self.declared.factor].levels[run.level]
        arguments = {**self.models.get(run.model, {}), **level.get("arguments", {})}
        return {**DEFAULTS, "augment": self.augment, "jitter": self.jitter, **level, "arguments": arguments}


def read_config(path: str | Path, overrides: Sequence[str] = ()) -> StudyConfig:
    """Read a study's YAML file and check every name in it.

    Parameters
    ----------
    path : str or Path
    overrides : sequence of str
        ``train.steps=100`` lines that win over the file.

    Raises
    ------
    ConfigError
        If a key or value is wrong.
    UnknownNameError
        If a study, level, network, condition or augmentation does not exist; the message offers the nearest.
    """
    return check(config.load(StudyConfig, path, overrides))


def check(chosen: StudyConfig) -> StudyConfig:
    """Refuse names that nothing answers to, doubles, and a comparison without its baseline."""
    study = chosen.declared
    _check_levels(study)
    if study.task == "nuclei":
        for name in study.models:
            models.get(name)
    else:
        _check_sizes(chosen)
        check_unlabelled(chosen.patches.self_supervised, "patches.self_supervised")
        if chosen.jitter != "none":
            raise ConfigError(
                f"jitter is {chosen.jitter!r}, but study {study.name!r} classifies patches and changes no "
                "colours; leave it out"
            )
    _all_known("model", chosen.sizes, study.models)
    get_augment(chosen.augment)
    get_jitter(chosen.jitter)
    for key, values in {
        "levels": study.levels,
        "seeds": study.seeds,
        "conditions": chosen.conditions,
    }.items():
        if len(set(values)) != len(values):
            raise ConfigError(f"{key}: {list(values)} names something twice; name each once")
    if study.baseline not in study.levels:
        raise ConfigError(f"levels: {list(study.levels)} lacks the baseline {study.baseline!r}; add it")
    if study.primary_condition not in [condition.name for condition in study.conditions]:
        raise ConfigError(f"conditions: add {study.primary_condition!r}, which answers the study's question")
    _check_tissue(chosen, study)
    for seed in study.seeds:
        check_seed(seed, "seeds")
    if chosen.train.seed != TrainConfig().seed:
        raise ConfigError(
            f"train.seed is {chosen.train.seed}, but a study takes its seeds from 'seeds'; set them there"
        )
    return chosen


def _check_levels(study: Study) -> None:
    """Refuse levels that do not exist, and names of others that cannot be imported."""
    factor = FACTORS[study.factor]
    _all_known(factor.kind, study.levels, factor.levels)
    for level in study.levels:
        settings = factor.levels[level]
        check_normalizer(settings.get("normalizer", "none"), None)
        get_augment(settings.get("augment"))
        get_balance(settings.get("balance"))


def _check_sizes(chosen: StudyConfig) -> None:
    """Refuse sizes of the training part that are none, and shares that leave nothing to train on."""
    from histoscope.studies.transfer.names import groups_of

    for size in chosen.declared.models:
        groups_of(size)
    if chosen.data.val + chosen.patches.test >= 1:
        raise ConfigError(
            f"data.val is {chosen.data.val} and patches.test {chosen.patches.test}: nothing is left to learn "
            "from; their sum must stay below 1"
        )


def _check_tissue(chosen: StudyConfig, study: Study) -> None:
    """Refuse levels, sizes and conditions that need what the configuration does not give."""
    known = FACTORS[study.factor].levels
    for level in study.levels:
        source = synthetic.source_of(known[level])
        if source and source not in chosen.synthetic:
            raise ConfigError(
                f"level {level!r} needs the synthetic data set {source!r}; add 'synthetic: {{{source}: "
                "{root: FOLDER}}' (histoscope synth writes one), or leave the level out"
            )
        for key in ("initial_level", "against"):
            other = known[level].get(key)
            if other and other not in study.levels:
                raise ConfigError(f"level {level!r} needs level {other!r}; add it to the levels")
    if chosen.tuning_lr and not any(known[level].get("part") == "tuning" for level in study.levels):
        raise ConfigError(
            f"tuning_lr is {chosen.tuning_lr}, but no level of study {study.name!r} tunes a pretrained "
            "network; leave it out, or add a level such as 'procedural_tuned_8'"
        )
    if chosen.external is None and any(condition.external for condition in study.conditions):
        raise ConfigError(
            "condition 'elsewhere' needs an external test set; add 'external: {name: folder, root: FOLDER}', "
            "or choose 'conditions: [test]'"
        )
    sizes = {synthetic.of_size(known[level].get("tiles")) for level in study.levels}
    for model, wanted in chosen.sizes.items():
        lacking = {str(size) for size in wanted} - sizes
        if lacking or not wanted:
            raise ConfigError(
                f"sizes.{model}: expected some of {sorted(sizes - {'0'})}, which the levels have, got "
                f"{list(wanted)}"
            )


def _all_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def _chosen(study: Study, names: Sequence[str]) -> tuple[Condition, ...]:
    if not names:
        return study.conditions
    _all_known("condition", names, [condition.name for condition in study.conditions])
    return tuple(study.condition(name) for name in names)
