"""Settings of synthetic tissue: stain, tissue, optics and distractors, as plain numbers with units."""

from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import ConfigError

CLASSES = MappingProxyType({"epithelial": 1, "lymphocyte": 2, "spindle": 3, "plasma": 4})
"""Class name to class id; 0 is background."""


def _check(where: str, name: str, value: float, low: float, high: float) -> None:
    if not (isinstance(value, int | float | np.number) and low <= value <= high):
        raise ConfigError(f"{where}: {name} is {value!r}, expected a number from {low:g} to {high:g}")


@dataclass(frozen=True, slots=True)
class StainSpec:
    """Colours and amounts of the two dyes, and the light that passes clear glass.

    Parameters
    ----------
    hematoxylin, eosin : (r, g, b)
        Optical density of the dye in red, green and blue; only the direction counts.
    h_amount, e_amount : float
        Multiply the dye that the tissue holds; 1 is a usual section, 0.5 a faint one.
    glass_rgb : (r, g, b)
        Colour of clear glass, 0 to 255.

    Raises
    ------
    ConfigError
        If a vector is not three numbers at or above 0, or an amount is below 0.

    Examples
    --------
    >>> StainSpec(h_amount=0.5).h_amount
    0.5
    """

    hematoxylin: tuple[float, float, float] = (0.61, 0.72, 0.33)
    eosin: tuple[float, float, float] = (0.13, 0.86, 0.49)
    h_amount: float = 1.0
    e_amount: float = 1.0
    glass_rgb: tuple[float, float, float] = (244.0, 242.0, 244.0)

    def __post_init__(self) -> None:
        for name in ("hematoxylin", "eosin"):
            vector = np.asarray(getattr(self, name), dtype=float)
            if vector.shape != (3,) or not np.isfinite(vector).all() or vector.min() < 0 or vector.max() <= 0:
                raise ConfigError(
                    f"stain: {name} is {getattr(self, name)}, expected three numbers at or above 0, not all 0"
                )
        for name in ("h_amount", "e_amount"):
            _check("stain", name, getattr(self, name), 0.0, 10.0)
        if len(self.glass_rgb) != 3 or not all(0 < value <= 255 for value in self.glass_rgb):
            raise ConfigError(
                f"stain: glass_rgb is {self.glass_rgb}, expected three numbers above 0 and up to 255"
            )

    def vectors(self) -> NDArray[np.float32]:
        """Optical density of the dyes, (2, 3) float32: rows haematoxylin, eosin, of length 1 times amount."""
        rows = np.array([self.hematoxylin, self.eosin], dtype=np.float64)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows *= np.array([[self.h_amount], [self.e_amount]])
        return rows.astype(np.float32)


STAINS = MappingProxyType(
    {
        "default": StainSpec(),
        "purple": StainSpec((0.53, 0.79, 0.30), (0.22, 0.93, 0.28), 1.05, 0.95),
        "pink": StainSpec((0.58, 0.73, 0.37), (0.05, 0.86, 0.52), 0.8, 1.4),
        "faint": StainSpec((0.62, 0.71, 0.34), (0.16, 0.86, 0.48), 0.5, 0.45),
        "blue": StainSpec((0.76, 0.60, 0.24), (0.28, 0.86, 0.42), 1.15, 0.55),
        "dark": StainSpec((0.60, 0.72, 0.36), (0.20, 0.85, 0.49), 1.6, 1.5),
    }
)
"""Stains of imaginary laboratories, clearly different from each other."""


@dataclass(frozen=True, slots=True)
class TissueSpec:
    """Composition of the tissue.

    Parameters
    ----------
    density : float
        Multiplies all nuclear densities below; what does not fit is left out.
    gland_fraction, lumen_fraction, cluster_fraction : float in [0, 1]
        Share of the area that glands and tumour nests take (0.73 is the most that fits); share of glands
        with an open lumen; share of the stroma under lymphocyte clusters.
    gland_radius_um, epithelium_um : float
        Mean radius of a gland; height of its epithelium.
    epithelial_per_mm2, spindle_per_mm2, lymphocyte_per_mm2, plasma_per_mm2 : float
        Nuclei per mm² of their own compartment (epithelium, stroma, cluster, stroma).
    nucleus_scale, pleomorphism : float
        Multiplies every nuclear diameter; spread of nuclear size (sigma of its logarithm).
    red_heaps_per_mm2 : float
        Small heaps of red blood cells.
    cleft_fraction : float in [0, 0.5]
        Share of the stroma torn open to white.
    vesicular : float in [0, 1]
        How open the chromatin of epithelial nuclei is: pale with a sharp rim (1) or dense (0).
    unevenness : float in [0, 0.5]
        Depth of slow changes of stain over the field.
    epithelial_size, lymphocyte_size, spindle_size, plasma_size : float
        Multiply the diameters of one class.
    epithelial_stretch, lymphocyte_stretch, spindle_stretch, plasma_stretch : float
        Multiply how much longer than wide nuclei of one class are; 0 makes discs.
    crowding : float in [0, 0.5]
        How far neighbours may overlap, as a share of the space that both would need.
    basophilia : float in [-1, 2]
        Haematoxylin in cytoplasm and stroma besides the usual, as a share of a dense nucleus; below 0, the
        share of the usual that they lack.
    chromatin : float
        Multiplies the contrast of clumps in nuclei.
    nuclear_eosin : float
        Multiplies the eosin in nuclei.
    darkness_spread : float in [0, 1]
        Spread of the darkness of nuclei (sigma of the logarithm).
    pale_fraction, smudged_fraction, soft_fraction : float in [0, 1]
        Share of epithelial nuclei that are all but empty, with a thin membrane and nucleoli; share of all
        nuclei that are evenly dark; share of all that lie out of focus.

    Raises
    ------
    ConfigError
        If a value is out of range; the message names it.
    """

    density: float = 1.0
    gland_fraction: float = 0.5
    lumen_fraction: float = 0.6
    cluster_fraction: float = 0.18
    gland_radius_um: float = 34.0
    epithelium_um: float = 17.0
    epithelial_per_mm2: float = 11500.0
    spindle_per_mm2: float = 2600.0
    lymphocyte_per_mm2: float = 17000.0
    plasma_per_mm2: float = 600.0
    red_heaps_per_mm2: float = 60.0
    nucleus_scale: float = 1.0
    pleomorphism: float = 0.14
    cleft_fraction: float = 0.08
    vesicular: float = 0.5
    unevenness: float = 0.1
    epithelial_size: float = 1.0
    lymphocyte_size: float = 1.0
    spindle_size: float = 1.0
    plasma_size: float = 1.0
    epithelial_stretch: float = 1.0
    lymphocyte_stretch: float = 1.0
    spindle_stretch: float = 1.0
    plasma_stretch: float = 1.0
    crowding: float = 0.0
    basophilia: float = 0.0
    chromatin: float = 1.0
    nuclear_eosin: float = 1.0
    darkness_spread: float = 0.2
    pale_fraction: float = 0.0
    smudged_fraction: float = 0.0
    soft_fraction: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = _TISSUE_RANGE.get(field.name, (0.0, 1e6))
            _check("tissue", field.name, getattr(self, field.name), low, high)


_TISSUE_RANGE = {
    "density": (0.0, 20.0),
    "gland_fraction": (0.0, 1.0),
    "lumen_fraction": (0.0, 1.0),
    "cluster_fraction": (0.0, 1.0),
    "gland_radius_um": (8.0, 500.0),
    "epithelium_um": (6.0, 200.0),
    "nucleus_scale": (0.3, 3.0),
    "pleomorphism": (0.0, 0.6),
    "cleft_fraction": (0.0, 0.5),
    "unevenness": (0.0, 0.5),
    "vesicular": (0.0, 1.0),
    **{f"{kind}_size": (0.3, 3.0) for kind in CLASSES},
    **{f"{kind}_stretch": (0.0, 5.0) for kind in CLASSES},
    "crowding": (0.0, 0.5),
    "basophilia": (-1.0, 2.0),
    "chromatin": (0.0, 3.0),
    "nuclear_eosin": (0.0, 20.0),
    "darkness_spread": (0.0, 1.0),
    "pale_fraction": (0.0, 1.0),
    "smudged_fraction": (0.0, 1.0),
    "soft_fraction": (0.0, 1.0),
}


@dataclass(frozen=True, slots=True)
class OpticsSpec:
    """Microscope, camera and file.

    Parameters
    ----------
    blur_um : float
        Sigma of the optical blur.
    noise : float
        Standard deviation of the sensor noise in clear glass, as a share of full scale.
    jpeg_quality : int
        1 to 100; 0 leaves the pixels uncompressed.

    Raises
    ------
    ConfigError
        If a value is out of range.
    """

    blur_um: float = 0.2
    noise: float = 0.014
    jpeg_quality: int = 90

    def __post_init__(self) -> None:
        _check("optics", "blur_um", self.blur_um, 0.0, 20.0)
        _check("optics", "noise", self.noise, 0.0, 0.5)
        _check("optics", "jpeg_quality", self.jpeg_quality, 0, 100)


@dataclass(frozen=True, slots=True)
class DistractorSpec:
    """Distractors: artefacts, and structures that resemble nuclei; none has a label.

    Parameters
    ----------
    debris_per_mm2 : float
        Heaps of dark crumbs: dust, fragments of dead cells, precipitated stain.
    ghosts_per_mm2 : float
        Faint purple blurs, as of nuclei that the cut just grazed.
    pigment_per_mm2, ink_per_mm2 : float
        Heaps of brown or black grains; specks and strokes of blue, green or black ink.
    folds_per_mm2 : float
        Folds, where the section is doubled.
    mucin_fraction, out_of_focus_fraction : float in [0, 1]
        Share of the area under threads of purple mucin, and out of focus.

    Raises
    ------
    ConfigError
        If a value is out of range.

    Examples
    --------
    >>> DistractorSpec(debris_per_mm2=200).folds_per_mm2
    0.0
    """

    debris_per_mm2: float = 0.0
    ghosts_per_mm2: float = 0.0
    pigment_per_mm2: float = 0.0
    ink_per_mm2: float = 0.0
    folds_per_mm2: float = 0.0
    mucin_fraction: float = 0.0
    out_of_focus_fraction: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            high = 1.0 if field.name.endswith("_fraction") else 1e5
            _check("distractors", field.name, getattr(self, field.name), 0.0, high)
