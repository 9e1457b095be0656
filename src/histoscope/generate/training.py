"""Training of a generator and its discriminator on a few labelled tiles."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from histoscope import models
from histoscope.augment import AUGMENTATIONS
from histoscope.errors import ConfigError, TrainingError
from histoscope.generate.network import Generator, noise_like
from histoscope.models.precision import resolved
from histoscope.train.checks import check_machine
from histoscope.train.config import check_settings
from histoscope.train.loader import Batch, make_loader
from histoscope.train.loop import content_of
from histoscope.train.schedule import warmup_cosine
from histoscope.train.steps import Learner, OnStep, Steps
from histoscope.types import Sample

EMA_SHARE = 0.1
"""Share of the steps that the exponential moving average of the weights spans."""
WON = 0.02
"""Mean loss of the discriminator below which it has won: its gradients no longer help the generator."""
RISE = 0.25
"""Share of the steps over which the adversarial weight rises to 1."""
_WON_STEPS = 100


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """Settings of a generator's training; 2,000 steps take a quarter of an hour on one core.

    Parameters
    ----------
    steps, batch_size, patch_px : int
        Steps, patches a step, and side of a patch at the generator's resolution.
    width : int
        Channels of the generator; 48 is for accelerators.
    mpp : float
        Micrometres per pixel of the images.
    lr : float
        Highest learning rate of generator and discriminator.
    precision : str
        As Lightning Fabric names it; ``auto`` is ``bf16-mixed`` where the hardware multiplies bfloat16, else
        ``32-true``.
    accelerator : str
        As Lightning Fabric names it.
    workers : int
        Loader processes; 0 prepares batches in a thread.
    checkpoint_every : int
        Steps between two checkpoints, and between two good states that a diverged run falls back to.
    tensorboard : bool
        Also log for TensorBoard.
    seed : int

    Examples
    --------
    >>> GeneratorConfig(steps=100).width
    16
    """

    steps: int = 2000
    batch_size: int = 4
    patch_px: int = 128
    width: int = 16
    mpp: float = 0.5
    lr: float = 1e-3
    precision: str = "32-true"
    accelerator: str = "auto"
    workers: int = 0
    checkpoint_every: int = 100
    tensorboard: bool = False
    seed: int = 0

    # Read by pydantic when a configuration file holds these settings.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def __post_init__(self) -> None:
        check_settings(self, "generator")
        if self.patch_px < 32 or self.patch_px % 4:
            raise ConfigError(f"generator: patch_px is {self.patch_px}, expected a multiple of 4 from 32 on")
        if not self.lr > 0 or self.workers < 0 or not 0.05 <= self.mpp <= 4:
            raise ConfigError(
                f"generator: lr {self.lr} must be above 0, workers {self.workers} at least 0, "
                f"mpp {self.mpp} from 0.05 to 4"
            )


@dataclass(frozen=True, slots=True)
class FittedGenerator:
    """A trained generator.

    Parameters
    ----------
    model : Generator
        The network that was given, with averaged weights, in evaluation mode.
    step : int
        Step that they come from.
    seconds : float
        Training time over all attempts.
    note : str
        Why training ended early; empty if it did not.
    """

    model: Generator
    step: int
    seconds: float
    note: str = ""


def fit(
    model: Generator,
    tiles: Sequence[Sample],
    config: GeneratorConfig,
    *,
    out: str | Path,
    on_step: OnStep | None = None,
    card: Mapping[str, Any] | None = None,
) -> FittedGenerator:
    """Train generator and discriminator on labelled tiles.

    Run it again with the same arguments after a stop: it continues from the last checkpoint and ends exactly
    where an uninterrupted run would have. If the loss is no longer finite, or the discriminator wins,
    training ends with the last good weights and a note that says so.

    Parameters
    ----------
    model : Generator
        Made with ``torch.manual_seed(config.seed)`` if runs are to be repeated.
    tiles : sequence of Sample
        In memory, at the model's resolution and in the canonical stain.
    config : GeneratorConfig
    out : str or Path
        Folder: ``log.jsonl``, ``checkpoint.safetensors`` while it runs, ``model.safetensors`` and its card.
    on_step : callable, optional
        Called with step and losses.
    card : mapping, optional
        What the model's card says beside, such as the training data and their licence.

    Raises
    ------
    TrainingError
        If it diverges before there are any good weights.
    """
    out, config = Path(out), replace(config, precision=resolved(config.precision, config.accelerator))
    check_machine(config)
    learner = _Learner(model, config)
    steps = Steps(learner, out, samples=content_of(tiles))
    learner.mean_loss = (steps.best or {"discriminator": 1.0})["discriminator"]
    good, trouble = steps.step or None, ""
    batches = make_loader(
        tiles,
        model.targets,
        patch_px=config.patch_px,
        batch_size=config.batch_size,
        steps=config.steps,
        start_step=steps.step,
        augment=AUGMENTATIONS["basic"],
        on_nuclei=0.5,
        seed=config.seed,
        workers=config.workers,
    )
    with steps.logged():
        try:
            for step in steps.through(batches, on_step):
                steps.best = {"discriminator": learner.mean_loss}
                if step % config.checkpoint_every == 0 or step == config.steps:
                    learner.save_averaged(out, {**(card or {}), "step": step, "train": asdict(config)})
                    good = step
        except _EndedError as error:
            trouble = str(error)
    if good is None:
        raise TrainingError(
            f"{trouble}, before any good weights were kept: lower the learning rate (lr is {config.lr}) or "
            "use "
            "precision 32-true"
        )
    steps.finish()
    note = f"{trouble}; the weights of step {good} are kept" if trouble else ""
    models.load(out, network=model.to("cpu").to(memory_format=torch.contiguous_format))
    models.save(model, out, {**models.read_card(out), "note": note, "seconds": round(steps.seconds, 1)})
    return FittedGenerator(model, good, steps.seconds, note)


class _EndedError(TrainingError):
    """Training cannot go on; the last good weights stay."""


class _Learner(Learner):
    """Generator and discriminator with one optimiser, and the moving average of the generator's weights."""

    model: Generator
    config: GeneratorConfig
    max_norm = None
    mean_loss = 1.0  # of the discriminator, over some steps

    def __init__(self, model: Generator, config: GeneratorConfig) -> None:
        parameters = [*model.generator.parameters(), *model.discriminator.parameters()]
        super().__init__(model, config, torch.optim.Adam(parameters, lr=config.lr, betas=(0.5, 0.99)))
        self.average = copy.deepcopy(self.model.generator).requires_grad_(requires_grad=False)

    @property
    def kept(self) -> nn.Module:
        """Network and averaged generator."""
        return nn.ModuleDict({"model": self.model, "average": self.average})

    def rate(self, step: int) -> float:
        """Learning rate: a short warm-up, then a cosine down to a twentieth."""
        return self.config.lr * warmup_cosine(step - 1, self.config.steps, warmup=0.02, floor=0.05)

    def before(self, step: int) -> None:
        """Set the weight of the adversarial terms."""
        self.model.adversarial_weight = min(1.0, step / (RISE * self.config.steps))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Loss terms of maps with fresh noise."""
        target = {name: value.to(self.fabric.device) for name, value in batch.target.items()}
        maps = torch.cat([target["maps"], noise_like(target["maps"])], dim=1)
        return self.model.loss(self.net(maps.contiguous(memory_format=torch.channels_last)), target)

    def after(self, step: int, values: dict[str, float]) -> None:
        """Update the averaged weights; end a training that diverged or whose discriminator has won."""
        if not math.isfinite(values["loss"]):
            raise _EndedError(f"the loss is {values['loss']} at step {step}: training diverged")
        stays = 1 - 1 / max(1.0, min(EMA_SHARE * self.config.steps, (step + 10) / 10))
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.model.generator.parameters(), strict=True):
                mean.lerp_(new, 1 - stays)
        self.mean_loss += (values["discriminator"] - self.mean_loss) / _WON_STEPS
        if self.mean_loss < WON:
            raise _EndedError(
                f"the discriminator won at step {step}: it tells real from generated patches without error"
            )

    def save_averaged(self, out: Path, card: Mapping[str, Any]) -> None:
        """Write the model folder with the averaged generator."""
        if not all(torch.isfinite(parameter).all() for parameter in self.average.parameters()):
            raise _EndedError("weights are not finite: training diverged")
        live = copy.deepcopy(self.model.generator.state_dict())
        self.model.generator.load_state_dict(self.average.state_dict())
        models.save(self.model, out, card)
        self.model.generator.load_state_dict(live)
