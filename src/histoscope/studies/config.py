"""What a study is run with: data, networks, training. Ten lines of YAML."""

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from histoscope import augment, config, models
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.studies import get
from histoscope.studies.factors import DEFAULTS, FACTORS
from histoscope.studies.study import Condition, Run, Study, runs
from histoscope.train import TrainConfig


class DataConfig(config.Config):
    """The images of a study.

    Parameters
    ----------
    name : str
        A key of ``data.DATASETS``.
    root : Path
        Folder of the data set.
    mpp : float, optional
        Micrometres per pixel, for formats that do not say.
    val : float
        Share of the published training part that validates; unused where one is published.
    val_by : str
        What must not be in training and validation: ``patient``, ``name`` where patients are not known, or
        a column of the index, such as the hospital.
    licence, citation : str, optional
        Terms and paper, for copies that do not say.
    """

    name: str
    root: Path
    mpp: float | None = Field(default=None, gt=0)
    val: float = Field(default=0.15, gt=0, lt=1)
    val_by: str = "patient"
    licence: str = ""
    citation: str = ""


class StudyConfig(config.Config):
    """A study as its YAML file gives it; what it leaves out comes from the declaration.

    Parameters
    ----------
    study : str
        A key of ``STUDIES``.
    data : DataConfig
        The images.
    models : dict
        Name of a network -> its arguments.
    train : TrainConfig
        The same for every run, but for the seed.
    augment : str
        A key of ``augment.AUGMENTATIONS``; the factor's level instead, where augmentation is the factor.
    seeds, levels, conditions : tuple, optional
        A choice of the study's own, or further levels and seeds.
    out : Path, optional
        Folder of the study; ``runs/<study>`` if left out.
    """

    study: str
    data: DataConfig
    models: dict[str, dict[str, Any]] = Field(default_factory=dict)
    train: TrainConfig = TrainConfig()
    augment: str = "default"
    seeds: tuple[int, ...] = ()
    levels: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    out: Path | None = None

    @property
    def declared(self) -> Study:
        """The study with this file's choices in the place of its own."""
        study = get(self.study)
        return dataclasses.replace(
            study,
            levels=self.levels or study.levels,
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
        return list(runs(study.levels, study.models, study.seeds))

    def settings(self, run: Run) -> dict[str, Any]:
        """Settings of a run: those of its level; for the rest, those of this file."""
        level = FACTORS[self.declared.factor].levels[run.level]
        arguments = {**self.models.get(run.model, {}), **level.get("arguments", {})}
        return {**DEFAULTS, "augment": self.augment, **level, "arguments": arguments}


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
    factor = FACTORS[study.factor]
    _all_known(factor.kind, study.levels, factor.levels)
    _all_known("model", study.models, models.MODELS)
    _all_known("augmentation", [chosen.augment], augment.AUGMENTATIONS)
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
    if chosen.train.seed != TrainConfig().seed:
        raise ConfigError(
            f"train.seed is {chosen.train.seed}, but a study takes its seeds from 'seeds'; set them there"
        )
    return chosen


def _all_known(kind: str, names: Iterable[str], known: Iterable[str]) -> None:
    for name in names:
        if name not in known:
            raise UnknownNameError(kind, name, known)


def _chosen(study: Study, names: Sequence[str]) -> tuple[Condition, ...]:
    if not names:
        return study.conditions
    _all_known("condition", names, [condition.name for condition in study.conditions])
    return tuple(study.condition(name) for name in names)
