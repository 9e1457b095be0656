"""Realism of synthetic tissue: distances of features, nuclei and colours, and memorised training tiles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import laplace
from scipy.spatial.distance import cdist
from scipy.stats import ks_2samp

from histoscope.brief import brief
from histoscope.data import Dataset, audit, resample, subset
from histoscope.data.split import part_of
from histoscope.errors import DataError
from histoscope.export.features import measure
from histoscope.metrics import KernelDistance, kernel_distance_with_null
from histoscope.types import Image, Nuclei, Sample

PATCH_UM = 64.0
LEAST_PATIENTS = {"real": 4, "synthetic": 2}
"""Real patients are split in halves, and half of two patients is one patient."""
MOST_TILES, MOST_PATCHES = 60, 16
"""Tiles used of each data set, evenly spaced; patches encoded of each tile."""
COARSEST_MPP = 8.0
"""Nuclei are not visible at larger pixels; such an mpp is likely to be wrong."""
WHITE = 220
NUCLEUS = {
    "area_um2": "area (µm²)",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "haematoxylin_od": "haematoxylin (OD)",
}
TILE = {
    "per_mm2": "nuclei per mm²",
    "covered": "share of area covered by nuclei",
    "white": "share of white",
    "red_in": "red, nuclei",
    "green_in": "green, nuclei",
    "blue_in": "blue, nuclei",
    "red_out": "red, between",
    "green_out": "green, between",
    "blue_out": "blue, between",
    "fine": "fine contrast (grey levels, at {mpp:.3g} µm/px)",
}
Encoder = Callable[[Sequence[Sample]], NDArray[np.floating]]
"""Patches to one row of features each."""
Progress = Callable[[int, int], None]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """Measurements of one data set, at one resolution.

    Parameters
    ----------
    tiles : DataFrame
        A row per tile: name, patient, `mpp` of its file, and the columns of `TILE`.
    nuclei : DataFrame
        A row per nucleus: tile, class, and the columns of `NUCLEUS`.
    patches : list of Sample
        Squares of `PATCH_UM`; `source` is the tile.
    """

    tiles: pd.DataFrame
    nuclei: pd.DataFrame
    patches: list[Sample]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """Nearest neighbours of synthetic patches among the generator's training tiles.

    Parameters
    ----------
    synthetic, reference : (N,) and (M,) float64
        Distance to the nearest training patch, in standardised features: of synthetic patches, and of
        real ones outside the training part (of other patients, where all tiles are training tiles).
    held_out : bool
        Whether the reference is outside the training part; else it is of other patients.
    pairs : list of (Image, Image, float)
        The nearest pairs, synthetic first, with their distance.
    shared : list of str
        Synthetic tiles that show the same place as a real one, rotated or zoomed or not.
    """

    synthetic: NDArray[np.float64]
    reference: NDArray[np.float64]
    held_out: bool
    pairs: list[tuple[Image, Image, float]]
    shared: list[str] = field(default_factory=list)

    @property
    def suspicious(self) -> float:
        """Share of synthetic patches nearer than 99 % of the reference; 0.01 is expected by chance."""
        return float((self.synthetic < np.quantile(self.reference, 0.01)).mean())


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Comparison of real and synthetic tissue.

    Parameters
    ----------
    real, synthetic : Tissue
    distance : KernelDistance
    nearest : Nearest
    encoder : str
        Name of the network whose features were compared.
    mpp : float
        Micrometres per pixel at which both were measured.
    """

    real: Tissue
    synthetic: Tissue
    distance: KernelDistance
    nearest: Nearest
    encoder: str
    mpp: float

    @property
    def labels(self) -> dict[str, dict[str, str]]:
        """Labels of the measures of ``tiles`` and of ``nuclei``."""
        return {
            where: {key: label.format(mpp=self.mpp) for key, label in names.items()}
            for where, names in (("tiles", TILE), ("nuclei", NUCLEUS))
        }

    def table(self) -> pd.DataFrame:
        """Medians and quartiles of every measure, and the Kolmogorov-Smirnov statistic as ``gap``."""
        rows = []
        for where, names in self.labels.items():
            for key, label in names.items():
                x, y = (getattr(part, where)[key].dropna().to_numpy() for part in (self.real, self.synthetic))
                cells = {
                    f"{name}_{share}": float(np.percentile(values, share)) if len(values) else float("nan")
                    for name, values in (("real", x), ("synthetic", y))
                    for share in (25, 50, 75)
                }
                rows.append({"measure": label, "of": where, **cells, "gap": gap(x, y)})
        return pd.DataFrame(rows)

    def summary(self) -> dict[str, Any]:
        """All numbers, for JSON."""
        distance, nearest = self.distance, self.nearest
        both = {"real": self.real, "synthetic": self.synthetic}
        sizes = {name: sorted({float(mpp) for mpp in part.tiles["mpp"]}) for name, part in both.items()}
        return {
            "encoder": self.encoder,
            "mpp": {"measured_at": self.mpp, **sizes},
            "tiles": {name: len(part.tiles) for name, part in both.items()},
            "patches": {name: len(part.patches) for name, part in both.items()},
            "kernel_distance": {
                "value": distance.value,
                "half_against_half": float(np.median(distance.against)),
                "real_against_real": float(np.median(distance.null)),
                "real_against_real_95": np.percentile(distance.null, (2.5, 97.5)).tolist(),
                "share_beyond": distance.share_beyond,
            },
            "nearest": {
                "synthetic_median": float(np.median(nearest.synthetic)),
                "reference_median": float(np.median(nearest.reference)),
                "held_out": nearest.held_out,
                "suspicious": nearest.suspicious,
                "shared_pictures": nearest.shared,
            },
            "measures": self.table().to_dict("records"),
        }


def compare_tissue(
    real: Dataset,
    synthetic: Dataset,
    encode: Encoder,
    *,
    encoder: str = "",
    seed: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare real and synthetic tiles, all resampled to the pixel size of the coarsest of them.

    Measures depend on the pixel size: fine contrast above all, then the outline of nuclei and the share of
    white.

    Parameters
    ----------
    real, synthetic : Dataset
        With label maps. If `real` has a part ``train`` and others, the generator is taken to have been
        trained on that part alone; the others are the reference of the check for memorised tiles.
    encode : callable
        Patches to features, one row each.
    encoder : str
        Its name, for the page.
    seed : int
        Of the halves and of the choice of patches.
    progress : callable, optional
        Called with (tiles done, all tiles); each tile is read twice, and counts twice.

    Raises
    ------
    DataError
        If the coarsest tile is too coarse for nuclei, tiles have no label map or are smaller than a patch,
        or there are too few patients to be split.
    """
    rng = np.random.default_rng(seed)
    chosen = [_chosen(real), _chosen(synthetic)]
    total, done = 2 * sum(map(len, chosen)), count(1)

    def step() -> None:
        if progress is not None:
            progress(next(done), total)

    mpp = max(_coarsest(part, step) for part in chosen)
    seen = [look(part, mpp, rng, step) for part in chosen]
    for part, tissue, (which, least) in zip(chosen, seen, LEAST_PATIENTS.items(), strict=True):
        _enough(part.info.name, tissue, which, least)
    features = [np.asarray(encode(tissue.patches), np.float64) for tissue in seen]
    scale = features[0].std(axis=0)
    kept = scale > 1e-9 * max(1.0, float(scale.max()))
    rows = [(values - features[0].mean(axis=0))[:, kept] / scale[kept] for values in features]
    groups = [[patch.patient for patch in tissue.patches] for tissue in seen]
    distance = kernel_distance_with_null(
        *rows, real_groups=groups[0], synthetic_groups=groups[1], rng=np.random.default_rng(seed)
    )
    nearest = _nearest(real, seen, rows)
    nearest.shared.extend(_shared(chosen))
    return Comparison(seen[0], seen[1], distance, nearest, encoder, mpp)


def _enough(name: str, tissue: Tissue, which: str, least: int) -> None:
    found = {patch.patient for patch in tissue.patches}
    if len(found) < least:
        raise DataError(
            f"the {which} tiles ({name!r}) come from {len(found)} patient(s), expected at least {least}, to "
            "split them in half; add tiles from other patients, or name the patients in index.csv"
        )


def look(
    dataset: Dataset, mpp: float, rng: np.random.Generator, step: Callable[[], None] = lambda: None
) -> Tissue:
    """Measurements and patches of every tile of a data set, resampled to `mpp`."""
    tiles, nuclei, patches = [], [], []
    for index, record in enumerate(dataset.records):
        sample = dataset[index]
        if sample.instances is None:
            raise DataError(
                f"{record.name!r} of {dataset.info.name!r} has no label map, which comparing nuclei needs"
            )
        person = sample.patient or record.patient or sample.source or record.source or record.name
        own, sample = sample.mpp, resample(sample, mpp)
        tiles.append({"name": record.name, "patient": person, "mpp": own, **_tile(sample)})
        nuclei.append(_nuclei(sample, record.name, dataset.info.classes))
        patches += _patches(sample, record.name, person, rng)
        step()
    if not patches:
        raise DataError(
            f"no tile of {dataset.info.name!r} is as large as a patch of {PATCH_UM:g} micrometres"
        )
    return Tissue(pd.DataFrame(tiles), pd.concat(nuclei, ignore_index=True), patches)


def gap(x: NDArray[np.floating], y: NDArray[np.floating]) -> float:
    """Kolmogorov-Smirnov statistic of two samples: 0 alike, 1 apart; NaN if one is empty.

    Examples
    --------
    >>> gap(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])), gap(np.zeros(3), np.ones(2))
    (0.0, 1.0)
    """
    return float(ks_2samp(x, y, method="asymp").statistic) if len(x) and len(y) else float("nan")


def _chosen(dataset: Dataset) -> Dataset:
    if not len(dataset):
        raise DataError(f"data set {dataset.info.name!r} is empty")
    spaced = np.linspace(0, len(dataset) - 1, min(len(dataset), MOST_TILES)).round().astype(int)
    return subset(dataset, spaced)


def _coarsest(dataset: Dataset, step: Callable[[], None]) -> float:
    """Largest pixel size of the tiles of a data set; records do not have it, so each tile is read."""
    most, name = 0.0, ""
    for index, record in enumerate(dataset.records):
        most, name = max((most, name), (dataset[index].mpp, record.name))
        step()
    if most > COARSEST_MPP:
        raise DataError(
            f"{name!r} of {dataset.info.name!r} has {most:g} micrometres per pixel, expected at most "
            f"{COARSEST_MPP:g}; all tiles are compared at the pixel size of the coarsest, so correct its mpp "
            "or leave it out"
        )
    return most


def _tile(sample: Sample) -> dict[str, float]:
    """Density, cover and colours of a tile."""
    instances = np.asarray(sample.instances)
    inside, image = instances > 0, sample.image
    fine = laplace(image.mean(axis=2))[1:-1, 1:-1] / 4
    n = np.count_nonzero(np.bincount(instances.ravel())[1:])
    values = {
        "per_mm2": n / (instances.size * sample.mpp**2 * 1e-6),
        "covered": float(inside.mean()),
        "white": float((image.min(axis=2) > WHITE).mean()),
        "fine": float(fine.std()) if fine.size else float("nan"),
    }
    for where, mask in (("in", inside), ("out", ~inside)):
        mean = image[mask].mean(axis=0) if mask.any() else np.full(3, np.nan)
        values |= {f"{name}_{where}": float(mean[k]) for k, name in enumerate(("red", "green", "blue"))}
    return values


def _nuclei(sample: Sample, name: str, classes: Any) -> pd.DataFrame:
    """Shape and stain of the nuclei of a tile."""
    instances = np.asarray(sample.instances)
    nuclei = Nuclei.from_labels(instances, mpp=sample.mpp, classes=sample.classes)
    kinds = nuclei.class_id.tolist()
    names = [classes.get(k, f"class {k}") for k in range(1, max([0, *classes, *kinds]) + 1)]
    table = measure(nuclei, sample.image, names)[["class", *NUCLEUS]]
    return table[table["area_um2"] > 0].assign(tile=name)  # ids may have gaps


def _patches(sample: Sample, name: str, person: str, rng: np.random.Generator) -> list[Sample]:
    """Squares of a tile, without overlap; a random choice if there are many."""
    side = round(PATCH_UM / sample.mpp)
    rows, columns = (size // side for size in sample.image.shape[:2])
    places = [(i * side, j * side) for i in range(rows) for j in range(columns)]
    if len(places) > MOST_PATCHES:
        places = [places[k] for k in sorted(rng.choice(len(places), MOST_PATCHES, replace=False))]
    return [
        Sample(
            np.ascontiguousarray(sample.image[i : i + side, j : j + side]),
            sample.mpp,
            name=f"{name}_{i}_{j}",
            source=name,
            patient=person,
        )
        for i, j in places
    ]


def _nearest(real: Dataset, seen: Sequence[Tissue], rows: Sequence[NDArray[np.float64]]) -> Nearest:
    """Distances to the generator's training tiles, in standardised features."""
    part = {record.name: part_of(record) for record in real.records}
    patches, made = seen[0].patches, seen[1].patches
    trained = np.array([part[patch.source] == "train" for patch in patches])
    held_out = bool(trained.any() and not trained.all())
    known = np.flatnonzero(trained) if held_out else np.arange(len(patches))
    reference = _distances(rows[0][~trained] if held_out else rows[0], rows[0][known])
    if not held_out:
        people = np.array([patch.patient for patch in patches])
        reference[people[:, None] == people[None]] = np.inf
    reference = reference.min(axis=1)
    reference = reference[np.isfinite(reference)]
    apart = _distances(rows[1], rows[0][known])
    distances = apart.min(axis=1)
    first = np.argsort(distances)[:6]
    pairs = [
        (made[k].image, patches[known[int(apart[k].argmin())]].image, float(distances[k])) for k in first
    ]
    return Nearest(distances, reference, held_out, pairs)


def _distances(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Root mean squared difference of each row of x to each of y."""
    return np.asarray(cdist(x, y) / np.sqrt(x.shape[1]))


def _shared(chosen: Sequence[Dataset]) -> list[str]:
    """Synthetic tiles that show a place of a real one."""
    report = audit({"real": chosen[0], "synthetic": chosen[1]}, labels=False)
    return [f"{leak.right_name} = {leak.left_name}" for leak in report.leaks if leak.kind == "image"]
