"""Settings of a training run."""

import math
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np

from histoscope import plugins
from histoscope.errors import ConfigError
from histoscope.renamed import renamed

# Of nuclei, then of patches; log loss is the one that is better when it is lower.
MONITORS = (
    *("aji", "aji_plus", "dice", "f1_50", "iou", "pq"),
    *("nll", "accuracy", "balanced_accuracy", "macro_f1", "auroc", "auprc", "kappa"),
)
PATCH_MONITORS = MONITORS[6:]
METRICS = "histoscope.metrics"
"""Entry points of metrics of others."""
PRECISIONS = ("auto", "32-true", "bf16-mixed", "16-mixed")
LEAST = {"steps": 1, "batch_size": 1, "patch_px": 1, "evaluate_every": 1, "checkpoint_every": 1}
ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")


def check_settings(settings: Any, section: str) -> None:
    """Check types and ranges of settings of training.

    NumPy's numbers become Python's, which JSON files can hold.

    Raises
    ------
    ConfigError
        Names the setting, its value and what was expected.
    """
    for name, kind in type(settings).__annotations__.items():
        value = getattr(settings, name)
        if not _is(value, kind):
            words = kind.__name__ if isinstance(kind, type) else str(kind)
            raise ConfigError(f"{section}.{name} is {value!r}, expected {words}")
        if isinstance(value, np.generic):
            value = value.item()
            object.__setattr__(settings, name, value)  # within __post_init__
        if isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{section}.{name} is {value}, expected a finite number")
    for name, known in (("precision", PRECISIONS), ("accelerator", ACCELERATORS)):
        if getattr(settings, name, known[0]) not in known:
            raise ConfigError(
                f"{section}.{name} is {getattr(settings, name)!r}, expected one of {', '.join(known)}"
            )
    for name, least in LEAST.items():
        if getattr(settings, name, least) < least:
            raise ConfigError(f"{section}.{name} is {getattr(settings, name)}, expected at least {least}")
    check_seed(getattr(settings, "seed", 0), f"{section}.seed")


def check_seed(seed: int, where: str) -> None:
    """Check that a seed is a whole number from 0, below 2^63."""
    if seed < 0:
        raise ConfigError(f"{where} is {seed}, expected at least 0")
    if seed >= 2**63:
        raise ConfigError(f"{where} is {seed}, expected a number below 2^63")


def _is(value: object, kind: Any) -> bool:
    """Whether a value is of an annotated type; whole numbers serve for numbers, truth values do not."""
    if isinstance(value, bool) or kind is bool:
        return kind is bool and isinstance(value, bool)
    if kind in {int, float}:
        return isinstance(value, Integral if kind is int else Real)
    if kind == int | None:
        return value is None or isinstance(value, Integral)
    return isinstance(value, kind)


NOT_WITHOUT_LABELS = (
    *("patch_px", "on_nuclei", "labelled_share", "class_precision", "ema", "evaluate_every", "patience"),
    *("monitor", "transfer"),
)
"""Settings of training that self-supervised pretraining has no use for."""


@renamed(thaw_every="unfreeze_every", thawed="unfrozen_from")
@dataclass(frozen=True, slots=True)
class TransferConfig:
    """Learning rates, freezing and gradual unfreezing of a backbone. The default trains all layers alike.

    Parameters
    ----------
    backbone_lr : float
        Learning rate of the backbone relative to the head's; 0 trains only the head.
    layer_decay : float
        Factor by which the learning rate falls from each block to the next one nearer to the image: 1 gives
        all the same rate, 0.75 is usual for transformers [1]_.
    unfreeze_every : int
        Gradual unfreezing [2]_: at first only the head is trained; each time this many steps have passed, the
        next block is unfrozen, from the head down. 0 trains all blocks from the first step.
    frozen : int
        Number of blocks, counted from the image, that stay frozen.

    References
    ----------
    .. [1] Clark et al., ICLR 2020, arXiv:2003.10555
    .. [2] Howard and Ruder, ACL 2018, doi:10.18653/v1/P18-1031

    Examples
    --------
    >>> TransferConfig(backbone_lr=0.1).unfrozen_from(step=0, top=17)
    0
    >>> TransferConfig(unfreeze_every=50).unfrozen_from(step=100, top=17)
    15
    """

    backbone_lr: float = 1.0
    layer_decay: float = 1.0
    unfreeze_every: int = 0
    frozen: int = 0

    # Read by pydantic when a configuration file holds these settings.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def __post_init__(self) -> None:
        check_settings(self, "train.transfer")
        if not 0 <= self.backbone_lr <= 1 or not 0 < self.layer_decay <= 1:
            raise ConfigError(
                f"transfer: backbone_lr is {self.backbone_lr} and layer_decay {self.layer_decay}; "
                "expected factors from 0 (above 0) to 1"
            )
        if self.unfreeze_every < 0 or self.frozen < 0:
            raise ConfigError(
                f"transfer: unfreeze_every is {self.unfreeze_every} and frozen {self.frozen}; "
                "expected 0 or more"
            )

    def unfrozen_from(self, step: int, top: int) -> int:
        """Lowest depth that is trained at a step, when the head has depth `top`."""
        if self.backbone_lr == 0:
            return top
        if not self.unfreeze_every:
            return min(self.frozen, top)
        return min(max(self.frozen, top - step // self.unfreeze_every), top)


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained. Lengths are in steps (batches), not epochs.

    Parameters
    ----------
    steps : int
        Training steps, one batch each.
    batch_size : int
        Patches per batch.
    patch_px : int
        Side of a patch, in pixels at the model's resolution. Not for classifiers, which have their own.
    on_nuclei : float
        Share of patches centred on a nucleus; the others are placed anywhere.
    labelled_share : float
        Share of patches drawn from images whose nuclei have classes, if only some images have them; 0 draws
        from all images alike.
    class_precision : float
        Precision wanted for classes on the validation part. To reach it, nuclei whose class is too improbable
        are called ``unsure``; with 0, none are.
    lr : float
        Highest learning rate. It is reached after `warmup` and then falls along a half cosine.
    warmup : float
        Share of the steps over which the learning rate rises.
    weight_decay : float
        Weight decay of AdamW.
    ema : float in [0, 1)
        Decay of an exponential moving average of the weights, such as 0.999. The average is validated and
        kept instead of the weights themselves. 0 for none.
    precision : str
        ``32-true``, ``bf16-mixed``, ``16-mixed`` (on a GPU), or ``auto``: ``bf16-mixed`` if the hardware
        multiplies bfloat16 natively (about twice as fast), otherwise ``32-true``.
    accelerator : str
        ``auto``, ``cpu``, ``gpu``, ``cuda``, ``mps``.
    devices : int
        Always 1: a training run uses one device.
    workers : int
        Loader processes; 0 prepares batches in a thread of this process.
    evaluate_every : int
        Steps between evaluations on the validation part.
    patience : int or None
        Early stopping: evaluations without a better score after which training ends; None trains to the end.
    monitor : str
        Score that chooses the weights to keep. For nuclei, also the name of a plug-in, or
        ``package.module:name`` of a metric. If a score of nuclei is set, classifiers use ``nll``, the log
        loss.
    checkpoint_every : int
        Steps between checkpoints, from which a stopped run resumes exactly.
    tensorboard : bool
        Also log for TensorBoard.
    seed : int
        Seed of weights, patches and augmentation.
    transfer : TransferConfig, optional
        Learning rates and freezing of a classifier's backbone.

    Examples
    --------
    >>> TrainConfig(steps=100).lr
    0.001
    """

    steps: int = 3000
    batch_size: int = 8
    patch_px: int = 128
    on_nuclei: float = 0.0
    labelled_share: float = 0.0
    class_precision: float = 0.8
    lr: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 1e-2
    ema: float = 0.0
    precision: str = "32-true"
    accelerator: str = "auto"
    devices: int = 1
    workers: int = 0
    evaluate_every: int = 500
    patience: int | None = None
    monitor: str = "aji"
    checkpoint_every: int = 500
    tensorboard: bool = True
    seed: int = 0
    transfer: TransferConfig | None = None

    # Read by pydantic when a configuration file holds these settings.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def __post_init__(self) -> None:
        check_settings(self, "train")
        if self.devices != 1:
            raise ConfigError(
                f"train.devices is {self.devices}, expected 1: a training run uses one device. To use more, "
                "start a run on each (studies: --jobs)"
            )
        if self.weight_decay < 0:
            raise ConfigError(f"train.weight_decay is {self.weight_decay}, expected 0 or more")
        if not self.lr > 0 or not 0 <= self.warmup < 1 or not 0 <= self.on_nuclei <= 1 or self.workers < 0:
            raise ConfigError(
                f"train: lr {self.lr} must be above 0, warmup {self.warmup} in [0, 1), "
                f"on_nuclei {self.on_nuclei} in [0, 1], workers {self.workers} at least 0"
            )
        if not 0 <= self.labelled_share <= 1 or not 0 <= self.class_precision < 1:
            raise ConfigError(
                f"train: labelled_share {self.labelled_share} must be in [0, 1], class_precision "
                f"{self.class_precision} in [0, 1)"
            )
        if not 0 <= self.ema < 1:
            raise ConfigError(
                f"train.ema is {self.ema}, expected 0 for none, or a decay below 1, such as 0.999"
            )
        if self.patience is not None and self.patience < 1:
            raise ConfigError(
                f"train.patience is {self.patience}, expected at least 1, or null to train to the end"
            )
        if self.monitor not in plugins.names(MONITORS, METRICS) and ":" not in self.monitor:
            raise ConfigError(
                f"train.monitor is {self.monitor!r}, expected one of {', '.join(MONITORS)}, or a metric of "
                "your own, package.module:name"
            )


def check_unlabelled(config: TrainConfig, where: str = "train") -> None:
    """Check settings of self-supervised pretraining: those that it would ignore are errors.

    Parameters
    ----------
    config : TrainConfig
    where : str
        Section of the configuration file, for the message.

    Raises
    ------
    ConfigError
        If one of `NOT_WITHOUT_LABELS` is not at its default, or a batch holds a single patch: its loss
        compares the patches of a batch.

    Examples
    --------
    >>> check_unlabelled(TrainConfig(steps=100, batch_size=64))
    """
    if config.batch_size < 2:
        raise ConfigError(
            f"{where}.batch_size is {config.batch_size}; pretraining without labels compares the patches "
            "of a batch and needs at least 2, preferably 64"
        )
    default = TrainConfig()
    unread = [name for name in NOT_WITHOUT_LABELS if getattr(config, name) != getattr(default, name)]
    if unread:
        raise ConfigError(
            f"{where}.{unread[0]} is {getattr(config, unread[0])!r}, but pretraining without labels does not "
            "use it: patches have the input size of the backbone, nothing is validated and the last weights "
            "are "
            "kept; leave it out"
        )
