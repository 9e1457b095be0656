"""Batches for training: patches cut, augmented and turned into tensors while the network computes."""

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from multiprocessing.context import BaseContext
from types import TracebackType
from typing import Any, NamedTuple

import cv2
import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import DataLoader, Dataset

from histoscope.augment import (
    AUGMENTATIONS,
    AugmentConfig,
    Augmenter,
    augment,
    augmented,
    lifted,
    margin_px,
    rarest,
)
from histoscope.brief import brief
from histoscope.errors import ConfigError
from histoscope.threads import in_order
from histoscope.train.mixture import Sampler, make_sampler
from histoscope.types import Image, Sample

Targets = Callable[[Sample], Mapping[str, NDArray[Any]]]
Color = Callable[[Image, np.random.Generator], Image]
Patch = tuple[Image, Mapping[str, NDArray[Any]]]

_AHEAD = 3  # batches kept ready; more cost memory and hide nothing further


@brief
class Batch(NamedTuple):
    """A batch: images and training targets.

    Parameters
    ----------
    image : (B, 3, H, W) uint8 tensor
        RGB; in memory the channels of a pixel lie together (`torch.channels_last`), as convolutions like it.
    target : dict of tensors (B, ...)
        What the model made of each patch's truth.
    """

    image: torch.Tensor
    target: dict[str, torch.Tensor]


class PatchDataset(Dataset[Patch]):
    """The patches of a training run by number: patch k is the same at any time, in any process.

    What it takes is that of `make_loader`; `sampler` draws the places.
    """

    def __init__(
        self,
        sampler: Sampler,
        targets: Targets,
        config: AugmentConfig | Augmenter,
        color: Color | None,
        seed: int,
        rarity: Sequence[float] | None = None,
    ) -> None:
        if rarity is not None and not isinstance(config, AugmentConfig):
            raise ConfigError(
                "rare_warp of the balance raises settings of AugmentConfig, which a custom augmentation "
                "does not have; use one of the two"
            )
        self.sampler, self.targets, self.config, self.color, self.seed = sampler, targets, config, color, seed
        self.rarity = rarity
        self.margin_px = 0
        if isinstance(config, AugmentConfig):
            farthest = config if rarity is None else lifted(config, max(rarity, default=0.0))
            self.margin_px = margin_px(farthest, sampler.size_px, sampler.mpp)

    def sample(self, k: int) -> Sample:
        """Cut and augment patch number `k`."""
        rng = np.random.default_rng([self.seed, k])
        cut = self.sampler.draw(rng, margin_px=self.margin_px)
        patch = self._augmented(cut, rng)
        return patch if self.color is None else replace(patch, image=self.color(patch.image, rng))

    def _augmented(self, cut: Sample, rng: np.random.Generator) -> Sample:
        config, size_px = self.config, self.sampler.size_px
        if not isinstance(config, AugmentConfig):
            return augmented(cut, config, rng)
        if self.rarity is not None:
            config = lifted(config, rarest(cut, self.rarity, size_px=size_px))
        return augment(cut, config, rng, size_px=size_px)

    def __getitem__(self, k: int) -> Patch:
        patch = self.sample(k)
        return patch.image, self.targets(patch)


class PatchLoader:
    """Batches of a training run: step s takes patches s * batch_size to (s + 1) * batch_size.

    What it takes is that of `make_loader`; `start_method` is how worker processes start, "fork", "forkserver"
    or "spawn": by itself the fastest that is safe here.
    """

    def __init__(
        self,
        patches: PatchDataset,
        *,
        batch_size: int,
        steps: int,
        start_step: int = 0,
        workers: int = 0,
        start_method: str | None = None,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("steps", steps, 0),
            ("start_step", start_step, 0),
            ("workers", workers, 0),
        ):
            if value < least:
                raise ConfigError(f"{name} is {value}, expected {least} or more")
        self.patches, self.batch_size, self.workers = patches, batch_size, workers
        self.steps = range(start_step, max(start_step, steps))
        self.start_method = start_method

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Batch]:
        if self.workers and self.steps:
            return iter(self._in_processes())
        return in_order(self.batch, self.steps, ahead=_AHEAD, name="patches")

    def batch(self, step: int) -> Batch:
        """Batch of a step."""
        first = step * self.batch_size
        return collate([self.patches[k] for k in range(first, first + self.batch_size)])

    def _in_processes(self) -> DataLoader[Any]:
        numbers = range(self.steps.start * self.batch_size, self.steps.stop * self.batch_size)
        return DataLoader(
            self.patches,
            batch_size=self.batch_size,
            sampler=numbers,
            num_workers=self.workers,
            collate_fn=collate,
            worker_init_fn=_quiet_worker,
            multiprocessing_context=_context(self.start_method),
            prefetch_factor=_AHEAD,
        )


def make_loader(  # noqa: PLR0913  # the one place where all that a run's batches depend on comes together
    samples: Sequence[Sample],
    targets: Targets,
    *,
    patch_px: int,
    batch_size: int,
    steps: int,
    start_step: int = 0,
    augment: AugmentConfig | Augmenter | None = None,
    color: Color | None = None,
    on_nuclei: float = 0.0,
    class_weights: Sequence[float] | None = None,
    labelled_share: float = 0.0,
    rarity: Sequence[float] | None = None,
    seed: int = 0,
    workers: int = 0,
) -> PatchLoader:
    """Loader of the batches of a training run.

    Patch number k is drawn with ``default_rng([seed, k])``. So batches do not depend on the number of
    workers, and those from `start_step` on are the same as in an unbroken run.

    Parameters
    ----------
    samples : sequence of Sample, or Mixture
        In memory, all at the model's resolution; workers share them where the system can fork.
    targets : callable
        Makes arrays for the loss from an augmented sample; it runs in the workers.
    patch_px : int
        Side of a patch.
    batch_size, steps, start_step : int
        Patches a batch, steps of the whole run, and steps already done.
    augment : AugmentConfig or Augmenter, optional
        What may happen to a patch, or what does it; nothing if left out.
    color : callable, optional
        A further change of the image alone, after all others: ``(image, rng) -> image``, such as a stain
        jitter.
    on_nuclei : float in [0, 1]
        Share of patches around a random nucleus instead of a random place.
    class_weights : sequence of float, optional
        Weight of a nucleus of class 0, 1, ... when `on_nuclei` draws one.
    labelled_share : float in [0, 1]
        Share of patches from samples with classes, where others have none; 0 draws from all alike.
    rarity : sequence of float in [0, 1], optional
        Of classes 0, 1, ..., such as ``Balance.rarity``: patches are warped more, the rarer the classes in
        them.
    seed : int
        Of the run.
    workers : int
        0 prepares batches in a thread beside the training, which is best on few cores; n in n processes.

    Returns
    -------
    PatchLoader
        Iterate over it for `Batch` objects; its length is ``steps - start_step``.

    Raises
    ------
    DataError
        If there are no samples, or they differ in resolution.
    ConfigError
        If a number is out of its range.

    Examples
    --------
    >>> sample = Sample(np.zeros((64, 64, 3), np.uint8), 0.5, np.zeros((64, 64), np.int32))
    >>> def mask(sample):
    ...     return {"nuclei": sample.instances > 0}
    >>> for batch in make_loader([sample], mask, patch_px=32, batch_size=2, steps=1):
    ...     print(tuple(batch.image.shape), tuple(batch.target["nuclei"].shape))
    (2, 3, 32, 32) (2, 32, 32)
    """
    drawn = {"on_nuclei": on_nuclei, "labelled_share": labelled_share}
    sampler = make_sampler(samples, patch_px, class_weights=class_weights, **drawn)
    config = AUGMENTATIONS["none"] if augment is None else augment
    patches = PatchDataset(sampler, targets, config, color, seed, rarity)
    return PatchLoader(patches, batch_size=batch_size, steps=steps, start_step=start_step, workers=workers)


def collate(patches: Sequence[Patch]) -> Batch:
    """Stack patches to a batch; images become channels first in shape, and stay channels last in memory."""
    images = torch.from_numpy(np.stack([image for image, _ in patches])).permute(0, 3, 1, 2)
    targets = {name: np.stack([target[name] for _, target in patches]) for name in patches[0][1]}
    return Batch(images, {name: torch.from_numpy(value) for name, value in targets.items()})


def _quiet_worker(_: int) -> None:
    """One thread a worker, and Ctrl-C left to the main process, which then ends its workers."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.excepthook = _but_hang_ups
    torch.set_num_threads(1)
    cv2.setNumThreads(0)
    numba.set_num_threads(1)


def _but_hang_ups(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Silence broken pipes when the main process stops early; errors of patches are raised there."""
    if not issubclass(kind, (ConnectionError, EOFError)):
        sys.__excepthook__(kind, error, trace)


def _context(method: str | None) -> BaseContext:
    """Fork where that is safe, since it is fastest and shares the samples' memory; else start clean workers.

    It is unsafe on macOS, and after Numba's OpenMP threads have run in this process: a forked child aborts.
    """
    if method is None:
        clean = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        method = "fork" if sys.platform.startswith("linux") and not _numba_threads_ran() else clean
    context = multiprocessing.get_context(method)
    if method == "forkserver":
        context.set_forkserver_preload([__name__])  # imports once, not once a worker
    return context


def _numba_threads_ran() -> bool:
    try:
        return bool(numba.threading_layer() == "omp")
    except ValueError:  # no parallel loop has run yet
        return False
