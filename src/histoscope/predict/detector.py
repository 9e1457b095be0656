"""A trained segmentation model with its stain normaliser."""

from dataclasses import dataclass, field
from math import isnan
from pathlib import Path
from typing import Any

from torch import nn

from histoscope import models, stain
from histoscope.brief import brief
from histoscope.errors import ConfigError
from histoscope.export import likeness
from histoscope.export.likeness import Likeness
from histoscope.files import read_image
from histoscope.images.resolution import check_mpp, mpp_of, why_unknown
from histoscope.models import Segmenter
from histoscope.models.pixel_sizes import warn_outside
from histoscope.nuclei.nuclei import KEPT_PX
from histoscope.renamed import renamed
from histoscope.types import Image, Nuclei

LEAST_AREA_UM2 = 4.0
"""Smallest area of a nucleus; a lymphocyte, the smallest common one, has about 25 um2."""


@brief
@renamed(turned="tta")
@dataclass(frozen=True, eq=False, slots=True)
class Detector:
    """A network and the stain normaliser that it was trained with.

    Parameters
    ----------
    network : Segmenter
    normalizer : Normalizer, optional
        Applied to images first.
    tta : bool
        Test-time augmentation: all eight rotations and flips of each tile; slower, usually better.
    card : dict, optional
        Card of the model folder.
    fingerprint : str
        Hash of everything that its predictions depend on.
    least_area_um2 : float
        Smaller objects are left out.
    """

    network: Segmenter
    normalizer: stain.Normalizer | None = None
    tta: bool = False
    card: dict[str, Any] | None = field(default=None, repr=False)
    fingerprint: str = field(default="", repr=False)
    least_area_um2: float = LEAST_AREA_UM2

    @classmethod
    @renamed(turned="tta")
    def open(
        cls,
        model: str | Path,
        *,
        tta: bool = False,
        least_area_um2: float = LEAST_AREA_UM2,
        network: nn.Module | str | None = None,
        backend: str = "torch",
    ) -> "Detector":
        """Open a model that comes with Histoscope, or a model folder; on the accelerator, if there is one.

        Parameters
        ----------
        model : str or Path
        tta : bool
            Test-time augmentation, as for `Detector`.
        least_area_um2 : float
            Smaller objects are left out.
        network : torch.nn.Module or str, optional
            Your own network, or its name; the weights are loaded into it, see `histoscope.models.load`.
        backend : str
            Library that runs it, see `histoscope.models.open_model`.

        Raises
        ------
        UnknownNameError
            If it is neither a name nor a folder.
        DatasetNotFoundError, FormatVersionError, CorruptDataError
            If the folder holds no model, one of another version, or a broken one.
        MissingDependencyError
            If the backend is not installed.
        """
        if not 0 <= least_area_um2 < float("inf"):
            raise ConfigError(f"least area is {least_area_um2} um2, expected 0 or more")
        opened = models.open_model(model, Segmenter, network=network, backend=backend)
        depends_on = f"{opened.fingerprint}, nuclei from {least_area_um2:g} um2"
        if opened.network.class_rule.unsure_below:
            depends_on += ", unsure of class 0"  # do not mix with results that number it differently
        return cls(opened.network, opened.normalizer, tta, opened.card, depends_on, least_area_um2)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of class 1, 2, ...; empty for none."""
        return self.network.spec.classes

    @property
    def names(self) -> tuple[str, ...]:
        """Names of nuclei in all outputs: the classes, and `unsure` if a nucleus may be."""
        return self.network.class_rule.names(self.classes)

    @property
    def likeness(self) -> Likeness | None:
        """Appearance of the images that its classes were learned from; None if its card does not give it."""
        return Likeness.of_card((self.card or {}).get(likeness.KEY))

    def unlike(self, image: Image, nuclei: Nuclei) -> float | None:
        """Distance of an image from those that the classes were learned from: above 1, it looks different.

        Parameters
        ----------
        image : (H, W, 3) uint8
        nuclei : Nuclei
            Found in it.

        Returns
        -------
        float or None
            None if the card does not give their appearance, or there are too few nuclei to tell.
        """
        found = self.likeness
        if found is None:
            return None
        shown = image if self.normalizer is None else self.normalizer(image)
        distance = found.unlike(shown, nuclei)
        return None if isnan(distance) else round(distance, 3)

    def __call__(self, image: Image, mpp: float) -> Nuclei:
        """Nuclei of an image, numbered from 1 without gaps, each with at least one pixel.

        Parameters
        ----------
        image : (H, W, 3) uint8
            RGB, at any resolution.
        mpp : float
            Its micrometres per pixel; there is a warning if the model is known not to work at it.
        """
        warn_outside(mpp, self.card)
        shown = image if self.normalizer is None else self.normalizer(image)
        found = models.predict(shown, self.network, mpp, tta=self.tta)
        nuclei = visible(found, least_px=max(self.least_area_um2 / mpp**2, 1.0))
        return nuclei if image.shape[0] * image.shape[1] <= KEPT_PX else nuclei.without_map()


@renamed(turned="tta")
def predict(
    image: Image | str | Path,
    model: Detector | Segmenter | str | Path,
    *,
    mpp: float | None = None,
    tta: bool = False,
) -> Nuclei:
    """Find the nuclei of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8, or the path of an image file
    model : Detector, Segmenter, str or Path
        A model in memory, the name of one that comes with Histoscope, or a model folder. Open a `Detector`
        once to use it for many images.
    mpp : float, optional
        Micrometres per pixel; needed for an array, and for files without it.
    tta : bool
        Test-time augmentation, as for `Detector`; a `Detector` has its own setting.

    Raises
    ------
    ConfigError
        If the resolution is unknown, or not that of a microscope.

    Examples
    --------
    >>> import histoscope as hs
    >>> tissue = hs.synth.generate((64, 64), mpp=0.5)
    >>> model = hs.models.create("unet", width=4, depth=2, mpp=0.5)
    >>> predict(tissue.image, model, mpp=0.5).instances.shape
    (64, 64)
    """
    if isinstance(model, Segmenter):
        model = Detector(model, tta=tta)
    elif not isinstance(model, Detector):
        model = Detector.open(model, tta=tta)
    if isinstance(image, str | Path):
        pixels = read_image(image)
        return model(pixels, known_mpp(image, mpp))
    if mpp is None:
        raise ConfigError("an array has no resolution; give mpp=, its micrometres per pixel")
    return model(image, check_mpp(mpp, "mpp"))


def known_mpp(path: str | Path, mpp: float | None) -> float:
    """`mpp` if given, otherwise that of the file.

    Raises
    ------
    ConfigError
        If neither is known.
    """
    found = mpp_of(path) if mpp is None else check_mpp(mpp, "mpp")
    if found is None:
        raise ConfigError(
            f"{path} {why_unknown(path)}; give its micrometres per pixel with --mpp (from Python, mpp=): "
            "usually 0.25 for a 40x scan, 0.5 for 20x"
        )
    return found


def visible(nuclei: Nuclei, *, least_px: float = 1.0) -> Nuclei:
    """The nuclei with at least so many visible pixels, renumbered without gaps."""
    return nuclei.taken(nuclei.area_px >= least_px)
