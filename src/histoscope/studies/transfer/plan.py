"""What the study of transfer would run, and how long that takes on this machine."""

import time
from collections.abc import Sequence

from histoscope import augment, data
from histoscope.classify.classification import in_memory, predict_classes
from histoscope.data import Dataset
from histoscope.models.patches.classifier import Classifier
from histoscope.studies.config import StudyConfig
from histoscope.studies.factors import BASELINES
from histoscope.studies.plan import Pace, Plan, states_of, torch_threads
from histoscope.studies.study import Run
from histoscope.studies.transfer import begin
from histoscope.studies.transfer.names import PROBE, SELF_SUPERVISED, SYNTHETIC, begins
from histoscope.studies.transfer.parts import Cell, open_patches, parts
from histoscope.studies.transfer.work import kinds, space_needed
from histoscope.studies.workers import cores
from histoscope.train.pace import step_seconds

START_SECONDS = 8.0
"""Of a process that imports everything and opens the data."""
VIEWS = 2.5
"""What a step without labels costs, in steps of a classifier: two views of each tile, and more layers."""


def plan_patches(config: StudyConfig, *, jobs: int, timed: bool) -> Plan:
    """As `histoscope.studies.plan.plan_study`, of a study of patches."""
    dataset, folder = open_patches(config), config.folder
    states = states_of(config)
    todo = [run for run in config.runs() if states[run.name] != "finished"]
    whole = parts(dataset, config, Cell("grouped", config.declared.models[-1], config.declared.seeds[0]))
    pace: dict[str, Pace] = {}
    seconds = None if todo else 0.0
    if timed and todo:
        with torch_threads(max(1, cores() // jobs)):
            network = str(config.patches.backbone.get("backbone", "resnet18"))
            pace = {network: measure(config, dataset)}
        seconds = _seconds(config, todo, pace[network], len(dataset)) / jobs
    return Plan(
        folder=folder,
        states=states,
        images={name: len(part) for name, part in whole},
        conditions=len(kinds(config)),
        pace=pace,
        jobs=jobs,
        seconds=seconds,
        bytes_needed=space_needed(config, todo) if todo else 0,
    )


def _seconds(config: StudyConfig, todo: Sequence[Run], pace: Pace, n_patches: int) -> float:
    """Processor time of all that is to be done."""
    trained = [run for run in todo if run.level not in {*BASELINES, PROBE}]
    looks = config.train.steps // config.train.evaluate_every
    seen = n_patches * (1 + config.patches.test + config.data.val * looks)
    each = config.train.steps * pace.step_seconds + seen * pace.image_seconds
    total = len(kinds(config)) * each * len(trained) + START_SECONDS * len(todo)
    size = config.train.batch_size
    for made in begins(list(todo), kinds(config)):
        if begin.is_made(config.folder, made):
            continue
        chosen, views = {
            SYNTHETIC: (config.patches.synthetic, 1.0),
            SELF_SUPERVISED: (config.patches.self_supervised, VIEWS),
        }.get(made.level, (None, 0.0))
        total += n_patches * pace.image_seconds + START_SECONDS
        if chosen is not None:
            total += views * chosen.steps * pace.step_seconds * chosen.batch_size / size
    return total


def measure(config: StudyConfig, dataset: Dataset) -> Pace:
    """Train the network for a few real steps, and let it classify some patches."""
    model: Classifier = begin.classifier(config, dataset, seed=0, weights=None)
    few = data.subset(dataset, range(0, len(dataset), max(1, len(dataset) // 32)))
    samples = in_memory(model, few, lambda name, why: None)
    step = step_seconds(model, samples, config.train, augment=augment.get(config.augment), color=None)
    predict_classes(model, few, on_skip=lambda name, why: None)
    began = time.perf_counter()
    predict_classes(model, few, on_skip=lambda name, why: None)
    taken = (time.perf_counter() - began) / len(few)
    return Pace(step, taken, sum(p.numel() for p in model.parameters()))
