"""How near synthetic tissue is to real: features, nuclei and colours, and whether tiles were memorised."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscope.brief import brief
from histoscope.data import Dataset, audit, resample, subset
from histoscope.errors import DataError
from histoscope.export.features import measure
from histoscope.metrics import KernelDistance, kernel_distance_with_null
from histoscope.types import Image, Nuclei, Sample

PATCH_UM = 64.0
LEAST_PATIENTS = {"real": 4, "synthetic": 2}
"""Real ones are split in halves, and a half of one patient would tell of that patient alone."""
MOST_TILES, MOST_PATCHES = 60, 16
"""Tiles of each data set that are looked at, spread evenly; patches that are encoded of each."""
COARSEST_MPP = 8.0
"""Beyond it there is no nucleus to be seen, and a pixel size is likelier to be wrong."""
WHITE = 220
NUCLEUS = {
    "area_um2": "area (µm²)",
    "eccentricity": "eccentricity",
    "solidity": "solidity",
    "haematoxylin_od": "haematoxylin (OD)",
}
TILE = {
    "per_mm2": "nuclei per mm²",
    "covered": "share of area under nuclei",
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
"""Patches -> one row of features each."""
Progress = Callable[[int, int], None]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Tissue:
    """What was seen of one data set, at one resolution.

    Parameters
    ----------
    tiles : DataFrame
        A row a tile: name, patient, `mpp` of its file, and the columns of `TILE`.
    nuclei : DataFrame
        A row a nucleus: tile, class, and the columns of `NUCLEUS`.
    patches : list of Sample
        Squares of `PATCH_UM`; `source` is the tile, `patient` the patient.
    """

    tiles: pd.DataFrame
    nuclei: pd.DataFrame
    patches: list[Sample]


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """How near synthetic patches are to the tiles that their generator saw.

    Parameters
    ----------
    synthetic, reference : (N,) and (M,) float64
        Distance to the nearest patch that the generator saw, in features of unit spread: of synthetic
        patches, and of real ones that it did not see (or of other patients, where it saw all).
    held_out : bool
        Whether the reference was held out; else it is of other patients.
    pairs : list of (Image, Image, float)
        The nearest pairs, synthetic first, with their distance.
    shared : list of str
        Synthetic tiles that show the same place as a real one, turned or zoomed as may be.
    """

    synthetic: NDArray[np.float64]
    reference: NDArray[np.float64]
    held_out: bool
    pairs: list[tuple[Image, Image, float]]
    shared: list[str] = field(default_factory=list)

    @property
    def suspicious(self) -> float:
        """Share of synthetic patches nearer than 99 % of the reference; 0.01 is what chance gives."""
        return float((self.synthetic < np.quantile(self.reference, 0.01)).mean())


@brief
@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Real and synthetic tissue side by side.

    Parameters
    ----------
    real, synthetic : Tissue
    distance : KernelDistance
    nearest : Nearest
    encoder : str
        What gave the features.
    mpp : float
        Micrometres per pixel at which everything was measured, on both sides.
    """

    real: Tissue
    synthetic: Tissue
    distance: KernelDistance
    nearest: Nearest
    encoder: str
    mpp: float

    @property
    def labels(self) -> dict[str, dict[str, str]]:
        """What is measured, in words, of ``tiles`` and of ``nuclei``."""
        return {
            where: {key: label.format(mpp=self.mpp) for key, label in names.items()}
            for where, names in (("tiles", TILE), ("nuclei", NUCLEUS))
        }

    def table(self) -> pd.DataFrame:
        """Medians and quartiles of every measure, and the largest gap between the cumulative shares."""
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
        return {
            "encoder": self.encoder,
            "mpp": {
                "measured_at": self.mpp,
                **{
                    name: sorted({float(mpp) for mpp in part.tiles["mpp"]})
                    for name, part in (("real", self.real), ("synthetic", self.synthetic))
                },
            },
            "tiles": {"real": len(self.real.tiles), "synthetic": len(self.synthetic.tiles)},
            "patches": {"real": len(self.real.patches), "synthetic": len(self.synthetic.patches)},
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
    """Measure real and synthetic tiles with one ruler: all at the pixel size of the coarsest of them.

    What is seen of a tile depends on its pixels, fine contrast above all, then the outline of nuclei and the
    share of white; so every tile that is finer is resampled first.

    Parameters
    ----------
    real, synthetic : Dataset
        With label maps. If `real` has a part ``train`` and others, its generator is taken to have seen that
        part alone, and the others are the reference of the check for memorised tiles.
    encode : callable
        Patches to features, one row each.
    encoder : str
        What it is, for the page.
    seed : int
        Of the halves and of the choice of patches.
    progress : callable, optional
        Called with (tiles done, all tiles); each tile is read twice, and counts twice.

    Raises
    ------
    DataError
        If no nucleus can be seen at the pixel size of the coarsest tile, tiles have no label map or are
        smaller than a patch, or there are too few patients to be split.
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
            "split them in halves; add tiles of others, or name the patients in index.csv"
        )


def look(
    dataset: Dataset, mpp: float, rng: np.random.Generator, step: Callable[[], None] = lambda: None
) -> Tissue:
    """Bring every tile of a data set to `mpp`, measure it, and cut patches."""
    tiles, nuclei, patches = [], [], []
    for index, record in enumerate(dataset.records):
        sample = dataset[index]
        if sample.instances is None:
            raise DataError(
                f"{record.name!r} of {dataset.info.name!r} has no label map; nuclei are compared by them"
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
    """Largest difference of the cumulative shares of two samples (Kolmogorov-Smirnov): 0 alike, 1 apart.

    Examples
    --------
    >>> gap(np.array([1.0, 2, 3]), np.array([1.0, 2, 3])), gap(np.zeros(3), np.ones(2))
    (0.0, 1.0)
    """
    if not len(x) or not len(y):
        return float("nan")
    both = np.concatenate([x, y])
    shares = [np.searchsorted(np.sort(one), both, side="right") / len(one) for one in (x, y)]
    return float(np.abs(shares[0] - shares[1]).max())


def _chosen(dataset: Dataset) -> Dataset:
    if not len(dataset):
        raise DataError(f"data set {dataset.info.name!r} is empty")
    n = len(dataset)
    return (
        dataset if n <= MOST_TILES else subset(dataset, np.linspace(0, n - 1, MOST_TILES).round().astype(int))
    )


def _coarsest(dataset: Dataset, step: Callable[[], None]) -> float:
    """Largest pixel size of the tiles of a data set; records do not tell it, so each tile is read."""
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
    grey = image.mean(axis=2)
    local = grey[1:-1, 1:-1] - 0.25 * (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:])
    n = np.count_nonzero(np.bincount(instances.ravel())[1:])
    values = {
        "per_mm2": n / (instances.size * sample.mpp**2 * 1e-6),
        "covered": float(inside.mean()),
        "white": float((image.min(axis=2) > WHITE).mean()),
        "fine": float(local.std()) if local.size else float("nan"),
    }
    for where, mask in (("in", inside), ("out", ~inside)):
        mean = image[mask].mean(axis=0) if mask.any() else np.full(3, np.nan)
        values |= {
            f"{name}_{where}": float(one) for name, one in zip(("red", "green", "blue"), mean, strict=True)
        }
    return values


def _nuclei(sample: Sample, name: str, classes: Any) -> pd.DataFrame:
    """Shape and stain of the nuclei of a tile."""
    instances = np.asarray(sample.instances)
    n = int(instances.max(initial=0))
    kinds = np.zeros(n, np.uint8) if sample.classes is None else sample.classes[1 : n + 1]
    names = [classes.get(k, f"class {k}") for k in range(1, max([0, *classes, *kinds.tolist()]) + 1)]
    nuclei = Nuclei(np.zeros((n, 2), np.float32), kinds, np.ones(n, np.float32), instances, sample.mpp)
    table = measure(nuclei, sample.image, names)[["class", *NUCLEUS]]
    there = np.bincount(instances.ravel(), minlength=n + 1)[1:] > 0  # ids may have gaps
    return table[there].assign(tile=name)


def _patches(sample: Sample, name: str, person: str, rng: np.random.Generator) -> list[Sample]:
    """Squares of a tile, without overlap; some of them, if there are many."""
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
    """Distances to what the generator saw, in features of unit spread."""
    part = {record.name: record.split for record in real.records}
    patches, made = seen[0].patches, seen[1].patches
    trained = np.array([part[patch.source] == "train" for patch in patches])
    held_out = bool(trained.any() and not trained.all())
    if held_out:
        known = np.flatnonzero(trained)
        reference = _apart(rows[0][~trained], rows[0][known]).min(axis=1)
    else:
        known = np.arange(len(patches))
        people = np.array([patch.patient for patch in patches])
        apart = _apart(rows[0], rows[0])
        apart[people[:, None] == people[None]] = np.inf
        reference = apart.min(axis=1)
        reference = reference[np.isfinite(reference)]
    apart = _apart(rows[1], rows[0][known])
    distances = apart.min(axis=1)
    first = np.argsort(distances)[:6]
    pairs = [
        (made[k].image, patches[known[int(apart[k].argmin())]].image, float(distances[k])) for k in first
    ]
    return Nearest(distances, reference, held_out, pairs)


def _apart(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distances of the rows of x to those of y, per feature."""
    squares = (x * x).sum(axis=1)[:, None] + (y * y).sum(axis=1)[None] - 2 * x @ y.T
    return np.asarray(np.sqrt(np.maximum(squares, 0) / x.shape[1]))


def _shared(chosen: Sequence[Dataset]) -> list[str]:
    """Synthetic tiles that show a place of a real one."""
    report = audit({"real": chosen[0], "synthetic": chosen[1]}, labels=False)
    return [f"{leak.right_name} = {leak.left_name}" for leak in report.leaks if leak.kind == "image"]
