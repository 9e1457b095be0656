"""Cohorts: patients who differ in tissue, stain and optics."""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.errors import ConfigError, UnknownNameError
from histoscope.synth.picture import check_size, generate
from histoscope.synth.spec import CLASSES, STAINS, DistractorSpec, OpticsSpec, StainSpec, TissueSpec
from histoscope.types import Sample

Stains = str | StainSpec | Sequence[str | StainSpec]


def cohort(
    n_patients: int,
    images_per_patient: int | Sequence[int],
    *,
    shape_px: tuple[int, int] = (256, 256),
    mpp: float = 0.25,
    stains: Stains = "default",
    seed: int = 0,
    hard: bool = False,
) -> list[Sample]:
    """Draw images of several patients, who differ in density, tissue mix, stain and focus.

    Parameters
    ----------
    n_patients : int
        At least 1.
    images_per_patient : int or sequence of int
        At least 1; one number for all, or one for each patient.
    shape_px, mpp
        As in `generate`.
    stains : str, StainSpec, or a sequence of them
        Laboratories; patient k goes to number k modulo their count, and varies a little around it.
    seed : int
        The same seed gives the same bytes; image k of patient p does not depend on how many others there are.
    hard : bool
        Patients differ more, and slides hold distractors: pale, smudged and blurred nuclei, purple stroma,
        debris, pigment, ink, folds, mucin. Better training data; the default is easier to interpret.

    Returns
    -------
    list of Sample
        Patient by patient, named ``p000_000``, with `patient` ``p000`` and `source` ``p000_slide``.

    Raises
    ------
    ConfigError
        If a count is below 1, or the number of counts is not that of patients.
    UnknownNameError
        If a stain has no such name.

    Examples
    --------
    >>> [s.name for s in cohort(2, 2, shape_px=(32, 32), stains=["default", "purple"])]
    ['p000_000', 'p000_001', 'p001_000', 'p001_001']
    """
    return list(
        cohort_stream(
            n_patients, images_per_patient, shape_px=shape_px, mpp=mpp, stains=stains, seed=seed, hard=hard
        )
    )


def cohort_stream(
    n_patients: int,
    images_per_patient: int | Sequence[int],
    *,
    shape_px: tuple[int, int] = (256, 256),
    mpp: float = 0.25,
    stains: Stains = "default",
    seed: int = 0,
    hard: bool = False,
) -> Iterator[Sample]:
    """Draw the images of `cohort` one by one, holding none."""
    if n_patients < 1:
        raise ConfigError(f"n_patients is {n_patients}, expected at least 1")
    if isinstance(images_per_patient, int):
        counts = [images_per_patient] * n_patients
    else:
        counts = list(images_per_patient)
    if len(counts) != n_patients or min(counts) < 1:
        raise ConfigError(
            f"images_per_patient is {images_per_patient}, expected a number of at least 1, or {n_patients} "
            "of them"
        )
    check_size(shape_px, mpp)
    laboratories = [_stain(item) for item in ([stains] if isinstance(stains, str | StainSpec) else stains)]
    if not laboratories:
        raise ConfigError("stains is empty, expected at least one stain; known names: " + ", ".join(STAINS))
    people = hard_patient if hard else usual_patient
    chosen = [functools.partial(people, laboratories[p % len(laboratories)]) for p in range(n_patients)]
    return draw_patients(counts, chosen, shape_px, mpp, seed)


class Patient(NamedTuple):
    """Settings of one patient, and the spread of the logarithm of density between the images."""

    stain: StainSpec
    tissue: TissueSpec
    optics: OpticsSpec
    distractors: DistractorSpec | None = None
    density_spread: float = 0.0


def draw_patients(
    counts: Sequence[int],
    patients: Sequence[Callable[[Generator], Patient]],
    shape_px: tuple[int, int],
    mpp: float,
    seed: int,
    *,
    classes_of: Callable[[Sample, Generator], NDArray[np.uint8] | None] | None = None,
) -> Iterator[Sample]:
    """Draw ``counts[p]`` images of each patient, named and seeded by patient and number.

    `classes_of` gives the classes of a drawn sample; by default they are those of `CLASSES`.
    """
    for p, (count, make) in enumerate(zip(counts, patients, strict=True)):
        patient = make(np.random.default_rng([seed, p]))
        name = f"p{p:03d}"
        for k in range(count):
            rng, tissue = np.random.default_rng([seed, p, k]), patient.tissue
            if patient.density_spread > 0:
                density = tissue.density * float(rng.lognormal(0, patient.density_spread))
                tissue = replace(tissue, density=min(density, 20.0))
            sample = generate(
                shape_px,
                mpp=mpp,
                stain=patient.stain,
                tissue=tissue,
                optics=patient.optics,
                distractors=patient.distractors,
                rng=rng,
                name=f"{name}_{k:03d}",
            )
            classes = sample.classes if classes_of is None else classes_of(sample, rng)
            yield replace(sample, classes=classes, patient=name, source=f"{name}_slide")


def usual_patient(stain: StainSpec, rng: Generator) -> Patient:
    """A patient of a laboratory, near the average one."""
    stain = vary_stain(stain, rng)
    return Patient(stain, vary_tissue(TissueSpec(), rng), vary_optics(OpticsSpec(), rng))


def hard_patient(stain: StainSpec, rng: Generator) -> Patient:
    """A patient far from the average one, whose slide holds distractors."""
    stain = vary_stain(stain, rng)
    gain = rng.lognormal(0, 0.25, 2)
    stain = replace(
        stain,
        h_amount=float(np.clip(stain.h_amount * gain[0], 0.2, 4)),
        e_amount=float(np.clip(stain.e_amount * gain[1], 0.2, 4)),
    )
    tissue = harden(vary_tissue(TissueSpec(), rng), rng)
    optics = OpticsSpec(
        blur_um=float(np.clip(rng.lognormal(np.log(0.23), 0.4), 0.05, 0.6)),
        noise=float(np.clip(rng.lognormal(np.log(0.012), 0.6), 0.001, 0.05)),
        jpeg_quality=int(rng.integers(60, 96)),
    )
    return Patient(stain, tissue, optics, vary_distractors(rng))


def _stain(item: str | StainSpec) -> StainSpec:
    if isinstance(item, StainSpec):
        return item
    if item not in STAINS:
        raise UnknownNameError("stain", item, STAINS)
    return STAINS[item]


def vary_stain(
    stain: StainSpec, rng: Generator, vector_spread: float = 0.025, amount_spread: float = 0.17
) -> StainSpec:
    """Stain of one section: vectors and amounts vary around the laboratory's."""

    def turned(vector: tuple[float, float, float]) -> tuple[float, float, float]:
        r, g, b = (max(0.0, value + rng.normal(0, vector_spread)) for value in vector)
        return (r, g, b)

    return replace(
        stain,
        hematoxylin=turned(stain.hematoxylin),
        eosin=turned(stain.eosin),
        h_amount=min(10.0, stain.h_amount * float(rng.lognormal(0, amount_spread))),
        e_amount=min(10.0, stain.e_amount * float(rng.lognormal(0, amount_spread))),
    )


def vary_tissue(tissue: TissueSpec, rng: Generator) -> TissueSpec:
    """Tissue of one patient: the mix of glands, stroma and infiltrate varies."""
    values: Mapping[str, float] = {
        "density": tissue.density * rng.lognormal(0, 0.2),
        "gland_fraction": np.clip(tissue.gland_fraction + rng.normal(0, 0.2), 0.1, 0.95),
        "lumen_fraction": np.clip(tissue.lumen_fraction + rng.normal(0, 0.3), 0.0, 1.0),
        "cluster_fraction": np.clip(tissue.cluster_fraction * rng.lognormal(0, 0.7), 0.0, 0.7),
        "gland_radius_um": np.clip(tissue.gland_radius_um * rng.lognormal(0, 0.25), 14, 90),
        "epithelium_um": np.clip(tissue.epithelium_um * rng.lognormal(0, 0.15), 9, 40),
        "nucleus_scale": np.clip(tissue.nucleus_scale * rng.lognormal(0, 0.09), 0.6, 1.6),
        "pleomorphism": np.clip(tissue.pleomorphism * rng.lognormal(0, 0.3), 0.05, 0.4),
        "vesicular": np.clip(tissue.vesicular + rng.normal(0, 0.22), 0.05, 0.95),
        "cleft_fraction": np.clip(tissue.cleft_fraction * rng.lognormal(0, 0.6), 0.0, 0.4),
    }
    return replace(tissue, **{name: float(value) for name, value in values.items()})


def vary_optics(optics: OpticsSpec, rng: Generator) -> OpticsSpec:
    """Focus and noise of one scan."""
    return replace(
        optics,
        blur_um=float(np.clip(optics.blur_um * rng.lognormal(0, 0.25), 0.0, 0.8)),
        noise=float(np.clip(optics.noise * rng.lognormal(0, 0.3), 0.0, 0.05)),
    )


def harden(tissue: TissueSpec, rng: Generator) -> TissueSpec:
    """Tissue whose nuclei are hard to segment: pale, smudged, blurred, crowded, on purple stroma."""

    def some(chance: float, low: float, high: float) -> float:
        return float(rng.uniform(low, high)) if rng.random() < chance else 0.0

    sizes = {f"{kind}_size": float(np.clip(rng.lognormal(0, 0.13), 0.6, 1.7)) for kind in CLASSES}
    return replace(
        tissue,
        nucleus_scale=float(np.clip(tissue.nucleus_scale * rng.lognormal(0, 0.12), 0.5, 2.0)),
        pale_fraction=some(0.5, 0.1, 0.95),
        smudged_fraction=some(0.6, 0.02, 0.4),
        soft_fraction=some(0.6, 0.02, 0.5),
        basophilia=some(0.6, 0.02, 0.6),
        crowding=some(0.6, 0.0, 0.22),
        chromatin=float(np.clip(rng.lognormal(0, 0.35), 0.2, 2.5)),
        darkness_spread=float(rng.uniform(0.12, 0.4)),
        unevenness=float(rng.uniform(0.03, 0.25)),
        red_heaps_per_mm2=float(rng.lognormal(np.log(80), 1.0)),
        **sizes,
    )


def vary_distractors(rng: Generator) -> DistractorSpec:
    """Distractors of one slide."""

    def some(chance: float, usual: float) -> float:
        return float(usual * rng.lognormal(0, 0.8)) if rng.random() < chance else 0.0

    return DistractorSpec(
        debris_per_mm2=some(0.7, 150.0),
        ghosts_per_mm2=some(0.7, 700.0),
        pigment_per_mm2=some(0.25, 120.0),
        ink_per_mm2=some(0.2, 30.0),
        folds_per_mm2=some(0.3, 15.0),
        mucin_fraction=min(0.5, some(0.3, 0.1)),
        out_of_focus_fraction=min(0.8, some(0.35, 0.1)),
    )
