"""Base of the networks that tell background, inside and boundary of nuclei apart."""

from collections.abc import Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from histoscope.models.base import Heads, Segmenter, instances_of
from histoscope.models.nuclei import losses, regions
from histoscope.types import Nuclei, Sample


class RegionSegmenter(Segmenter):
    """A network with one head, ``regions``: (B, 3, H, W) logits of background, inside and boundary.

    A subclass gives `features`, which maps a normalised image to these logits.
    """

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3, H, W) of a normalised image (B, 3, H, W); a subclass gives this."""
        raise TypeError(f"{type(self).__name__} must define features()")

    def heads(self, x: Tensor) -> Heads:
        """Heads of a normalised image."""
        return {"regions": self.features(x)}

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Region of each pixel: 0 background, 1 inside, 2 boundary."""
        return {"regions": regions.from_labels(instances_of(sample))}

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy and Dice."""
        return losses.dice_cross_entropy(heads["regions"], target["regions"].long())

    def merged(self, turned: Sequence[Heads]) -> Heads:
        """Mean of the probabilities, as logits."""
        total = sum(torch.softmax(heads["regions"].float(), dim=1) for heads in turned)
        return {"regions": torch.log(torch.as_tensor(total) / len(turned) + 1e-12)}

    def decode(self, heads: Heads, shape: tuple[int, int], mpp: float) -> Nuclei:
        """Nuclei of one image, by a watershed on the image's own grid."""
        logits = heads["regions"].float()
        if logits.shape[2:] != shape:
            logits = functional.interpolate(logits, shape, mode="bilinear", align_corners=False)
        return regions.to_nuclei(torch.softmax(logits[0], dim=0).cpu().numpy(), mpp)
