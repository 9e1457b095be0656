"""A trained patch classifier with its stain normaliser."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from histoscope import models, stain
from histoscope.brief import brief
from histoscope.classify.batches import OnSkip, Seen, through
from histoscope.errors import ConfigError
from histoscope.models import Classifier, turns
from histoscope.renamed import renamed
from histoscope.types import Image, Sample


@brief
@renamed(turned="tta")
@dataclass(frozen=True, eq=False, slots=True)
class PatchClassifier:
    """A classifier and the stain normaliser that it was trained with.

    Parameters
    ----------
    network : Classifier
    normalizer : Normalizer, optional
        Applied to images first.
    tta : bool
        Test-time augmentation: the mean over all eight rotations and flips of each patch.
    card : dict, optional
        Card of the model folder.
    fingerprint : str
        Hash of everything that its predictions depend on.
    """

    network: Classifier
    normalizer: stain.Normalizer | None = None
    tta: bool = False
    card: dict[str, Any] | None = field(default=None, repr=False)
    fingerprint: str = field(default="", repr=False)

    @classmethod
    @renamed(turned="tta")
    def open(
        cls,
        model: str | Path,
        *,
        tta: bool = False,
        network: nn.Module | str | None = None,
        backend: str = "torch",
    ) -> "PatchClassifier":
        """Open a model folder; on the accelerator, if there is one. Arguments are as for `Detector.open`.

        Raises
        ------
        UnknownNameError, DatasetNotFoundError, FormatVersionError, CorruptDataError, MissingDependencyError
            As for `histoscope.predict.Detector.open`.
        ConfigError
            If the model is not a classifier, or is a backbone without classes.
        """
        opened = models.open_model(model, Classifier, network=network, backend=backend)
        if not opened.network.spec.classes:
            raise ConfigError(f"{model} has no classes; give the folder of a trained classifier")
        return cls(opened.network, opened.normalizer, tta, opened.card, opened.fingerprint)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of class 0, 1, ..."""
        return self.network.spec.classes

    @property
    def side_um(self) -> float:
        """Side of a patch, in micrometres."""
        return self.network.spec.patch_px * self.network.input_mpp

    def normalised(self, image: Image) -> Image:
        """The image after stain normalisation."""
        return image if self.normalizer is None else self.normalizer(image)

    def through(
        self,
        samples: Sequence[Sample],
        *,
        chosen: Sequence[int] | None = None,
        on_skip: OnSkip | None = None,
    ) -> Iterator[Seen]:
        """Probabilities (B, C) of patches, batch by batch; see `histoscope.classify.batches.through`."""
        return through(self.network, samples, self._probabilities, chosen=chosen, on_skip=on_skip)

    def _probabilities(self, network: Classifier, x: Tensor) -> Tensor:
        # A patch is square, so rotations keep its shape.
        views = [turns.turn(x, k) for k in range(turns.N_TURNS)] if self.tta else [x]
        found = [network.probabilities(network.heads(view)) for view in views]
        return torch.stack(found).mean(dim=0)
