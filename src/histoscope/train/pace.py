"""Time of a training step on this machine."""

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from statistics import median

from histoscope import data, models
from histoscope.augment import AugmentConfig, Augmenter
from histoscope.classify import classification
from histoscope.data import Split
from histoscope.models import Classifier
from histoscope.train.choices import Color, get_augment, get_jitter
from histoscope.train.config import TrainConfig
from histoscope.train.experiment import Experiment
from histoscope.train.loop import fit
from histoscope.train.parts import at_model, in_classes_of
from histoscope.train.plan import arguments
from histoscope.types import Sample

# The first steps load kernels and warm caches; they say nothing of the thousands that follow.
WARM_STEPS, TIMED_STEPS = 2, 4


def step_seconds(
    model: models.Model,
    samples: Sequence[Sample],
    settings: TrainConfig,
    *,
    augment: AugmentConfig | Augmenter | None,
    color: Color | None,
) -> float:
    """Median seconds of a training step, from a few steps in a temporary folder.

    Parameters
    ----------
    model : Model
        Changed in place.
    samples : sequence of Sample
        A few, at the model's resolution.
    settings : TrainConfig
        Of the training that is to come.
    augment, color
        As in `histoscope.train.fit`.
    """
    steps = WARM_STEPS + TIMED_STEPS
    short = replace(settings, steps=steps, evaluate_every=steps, checkpoint_every=steps, tensorboard=False)
    ticks: list[float] = []
    with tempfile.TemporaryDirectory() as out:
        fit(
            model,
            samples,
            [],
            short,
            augment=augment,
            color=color,
            out=out,
            on_step=lambda step, losses: ticks.append(time.perf_counter()),
        )
    late = ticks[WARM_STEPS - 1 :]
    return median(after - before for before, after in pairwise(late))


def seconds_of(experiment: Experiment, parts: Split) -> float:
    """Estimate the seconds of an experiment's training steps, without validation and test.

    Parameters
    ----------
    experiment : Experiment
    parts : Split
        Of its data.
    """
    model = models.create_for(parts.train.info.classes, experiment.model.name, arguments(experiment))
    train = in_classes_of(model, parts).train
    if isinstance(model, Classifier):
        classification.set_input_mpp(model, train, mpp_given="mpp" in experiment.model.arguments)
        few = data.subset(train, range(min(experiment.train.batch_size, len(train))))
        samples = classification.in_memory(model, few, lambda name, why: None)
    else:
        samples = at_model(data.subset(train, range(min(2, len(train)))), model.spec.mpp)
    augment, jitter = get_augment(experiment.augment), get_jitter(experiment.jitter)
    step = step_seconds(model, samples, experiment.train, augment=augment, color=jitter)
    return step * experiment.train.steps
