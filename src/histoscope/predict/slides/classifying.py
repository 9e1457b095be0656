"""Common parts of classifying tiles and cells of a slide."""

from dataclasses import dataclass
from typing import Any

from histoscope import stain
from histoscope.models.backends import used
from histoscope.predict.patch_classifier import PatchClassifier


@dataclass(frozen=True, eq=False)
class Classifying:
    """Part of `histoscope.predict.slides.work.Work` that depends on the classifier.

    Parameters
    ----------
    classifier : PatchClassifier
    """

    classifier: PatchClassifier

    @property
    def classes(self) -> tuple[str, ...]:
        """Of the classifier."""
        return self.classifier.classes

    @property
    def mpp(self) -> float:
        """Of the network."""
        return self.classifier.network.input_mpp

    @property
    def normalizer(self) -> stain.Normalizer | None:
        """Of the classifier."""
        return self.classifier.normalizer

    @property
    def card(self) -> dict[str, Any] | None:
        """Of the classifier."""
        return self.classifier.card

    @property
    def network(self) -> str:
        """Library that runs the classifier's network."""
        return used(self.classifier.network)

    @property
    def settings(self) -> dict[str, Any]:
        """Model and augmentation."""
        return {"model": self.classifier.fingerprint, "tta": self.classifier.tta}
