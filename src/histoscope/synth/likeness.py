"""Synthetic tissue matched to a data set: its patients in turn, with a little variation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from histoscope.errors import ConfigError
from histoscope.synth.measure import shapes
from histoscope.synth.patients import Patient, draw_patients, vary_distractors, vary_stain
from histoscope.synth.picture import check_size
from histoscope.synth.spec import CLASSES, DistractorSpec
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
    """Draw images whose statistics match the patients of a data set, one by one.

    Parameters
    ----------
    target : Target
        From `fit` or `Target.read`.
    images_per_patient : sequence of int
        One number at or above 1 for each patient to draw; the measured patients take turns, in random
        order.
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
        With the data set's own class ids; with those of `CLASSES` if it has no classes.

    Raises
    ------
    ConfigError
        If a number, the size or mpp is out of range.
    """
    if not images_per_patient or min(images_per_patient) < 1:
        raise ConfigError(
            f"images_per_patient is {images_per_patient}, expected numbers of at least 1, one for each "
            "patient"
        )
    if not 0 <= distractors <= 10:
        raise ConfigError(f"distractors is {distractors!r}, expected a number from 0 to 10")
    mpp = target.mpp if mpp is None else mpp
    check_size(shape_px, mpp)
    order = np.random.default_rng(seed).permutation(len(target.patients))
    measured = (target.patients[order[p % len(order)]] for p in range(len(images_per_patient)))
    return draw_patients(
        images_per_patient,
        [
            partial(near, one, distractors=distractors, density_spread=target.density_spread)
            for one in measured
        ],
        shape_px,
        mpp,
        seed,
        classes_of=partial(renamed, target),
    )


def near(measured: PatientSpec, rng: Generator, *, distractors: float, density_spread: float) -> Patient:
    """A patient who varies a little around a measured one."""
    stain, tissue = vary_stain(measured.stain, rng, 0.012, 0.08), measured.tissue
    glands = float(np.clip(tissue.gland_radius_um * rng.lognormal(0, 0.25), 12, 120))
    tissue = replace(tissue, gland_radius_um=glands, density=float(tissue.density * rng.lognormal(0, 0.06)))
    return Patient(
        stain, tissue, measured.optics, _weaker(vary_distractors(rng), distractors), density_spread
    )


def _weaker(spec: DistractorSpec, share: float) -> DistractorSpec | None:
    if share <= 0:
        return None
    values = {name: share * getattr(spec, name) for name in DistractorSpec.__dataclass_fields__}
    return DistractorSpec(
        **{name: min(value, 1.0) if "fraction" in name else value for name, value in values.items()}
    )


def renamed(target: Target, sample: Sample, rng: Generator) -> NDArray[np.uint8] | None:
    """Class of each nucleus in the data set's own numbers; as drawn, if it has none.

    Where several classes are drawn in one style, a nucleus is assigned at random, by the odds of its size.
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
