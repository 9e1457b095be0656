"""Settings of a training run."""

from dataclasses import dataclass

from histoscope.errors import ConfigError

MONITORS = ("aji", "aji_plus", "dice", "f1_50", "iou", "pq")


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a model is trained; lengths are in steps (batches), whatever the size of the data.

    Parameters
    ----------
    steps : int
        Batches to learn from.
    batch_size : int
        Patches a batch.
    patch_px : int
        Side of a patch, in pixels at the model's resolution.
    on_nuclei : float
        Share of patches that are centred on a nucleus; the others lie anywhere.
    lr : float
        Highest learning rate, reached after `warmup` and left along a half cosine.
    warmup : float
        Share of the steps over which the learning rate rises.
    weight_decay : float
        Of AdamW.
    precision : str
        As Lightning Fabric names it: ``32-true``, ``bf16-mixed``, ``16-mixed``.
    accelerator : str
        ``auto``, ``cpu``, ``gpu``, ``mps``.
    devices : int
        How many of them.
    workers : int
        Loader processes; 0 prepares batches in a thread of this process.
    evaluate_every : int
        Steps between two looks at the validation part.
    patience : int or None
        Stop after so many looks without a better score; None trains to the end.
    monitor : str
        Score that chooses the weights to keep.
    checkpoint_every : int
        Steps between two checkpoints, from which a stopped run goes on exactly.
    tensorboard : bool
        Also log for TensorBoard.
    seed : int
        Of weights, patches and augmentation.

    Examples
    --------
    >>> TrainConfig(steps=100).lr
    0.001
    """

    steps: int = 3000
    batch_size: int = 8
    patch_px: int = 128
    on_nuclei: float = 0.0
    lr: float = 1e-3
    warmup: float = 0.05
    weight_decay: float = 1e-2
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

    # Read by pydantic when a configuration file holds these settings.
    __pydantic_config__ = {"extra": "forbid"}  # noqa: RUF012

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "patch_px", "devices", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"train.{name} is {getattr(self, name)}, expected at least 1")
        if not self.lr > 0 or not 0 <= self.warmup < 1 or not 0 <= self.on_nuclei <= 1 or self.workers < 0:
            raise ConfigError(
                f"train: lr {self.lr} must be above 0, warmup {self.warmup} in [0, 1), "
                f"on_nuclei {self.on_nuclei} in [0, 1], workers {self.workers} at least 0"
            )
        if self.patience is not None and self.patience < 1:
            raise ConfigError(
                f"train.patience is {self.patience}, expected at least 1, or null to train to the end"
            )
        if self.monitor not in MONITORS:
            raise ConfigError(f"train.monitor is {self.monitor!r}, expected one of {', '.join(MONITORS)}")
