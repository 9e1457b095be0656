"""Opening the model before a worker's first slide, on its share of the devices."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from histoscope.predict.detector import Detector
from histoscope.predict.patch_classifier import PatchClassifier
from histoscope.predict.slides.batch import SlideSettings
from histoscope.predict.slides.cells import ClassifyCells
from histoscope.predict.slides.nuclei import FindNuclei
from histoscope.predict.slides.one import OneSlide
from histoscope.predict.slides.tiles import ClassifyTiles
from histoscope.predict.slides.work import Work


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A model folder and its settings; small, so that it can be sent to other processes.

    Parameters
    ----------
    folder : Path
    out : Path
        Folder of the results.
    settings : SlideSettings
    tta : bool
        Test-time augmentation.
    backend : str
        Library that runs the network.
    least_area_um2 : float, optional
        Minimum area of a nucleus, for models of nuclei; None for classifiers.
    least_tissue : float
        Minimum tissue share of a tile, for classifiers.
    cells : Path, optional
        Cells to classify instead of tiles.
    """

    folder: Path
    out: Path
    settings: SlideSettings
    tta: bool = False
    backend: str = "auto"
    least_area_um2: float | None = None
    least_tissue: float = 0.0
    cells: Path | None = None

    def work(self) -> Work:
        """Open it: nuclei of at least some area, or the classes of tiles, or of given cells."""
        if self.least_area_um2 is not None:
            least = self.least_area_um2
            return FindNuclei(
                Detector.open(self.folder, tta=self.tta, least_area_um2=least, backend=self.backend)
            )
        classifier = PatchClassifier.open(self.folder, tta=self.tta, backend=self.backend)
        if self.cells is None:
            return ClassifyTiles(classifier, self.least_tissue)
        return ClassifyCells(classifier, self.cells)

    def __call__(self, k: int, of: int) -> OneSlide:
        """Processing of a slide by worker k of so many."""
        devices = share_of(self.settings.devices or (_accelerators() if of > 1 else ()), k, of)
        return OneSlide(self.work(), self.out, replace(self.settings, devices=devices))


def share_of(devices: Sequence[str], k: int, of: int) -> tuple[str, ...]:
    """Devices of worker k of so many: several if there are more than workers, otherwise a shared one.

    Examples
    --------
    >>> [share_of(["cuda:0", "cuda:1"], k, 3) for k in range(3)]
    [('cuda:0',), ('cuda:1',), ('cuda:0',)]
    >>> [share_of(["cuda:0", "cuda:1", "cuda:2"], k, 2) for k in range(2)]
    [('cuda:0', 'cuda:2'), ('cuda:1',)]
    """
    if not devices:
        return ()
    return tuple(devices[k::of]) if k < len(devices) else (devices[k % len(devices)],)


def _accelerators() -> tuple[str, ...]:
    import torch

    return tuple(f"cuda:{k}" for k in range(torch.cuda.device_count())) if torch.cuda.is_available() else ()
