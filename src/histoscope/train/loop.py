"""The training loop. It knows nothing of nuclei: targets, losses and scores are the model's."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric

from histoscope import models, stain
from histoscope.augment import AugmentConfig, Augmenter
from histoscope.balance import Balance, BalanceConfig
from histoscope.errors import ConfigError, TrainingError
from histoscope.images.digest import digest_of_parts, digest_of_sample
from histoscope.locks import alone_in
from histoscope.memory import is_out_of_memory
from histoscope.models.base import Model
from histoscope.models.precision import resolved
from histoscope.train import checkpoint
from histoscope.train.checks import check_fit, check_remedies
from histoscope.train.choices import Color, get_augment, get_balance, get_jitter
from histoscope.train.config import TrainConfig
from histoscope.train.evaluation import evaluate, summary
from histoscope.train.loader import Batch, make_loader
from histoscope.train.log import RunLog
from histoscope.train.schedule import warmup_cosine
from histoscope.train.tasks import task_of
from histoscope.train.transfer import Unfreezing, parameter_groups
from histoscope.types import Sample

OnStep = Callable[[int, dict[str, float]], None]
LOG_EVERY = 20
GRADIENT_NORM = 1.0
"""Longer gradients are cut to this norm: one odd batch must not throw a run."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """What a training run leaves.

    Parameters
    ----------
    model : Model
        The network that was given, with the best weights, ready to predict.
    best_step : int
        Step that they come from.
    best_score : float
        Their monitored score on the validation part; NaN without one.
    seconds : float
        Training time, validation counted in, over all attempts.
    """

    model: Model
    best_step: int
    best_score: float
    seconds: float


def fit(  # noqa: PLR0913  # the one place where all that a run depends on comes together
    model: Model,
    train: Sequence[Sample],
    val: Sequence[Sample],
    config: TrainConfig,
    *,
    out: str | Path,
    augment: AugmentConfig | Augmenter | str | None = None,
    color: Color | str | None = None,
    balance: BalanceConfig | str | None = None,
    on_step: OnStep | None = None,
    card: Mapping[str, Any] | None = None,
    normalizer: stain.Normalizer | None = None,
    keep_checkpoint: bool = False,
) -> Fitted:
    """Train a model and keep the weights with the best score on the validation part.

    Run again with the same arguments after a stop, it goes on from the last checkpoint and ends exactly
    where an unbroken run would have. With more steps it goes on too: the learning rate then follows the
    schedule of the new length from there on, so it rises again, and the end is not that of an unbroken run of
    that length.

    Parameters
    ----------
    model : Model
        Made with ``torch.manual_seed(config.seed)`` if runs are to be repeated.
    train, val : sequences of Sample
        In memory and at the model's resolution (`train`). An empty `val` keeps the last weights.
    config : TrainConfig
    out : str or Path
        Run folder: ``log.jsonl``, ``checkpoint.safetensors`` while it runs, ``model/`` with the best weights.
    augment : AugmentConfig, Augmenter or str, optional
        Augmentation of the patches, a function ``(sample, rng) -> sample``, or its name; none if left out.
    color : callable or str, optional
        Further colour augmentation of a patch, ``color(image, rng) -> image``, or the name of a stain jitter.
    balance : BalanceConfig or str, optional
        Remedies for rare classes, or their name; none if left out.
    on_step : callable, optional
        Called with step and losses after each step, for progress bars.
    card : mapping, optional
        What the model's card says beside its scores, such as the training data and their licence.
    normalizer : Normalizer, optional
        What the samples went through; it is kept in the model's folder, and prediction applies it.
    keep_checkpoint : bool
        Keep the last checkpoint, so that a later call with more steps goes on from there.

    Raises
    ------
    ConfigError, DataError
        Before the first step, if settings, machine, samples and network do not fit each other, `out` cannot
        be written, or its checkpoint is of other samples.
    TrainingError
        If the loss stops being a number; the best weights so far stay in ``model/``.
    """
    out = Path(out)
    check_fit(model, train, val, config)
    normalizer = None if normalizer is None else stain.adopted(normalizer)
    augment, color, balance = get_augment(augment), get_jitter(color), get_balance(balance)
    config = replace(config, precision=resolved(config.precision, config.accelerator))
    with alone_in(out):
        fabric, net, optimizer = _set_up(model, config)
        saved = out / "checkpoint.safetensors"
        found = checkpoint.load(saved, model, optimizer) if saved.is_file() else {}
        start = _Start(**found).towards(config.steps, saved).on(_content(train, val), saved)
        keep = partial(models.save, folder=out / "model", normalizer=normalizer)
        keeper = _Keeper(model, keep, config, start.best, {**(card or {}), **start.about})
        unfreeze = Unfreezing(model, config.transfer)
        remedies = _remedies(model, train, balance)
        batches = _batches(model, train, config, start.step, remedies, augment=augment, color=color)
        log = RunLog(out, step=start.step, tensorboard=config.tensorboard, seconds=start.seconds)
        with _memory_told(config), log:
            model.train()
            step = start.step
            for step, batch in enumerate(batches, start=start.step + 1):
                unfreeze(step - 1)
                rate = config.lr * warmup_cosine(step - 1, config.steps, warmup=config.warmup)
                values = _learn(fabric, model, net, optimizer, batch, rate)
                if not math.isfinite(values["loss"]):
                    raise TrainingError(_diverged(values["loss"], step, out))
                if on_step is not None:
                    on_step(step, values)
                if step % LOG_EVERY == 0 or step == config.steps:
                    log.write(step, {**values, "lr": rate})
                if step % config.evaluate_every == 0 or step == config.steps:
                    log.write(step, keeper.look(step, val), part="val")
                if keeper.should_stop:
                    break
                if step % config.checkpoint_every == 0 and step < config.steps:
                    checkpoint.save(saved, model, optimizer, start.reached(step, keeper.best, log.seconds))
            seconds = log.seconds
        if keep_checkpoint:
            checkpoint.save(saved, model, optimizer, start.reached(step, keeper.best, seconds))
        else:
            saved.unlink(missing_ok=True)
        best = keeper.best or {"step": config.steps, "score": math.nan}
        # Back from the device and the memory layout that it was trained in.
        model.to("cpu").to(memory_format=torch.contiguous_format)
        models.load(out / "model", network=model)
        _tune(model, val, out, keep)
        return Fitted(model, best["step"], best["score"], seconds)


def _set_up(model: Model, config: TrainConfig) -> tuple[Fabric, Any, Any]:
    """Network and optimiser on the device, in the precision that was chosen."""
    precision: Any = config.precision
    fabric = Fabric(accelerator=config.accelerator, devices=1, precision=precision)
    torch.manual_seed(config.seed)
    model.to(memory_format=torch.channels_last)
    groups = parameter_groups(model, config.transfer)
    optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
    return fabric, *fabric.setup(model, optimizer)


def _batches(
    model: Model,
    train: Sequence[Sample],
    config: TrainConfig,
    start_step: int,
    remedies: Balance | None,
    **how: Any,
) -> Iterable[Batch]:
    """Patches and their targets, rare classes drawn more often if a remedy says so."""
    on_nuclei, class_weights, rarity = config.on_nuclei, None, None
    if remedies is not None:
        on_nuclei, class_weights = remedies.nuclei(config.on_nuclei)
        rarity = None if remedies.rarity is None else remedies.rarity.tolist()
    return make_loader(
        train,
        model.targets,
        patch_px=model.spec.patch_px or config.patch_px,
        batch_size=config.batch_size,
        steps=config.steps,
        start_step=start_step,
        on_nuclei=on_nuclei,
        class_weights=class_weights,
        rarity=rarity,
        seed=config.seed,
        workers=config.workers,
        **how,
    )


def _tune(model: Model, val: Sequence[Sample], out: Path, keep: Callable[..., Path]) -> None:
    """Choose the thresholds of the best weights, if they have any, and keep them."""
    scores = task_of(model).tune(model, val) if model.task else {}
    if scores:
        card = models.read_card(out / "model")
        card["validation"] = {**card.get("validation", {}), **scores}
        keep(model, card=card)


def _remedies(model: Model, train: Sequence[Sample], config: BalanceConfig | None) -> Balance | None:
    """Work out the remedies for rare classes, and give the model the weights of its loss."""
    if config is None or config == BalanceConfig():
        return None
    check_remedies(model, config)
    return task_of(model).remedies(model, train, config)


def _content(train: Sequence[Sample], val: Sequence[Sample]) -> str:
    """Digest samples, in their order."""
    parts = ([digest_of_sample(sample) for sample in part] for part in (train, val))
    return digest_of_parts(*(" ".join(part) for part in parts))


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a run stands: what a checkpoint knows beside weights and moments."""

    step: int = 0
    best: dict[str, Any] | None = None
    seconds: float = 0.0
    steps: int = 0
    earlier: list[list[int]] = field(default_factory=list)
    """Of each schedule that was left for a longer one: up to which step, and its length."""
    samples: str = ""
    """Digest of the training and validation samples."""

    def towards(self, steps: int, saved: Path) -> "_Start":
        """The same, on the way to a number of steps."""
        if self.step > steps:
            raise ConfigError(
                f"{saved} is at step {self.step}, but train.steps is {steps}; set more steps, or take "
                "another folder to train for fewer"
            )
        left = [[self.step, self.steps]] if self.steps and self.steps != steps and self.step else []
        return replace(self, steps=steps, earlier=[*self.earlier, *left])

    def on(self, samples: str, saved: Path) -> "_Start":
        """The same, if these are the samples that it began with; checkpoints of before do not say."""
        if self.samples and self.samples != samples:
            raise ConfigError(
                f"{saved} is of a training on other samples (digest {self.samples}, got {samples}): pixels, "
                "labels or their order differ; give those that it began with, or take another folder"
            )
        return replace(self, samples=samples)

    def reached(self, step: int, best: dict[str, Any] | None, seconds: float) -> dict[str, Any]:
        """What a checkpoint says at a later step."""
        return asdict(replace(self, step=step, best=best, seconds=seconds))

    @property
    def about(self) -> dict[str, Any]:
        """What the card says of a run that was made longer."""
        if not self.earlier:
            return {}
        parts = [f"up to step {until} along {length} steps" for until, length in self.earlier]
        return {"learning rate": ", ".join([*parts, f"then along {self.steps}"])}


@contextmanager
def _memory_told(config: TrainConfig) -> Iterator[None]:
    """Say what to do where memory does not suffice."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"memory does not suffice for batches of {config.batch_size} patches; set a smaller "
            "train.batch_size or train.patch_px, and run again"
        ) from error


def _learn(
    fabric: Fabric, model: Model, net: Any, optimizer: Any, batch: Batch, rate: float
) -> dict[str, float]:
    """One step; the losses as numbers."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["scale"]
    heads = net(batch.image.to(fabric.device))
    losses = model.loss(heads, {name: value.to(fabric.device) for name, value in batch.target.items()})
    if "total" not in losses:
        raise TrainingError(
            f"the loss of model {model.name!r} has {', '.join(losses) or 'nothing'}, expected 'total' among "
            "them: their sum, which is learned from"
        )
    fabric.backward(losses["total"])
    fabric.clip_gradients(net, optimizer, max_norm=GRADIENT_NORM, error_if_nonfinite=False)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return {("loss" if name == "total" else name): float(loss.detach()) for name, loss in losses.items()}


def _diverged(loss: float, step: int, out: Path) -> str:
    return (
        f"the loss is {loss} at step {step}: training diverged. Lower train.lr or use precision 32-true; "
        f"the best weights so far, if any, are in {out / 'model'}"
    )


class _Keeper:
    """Looks at the validation part, keeps the best weights, and says when to give up."""

    def __init__(
        self,
        model: Model,
        keep: Callable[..., Path],
        config: TrainConfig,
        best: dict[str, Any] | None,
        card: Mapping[str, Any],
    ) -> None:
        self.model, self.keep, self.config, self.best, self.card = model, keep, config, best, card
        self.monitor = task_of(model).monitor(config) if model.task else config.monitor

    def look(self, step: int, val: Sequence[Sample]) -> dict[str, float]:
        """Mean validation scores; the weights are written if they are the best yet."""
        scores: dict[str, float] = {}
        if len(val):
            scores = summary(evaluate(self.model, val), self.monitor)
        score = scores.get(self.monitor, math.nan)
        # Undefined scores (no validation part) never beat defined ones; among them the newest weights win.
        last = self.best or {"step": 0, "score": math.nan}
        gain = last["score"] - score if self.monitor == "nll" else score - last["score"]
        better = math.isnan(last["score"]) or gain > 0
        self._since = 0 if better else step - int(last["step"])
        if better:
            self.best = {"step": step, "score": score}
            about = {"step": step, "train": asdict(self.config), "validation": scores}
            self.keep(self.model, card={**self.card, **about})
        return scores

    _since = 0

    @property
    def should_stop(self) -> bool:
        """Early stopping: whether no evaluation has been better for `patience` of them."""
        patience = self.config.patience
        return patience is not None and self._since >= patience * self.config.evaluate_every
