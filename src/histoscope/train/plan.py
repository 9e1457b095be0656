"""A training run with its data open: parts, recipe, and digests of its images."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from histoscope import weights as shipped
from histoscope.data import Dataset, Split
from histoscope.errors import ConfigError
from histoscope.images.digest import digest_of_parts
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.tables import read_table
from histoscope.train import run_folder
from histoscope.train.choices import get_augment, get_balance, get_jitter
from histoscope.train.mix import open_synthetic
from histoscope.train.parts import here_or_beside, normalised
from histoscope.train.provenance import Watched
from histoscope.train.recipe import Recipe
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.train.experiment import Experiment


_CONTENT = ("part", "name", "digest")


@dataclass(frozen=True, slots=True)
class Plan:
    """An experiment with its data open."""

    experiment: "Experiment"
    parts: Split
    standing: run_folder.Standing
    normalizer: BaseNormalizer[Any] | None

    @property
    def shown(self) -> Split:
        """The parts as the network sees them."""
        return Split(*(normalised(part, self.normalizer) for _, part in self.parts))

    @property
    def recipe(self) -> Recipe:
        """How the network is trained, and on what."""
        experiment, chosen = self.experiment, self.experiment.synthetic
        learned: dict[str, Dataset] = {"train": self.parts.train, "val": self.parts.val}
        if chosen is not None:
            learned["synthetic"] = open_synthetic(chosen, seed=experiment.train.seed)
        if chosen is not None and chosen.share == 1:
            del learned["train"]
        begun = initial_weights(experiment)
        return Recipe(
            config=experiment.train,
            learned=learned,
            augment=get_augment(experiment.augment),
            color=get_jitter(experiment.jitter),
            balance=get_balance(experiment.balance),
            normalizer=self.normalizer,
            begun_from=(begun, arguments(experiment).get("weights")),
            about={
                **({} if begun is None else {"begun from": str(experiment.initial_weights)}),
                "split": {name: [record.name for record in part.records] for name, part in self.parts},
            },
            keep_checkpoint=True,
        )

    def begin(self) -> None:
        """Write the run's settings, when everything has been checked."""
        run_folder.begin(self.experiment, self.experiment.out, self.standing)

    @property
    def length(self) -> str:
        """How long the network is trained, and from where on."""
        config, shorter = self.experiment.train, self.standing.shorter
        length = f"training for {config.steps:,} steps of {count(config.batch_size, 'patch')}"
        if shorter:
            return (
                f"{length}: continues from the first {shorter:,}, whose scores are kept beside the new ones"
            )
        if (self.experiment.out / run_folder.CHECKPOINT).is_file():
            return f"{length}: continues from the last checkpoint"
        return f"{length}; the time it takes is shown after the first"

    def contents(self) -> pd.DataFrame:
        """Digests of all that the scores depend on beside the settings: columns part, name and digest."""
        sets = {name: Watched.of(part) for name, part in self.parts}
        if self.experiment.synthetic is not None:
            opened = open_synthetic(self.experiment.synthetic, seed=self.experiment.train.seed)
            sets["synthetic"] = Watched.of(opened)
        rows = [
            (name, record.name, digest)
            for name, part in sets.items()
            for record, digest in zip(part.records, part.contents(), strict=True)
        ]
        if self.normalizer is not None:
            values = json.dumps(self.normalizer.values(), sort_keys=True)
            rows.append(("normaliser", self.normalizer.name, digest_of_parts(values)))
        return pd.DataFrame(rows, columns=list(_CONTENT))

    def check_unchanged(self) -> None:
        """Refuse other images, labels or stains than those that the finished run had.

        Raises
        ------
        ConfigError
            Names their number and the first.
        """
        now = self.contents()
        before = read_table(self.experiment.out / run_folder.CONTENT, text=_CONTENT)
        old, new = (set(zip(*(table[key] for key in _CONTENT), strict=True)) for table in (before, now))
        changed = sorted({name for _, name, _ in old ^ new})
        if changed:
            raise ConfigError(
                f"{self.experiment.out} was trained or tested on other images, labels or stains: "
                f"{len(changed)} of {len(now)} have changed since (first: {changed[0]!r}); restore the old "
                "ones, or start another run with --set out=..."
            )


def arguments(experiment: "Experiment") -> dict[str, Any]:
    """Arguments of the model; a path of weights starts here, or else from the data set's folder.

    Weights that ship with Histoscope, or are on the hub, are found by their names.
    """
    given = dict(experiment.model.arguments)
    weights = given.get("weights")
    if isinstance(weights, str) and not Path(weights).exists():
        named = shipped.is_name(weights)
        found = shipped.find(weights) if named else here_or_beside(Path(weights), experiment.data.root)
        given["weights"] = str(found)
    return given


def initial_weights(experiment: "Experiment") -> Path | None:
    """Model folder that training begins with; shipped models, and those on the hub, have names."""
    given = experiment.initial_weights
    is_name = given is not None and shipped.is_name(str(given)) and not given.exists()
    return shipped.find(str(given)) if is_name else given
