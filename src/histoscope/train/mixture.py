"""Mixtures of real and synthetic samples, sampled in a chosen share."""

from collections.abc import Sequence
from typing import Protocol, overload

import numpy as np

from histoscope.errors import ConfigError, DataError
from histoscope.seeds import RandomSource, generator
from histoscope.train.patches import PatchSampler
from histoscope.types import Sample


class Sampler(Protocol):
    """Draws patches of one size and resolution."""

    size_px: int
    mpp: float

    def draw(self, rng: np.random.Generator, *, margin_px: int = 0) -> Sample:
        """Cut one patch, with `margin_px` more on each side."""


class Mixture(Sequence[Sample]):
    """Real and synthetic samples; a chosen share of the patches comes from the synthetic ones.

    Everything that takes samples takes it as the real ones followed by the synthetic ones; `make_sampler`
    keeps to the share, however many there are of either.

    Parameters
    ----------
    real, synthetic : sequences of Sample
        In memory, all at one resolution. What has no share may be empty.
    share : float in [0, 1]
        Of the patches that come from `synthetic`.

    Raises
    ------
    ConfigError
        If `share` is out of its range.
    DataError
        If there is nothing to draw of one kind, and it has a share.

    Examples
    --------
    >>> real, drawn = (Sample(np.zeros((8, 8, 3), np.uint8), 0.5, name=name) for name in ("real", "drawn"))
    >>> sampler = make_sampler(Mixture([real], [drawn] * 9, share=0.25), 8)
    >>> rng = np.random.default_rng(0)
    >>> sum(sampler.draw(rng).name == "drawn" for _ in range(1000))
    258
    """

    def __init__(self, real: Sequence[Sample], synthetic: Sequence[Sample], share: float) -> None:
        if not 0 <= share <= 1:
            raise ConfigError(f"the share of synthetic patches is {share}, expected 0 to 1, such as 0.5")
        for kind, samples, part in (("real", real, 1 - share), ("synthetic", synthetic, share)):
            if part > 0 and not len(samples):
                raise DataError(
                    f"{part:.0%} of the patches should be {kind}, but there are no {kind} samples; "
                    "check the data set, or change the share"
                )
        self.real, self.synthetic, self.share = tuple(real), tuple(synthetic), share

    def __len__(self) -> int:
        return len(self.real) + len(self.synthetic)

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | Sequence[Sample]:
        return (*self.real, *self.synthetic)[index]


class MixedSampler:
    """Samples the kind of a patch, then the patch by the sampler of that kind.

    Parameters
    ----------
    usual, other : Sampler
        Such as of real and synthetic samples.
    share : float in [0, 1]
        Of the patches that come from `other`.
    """

    def __init__(self, usual: Sampler, other: Sampler, share: float) -> None:
        if not np.isclose(usual.mpp, other.mpp, rtol=0.01):
            raise DataError(
                f"some samples have {usual.mpp:g} micrometres per pixel, others {other.mpp:g}; "
                "resample all to one pixel size first with histoscope.data.resample(sample, mpp)"
            )
        self.usual, self.other, self.share = usual, other, share
        self.size_px, self.mpp = usual.size_px, usual.mpp

    def draw(self, rng: RandomSource, *, margin_px: int = 0) -> Sample:
        """Cut one patch, with `margin_px` more on each side."""
        rng = generator(rng)
        chosen = self.other if rng.random() < self.share else self.usual
        return chosen.draw(rng, margin_px=margin_px)


def make_sampler(
    samples: Sequence[Sample],
    size_px: int,
    *,
    on_nuclei: float = 0.0,
    class_weights: Sequence[float] | None = None,
    labelled_share: float = 0.0,
) -> Sampler:
    """Sampler of the patches of a training run, from a `Mixture` or from samples of one kind.

    Parameters
    ----------
    samples : Mixture or sequence of Sample
    size_px, on_nuclei, class_weights
        See `histoscope.train.patches.PatchSampler`.
    labelled_share : float in [0, 1]
        Of the patches, from samples with classes, where others have none; 0 draws from all alike.

    Raises
    ------
    DataError
        If patches should be of samples with classes, and there are none.
    """
    if labelled_share and not any(sample.has_classes for sample in samples):
        raise DataError(
            f"{labelled_share:.0%} of the patches should be of images with classes (train.labelled_share), "
            "but no training image has classes; leave it out"
        )

    def of(kind: Sequence[Sample]) -> Sampler:
        def drawing(some: Sequence[Sample]) -> Sampler:
            return PatchSampler(some, size_px, on_nuclei=on_nuclei, class_weights=class_weights)

        plain = [sample for sample in kind if not sample.has_classes]
        if not labelled_share or len(plain) in {0, len(kind)}:
            return drawing(kind)
        labelled = [sample for sample in kind if sample.has_classes]
        return MixedSampler(drawing(plain), drawing(labelled), labelled_share)

    if not isinstance(samples, Mixture):
        return of(samples)
    if samples.share in {0, 1}:
        return of(samples.synthetic if samples.share else samples.real)
    return MixedSampler(of(samples.real), of(samples.synthetic), samples.share)
