"""Data sets as `torch.utils.data.Dataset`, for a `DataLoader` and one's own training loop."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from histoscope.augment import AUGMENTATIONS, AugmentConfig, Augmenter
from histoscope.data import Dataset, resample
from histoscope.errors import ConfigError, DataError
from histoscope.train.loader import PatchDataset
from histoscope.train.patches import PatchSampler
from histoscope.types import Sample


class TorchDataset(torch.utils.data.Dataset[dict[str, Any]]):
    """A `torch.utils.data.Dataset` of a data set, or of samples at hand; each is read when it is requested.

    Item k is a dictionary of sample k, or of a patch of it: ``image`` (3, H, W) uint8, RGB; where the sample
    has them ``instances`` (H, W) int32, ``class_map`` (H, W) uint8 the class of each pixel's nucleus, and
    ``label`` int; ``mpp`` float, ``name``, ``source`` and ``patient``. What Histoscope trains itself goes
    through `make_loader`, which keeps the next batches ready.

    Parameters
    ----------
    samples : Dataset or sequence of Sample
    mpp : float, optional
        Micrometres per pixel that all are brought to; as they are if left out.
    patch_px : int, optional
        Side of a random square that is cut from each, so that images of any size make batches; whole samples
        if left out.
    n : int, optional
        How many patches there are: patch k is of sample ``k % len(samples)``. One a sample if left out.
    on_nuclei : float in [0, 1]
        Share of patches around a random nucleus instead of a random place.
    augment : AugmentConfig or Augmenter, optional
        What may happen to a patch.
    seed : int
        Patch k is drawn with ``default_rng([seed, k])``: the same in each epoch and each worker. A larger `n`
        gives more of them, another seed others.

    Raises
    ------
    DataError
        If there are no samples.
    ConfigError
        If a number is out of its range, or patches are described and `patch_px` is not given.

    Examples
    --------
    >>> from histoscope import synth
    >>> samples = [synth.generate((96, 64), mpp=0.25, rng=k) for k in range(2)]
    >>> loader = torch.utils.data.DataLoader(TorchDataset(samples, mpp=0.5, patch_px=32, n=8), batch_size=4)
    >>> for batch in loader:
    ...     print(tuple(batch["image"].shape), tuple(batch["class_map"].shape))
    (4, 3, 32, 32) (4, 32, 32)
    (4, 3, 32, 32) (4, 32, 32)
    """

    def __init__(  # a data set and what its patches are
        self,
        samples: Dataset | Sequence[Sample],
        *,
        mpp: float | None = None,
        patch_px: int | None = None,
        n: int | None = None,
        on_nuclei: float = 0.0,
        augment: AugmentConfig | Augmenter | None = None,
        seed: int = 0,
    ) -> None:
        if len(samples) == 0:
            raise DataError("there are no samples; check the split and the filters before it")
        if patch_px is None and (n is not None or on_nuclei or augment is not None):
            raise ConfigError(
                "n, on_nuclei and augment are for patches; give the patch side, such as patch_px=256"
            )
        if n is not None and n < 1:
            raise ConfigError(f"n is {n}, expected the number of patches, 1 or more")
        self.samples, self.mpp, self.patch_px, self.n = samples, mpp, patch_px, n
        self.on_nuclei, self.seed = on_nuclei, seed
        self.augment = AUGMENTATIONS["none"] if augment is None else augment

    def __len__(self) -> int:
        return len(self.samples) if self.n is None else self.n

    def __getitem__(self, k: int) -> dict[str, Any]:
        return tensors_of(self.sample(k))

    def sample(self, k: int) -> Sample:
        """Sample or patch number `k`, before it becomes tensors."""
        if not 0 <= k < len(self):
            raise IndexError(f"item {k} was asked for; there are {len(self)}")
        sample = self.samples[k % len(self.samples)]
        if self.mpp is not None:
            sample = resample(sample, self.mpp)
        if self.patch_px is None:
            return sample
        sampler = PatchSampler([sample], self.patch_px, on_nuclei=self.on_nuclei)
        return PatchDataset(sampler, lambda _: {}, self.augment, None, self.seed).sample(k)


def tensors_of(sample: Sample) -> dict[str, Any]:
    """Image and truth of a sample as tensors, with its name and resolution; what it has not is left out.

    Examples
    --------
    >>> sample = Sample(np.zeros((4, 6, 3), np.uint8), 0.5, label=2, name="a")
    >>> {key: getattr(value, "shape", value) for key, value in tensors_of(sample).items()}
    {'image': torch.Size([3, 4, 6]), 'label': 2, 'mpp': 0.5, 'name': 'a', 'source': '', 'patient': ''}
    """
    found: dict[str, Any] = {"image": torch.from_numpy(sample.image.transpose(2, 0, 1).copy())}
    if sample.instances is not None:
        found["instances"] = torch.from_numpy(np.array(sample.instances, order="C"))
        if sample.classes is not None:
            found["class_map"] = torch.from_numpy(sample.classes[sample.instances])
    if sample.label is not None:
        found["label"] = int(sample.label)
    return found | {
        "mpp": float(sample.mpp),
        "name": sample.name,
        "source": sample.source,
        "patient": sample.patient,
    }
