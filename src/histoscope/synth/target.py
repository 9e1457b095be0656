"""Fitted settings as a file: one entry per patient, with its measurements and how to draw it."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from histoscope.brief import brief
from histoscope.errors import ConfigError, DatasetNotFoundError, FormatVersionError
from histoscope.files import write_text
from histoscope.synth.spec import CLASSES, OpticsSpec, StainSpec, TissueSpec

FORMAT = 1
KIND = "histoscope synth spec"


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """A class of the data set, and how it is drawn.

    Parameters
    ----------
    style : str
        The drawn kind used for it: epithelial, lymphocyte, spindle or plasma.
    per_mm2 : float
        Mean density.
    log_area, log_area_sd : float
        Mean and spread of the logarithm of the area (um2); they tell classes of one style apart.
    """

    style: str
    per_mm2: float
    log_area: float
    log_area_sd: float

    def __post_init__(self) -> None:
        if self.style not in CLASSES:
            raise ConfigError(f"style is {self.style!r}, expected one of {', '.join(CLASSES)}")


@brief
@dataclass(frozen=True, slots=True)
class PatientSpec:
    """Settings of one patient.

    Parameters
    ----------
    stain, tissue, optics : StainSpec, TissueSpec, OpticsSpec
    measured, drawn : mapping of str to float
        Measured on the real tiles, and on a field drawn with these settings.
    """

    stain: StainSpec
    tissue: TissueSpec
    optics: OpticsSpec
    measured: Mapping[str, float] = field(default_factory=dict)
    drawn: Mapping[str, float] = field(default_factory=dict)


@brief
@dataclass(frozen=True, slots=True)
class Target:
    """Statistics of a reference data set, and the settings that match them.

    Parameters
    ----------
    mpp : float
        Micrometres per pixel to draw at.
    patients : tuple of PatientSpec
        At least one.
    classes : mapping of int to str
        Class ids and names, as in the data set; empty if it has none.
    by_class : mapping of str to ClassSpec
        How each of them is drawn.
    density_spread : float
        Spread of the logarithm of density between tiles of one patient.
    fitted_on : mapping of str to int
        Tiles, patients and nuclei measured.
    name, licence : str
        Of the data set.
    """

    mpp: float
    patients: tuple[PatientSpec, ...]
    classes: Mapping[int, str] = field(default_factory=dict)
    by_class: Mapping[str, ClassSpec] = field(default_factory=dict)
    density_spread: float = 0.2
    fitted_on: Mapping[str, int] = field(default_factory=dict)
    name: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        if not self.patients:
            raise ConfigError("a synth spec needs at least one patient")
        if not 0.05 <= self.mpp <= 4:
            raise ConfigError(f"mpp is {self.mpp!r}, expected micrometres per pixel from 0.05 to 4")
        unknown = sorted(set(self.classes.values()) - set(self.by_class))
        if unknown:
            raise ConfigError(
                f"classes {', '.join(unknown)} have no entry in by_class, which sets their style"
            )

    def density(self) -> tuple[float, float]:
        """Nuclei per mm2 that were measured, and that fit where they were drawn; means over patients."""
        sums = [
            sum(sum(values.get(f"{kind}_per_mm2", 0.0) for kind in CLASSES) for values in each)
            / len(self.patients)
            for each in zip(*((p.measured, p.drawn) for p in self.patients), strict=True)
        ]
        return sums[0], sums[1]

    def save(self, path: str | Path) -> None:
        """Write it as JSON; `read` gives it back."""
        values = {"kind": KIND, "format": FORMAT, **asdict(self)}
        write_text(path, json.dumps(_rounded(values), indent=1) + "\n")

    @classmethod
    def read(cls, path: str | Path) -> "Target":
        """Read what `save` wrote, or a file written by hand.

        Raises
        ------
        DatasetNotFoundError
            If there is no such file.
        FormatVersionError
            If another version wrote it.
        ConfigError
            If it is something else, or a value is wrong.
        """
        path = Path(path)
        if not path.is_file():
            raise DatasetNotFoundError(f"no synth spec at {path}; `histoscope synth --like` writes spec.json")
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ConfigError(f"{path} is not readable JSON: {error}") from error
        if not isinstance(values, dict) or values.get("kind") != KIND:
            raise ConfigError(f"{path} is not a synth spec; `histoscope synth --like` writes one")
        if values.get("format") != FORMAT:
            raise FormatVersionError(
                f"{path} has format {values.get('format')!r}, this version reads {FORMAT}; fit it again"
            )
        try:
            return cls._of(values)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"{path}: {error}") from error

    @classmethod
    def _of(cls, values: dict[str, Any]) -> "Target":
        known = {one.name for one in fields(cls)}
        given = {key: value for key, value in values.items() if key in known}
        patients = tuple(
            PatientSpec(
                StainSpec(**{key: _tupled(value) for key, value in one["stain"].items()}),
                TissueSpec(**one["tissue"]),
                OpticsSpec(**one["optics"]),
                one.get("measured", {}),
                one.get("drawn", {}),
            )
            for one in values["patients"]
        )
        given["classes"] = {int(key): str(name) for key, name in given.get("classes", {}).items()}
        given["by_class"] = {name: ClassSpec(**one) for name, one in given.get("by_class", {}).items()}
        return cls(**{**given, "patients": patients})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _rounded(value: Any) -> Any:
    """Round numbers to five digits, for legibility."""
    if isinstance(value, float):
        return float(f"{value:.5g}")
    if isinstance(value, dict):
        return {str(key): _rounded(inner) for key, inner in value.items()}
    return [_rounded(inner) for inner in value] if isinstance(value, list | tuple) else value
