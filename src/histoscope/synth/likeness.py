"""Tissue like a data set's: its patients in turn, each a little off what was measured."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.errors import ConfigError
from histoscope.synth.measure import shapes
from histoscope.synth.patients import Patient, vary_distractors
from histoscope.synth.picture import check_size, generate
from histoscope.synth.spec import CLASSES, DistractorSpec, StainSpec
from histoscope.synth.target import ClassSpec, PatientSpec, Target
from histoscope.types import Sample


def like(
    target: Target,
    images_per_patient: Sequence[int],
    *,
    shape_px: tuple[int, int] = (256, 256),
    mpp: float | None = None,
    seed: int = 0,
    distractors: float = 0.5,
) -> Iterator[Sample]:
    """Draw images of patients like those of a data set, one by one.

    Parameters
    ----------
    target : Target
        From `fit` or `Target.read`.
    images_per_patient : sequence of int
        One number at or above 1 for each patient to draw; the measured patients take turns, in an order of
        chance.
    shape_px : (rows, columns)
    mpp : float, optional
        Micrometres per pixel; None takes the data set's.
    seed : int
        The same seed gives the same bytes.
    distractors : float
        Share of the dirt, ink, folds and blurs that hard tissue has; 0 for none.

    Yields
    ------
    Sample
        With the data set's own class ids; with those of `CLASSES` if it tells no classes apart.

    Raises
    ------
    ConfigError
        If a number, the size or mpp is out of range.
    """
    if not images_per_patient or min(images_per_patient) < 1:
        raise ConfigError(
            f"images_per_patient is {images_per_patient}, expected numbers from 1, one for each patient"
        )
    if not 0 <= distractors <= 10:
        raise ConfigError(f"distractors is {distractors!r}, expected a share from 0 to 10")
    mpp = target.mpp if mpp is None else mpp
    check_size(shape_px, mpp)
    return _stream(target, images_per_patient, shape_px, mpp, seed, distractors)


def _stream(
    target: Target,
    counts: Sequence[int],
    shape_px: tuple[int, int],
    mpp: float,
    seed: int,
    distractors: float,
) -> Iterator[Sample]:
    order = np.random.default_rng(seed).permutation(len(target.patients))
    for p, count in enumerate(counts):
        rng = np.random.default_rng([seed, p])
        patient = near(target.patients[order[p % len(order)]], rng, distractors)
        for k in range(count):
            rng = np.random.default_rng([seed, p, k])
            density = patient.tissue.density * float(rng.lognormal(0, target.density_spread))
            sample = generate(
                shape_px,
                mpp=mpp,
                stain=patient.stain,
                tissue=replace(patient.tissue, density=min(density, 20.0)),
                optics=patient.optics,
                distractors=patient.distractors,
                rng=rng,
                name=f"p{p:03d}_{k:03d}",
            )
            classes = renamed(sample, target, rng)
            yield replace(sample, classes=classes, patient=f"p{p:03d}", source=f"p{p:03d}_slide")


def near(measured: PatientSpec, rng: Generator, distractors: float) -> Patient:
    """A patient a little off a measured one."""

    def turned(vector: tuple[float, float, float]) -> tuple[float, float, float]:
        r, g, b = (max(0.0, value + rng.normal(0, 0.012)) for value in vector)
        return (r, g, b)

    stain, tissue = measured.stain, measured.tissue
    stain = StainSpec(
        turned(stain.hematoxylin),
        turned(stain.eosin),
        float(np.clip(stain.h_amount * rng.lognormal(0, 0.08), 0, 10)),
        float(np.clip(stain.e_amount * rng.lognormal(0, 0.08), 0, 10)),
        stain.glass_rgb,
    )
    glands = float(np.clip(tissue.gland_radius_um * rng.lognormal(0, 0.25), 12, 120))
    tissue = replace(tissue, gland_radius_um=glands, density=float(tissue.density * rng.lognormal(0, 0.06)))
    return Patient(stain, tissue, measured.optics, _weaker(vary_distractors(rng), distractors))


def _weaker(spec: DistractorSpec, share: float) -> DistractorSpec | None:
    if share <= 0:
        return None
    values = {name: share * getattr(spec, name) for name in DistractorSpec.__dataclass_fields__}
    return DistractorSpec(
        **{name: min(value, 1.0) if "fraction" in name else value for name, value in values.items()}
    )


def renamed(sample: Sample, target: Target, rng: Generator) -> NDArray[np.uint8] | None:
    """Class of each nucleus in the data set's own numbers; as drawn, if it tells none apart.

    Where several classes are drawn in one style, a nucleus falls to each with the odds of its size.
    """
    if not target.classes or sample.classes is None or sample.instances is None:
        return sample.classes
    log_area = np.log(np.maximum(shapes(sample.instances, sample.mpp).area_um2, 1e-3))
    classes = np.zeros(len(sample.classes), np.uint8)
    chance = rng.random(len(log_area))
    for style, number in CLASSES.items():
        mine = np.flatnonzero(sample.classes[1:] == number)
        able = [
            (i, one) for i, name in target.classes.items() if (one := target.by_class[name]).style == style
        ]
        if len(mine) and able:
            odds = np.cumsum([_odds(one, log_area[mine]) for _, one in able], axis=0)
            which = (chance[mine] * odds[-1] > odds).sum(axis=0)
            classes[mine + 1] = np.array([i for i, _ in able])[np.minimum(which, len(able) - 1)]
    return classes


def _odds(one: ClassSpec, log_area: NDArray[np.float64]) -> NDArray[np.float64]:
    spread = max(one.log_area_sd, 0.05)
    far = (log_area - one.log_area) / spread
    return np.asarray(max(one.per_mm2, 1e-6) / spread * np.exp(-0.5 * np.minimum(far**2, 200)) + 1e-12)
