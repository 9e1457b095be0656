"""Bank of nuclei cut from labelled tiles: shapes, positions, classes, mean dyes; and the tissue around."""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError, FormatVersionError
from histoscope.files import whole
from histoscope.generate.bank_dyes import dyes_of, stain_of
from histoscope.generate.bank_maps import CELL_UM, chromatin_of, ground_of, resized, tones_of
from histoscope.synth.spec import StainSpec
from histoscope.types import Sample

FORMAT = 1
SIDE = 32
"""Pixels along a side of a stored shape."""
LEAST_UM2 = 3.0
"""Smaller pieces of nuclei are left out."""
STEPS = 64.0
"""Steps of stored chromatin in one unit of haematoxylin."""
BORDER, LEVEL = 128, 16.0
"""Grey level of a stored shape on its border, and levels from one pixel to the next."""


@brief
@dataclass(frozen=True, slots=True, eq=False)
class BankTile:
    """A real tile without its nuclei.

    Parameters
    ----------
    name, patient : str
    height_um, width_um : float
    stain : StainSpec
    ground : (h, w, 6) float32
        As `histoscope.generate.bank_maps.ground_of`, in cells of 1 um.
    """

    name: str
    patient: str
    height_um: float
    width_um: float
    stain: StainSpec
    ground: NDArray[np.float32]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Nucleus:
    """Nuclei as arrays, one row each.

    Parameters
    ----------
    tile : (N,) int32
        Number of the tile.
    kind : (N,) uint8
        Class, from 1.
    whole : (N,) bool
        Whether no border of the tile cuts it.
    x_um, y_um, area_um2, angle, stretch : (N,) float32
        Centre, area, direction of the long axis, ratio of the axes.
    tone : (N, 3) float32
        Mean dyes.
    spread : (N,) float32
        Of haematoxylin within.
    shape : (N, 32, 32) uint8
        Distance to the border, 128 on it and more inside.
    chromatin : (N, 32, 32) int8
        Soft haematoxylin less its mean, in steps of 1/64.
    side_um : (N,) float32
        Side of the square that shape and chromatin are stored in.
    """

    tile: NDArray[np.int32]
    kind: NDArray[np.uint8]
    whole: NDArray[np.bool_]
    x_um: NDArray[np.float32]
    y_um: NDArray[np.float32]
    area_um2: NDArray[np.float32]
    angle: NDArray[np.float32]
    stretch: NDArray[np.float32]
    tone: NDArray[np.float32]
    spread: NDArray[np.float32]
    shape: NDArray[np.uint8]
    chromatin: NDArray[np.int8]
    side_um: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.tile)


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Bank:
    """What layouts are drawn from; made by `cut_bank`.

    Parameters
    ----------
    tiles : tuple of BankTile
    classes : tuple of str
        Names of classes 1, 2, ...
    nuclei : Nucleus
    """

    tiles: tuple[BankTile, ...]
    classes: tuple[str, ...]
    nuclei: Nucleus

    def save(self, path: str | Path) -> None:
        """Write the bank to one ``.npz``, without pickle."""
        arrays = {field.name: getattr(self.nuclei, field.name) for field in fields(Nucleus)}
        about: dict[str, Any] = {"format": FORMAT, "classes": self.classes, "tiles": []}
        for k, tile in enumerate(self.tiles):
            arrays[f"ground/{k}"] = tile.ground.astype(np.float16)
            keys = ("name", "patient", "height_um", "width_um")
            about["tiles"].append({**{key: getattr(tile, key) for key in keys}, "stain": asdict(tile.stain)})
        arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
        with whole(path) as temporary:
            np.savez_compressed(temporary, **arrays)


def load_bank(path: str | Path) -> Bank:
    """Read a bank that `Bank.save` wrote.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError, FormatVersionError
        If it is not there, cannot be read, or another version wrote it.
    """
    with stored_arrays(path) as arrays:
        about = json.loads(arrays["about"].tobytes())
        if about["format"] != FORMAT:
            raise FormatVersionError(f"{path} has format {about['format']!r}, expected {FORMAT}; fit again")
        tiles = tuple(_tile(values, arrays[f"ground/{k}"]) for k, values in enumerate(about["tiles"]))
        nuclei = Nucleus(**{field.name: arrays[field.name] for field in fields(Nucleus)})
    return Bank(tiles, tuple(about["classes"]), nuclei)


@contextmanager
def stored_arrays(path: str | Path) -> Iterator[dict[str, NDArray[Any]]]:
    """Arrays of an ``.npz`` of a generator's folder; an error while they are used says that it is corrupt."""
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no {path.name} in {path.parent}; fit the generator again")
    try:
        with np.load(path, allow_pickle=False) as file:
            yield dict(file)
    except FormatVersionError:
        raise
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise CorruptDataError(f"{path} cannot be read ({error}); fit the generator again") from error


def cut_bank(samples: Iterable[Sample], classes: Iterable[str] = ()) -> Bank:
    """Cut the nuclei and the ground out of labelled tiles.

    Parameters
    ----------
    samples : iterable of Sample
        With instance maps; each at its own resolution. They are read one by one.
    classes : iterable of str
        Names of classes 1, 2, ...; without, all nuclei are of one class, ``nucleus``.

    Raises
    ------
    DataError
        If there are no samples, one has no instance map, or there is no whole nucleus in any.

    Examples
    --------
    >>> from histoscope import synth
    >>> bank = cut_bank([synth.generate((128, 128), mpp=0.5)], synth.CLASSES)
    >>> len(bank.tiles), bank.classes[1], len(bank.nuclei) > 10
    (1, 'lymphocyte', True)
    """
    names = tuple(classes)
    tiles: list[BankTile] = []
    rows: list[dict[str, Any]] = []
    for sample in samples:
        if sample.instances is None:
            raise DataError(
                f"sample {sample.name!r} has no instance map; a generator learns from labelled nuclei"
            )
        stain = stain_of(sample.image)
        dyes = dyes_of(sample.image, stain)
        rows += _nuclei(sample, dyes, len(tiles), len(names))
        tiles.append(_ground(sample, dyes, stain))
    if not any(row["whole"] for row in rows):
        raise DataError(
            f"{len(tiles)} tile(s) contain no whole nucleus; give labelled tiles to draw layouts from"
        )
    columns = {field.name: np.array([row[field.name] for row in rows]) for field in fields(Nucleus)}
    nuclei = Nucleus(
        **{name: column.astype(_TYPES.get(name, np.float32)) for name, column in columns.items()}
    )
    return Bank(tuple(tiles), names or ("nucleus",), nuclei)


_TYPES: dict[str, Any] = {
    "tile": np.int32,
    "kind": np.uint8,
    "whole": np.bool_,
    "shape": np.uint8,
    "chromatin": np.int8,
}


def _tile(values: dict[str, Any], ground: NDArray[np.float16]) -> BankTile:
    numbers: dict[str, Any] = values.pop("stain")
    numbers = {key: tuple(v) if isinstance(v, list) else v for key, v in numbers.items()}
    stain = StainSpec(**numbers)
    return BankTile(**values, stain=stain, ground=ground.astype(np.float32))


def _ground(sample: Sample, dyes: NDArray[np.float32], stain: StainSpec) -> BankTile:
    inside = np.zeros(sample.image.shape[:2], bool) if sample.instances is None else sample.instances > 0
    ground = ground_of(dyes, inside, sample.mpp)
    height_um, width_um = (side * sample.mpp for side in inside.shape)
    cells = (max(1, round(width_um / CELL_UM)), max(1, round(height_um / CELL_UM)))
    # In the precision that it is stored in, so that a bank draws the same before and after.
    small = resized(ground, cells, cv2.INTER_AREA).astype(np.float16).astype(np.float32)
    patient = sample.patient or sample.source or sample.name
    return BankTile(sample.name, patient, height_um, width_um, stain, small)


def _nuclei(sample: Sample, dyes: NDArray[np.float32], tile: int, n_classes: int) -> list[dict[str, Any]]:
    from scipy.ndimage import find_objects

    instances, mpp = sample.instances, sample.mpp
    if instances is None:
        return []
    tone, spread = tones_of(dyes, instances)
    soft = chromatin_of(dyes, instances > 0, mpp)
    rows = []
    for k, box in enumerate(find_objects(instances), start=1):
        if box is None:
            continue
        kind = 1 if sample.classes is None or not n_classes else int(sample.classes[k])
        measured = _shape(instances[box] == k, soft[box] - tone[k, 0], mpp)
        if measured is None or not 1 <= kind <= max(n_classes, 1):
            continue
        ends = [(part.start, part.stop, side) for part, side in zip(box, instances.shape, strict=True)]
        measured["x_um"] += box[1].start * mpp
        measured["y_um"] += box[0].start * mpp
        uncut = all(start > 0 and stop < side for start, stop, side in ends)
        rows.append(
            {**measured, "tile": tile, "kind": kind, "whole": uncut, "tone": tone[k], "spread": spread[k]}
        )
    return rows


def _shape(mask: NDArray[np.bool_], soft: NDArray[np.float32], mpp: float) -> dict[str, Any] | None:
    """Measures of one nucleus, and its shape on a grid of its own."""
    found = cv2.moments(mask.astype(np.uint8), binaryImage=True)
    area = found["m00"]
    if area * mpp**2 < LEAST_UM2:
        return None
    x, y = found["m10"] / area, found["m01"] / area
    xx, yy, xy = (found[key] / area + add for key, add in (("mu20", 1 / 12), ("mu02", 1 / 12), ("mu11", 0.0)))
    apart = np.hypot(xx - yy, 2 * xy)
    stretch = np.sqrt((xx + yy + apart) / max(xx + yy - apart, 1e-6))
    rows, columns = np.nonzero(mask)
    reach = float(np.hypot(rows - y, columns - x).max()) + 1.5
    scale = SIDE / (2 * reach)
    # Pixel centres: stored pixel u shows the mask at (u - (SIDE - 1) / 2) / scale + centre.
    turn = np.array([[scale, 0, (SIDE - 1) / 2 - scale * x], [0, scale, (SIDE - 1) / 2 - scale * y]])
    inside = cv2.warpAffine(mask.astype(np.uint8) * 255, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR) > 127
    chromatin = cv2.warpAffine(
        soft, turn, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    within, without = (
        cv2.distanceTransform(side.astype(np.uint8), cv2.DIST_L2, 5) for side in (inside, ~inside)
    )
    level = np.where(inside, within - 0.5, 0.5 - without)
    return {
        "x_um": (x + 0.5) * mpp,
        "y_um": (y + 0.5) * mpp,
        "area_um2": area * mpp**2,
        "angle": 0.5 * np.arctan2(2 * xy, xx - yy),
        "stretch": min(float(stretch), 8.0),
        "shape": np.clip(np.rint(BORDER + LEVEL * level), 0, 255).astype(np.uint8),
        "chromatin": np.clip(np.rint(STEPS * chromatin), -127, 127).astype(np.int8),
        "side_um": 2 * reach * mpp,
    }
