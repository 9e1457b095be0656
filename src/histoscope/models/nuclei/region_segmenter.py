"""Base of networks that segment background, inside and boundary of nuclei."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from histoscope.errors import ConfigError
from histoscope.models.base import UNKNOWN, Heads, InputSpec, class_map, instances_of
from histoscope.models.nuclei import losses, regions
from histoscope.models.nuclei.encoder import EncodedSegmenter
from histoscope.types import Nuclei, Sample


class RegionSegmenter(EncodedSegmenter):
    """A network with a head ``regions``, and one of ``classes`` if its specification names any.

    A subclass gives the module `network`, or `features`.
    """

    network: nn.Module
    """Of normalised images (B, 3, H, W), the logits of both heads (B, 3 + C, H, W)."""
    class_weights: Tensor | None

    def __init__(self, spec: InputSpec, arguments: Mapping[str, Any]) -> None:
        super().__init__(spec, arguments)
        self.register_buffer("class_weights", None, persistent=False)

    def features(self, x: Tensor) -> Tensor:
        """Logits (B, 3 + C, H, W) of background, inside, boundary and C classes, of normalised images."""
        logits: Tensor = self.network(x)
        return logits

    def heads(self, x: Tensor) -> Heads:
        """Heads of a normalised image."""
        logits = self.features(x)
        if not self.spec.classes:
            return {"regions": logits}
        return {"regions": logits[:, :3], "classes": logits[:, 3:]}

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Region of each pixel: 0 background, 1 inside, 2 boundary; and class of its nucleus, if any is."""
        target: dict[str, NDArray[Any]] = {"regions": regions.from_labels(instances_of(sample))}
        if self.spec.classes:
            target["classes"] = class_map(sample, self.spec.classes)
        return target

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy and Dice of regions; cross-entropy of classes, over the pixels of nuclei."""
        terms = losses.dice_cross_entropy(heads["regions"], target["regions"].long())
        if "classes" not in heads:
            return terms
        wanted = target["classes"].long()
        wanted = torch.where(wanted > 0, wanted - 1, UNKNOWN)
        class_loss = losses.cross_entropy(heads["classes"], wanted, weight=self.class_weights)
        return terms | {"class_loss": class_loss, "total": terms["total"] + class_loss}

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Weigh the classes in the loss; the first, the background, is not one of them."""
        if not self.spec.classes:
            return super().weigh_classes(weights)
        if len(weights) != len(self.spec.classes) + 1:
            raise ConfigError(
                f"{len(weights)} class weights for {len(self.spec.classes)} classes and the background"
            )
        self.class_weights = torch.tensor(weights[1:], dtype=torch.float32, device=self.mean.device)
        return None

    def merged(self, turned: Sequence[Heads]) -> Heads:
        """Mean of the probabilities, as logits."""

        def mean(name: str) -> Tensor:
            total = sum(torch.softmax(heads[name].float(), dim=1) for heads in turned)
            return torch.log(torch.as_tensor(total) / len(turned) + 1e-12)

        return {name: mean(name) for name in turned[0]}

    def decode(self, heads: Heads, shape: tuple[int, int], mpp: float) -> Nuclei:
        """Nuclei of one image, by a watershed on the image's own grid; classes by vote of their pixels."""
        nuclei = regions.to_nuclei(_probability(heads["regions"], shape), mpp)
        if "classes" not in heads:
            return nuclei
        votes = _probability(heads["classes"], shape).reshape(len(self.spec.classes), -1)
        ids, n = nuclei.instances.ravel(), len(nuclei)
        total = np.stack([np.bincount(ids, weights=each, minlength=n + 1)[1:] for each in votes], axis=1)
        share = (total / total.sum(axis=1, keepdims=True)).astype(np.float32)
        class_id, probability = self.class_rule(share)
        return replace(nuclei, class_id=class_id, class_probability=probability)


def _probability(head: Tensor, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Probabilities (C, H, W) of the logits of one image, on a grid of this shape."""
    logits = head.float()
    if logits.shape[2:] != shape:
        logits = functional.interpolate(logits, shape, mode="bilinear", align_corners=False)
    return np.asarray(torch.softmax(logits[0], dim=0).cpu().numpy())
