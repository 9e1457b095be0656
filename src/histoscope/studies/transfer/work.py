"""What a study of patches does before, in and between its runs."""

from functools import partial
from pathlib import Path

import pandas as pd

from histoscope.data import Dataset
from histoscope.errors import DataError
from histoscope.studies import content
from histoscope.studies.config import StudyConfig
from histoscope.studies.events import Tell
from histoscope.studies.runner import RUN_BYTES, require_space
from histoscope.studies.study import Run
from histoscope.studies.transfer import begin, run
from histoscope.studies.transfer.names import PRETRAINED, begins
from histoscope.studies.transfer.parts import Cell, open_everything, open_patches, parts
from histoscope.studies.workers import DoRun


class Patches:
    """Patches with classes, split by group and at random."""

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self.everything = open_everything(config)
        self.records = list(self.everything.records)

    def sets(self) -> dict[str, Dataset]:
        """All patches."""
        return {content.DATA: self.everything}

    def require(self, found: pd.DataFrame) -> None:
        """Patches that cannot be read are left out of every run alike."""
        if (found["problem"] != "").sum() == len(self.records):
            raise DataError(
                f"none of the {len(self.records)} patches can be read; run 'histoscope data verify'"
            )

    def prepare(self, todo: list[Run], folder: Path) -> None:
        """Check that there is room, and that every part can be made."""
        dataset = open_patches(self.config)
        for size in self.config.declared.models:
            parts(dataset, self.config, Cell("random", size, self.config.declared.seeds[0]))
        require_space(folder, space_needed(self.config, todo))

    def first(self, todo: list[Run], folder: Path) -> list[tuple[list[Run], Path]]:
        """Beginnings that are not there yet."""
        lacking = [one for one in begins(todo, kinds(self.config)) if not begin.is_made(folder, one)]
        return [(lacking, folder / PRETRAINED)] if lacking else []


def kinds(config: StudyConfig) -> list[str]:
    """Splits that the study compares."""
    return [condition.name for condition in config.declared.conditions]


def space_needed(config: StudyConfig, todo: list[Run]) -> int:
    """Estimate the bytes that runs will take: the network of each split, while it trains thrice more."""
    from histoscope.models.patches.classifier import Classifier

    network = Classifier(**config.patches.backbone)
    weights = 4 * sum(parameter.numel() for parameter in network.parameters())
    return int(len(todo) * len(kinds(config)) * (weights + RUN_BYTES) + 6 * weights)


def doing_patches(config: StudyConfig) -> DoRun:
    """Give what does one run, or makes one beginning."""
    dataset = open_patches(config)

    def do(one: Run, folder: Path, tell: Tell) -> None:
        made = folder.parent.name == PRETRAINED
        partial(begin.make if made else run.do_run, config, dataset)(one, folder, tell)

    return do
