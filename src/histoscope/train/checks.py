"""Checks before the first step: settings, machine and samples."""

import copy
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from histoscope.balance import BalanceConfig
from histoscope.errors import ConfigError, DataError
from histoscope.images.limits import free_memory
from histoscope.models.base import Model
from histoscope.train.config import TrainConfig
from histoscope.train.tasks import task_of
from histoscope.train.transfer import parameter_groups
from histoscope.types import Sample

if TYPE_CHECKING:
    from histoscope.generate.training import GeneratorConfig

SAME_MPP = 0.01
"""Relative difference of two resolutions that are taken as one."""


def check_fit(model: Model, train: Sequence[Sample], val: Sequence[Sample], config: TrainConfig) -> None:
    """Check settings, machine and samples of a training run before its first step.

    Raises
    ------
    ConfigError
        If the settings are of another type, need hardware that is not there, or do not fit the network.
    DataError
        If there is nothing to learn from, or a sample lacks its truth, has a class that the network does not
        know, or another resolution than the network.
    """
    if not isinstance(model, Model) or not isinstance(config, TrainConfig):
        raise ConfigError(
            f"fit got a {type(model).__name__} and a {type(config).__name__}, expected a "
            "histoscope.models.Model (histoscope.models.wrap turns a torch.nn.Module into one) and a "
            "histoscope.train.TrainConfig"
        )
    _check_listed(train=train, val=val)
    check_machine(config)
    parameter_groups(model, config.transfer)
    if len(val) and not model.task:
        raise ConfigError(f"model {model.name!r} neither finds nuclei nor classifies: nothing to validate")
    divisor = model.spec.divisible_by
    if not model.spec.patch_px and config.patch_px % divisor:
        near = max(divisor, round(config.patch_px / divisor) * divisor)
        raise ConfigError(
            f"train.patch_px is {config.patch_px}, but model {model.name!r} takes multiples of {divisor}, "
            f"such as {near}"
        )
    _check_memory(model, config)
    _check_norm(model, config)
    check_resolution(model, train)
    if model.task:
        task_of(model).check(model, train, val, config)


def check_machine(config: "TrainConfig | GeneratorConfig") -> None:
    """Check that this machine has the device that the settings name, and computes in their precision.

    Raises
    ------
    ConfigError
        With what there is.
    """
    accelerator = config.accelerator
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = {"auto": True, "cpu": True, "gpu": cuda or mps, "cuda": cuda, "mps": mps}
    if not there.get(accelerator, False):
        found = ", ".join(name for name, is_there in there.items() if is_there)
        raise ConfigError(
            f"train.accelerator is {accelerator!r}, but torch finds no such device here; available: {found} "
            "(histoscope doctor says more)"
        )
    on_cpu = accelerator == "cpu" or (accelerator == "auto" and not cuda and not mps)
    if config.precision == "16-mixed" and on_cpu:
        raise ConfigError(
            "train.precision is '16-mixed', which needs a GPU; take auto, 32-true or bf16-mixed on a CPU"
        )


def check_remedies(model: Model, config: BalanceConfig) -> None:
    """Check that a model supports the remedies for rare classes.

    Raises
    ------
    ConfigError
        If it has no classes, or classifies patches and more than class weights is requested.
    """
    if config == BalanceConfig():
        return
    if model.task:
        task_of(model).check_remedies(model, config)
    if not model.spec.classes:
        raise ConfigError(
            f"balance asks for remedies for rare classes, but model {model.name!r} has no classes; "
            "use stardist and labels with classes, or set balance to none"
        )


def check_resolution(model: Model, train: Sequence[Sample]) -> None:
    """Check that there are training samples, all at the model's resolution.

    Raises
    ------
    ConfigError
        If the model's resolution is not settled.
    DataError
        If there are no samples, or one has another resolution.
    """
    if not len(train):
        raise DataError("there are no training samples; check the split and the data set's folder")
    mpp = model.spec.mpp
    if math.isnan(mpp):
        raise ConfigError(
            f"the resolution of model {model.name!r} is not set: give it mpp=... (micrometres per "
            "pixel), or call show_at(mpp)"
        )
    other = next((sample for sample in train if abs(sample.mpp / mpp - 1) > SAME_MPP), None)
    if other is not None:
        raise DataError(
            f"training sample {other.name!r} has {other.mpp:g} micrometres per pixel, but the model is "
            "trained at "
            f"{mpp:g}; resample it first with histoscope.data.resample(sample, {mpp:g})"
        )


def _check_listed(**parts: Sequence[Sample]) -> None:
    """Refuse iterators, which can be read only once."""
    for part, given in parts.items():
        if not hasattr(given, "__len__"):
            raise DataError(
                f"{part} is a {type(given).__name__}, which can be read only once; give a list of samples"
            )


def _check_memory(model: Model, config: TrainConfig) -> None:
    """Refuse batches whose patches need more memory than is free."""
    side = model.spec.patch_px or config.patch_px
    asked, there = config.batch_size * side * side * 3, free_memory()
    if asked > there:
        raise ConfigError(
            f"train.batch_size {config.batch_size} of patches of {side} pixels takes {asked / 1e9:,.0f} GB "
            f"for the patches alone, this machine has {there / 1e9:,.0f} GB free; use smaller batches"
        )


def _check_norm(model: Model, config: TrainConfig) -> None:
    """Refuse batches of one patch where batch normalisation would have a single value."""
    if config.batch_size > 1:
        return
    side = model.spec.patch_px or config.patch_px
    try:  # without numbers: shapes alone decide
        patch = torch.empty((1, 3, side, side), dtype=torch.uint8, device="meta")
        copy.deepcopy(model).to("meta").train()(patch)
    except ValueError as error:
        if "more than 1 value per channel" in str(error):
            raise ConfigError(
                f"train.batch_size is 1, too few for the batch norm of model {model.name!r} on patches of "
                f"{side} pixels: use 2 or more"
            ) from error
    except (RuntimeError, NotImplementedError, TypeError):
        pass  # a network that needs numbers to run; it is tried by the first step
