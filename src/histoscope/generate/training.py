"""Training of a generator and its discriminator on a few labelled tiles; an average of weights is kept."""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import nn

from histoscope import models
from histoscope.augment import AUGMENTATIONS
from histoscope.errors import ConfigError, TrainingError
from histoscope.generate.network import Generator, noise_like
from histoscope.models.precision import resolved
from histoscope.train import checkpoint
from histoscope.train.checks import check_machine
from histoscope.train.config import check_settings
from histoscope.train.loader import Batch, PatchLoader, make_loader
from histoscope.train.log import RunLog
from histoscope.train.schedule import warmup_cosine
from histoscope.train.steps import LOG_EVERY, OnStep
from histoscope.types import Sample

MEMORY = 0.1
"""Share of the steps that the average of the weights remembers."""
WON = 0.02
"""Mean loss of the discriminator below which it has won, and teaches nothing more."""
RISE = 0.25
"""Share of the steps over which the adversarial weight rises to 1."""
_SETTLE = 100


@dataclass(frozen=True, slots=True)
class GeneratorConfig:
    """How a generator is fitted; 2,000 steps take a quarter of an hour on one core.

    Parameters
    ----------
    steps, batch_size, patch_px : int
        Steps, patches a step, and side of a patch at the generator's resolution.
    width : int
        Channels of the painter; 48 is for accelerators.
    mpp : float
        Micrometres per pixel to paint at.
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
    """What a fit leaves.

    Parameters
    ----------
    model : Generator
        With averaged weights, ready to paint.
    step : int
        Step that they come from.
    seconds : float
        Over all attempts.
    note : str
        Why it stopped early; empty if it did not.
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

    Run again with the same arguments after a stop, it goes on from the last checkpoint and ends exactly where
    an unbroken run would have. If the losses stop being numbers, or the discriminator wins, the fit ends with
    the last good weights and a note that says so.

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
    out = Path(out)
    config = replace(config, precision=resolved(config.precision, config.accelerator))
    check_machine(config)
    precision: Any = config.precision
    fabric = Fabric(accelerator=config.accelerator, devices=1, precision=precision)
    torch.manual_seed(config.seed)
    run = _Run(fabric, model, config, out, card or {})
    with RunLog(out, step=run.step, tensorboard=config.tensorboard, seconds=run.seconds) as log:
        for step, batch in enumerate(_batches(model, tiles, config, run.step), start=run.step + 1):
            values = run.learn(batch, step)
            trouble = run.trouble(values, step)
            if trouble:
                break
            if on_step is not None:
                on_step(step, values)
            if step % LOG_EVERY == 0 or step == config.steps:
                log.write(step, values)
            if step % config.checkpoint_every == 0 or step == config.steps:
                run.keep(step, log.seconds)
        else:
            trouble = ""
        seconds = log.seconds
    if trouble and run.good is None:
        raise TrainingError(
            f"{trouble}, before there were any good weights: lower the rate (lr is {config.lr}) or use "
            "precision 32-true"
        )
    (out / run.CHECKPOINT).unlink(missing_ok=True)
    good = run.good or 0
    note = f"{trouble}; the weights of step {good} are kept" if trouble else ""
    kept = models.load(out, Generator)
    models.save(kept, out, {**models.read_card(out), "note": note, "seconds": round(seconds, 1)})
    return FittedGenerator(kept, good, seconds, note)


def _batches(model: Generator, tiles: Sequence[Sample], config: GeneratorConfig, done: int) -> PatchLoader:
    return make_loader(
        tiles,
        model.targets,
        patch_px=config.patch_px,
        batch_size=config.batch_size,
        steps=config.steps,
        start_step=done,
        augment=AUGMENTATIONS["basic"],
        on_nuclei=0.5,
        seed=config.seed,
        workers=config.workers,
    )


class _Run:
    """Generator, discriminator, the average of the generator, and the optimiser of both."""

    CHECKPOINT = "checkpoint.safetensors"

    def __init__(
        self, fabric: Fabric, model: Generator, config: GeneratorConfig, out: Path, card: Mapping[str, Any]
    ) -> None:
        self.fabric, self.config, self.out, self.card = fabric, config, out, card
        self.model = model.to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(model.generator).requires_grad_(requires_grad=False)
        self.both = nn.ModuleDict({"model": self.model, "average": self.average})
        groups = [
            {"params": list(model.generator.parameters())},
            {"params": list(model.discriminator.parameters())},
        ]
        optimizer = torch.optim.Adam(groups, lr=config.lr, betas=(0.5, 0.99))
        self.net, self.optimizer = fabric.setup(self.model, optimizer)
        self.average.to(fabric.device)
        self.step, self.seconds, self.won = 0, 0.0, 1.0
        self.good: int | None = None
        saved = out / self.CHECKPOINT
        if saved.is_file():
            state = checkpoint.load(saved, self.both, self.optimizer)
            self.step, self.seconds, self.won = state["step"], state["seconds"], state["won"]
            self.good = self.step

    def learn(self, batch: Batch, step: int) -> dict[str, float]:
        """One step of both; the losses as numbers."""
        rate = self.config.lr * warmup_cosine(step - 1, self.config.steps, warmup=0.02, floor=0.05)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.adversarial_weight = min(1.0, step / (RISE * self.config.steps))
        target = {name: value.to(self.fabric.device) for name, value in batch.target.items()}
        shown = torch.cat([target["maps"], noise_like(target["maps"])], dim=1)
        heads = self.net(shown.contiguous(memory_format=torch.channels_last))
        terms = self.model.loss(heads, target)
        self.fabric.backward(terms["total"])
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        stays = 1 - 1 / max(1.0, min(MEMORY * self.config.steps, (step + 10) / 10))
        with torch.no_grad():
            for mean, new in zip(self.average.parameters(), self.model.generator.parameters(), strict=True):
                mean.lerp_(new, 1 - stays)
        return {("loss" if name == "total" else name): float(term.detach()) for name, term in terms.items()}

    def trouble(self, values: dict[str, float], step: int) -> str:
        """What went wrong, or nothing."""
        if not math.isfinite(values["loss"]):
            return f"the loss is {values['loss']} at step {step}: the fit diverged"
        self.won += (values["discriminator"] - self.won) / _SETTLE
        if self.won < WON:
            return (
                f"the discriminator won at step {step}: it tells every patch apart and teaches nothing more"
            )
        return ""

    def keep(self, step: int, seconds: float) -> None:
        """Write the averaged weights and, if there is more to do, a checkpoint."""
        if not all(torch.isfinite(parameter).all() for parameter in self.average.parameters()):
            return
        averaged = dict(self.average.state_dict())
        live = copy.deepcopy(self.model.generator.state_dict())
        self.model.generator.load_state_dict(averaged)
        models.save(self.model, self.out, {**self.card, "step": step, "train": asdict(self.config)})
        self.model.generator.load_state_dict(live)
        self.good = step
        if step < self.config.steps:
            state = {"step": step, "seconds": seconds, "won": self.won}
            checkpoint.save(self.out / self.CHECKPOINT, self.both, self.optimizer, state)
