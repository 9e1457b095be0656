"""Fit the settings of synthetic tissue to a labelled data set.

Every round draws a field with the current settings and measures it as the real tiles were measured; each
setting is then corrected by the error of its measure. The number of rounds is fixed.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from statistics import fmean
from typing import Any, TypeVar

import numpy as np

from histoscope.errors import DataError, StainError
from histoscope.stain import Macenko
from histoscope.synth.calibrate import calibrated
from histoscope.synth.measure import Shapes, Values, amounts, glass_colour, look, of_kind, shapes
from histoscope.synth.spec import CLASSES, StainSpec
from histoscope.synth.styles import Look, assign, guess
from histoscope.synth.target import ClassSpec, PatientSpec, Target
from histoscope.types import Image, Sample

_Item = TypeVar("_Item")

MOST_PATIENTS, MOST_PX = 64, 2048
"""Most patients that are fitted, and largest side of a tile that is measured."""
FEW_TILES, MANY_TILES = 4, 16
"""Tiles of each patient that are measured: few where there are many patients, more where there is one."""


@dataclass(frozen=True, slots=True, eq=False)
class _Tile:
    sample: Sample
    shapes: Shapes
    stain: StainSpec
    darkness: "np.ndarray[Any, np.dtype[np.float64]]"

    @property
    def area_mm2(self) -> float:
        rows, columns = self.sample.image.shape[:2]
        return float(rows * columns * self.sample.mpp**2 * 1e-6)

    @property
    def classes(self) -> "np.ndarray[Any, np.dtype[np.uint8]]":
        n = len(self.shapes.area_um2)
        return np.zeros(n, np.uint8) if self.sample.classes is None else self.sample.classes[1 : n + 1]


def fit(dataset: Any, *, seed: int = 0, progress: Callable[[int, int], None] | None = None) -> Target:
    """Fit the settings of synthetic tissue to a labelled data set.

    Stain vectors and amounts, the kinds of nuclei with density, size and shape, chromatin, sharpness, noise
    and the share of glass are measured for each patient, and settings found that draw them. A tile without a
    patient counts as its own patient.

    Parameters
    ----------
    dataset : Dataset
        Anything with `records` and ``[i] -> Sample``; names of its classes come from ``info.classes``. Tiles
        without label map are skipped; pixel sizes may differ.
    seed : int
        Of the fields that are drawn while fitting.
    progress : callable, optional
        Called with (patients done, all patients).

    Returns
    -------
    Target

    Raises
    ------
    DataError
        If there are no tiles, or none with a label map and a nucleus in it.
    """
    chosen = list(islice(_spread(_patients(dataset), MOST_PATIENTS), MOST_PATIENTS))
    most = min(max(FEW_TILES, MOST_PATIENTS // len(chosen)), MANY_TILES)
    read = []
    for number, indices in enumerate(chosen):
        if tiles := _measured(dataset, indices, most):
            read.append(tiles)
        if progress is not None:
            progress(number + 1, 2 * len(chosen))
    if not read:
        raise DataError(
            f"none of the {len(dataset.records)} tiles has a label map with nuclei; the drawing is fitted to "
            "labelled tiles: give a data set with labels/, or draw without --like"
        )
    names = dict(getattr(getattr(dataset, "info", None), "classes", None) or {})
    names = {number: name for number, name in names.items() if number > 0} if _has_classes(read) else {}
    styles = assign(_looks(read, names)) if names else {}
    patients = []
    for number, tiles in enumerate(read):
        patients.append(_patient(tiles, names, styles, [seed, number]))
        if progress is not None:
            progress(len(chosen) + number + 1, len(chosen) + len(read))
    return Target(
        mpp=float(np.median([tile.sample.mpp for tiles in read for tile in tiles])),
        patients=tuple(patients),
        classes=names,
        by_class=_by_class(read, names, styles),
        density_spread=_density_spread(read),
        fitted_on={
            "tiles": sum(map(len, read)),
            "patients": len(read),
            "nuclei": sum(int((tile.shapes.area_um2 > 0).sum()) for tiles in read for tile in tiles),
        },
        name=str(getattr(getattr(dataset, "info", None), "name", "")),
        licence=str(getattr(getattr(dataset, "info", None), "licence", "")),
    )


def _patients(dataset: Any) -> list[list[int]]:
    """Indices of the tiles of each patient."""
    groups: dict[str, list[int]] = defaultdict(list)
    for index, record in enumerate(dataset.records):
        groups[record.patient or record.source or record.name].append(index)
    if not groups:
        raise DataError("the reference data set has no tiles")
    return list(groups.values())


def _measured(dataset: Any, indices: list[int], most: int) -> list[_Tile]:
    """At most `most` tiles with nuclei, spread evenly; blank tiles give way to others."""
    found = (_tile(dataset[index]) for index in _spread(indices, most))
    return list(islice((tile for tile in found if tile is not None), most))


def _spread(items: list[_Item], most: int) -> Iterator[_Item]:
    """`most` of the items, evenly spread, and after them the others."""
    first = dict.fromkeys(round(k) for k in np.linspace(0, len(items) - 1, min(most, len(items))))
    yield from (items[k] for k in first)
    yield from (item for k, item in enumerate(items) if k not in first)


def _tile(sample: Sample) -> _Tile | None:
    """Measure the nuclei and the stain of a tile; None if it has no nuclei."""
    sample = _middle(sample)
    if sample.instances is None or not sample.instances.any():
        return None
    found, stain = shapes(sample.instances, sample.mpp), stain_of([sample.image])
    ids = sample.instances.ravel()
    n = len(found.area_um2) + 1
    h = np.bincount(ids, amounts(sample.image, stain)[..., 0].ravel(), minlength=n)[1:]
    h = np.maximum(h / np.maximum(np.bincount(ids, minlength=n)[1:], 1), 0.05)
    return _Tile(sample, found, stain, h / np.median(h[found.area_um2 > 0]))


def _middle(sample: Sample) -> Sample:
    """The middle of a tile that is too large to measure whole."""
    rows, columns = (slice(max(0, (side - MOST_PX) // 2), None) for side in sample.image.shape[:2])
    cut = (slice(rows.start, rows.start + MOST_PX), slice(columns.start, columns.start + MOST_PX))
    if max(sample.image.shape[:2]) <= MOST_PX or sample.instances is None:
        return sample
    return replace(sample, image=sample.image[cut], instances=sample.instances[cut])


def stain_of(images: Sequence[Image]) -> StainSpec:
    """Stain vectors of a patient's tiles by Macenko's method, with amounts of 1, and the colour of glass.

    Where tiles show one colour only, the default vectors are taken.
    """
    glass = tuple(fmean(values) for values in zip(*map(glass_colour, images), strict=True))
    usual = StainSpec()
    try:
        rows = Macenko.estimate(images).stains
    except StainError:
        rows = np.array([usual.hematoxylin, usual.eosin])
    h, e = (tuple(float(value) for value in row) for row in rows)
    return StainSpec(h, e, 1.0, 1.0, glass)  # type: ignore[arg-type]  # rows of three


def _has_classes(read: Sequence[Sequence[_Tile]]) -> bool:
    return any(tile.classes.any() for tiles in read for tile in tiles)


def _looks(read: Sequence[Sequence[_Tile]], names: Mapping[int, str]) -> dict[str, Look]:
    """Mean shape and darkness of each class, over all tiles."""
    looks = {}
    tiles = [tile for tiles in read for tile in tiles]
    for number, name in names.items():
        parts = [(tile, (tile.classes == number) & (tile.shapes.area_um2 > 0)) for tile in tiles]
        area = np.concatenate([tile.shapes.area_um2[mine] for tile, mine in parts])
        if len(area):
            axes = np.concatenate([tile.shapes.log_axes[mine] for tile, mine in parts])
            dark = np.concatenate([tile.darkness[mine] for tile, mine in parts])
            log_area = np.log(area)
            looks[name] = Look(
                len(area),
                float(log_area.mean()),
                float(log_area.std()),
                float(axes.mean()),
                float(dark.mean()),
            )
        else:
            looks[name] = Look(0, float(np.log(20.0)), 0.3, 0.2, 1.0)
    return looks


def _by_class(
    read: Sequence[Sequence[_Tile]], names: Mapping[int, str], styles: Mapping[str, str]
) -> dict[str, ClassSpec]:
    looks, area = _looks(read, names), sum(tile.area_mm2 for tiles in read for tile in tiles)
    return {
        name: ClassSpec(styles[name], one.n / area, one.log_area, max(one.log_area_sd, 0.05))
        for name, one in looks.items()
    }


def _kinds(tile: _Tile, names: Mapping[int, str], styles: Mapping[str, str]) -> Any:
    """Drawn kind of each nucleus: that of its class, or the most similar one."""
    log_area = np.log(np.maximum(tile.shapes.area_um2, 0.1))
    allowed = tuple(dict.fromkeys(styles.values())) or ("epithelial", "lymphocyte", "spindle")
    kinds = guess(log_area, tile.shapes.log_axes, tile.darkness, allowed)
    for number, name in names.items():
        kinds[tile.classes == number] = CLASSES[styles[name]]
    return kinds


def _patient(
    tiles: Sequence[_Tile], names: Mapping[int, str], styles: Mapping[str, str], seed: list[int]
) -> PatientSpec:
    stain = stain_of([tile.sample.image for tile in tiles])
    rows: list[Values] = []
    for tile in tiles:
        kinds = _kinds(tile, names, styles)
        rows.append(look(tile.sample, stain) | of_kind(tile.shapes, kinds, tile.area_mm2, CLASSES))
        rows[-1]["gland_share"] = _territory(tile, kinds == CLASSES["epithelial"], 12.0)
        rows[-1]["cluster_share"] = _territory(tile, kinds == CLASSES["lymphocyte"], 9.0)
    keys = dict.fromkeys(key for row in rows for key in row)
    measured = {key: fmean([row[key] for row in rows if key in row]) for key in keys}
    mpp = float(np.median([tile.sample.mpp for tile in tiles]))
    return calibrated(measured, stain, mpp, seed)


def _territory(tile: _Tile, mine: Any, cell_um: float) -> float:
    """Share of the area that a kind of nucleus holds: cells of a coarse grid with three of them around."""
    from scipy.ndimage import convolve

    mine = mine & (tile.shapes.area_um2 > 0)
    sides_um = [side * tile.sample.mpp for side in tile.sample.image.shape[:2]]
    cells = [max(1, int(np.ceil(side / cell_um))) for side in sides_um]
    ends = [(0, n * cell_um) for n in cells]
    grid = np.histogram2d(tile.shapes.y_um[mine], tile.shapes.x_um[mine], cells, ends)[0]
    return float((convolve(grid, np.ones((3, 3)), mode="constant") >= 3).mean())


def _density_spread(read: Sequence[Sequence[_Tile]]) -> float:
    """Spread of the logarithm of density between tiles of one patient; 0.2 where each has a single tile."""
    logs = [
        np.log([max((tile.shapes.area_um2 > 0).sum(), 1) / tile.area_mm2 for tile in tiles])
        for tiles in read
        if len(tiles) > 1
    ]
    if not logs:
        return 0.2
    return float(min(1.0, np.sqrt(fmean([float(one.var(ddof=1)) for one in logs]))))
