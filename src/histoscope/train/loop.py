"""Training with labels; targets, losses and scores are the model's and its task's."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from histoscope import models, stain
from histoscope.augment import AugmentConfig, Augmenter
from histoscope.balance import Balance, BalanceConfig
from histoscope.errors import TrainingError
from histoscope.images.digest import digest_of_parts, digest_of_sample
from histoscope.locks import alone_in
from histoscope.models.base import Model
from histoscope.models.precision import resolved
from histoscope.train.checks import check_fit, check_remedies
from histoscope.train.choices import Color, get_augment, get_balance, get_jitter
from histoscope.train.config import TrainConfig
from histoscope.train.evaluation import evaluate
from histoscope.train.loader import Batch, PatchLoader, make_loader
from histoscope.train.mixture import Sampler
from histoscope.train.steps import Learner, OnStep, Steps
from histoscope.train.tasks import Learned, task_of
from histoscope.train.transfer import Unfreezing, parameter_groups
from histoscope.types import Sample

if TYPE_CHECKING:
    from histoscope.train.training import Training


@dataclass(frozen=True, slots=True)
class Fitted:
    """Result of a training run.

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

    Run it again with the same arguments after a stop: it continues from the last checkpoint and ends exactly
    where an uninterrupted run would have. With more steps it continues, too: the learning rate then follows
    the schedule of the new length from there on, so it rises again, and the end is not that of an unbroken
    run of that length.

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
        Keep the last checkpoint, so that a later call with more steps continues from there.

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
        # First: class weights are buffers, which are averaged too.
        remedies = _remedies(model, train, balance)
        learner = _Learner(model, config)
        steps = Steps(learner, out, samples=content_of(train, val))
        keep = partial(models.save, folder=out / "model", normalizer=normalizer)
        about = {**(card or {}), **steps.start.about}
        keeper = _Keeper(learner.judged, keep, config, steps.best, about)
        batches = _batches(model, train, config, steps.step, remedies, augment=augment, color=color)
        with steps.logged() as log:
            for step in steps.through(batches, on_step):
                if step % config.evaluate_every == 0 or step == config.steps:
                    log.write(step, keeper.evaluate(step, val), part="val")
                    steps.best = keeper.best
                if keeper.should_stop:
                    break
        steps.finish(keep_checkpoint=keep_checkpoint)
        best = keeper.best or {"step": config.steps, "score": math.nan}
        # Back from the device and the memory layout that it was trained in.
        model.to("cpu").to(memory_format=torch.contiguous_format)
        models.load(out / "model", network=model)
        lines = _tuned(model, (train, val), config, batches.patches.sampler, remedies)
        if lines:
            keep(model, card=lines_added(models.read_card(out / "model"), lines))
        return Fitted(model, best["step"], best["score"], steps.seconds)


def fit_settings(
    settings: "Training", folder: Path, card: Mapping[str, Any], on_step: OnStep | None = None
) -> Fitted:
    """Train as the settings of a training say, with `fit`."""
    recipe = settings.recipe
    return fit(
        settings.model,
        settings.train,
        settings.val,
        recipe.config,
        out=folder,
        augment=recipe.augment,
        color=recipe.color,
        balance=recipe.balance,
        on_step=on_step,
        card=card,
        normalizer=recipe.normalizer,
        keep_checkpoint=recipe.keep_checkpoint,
    )


class _Learner(Learner):
    """A model with its own loss, and gradual unfreezing of its blocks."""

    model: Model

    def __init__(self, model: Model, config: TrainConfig) -> None:
        groups = parameter_groups(model, config.transfer)
        optimizer = torch.optim.AdamW(groups, lr=config.lr, weight_decay=config.weight_decay)
        super().__init__(model, config, optimizer)
        self.unfreeze = Unfreezing(model, config.transfer)
        self.averaged: AveragedModel | None = None
        if config.ema:
            average = get_ema_multi_avg_fn(config.ema)  # type: ignore[no-untyped-call]
            self.averaged = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)

    @property
    def judged(self) -> Model:
        """The network that is validated and kept: with averaged weights, if they are averaged."""
        return self.model if self.averaged is None else cast("Model", self.averaged.module)

    @property
    def kept(self) -> nn.Module:
        """What a checkpoint holds."""
        if self.averaged is None:
            return self.model
        return nn.ModuleDict({"model": self.model, "averaged": self.averaged})

    def after(self, step: int, values: dict[str, float]) -> None:
        """Average the weights."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.model)

    def before(self, step: int) -> None:
        """Freeze and unfreeze."""
        self.unfreeze(step - 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """The model's own."""
        device = self.fabric.device
        heads = self.net(batch.image.to(device))
        losses = self.model.loss(heads, {name: value.to(device) for name, value in batch.target.items()})
        if "total" not in losses:
            raise TrainingError(
                f"the loss of model {self.model.name!r} has {', '.join(losses) or 'nothing'}, expected "
                "'total' among them: their sum, which training minimises"
            )
        return losses


def _batches(
    model: Model,
    train: Sequence[Sample],
    config: TrainConfig,
    start_step: int,
    remedies: Balance | None,
    **how: Any,
) -> PatchLoader:
    """Batches of the run, with oversampling of rare classes if a remedy asks for it."""
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
        labelled_share=config.labelled_share,
        rarity=rarity,
        seed=config.seed,
        workers=config.workers,
        **how,
    )


def _tuned(
    model: Model, learned: Learned, config: TrainConfig, sampler: Sampler, remedies: Balance | None
) -> dict[str, Any]:
    """Tune thresholds, and how classes are called, of the best weights: lines for the card."""
    if not model.task:
        return {}
    task = task_of(model)
    scores = task.tune(model, learned[1])
    wanted = config.class_precision
    lines = task.tune_classes(model, learned, sampler=sampler, remedies=remedies, precision=wanted)
    scores |= lines.pop("validation", {})
    return lines | ({"validation": scores} if scores else {})


def lines_added(card: dict[str, Any], lines: Mapping[str, Any]) -> dict[str, Any]:
    """A card with lines on what was tuned; validation scores are added to those that it has."""
    scores = {**card.get("validation", {}), **lines.get("validation", {})}
    return {**card, **lines, **({"validation": scores} if scores else {})}


def _remedies(model: Model, train: Sequence[Sample], config: BalanceConfig | None) -> Balance | None:
    """Compute the remedies for rare classes, and set the class weights of the model's loss."""
    if config is None or config == BalanceConfig():
        return None
    check_remedies(model, config)
    return task_of(model).remedies(model, train, config)


def content_of(*parts: Sequence[Sample]) -> str:
    """Digest samples, in their order."""
    digests = ([digest_of_sample(sample) for sample in part] for part in parts)
    return digest_of_parts(*(" ".join(part) for part in digests))


class _Keeper:
    """Evaluates on the validation part, keeps the best weights, and says when to stop early."""

    def __init__(
        self,
        model: Model,
        keep: Callable[..., Path],
        config: TrainConfig,
        best: dict[str, Any] | None,
        card: Mapping[str, Any],
    ) -> None:
        self.model, self.keep, self.config, self.best, self.card = model, keep, config, best, card
        self.task = task_of(model) if model.task else None
        self.more: tuple[str, ...] = ()
        self.monitor, self.falls = config.monitor, False
        if self.task is not None:
            monitor = self.task.monitor(config)
            self.more, self.falls = self.task.further(monitor), self.task.falls(monitor)
            self.monitor = monitor.rpartition(":")[2]

    def evaluate(self, step: int, val: Sequence[Sample]) -> dict[str, float]:
        """Mean validation scores; the weights are written if they are the best yet."""
        scores: dict[str, float] = {}
        if len(val) and self.task is not None:
            scores = self.task.summary(evaluate(self.model, val, more=self.more), self.monitor)
        score = scores.get(self.monitor, math.nan)
        # Undefined scores (no validation part) never beat defined ones; among them the newest weights win.
        last = self.best or {"step": 0, "score": math.nan}
        gain = last["score"] - score if self.falls else score - last["score"]
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
