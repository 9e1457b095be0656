"""The steps that every training takes: learning rate, loss, gradient, log and checkpoint."""

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from torch import Tensor, nn
from torch.optim import Optimizer

from histoscope.errors import ConfigError, TrainingError
from histoscope.memory import is_out_of_memory
from histoscope.models.precision import resolved
from histoscope.train import checkpoint
from histoscope.train.config import TrainConfig
from histoscope.train.loader import Batch
from histoscope.train.log import RunLog
from histoscope.train.run_folder import CHECKPOINT
from histoscope.train.schedule import warmup_cosine

if TYPE_CHECKING:
    from histoscope.generate.training import GeneratorConfig

OnStep = Callable[[int, dict[str, float]], None]
LOG_EVERY = 20
GRADIENT_NORM = 1.0
"""Longer gradients are clipped to this norm: one odd batch must not throw a run."""


class Learner:
    """A network and its optimiser, on the device and in the precision of a configuration.

    A kind of training is a subclass with its own `losses`, and further steps in `before` and `after`.

    Parameters
    ----------
    model : nn.Module
    config : TrainConfig or GeneratorConfig
    optimizer : Optimizer
        Groups of its parameters may have a ``scale`` on the learning rate.
    """

    max_norm: float | None = GRADIENT_NORM

    def __init__(
        self, model: nn.Module, config: "TrainConfig | GeneratorConfig", optimizer: Optimizer
    ) -> None:
        precision: Any = resolved(config.precision, config.accelerator)
        # One device: SLURM's variables, which may speak of many tasks, are none of its business.
        self.fabric = Fabric(
            accelerator=config.accelerator, devices=1, precision=precision, plugins=[LightningEnvironment()]
        )
        torch.manual_seed(config.seed)
        self.model, self.config = model.to(memory_format=torch.channels_last), config
        self.net: Any
        self.net, self.optimizer = self.fabric.setup(self.model, optimizer)

    @property
    def kept(self) -> nn.Module:
        """What a checkpoint holds."""
        return self.model

    def rate(self, step: int) -> float:
        """Learning rate at a step, counted from 1."""
        config = self.config
        return config.lr * warmup_cosine(step - 1, config.steps, warmup=getattr(config, "warmup", 0.05))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Named terms of the loss, and ``total``, which is learned from."""
        raise TypeError(f"{type(self).__name__} must define losses()")

    def before(self, step: int) -> None:
        """Prepare a step, counted from 1."""

    def after(self, step: int, values: dict[str, float]) -> None:
        """Look at the losses of a step; a `TrainingError` ends the training."""

    def __call__(self, step: int, batch: Batch) -> dict[str, float]:
        """Take a step; the losses as numbers, the total as ``loss``."""
        self.before(step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate(step) * group.get("scale", 1.0)
        terms = self.losses(batch)
        self.fabric.backward(terms["total"])
        if self.max_norm is not None:
            self.fabric.clip_gradients(
                self.net, self.optimizer, max_norm=self.max_norm, error_if_nonfinite=False
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        values = {("loss" if name == "total" else name): float(term.detach()) for name, term in terms.items()}
        self.after(step, values)
        return values


@dataclass(frozen=True, slots=True)
class Start:
    """State of a run: what a checkpoint holds beside weights and optimiser."""

    step: int = 0
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    steps: int = 0
    earlier: list[list[int]] = field(default_factory=list)
    """Of each schedule that was left for a longer one: up to which step, and its length."""
    samples: str = ""
    """Digest of the training and validation samples."""

    def towards(self, steps: int, saved: Path) -> "Start":
        """The same, on the way to a number of steps."""
        if self.step > steps:
            raise ConfigError(
                f"{saved} is at step {self.step}, but train.steps is {steps}; set more steps, or use another "
                "folder to train for fewer"
            )
        left = [[self.step, self.steps]] if self.steps and self.steps != steps and self.step else []
        return replace(self, steps=steps, earlier=[*self.earlier, *left])

    def on(self, samples: str, saved: Path) -> "Start":
        """The same, if these are the samples that it began with; checkpoints of 0.1 do not say."""
        if self.samples and self.samples != samples:
            raise ConfigError(
                f"{saved} is from a run on other samples (digest {self.samples}, got {samples}): pixels, "
                "labels or their order differ; give the samples that it began with, or use another folder"
            )
        return replace(self, samples=samples)

    @property
    def about(self) -> dict[str, Any]:
        """What the card says of a run that was made longer."""
        if not self.earlier:
            return {}
        parts = [f"up to step {until} along {length} steps" for until, length in self.earlier]
        return {"learning rate": ", ".join([*parts, f"then along {self.steps}"])}


class Steps:
    """The steps of a training run, from the last checkpoint in its folder on.

    Parameters
    ----------
    learner : Learner
        Put into the state of the checkpoint.
    out : Path
        Run folder: ``log.jsonl``, ``checkpoint.safetensors`` while it runs.
    samples : str
        Digest of what is learned from.

    Raises
    ------
    ConfigError
        If the checkpoint is of other samples, or further than the steps that are wanted.
    """

    def __init__(self, learner: Learner, out: Path, *, samples: str = "") -> None:
        self.learner, self.config, self.out, self.saved = learner, learner.config, out, out / CHECKPOINT
        found = checkpoint.load(self.saved, learner.kept, learner.optimizer) if self.saved.is_file() else {}
        known = {key: found[key] for key in Start.__dataclass_fields__ if key in found}
        self.start = Start(**known).towards(self.config.steps, self.saved).on(samples, self.saved)
        self.step, self.best, self.seconds = self.start.step, self.start.best, self.start.seconds

    @contextmanager
    def logged(self) -> Iterator[RunLog]:
        """Open the log for the time of the training; where memory does not suffice, say what to do."""
        try:
            with RunLog(
                self.out, step=self.step, tensorboard=self.config.tensorboard, seconds=self.seconds
            ) as self.log:
                yield self.log
                self.seconds = self.log.seconds
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise TrainingError(
                f"not enough memory for batches of {self.config.batch_size} patches; set a smaller "
                "train.batch_size or train.patch_px, and run again"
            ) from error

    def through(self, batches: Iterable[Batch], on_step: OnStep | None = None) -> Iterator[int]:
        """Take a step for each batch, within `logged`; gives the number of each, before its checkpoint."""
        config, last = self.config, self.config.steps
        self.learner.model.train()
        for step, batch in enumerate(batches, start=self.step + 1):
            self.step, values = step, self.learner(step, batch)
            if not math.isfinite(values["loss"]):
                raise TrainingError(
                    f"the loss is {values['loss']} at step {step}: training diverged. Lower train.lr or "
                    f"use precision 32-true; the best weights so far, if any, are in {self.out / 'model'}"
                )
            if on_step is not None:
                on_step(step, values)
            if step % LOG_EVERY == 0 or step == last:
                self.log.write(step, {**values, "lr": self.learner.rate(step)})
            yield step
            if step % config.checkpoint_every == 0 and step < last:
                self.save(self.log.seconds)

    def save(self, seconds: float) -> None:
        """Write a checkpoint."""
        state = asdict(replace(self.start, step=self.step, best=self.best, seconds=seconds))
        checkpoint.save(self.saved, self.learner.kept, self.learner.optimizer, state)

    def finish(self, *, keep_checkpoint: bool = False) -> None:
        """Write the last checkpoint, or leave none."""
        if keep_checkpoint:
            self.save(self.seconds)
        else:
            self.saved.unlink(missing_ok=True)
