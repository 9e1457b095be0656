"""StarDist: star-convex polygons, predicted as distances along rays at each pixel of a nucleus.

References
----------
.. [1] Schmidt et al., MICCAI 2018, doi:10.1007/978-3-030-00934-2_30
.. [2] Weigert and Schmidt, ISBIC 2022, doi:10.1109/ISBIC56247.2022.9854534
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from histoscope import geometry
from histoscope.errors import ConfigError
from histoscope.models import turns
from histoscope.models.base import (
    Heads,
    InputSpec,
    Tile,
    assembled,
    class_map,
    instances_of,
    resampled_shape,
)
from histoscope.models.nuclei import losses, smp
from histoscope.models.nuclei.encoder import EncodedSegmenter
from histoscope.models.nuclei.star import Candidates, candidates_of, joined, nuclei_of
from histoscope.models.nuclei.unet import UNetBody, double_conv
from histoscope.renamed import renamed
from histoscope.types import Mask, Nuclei, Sample

TYPICAL_RADIUS_UM = 3.0
LOSS_WEIGHTS = {"probability_loss": 1.0, "distance_loss": 0.2, "class_loss": 1.0, "inside_loss": 1.0}
"""Of the challenge recipe [2]_; the last is ours."""
OUTSIDE_WEIGHT = 0.01
"""Weight of distances on the background, which should be 0, relative to those in nuclei [2]_."""


@renamed(settle="refine_with_mask")
class StarDist(EncodedSegmenter):
    """Object probability, distances along rays, and classes, by any encoder and decoder.

    Parameters
    ----------
    encoder : str
        ``unet`` for our own U-Net, or a timm name such as ``resnet34``.
    decoder : str
        Of segmentation-models-pytorch, on a timm encoder.
    pretrained : bool
        Begin from the timm encoder's published weights, fetched from the Hugging Face Hub.
    weights : str or Path, optional
        Begin from the encoder in a file (.safetensors, .npz, .pth) or in a model folder instead: of timm, a
        classifier, a backbone pretrained without labels, or another network of nuclei.
    freeze_norm : bool
        Batch normalisation of the encoder keeps its statistics while training.
    width, depth : int
        Channels of the first level, and levels, of our own U-Net.
    head_width : int
        Channels of the layer before the heads.
    n_rays : int
        Number of rays; a multiple of 4 for test-time augmentation.
    grid : {1, 2, 4}
        Pixels from one prediction to the next; 2 is four times as fast and hardly less exact at 0.25 um/px.
    classes : sequence of str
        Names of the classes of nuclei; empty for none.
    mpp : float
        Micrometres per pixel of its input.
    class_loss : {"cross_entropy", "focal"}
        Beside Tversky.
    refine : bool
        Draw each nucleus by a vote of all its candidate polygons [2]_.
    refine_with_mask : bool
        Also learn a foreground mask, with which outlines are refined: polygons separate neighbours, the mask
        has corners and exact borders. The published network has none.

    Examples
    --------
    >>> import torch
    >>> model = StarDist(width=4, depth=2, n_rays=8, classes=["epithelial", "stroma"])
    >>> {name: tuple(head.shape[1:]) for name, head in model(torch.zeros(1, 3, 32, 32)).items()}
    {'probability': (1, 16, 16), 'distances': (8, 16, 16), 'inside': (4, 16, 16), 'classes': (3, 16, 16)}
    """

    name = "stardist"
    class_weights: Tensor | None

    def __init__(  # noqa: PLR0913  # the recipe's own choices, each with a default
        self,
        *,
        encoder: str = "unet",
        decoder: str = "unet",
        pretrained: bool = False,
        weights: str | Path | None = None,
        freeze_norm: bool = False,
        width: int = 32,
        depth: int = 4,
        head_width: int = 64,
        n_rays: int = 32,
        grid: int = 2,
        classes: Sequence[str] = (),
        mpp: float = 0.25,
        class_loss: str = "cross_entropy",
        refine: bool = True,
        refine_with_mask: bool = True,
    ) -> None:
        given = {key: value for key, value in locals().items() if key not in {"self", "__class__", "weights"}}
        if grid not in (1, 2, 4) or n_rays < 4 or class_loss not in ("cross_entropy", "focal"):
            raise ConfigError(
                f"stardist: grid {grid} must be 1, 2 or 4; n_rays {n_rays} at least 4; class_loss "
                f"{class_loss!r} one of cross_entropy, focal"
            )
        body: nn.Module
        if encoder == "unet":
            paths = UNetBody(3 * grid**2, width, depth)
            # No pixel is lost on the coarser grid: each of its points begins with all the pixels around it.
            body = nn.Sequential(nn.PixelUnshuffle(grid), paths)
            divisor, context_px = grid * 2 ** (depth - 1), grid * (paths.context_px + 2)
        else:
            network = smp.build(
                decoder, encoder, {}, pretrained=pretrained and weights is None, channels=width
            )
            body = nn.Sequential(network, nn.AvgPool2d(grid))
            divisor, context_px = smp.MOST_DIVISIBLE, 128
        super().__init__(
            InputSpec(
                mpp=mpp, divisible_by=divisor, classes=tuple(classes), grid=grid, context_px=context_px
            ),
            # Saved weights replace the pretrained ones, so loading a model needs no hub.
            given | {"pretrained": False, "classes": list(classes)},
        )
        self.body = body
        self.n_rays, self.refine = n_rays, refine
        self.thresholds = {"probability": 0.5, "iou": 0.4}
        self.shape_features = _conv(width, head_width)
        self.probability = nn.Conv2d(head_width, 1, 1)
        self.distances = nn.Conv2d(head_width, n_rays, 1)
        self.in_pixels: nn.Module = InPixels(TYPICAL_RADIUS_UM / mpp)
        # One channel for each pixel that a point of the grid stands for.
        self.inside = nn.Conv2d(head_width, grid**2, 1) if refine_with_mask else None
        self.class_features = _conv(width, head_width) if classes else None
        self.classes = nn.Conv2d(head_width, len(classes) + 1, 1) if classes else None
        self.register_buffer("class_weights", None, persistent=False)
        where = "body.1.down" if encoder == "unet" else "body.0.encoder.model"
        self.begin(where, encoder, pretrained=pretrained, weights=weights, freeze_norm=freeze_norm)

    def heads(self, x: Tensor) -> Heads:
        """Logits of being a nucleus, distances in pixels, and logits of classes, background first."""
        x = self.body(x)
        shape = self.shape_features(x)
        heads = {
            "probability": self.probability(shape),
            "distances": self.in_pixels(self.distances(shape)),
        }
        if self.inside is not None:
            heads["inside"] = self.inside(shape)
        if self.classes is not None and self.class_features is not None:
            heads["classes"] = self.classes(self.class_features(x))
        return heads

    def targets(self, sample: Sample) -> dict[str, NDArray[Any]]:
        """Probability (1, h, w), distances (n_rays, h, w) and class (h, w) of each point of the grid."""
        instances, grid = instances_of(sample), self.spec.grid
        distances = geometry.star_distances(instances, self.n_rays, grid=grid)
        target: dict[str, NDArray[Any]] = {
            "probability": geometry.object_probability(instances, grid=grid)[None],
            "distances": np.ascontiguousarray(np.moveaxis(distances, 2, 0)),
        }
        if self.inside is not None:
            target["inside"] = by_grid(instances > 0, grid)
        if self.spec.classes:
            target["classes"] = class_map(sample, self.spec.classes, grid=grid)
        return target

    def loss(self, heads: Heads, target: dict[str, Tensor]) -> dict[str, Tensor]:
        """Cross-entropy of the probability, masked distance, and classes, weighted as in [2]_."""
        truth = target["probability"]
        terms = {
            "probability_loss": functional.binary_cross_entropy_with_logits(
                heads["probability"].float(), truth
            ),
            "distance_loss": masked_distance(heads["distances"].float(), target["distances"], truth),
        }
        if "inside" in heads:
            terms["inside_loss"] = _mask_loss(heads["inside"].float(), target["inside"])
        if "classes" in heads:
            terms["class_loss"] = self._class_loss(heads["classes"].float(), target["classes"].long())
        weighted = {name: LOSS_WEIGHTS[name] * term for name, term in terms.items()}
        return weighted | {"total": torch.stack(list(weighted.values())).sum()}

    def _class_loss(self, logits: Tensor, target: Tensor) -> Tensor:
        weight = self.class_weights
        gamma = 2.0 if self.arguments["class_loss"] == "focal" else 0.0
        likelihood = losses.focal(logits, target, gamma=gamma, weight=weight)
        known = (target >= 0)[:, None]
        truth = functional.one_hot(target.clamp(min=0), logits.shape[1]).movedim(-1, 1) * known
        overlap = losses.tversky(torch.softmax(logits, dim=1) * known, truth, alpha=0.7)
        return likelihood + overlap

    def weigh_classes(self, weights: Sequence[float]) -> None:
        """Set the class weights of the cross-entropy (or focal) loss, the background first."""
        if len(weights) != len(self.spec.classes) + 1:
            raise ConfigError(
                f"{len(weights)} class weights for {len(self.spec.classes)} classes and the background"
            )
        self.class_weights = torch.tensor(weights, dtype=torch.float32, device=self.mean.device)

    def turned_back(self, heads: Heads, turn: int) -> Heads:
        """Heads of the original image from those of a transformed one; rays change their order."""
        grid = self.spec.grid
        upright = super().turned_back(heads, turn)
        if "inside" in heads:
            pixels = turns.back(functional.pixel_shuffle(heads["inside"], grid), turn)
            upright["inside"] = functional.pixel_unshuffle(pixels, grid)
        return upright | {"distances": turns.rays_back(heads["distances"], turn, grid)}

    def merged(self, turned: Sequence[Heads]) -> Heads:
        """Median of the probability, mean of distances, of mask and of class probabilities."""
        logits = torch.stack([heads["probability"].float() for heads in turned])
        half = len(turned) // 2
        ordered = logits.sort(dim=0).values
        heads = {
            "probability": (ordered[half] + ordered[-half - 1]) / 2,
            "distances": torch.stack([heads["distances"].float() for heads in turned]).mean(dim=0),
        }
        if "inside" in turned[0]:
            heads["inside"] = torch.stack([heads["inside"].float() for heads in turned]).mean(dim=0)
        if "classes" in turned[0]:
            mean = torch.stack([torch.softmax(one["classes"].float(), dim=1) for one in turned]).mean(dim=0)
            heads["classes"] = torch.log(mean + 1e-12)
        return heads

    def decode(self, heads: Heads, shape: tuple[int, int], mpp: float) -> Nuclei:
        """Nuclei of one image: candidates, suppression, drawing, classes by vote of the pixels."""
        size = (heads["probability"].shape[2], heads["probability"].shape[3])
        return self.decode_tiles([Tile(heads, 0, 0, size)], shape, mpp)

    def gather(
        self, tiles: Iterable[Tile], shape: tuple[int, int], mpp: float
    ) -> tuple[Candidates, Mask | None]:
        """No more than the candidates of all tiles, and the mask, are kept."""
        parts: list[Candidates] = []

        def masks() -> Iterator[Tile]:
            for tile in tiles:
                parts.append(self.candidates(tile, shape, mpp))
                if "inside" in tile.heads:
                    yield self._by_pixels(tile)

        logits = assembled(masks()).get("inside")
        return joined(parts), None if logits is None else self._inside(logits, shape, mpp)

    def decode_gathered(
        self, gathered: tuple[Candidates, Mask | None], shape: tuple[int, int], mpp: float
    ) -> Nuclei:
        """Suppression, drawing, classes by vote of the pixels."""
        candidates, inside = gathered
        iou = self.thresholds["iou"]
        rule = self.class_rule
        return nuclei_of(candidates, iou, shape, mpp, refine=self.refine, inside=inside, rule=rule)

    def _by_pixels(self, tile: Tile) -> Tile:
        """The mask alone, no longer on the grid."""
        grid = self.spec.grid
        pixels = functional.pixel_shuffle(tile.heads["inside"].float(), grid)
        size = (tile.size[0] * grid, tile.size[1] * grid)
        return Tile({"inside": pixels}, tile.row * grid, tile.column * grid, size)

    def _inside(self, logits: Tensor, shape: tuple[int, int], mpp: float) -> Mask:
        """Mask of nuclei on the pixels of an image."""
        height, width = resampled_shape(shape, mpp / self.spec.mpp)
        seen = logits[0, 0, :height, :width].numpy()
        if seen.shape != shape:
            seen = np.asarray(cv2.resize(seen, shape[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
        mask: Mask = seen > 0.0
        return mask

    def candidates(self, tile: Tile, shape: tuple[int, int], mpp: float) -> Candidates:
        """Points of the grid that are probable enough, on the pixels of an image of this shape."""
        threshold = self.thresholds["probability"]
        probable = tile.heads["probability"][0, 0] > math.log(threshold / (1.0 - threshold))
        rows, columns = torch.nonzero(probable, as_tuple=True)
        values = {
            name: head[0].movedim(0, 2)[rows, columns].float().cpu().numpy()
            for name, head in tile.heads.items()
            if name != "inside"
        }
        places = torch.stack([rows + tile.row, columns + tile.column], dim=1).cpu().numpy()
        height, width = resampled_shape(shape, mpp / self.spec.mpp)
        scale = shape[0] / height, shape[1] / width
        return candidates_of(places, values, grid=self.spec.grid, scale=scale)


class InPixels(nn.Module):
    """Distances in pixels, of distances in typical radii less one.

    What is learned is near 0 and of order 1 at every resolution. Numbers near 0 keep their decimals in 16
    bits; a long radius would not.

    Parameters
    ----------
    radius_px : float
        Typical radius of a nucleus.
    """

    def __init__(self, radius_px: float) -> None:
        super().__init__()
        self.radius_px = radius_px

    def forward(self, distances: Tensor) -> Tensor:
        """(B, n_rays, H, W) float32."""
        # In place: of a large tile they take more memory than all else.
        return distances.float().add_(1.0).mul_(self.radius_px)


def by_grid(mask: Mask, grid: int) -> NDArray[np.float32]:
    """(H, W) mask as (grid^2, H / grid, W / grid), rounded up: the pixels of each point of the grid.

    Examples
    --------
    >>> by_grid(np.array([[True, False], [False, True], [True, True]]), 2)[:, :, 0].tolist()
    [[1.0, 1.0], [0.0, 1.0], [0.0, 0.0], [1.0, 0.0]]
    """
    height, width = mask.shape
    filled = np.pad(mask, [(0, -height % grid), (0, -width % grid)]).astype(np.float32)
    parts = filled.reshape(filled.shape[0] // grid, grid, filled.shape[1] // grid, grid)
    return np.ascontiguousarray(parts.transpose(1, 3, 0, 2).reshape(grid**2, *parts.shape[::2]))


def _mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy and Dice of a mask."""
    likelihood = functional.binary_cross_entropy_with_logits(logits, truth)
    return likelihood + losses.soft_dice(torch.sigmoid(logits), truth)


def masked_distance(distances: Tensor, target: Tensor, probability: Tensor) -> Tensor:
    """Mean absolute error in nuclei, weighted by probability, and a small penalty on the background.

    Parameters
    ----------
    distances, target : (B, n_rays, H, W)
    probability : (B, 1, H, W)
        Truth: near 1 in the middle of a nucleus, where distances matter most, 0 outside.
    """
    error = (distances - target).abs().mean(dim=1, keepdim=True)
    inside = (probability * error).sum() / probability.sum().clamp(min=1e-6)
    outside = ((probability == 0) * distances.abs().mean(dim=1, keepdim=True)).mean()
    return inside + OUTSIDE_WEIGHT * outside


def _conv(channels_in: int, channels_out: int) -> nn.Sequential:
    """One 3x3 convolution with batch normalisation and ReLU."""
    return nn.Sequential(*list(double_conv(channels_in, channels_out))[:3])
