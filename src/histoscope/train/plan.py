"""What a training run is made of, once its data are open: its parts, its card, and the list of its images."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from histoscope.data import Split
from histoscope.errors import ConfigError
from histoscope.images.digest import digest_of_parts
from histoscope.models import Model
from histoscope.stain.normalizer import BaseNormalizer
from histoscope.tables import read_table
from histoscope.train import provenance, run_folder
from histoscope.train.checks import check_fit
from histoscope.train.choices import get_augment, get_balance, get_jitter
from histoscope.train.loop import fit
from histoscope.train.mix import learned_from, open_synthetic
from histoscope.train.parts import normalised
from histoscope.train.provenance import Watched
from histoscope.train.tasks import Listener
from histoscope.types import Sample
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.train.experiment import Experiment


_CONTENT = ("part", "name", "digest")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run is made of, once all of it is open."""

    experiment: "Experiment"
    parts: Split
    standing: run_folder.Standing
    normalizer: BaseNormalizer[Any] | None

    @property
    def shown(self) -> Split:
        """The parts as the network sees them."""
        return Split(*(normalised(part, self.normalizer) for _, part in self.parts))

    @property
    def card(self) -> dict[str, Any]:
        """What the model's card says of what was learned from, from the first save."""
        experiment, chosen = self.experiment, self.experiment.synthetic
        sheets = [self.parts.train.info] if chosen is None or chosen.share < 1 else []
        if chosen is not None:
            sheets.append(open_synthetic(chosen).info)
        return {
            **learned_from(sheets),
            **({} if experiment.initial_weights is None else {"begun from": str(experiment.initial_weights)}),
            "split": {name: [record.name for record in part.records] for name, part in self.parts},
        }

    def contents(self) -> pd.DataFrame:
        """Digest all that the scores depend on beside the settings: columns part, name and digest."""
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
            With how many there are, and the first.
        """
        now = self.contents()
        before = read_table(self.experiment.out / run_folder.CONTENT, text=_CONTENT)
        old, new = (set(zip(*(table[key] for key in _CONTENT), strict=True)) for table in (before, now))
        changed = sorted({name for _, name, _ in old ^ new})
        if changed:
            raise ConfigError(
                f"{self.experiment.out} was trained or tested on other images, labels or stains: "
                f"{len(changed)} of {len(now)} have changed since (first: {changed[0]!r}); bring the old "
                "ones back, or start another run with --set out=..."
            )

    def write_list(self) -> dict[str, str]:
        """Write what is learned from beside the model, and give the line of the card that names it."""
        experiment, chosen = self.experiment, self.experiment.synthetic
        parts = {"train": self.parts.train, "val": self.parts.val}
        if chosen is not None:
            parts["synthetic"] = open_synthetic(chosen, seed=experiment.train.seed)
        if chosen is not None and chosen.share == 1:
            del parts["train"]
        begun = experiment.initial_weights, arguments(experiment).get("weights")
        goes_on = (experiment.out / run_folder.CHECKPOINT).is_file()
        return provenance.write(
            experiment.out / "model", parts, *begun, normalizer=self.normalizer, goes_on=goes_on
        )


def arguments(experiment: "Experiment") -> dict[str, Any]:
    """Arguments of the model; a relative path of weights starts here, or else from the data set's folder."""
    given = dict(experiment.model.arguments)
    weights = given.get("weights")
    if isinstance(weights, str) and not Path(weights).exists():
        beside = experiment.data.root / weights
        given["weights"] = str(beside) if beside.exists() else weights
    return given


def fit_planned(
    plan: Plan, model: Model, train: Sequence[Sample], val: Sequence[Sample], listener: Listener
) -> Model:
    """Train as an experiment says; the model with the best weights."""
    experiment, shorter = plan.experiment, plan.standing.shorter
    check_fit(model, train, val, experiment.train)
    card = plan.card | plan.write_list()
    run_folder.begin(experiment, experiment.out, plan.standing)
    length = f"training for {experiment.train.steps:,} steps of {count(experiment.train.batch_size, 'patch')}"
    if shorter:
        listener.note(
            f"{length}: goes on from the first {shorter:,}, whose scores are kept beside the new ones"
        )
    elif (experiment.out / run_folder.CHECKPOINT).is_file():
        listener.note(f"{length}: goes on from the last checkpoint")
    else:
        listener.note(f"{length}; how long it takes is told after the first")
    return fit(
        model,
        train,
        val,
        experiment.train,
        out=experiment.out,
        augment=get_augment(experiment.augment),
        color=get_jitter(experiment.jitter),
        balance=get_balance(experiment.balance),
        on_step=listener.step,
        card=card,
        normalizer=plan.normalizer,
        keep_checkpoint=True,
    ).model
