"""Instance segmentation of nuclei, with or without classes."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from histoscope import metrics
from histoscope.balance import Balance, BalanceConfig, plan
from histoscope.errors import ConfigError, DataError
from histoscope.export import likeness
from histoscope.metrics import Metric
from histoscope.metrics.by_class import check_class_names
from histoscope.models.base import Segmenter
from histoscope.models.inference import predict
from histoscope.models.nuclei.encoder import EncodedSegmenter
from histoscope.models.patches.initial import load_initial_weights
from histoscope.train import census
from histoscope.train.class_rule import tune_classes, undoing
from histoscope.train.config import MONITORS, PATCH_MONITORS, TrainConfig
from histoscope.train.mix import open_synthetic
from histoscope.train.mixture import Mixture, Sampler
from histoscope.train.nuclei_scores import SHOWN, scores_of_nuclei
from histoscope.train.parts import at_model, normalised
from histoscope.train.plan import Plan, initial_weights
from histoscope.train.tasks import Learned, Listener, OnSample, OnSkip
from histoscope.train.tasks.labelled import LabelledTask
from histoscope.train.thresholds import tune
from histoscope.types import Image, Nuclei, Sample
from histoscope.words import count

if TYPE_CHECKING:
    from histoscope.train.experiment import Experiment


_MOST_LOOKED_AT = 200
"""Images that are enough to say what all look like."""


class FindNuclei(LabelledTask):
    """Each image has an instance map, and maybe a class for each nucleus."""

    first_class = 1
    takes_tta = True
    skips_unreadable = False

    def check(
        self, model: Segmenter, train: Sequence[Sample], val: Sequence[Sample], config: TrainConfig
    ) -> None:
        """Refuse scores of patches, class names that no score can have, and samples without their truth."""
        if config.monitor in PATCH_MONITORS:
            raise ConfigError(
                f"train.monitor {config.monitor!r} is for patches; model {model.name!r} has none"
            )
        if config.monitor not in MONITORS:
            metrics.get(config.monitor)
        check_class_names(model.spec.classes)
        for sample in (*train, *val):
            _check_truth(model, sample)

    def check_remedies(self, model: Segmenter, config: BalanceConfig) -> None:
        """All are supported."""

    def check_experiment(self, experiment: "Experiment", model: Segmenter) -> None:
        """Refuse a probe."""
        if experiment.initial_weights is not None and "weights" in experiment.model.arguments:
            raise ConfigError(
                "got both initial_weights (a whole network) and model.arguments.weights (an encoder)"
            )
        if experiment.probe is not None:
            raise ConfigError(f"a probe is for classifiers, not for model {model.name!r}; leave it out")

    def samples(self, plan: Plan, model: Segmenter, listener: Listener) -> Learned:
        """Hold all tiles in memory, real and synthetic; the network takes its initial weights."""
        learned = _samples(plan, model, listener)
        if isinstance(model, EncodedSegmenter) and model.loaded.source:
            listener.note(f"encoder {model.arguments.get('encoder', 'unet')}: {model.loaded}")
        if (begun := initial_weights(plan.experiment)) is not None:
            listener.note(f"weights: {load_initial_weights(model, begun)}")
        return learned

    def remedies(self, model: Segmenter, train: Sequence[Sample], config: BalanceConfig) -> Balance | None:
        """Class weights of the loss, and oversampling of rare nuclei."""
        found = plan(config, train, len(model.spec.classes))
        if config.class_weights != "none":
            # The background keeps weight 1.
            model.weigh_classes([1.0, *found.loss_weights])
        return found

    def monitor(self, config: TrainConfig) -> str:
        """Score that the settings name."""
        return config.monitor

    def further(self, monitor: str) -> tuple[str, ...]:
        """The monitor, unless it is always scored."""
        return () if monitor in MONITORS else (monitor,)

    def falls(self, monitor: str) -> bool:
        """As the metric says."""
        return not metrics.get(monitor).higher_is_better

    def evaluate(
        self,
        model: Segmenter,
        samples: Iterable[Sample],
        *,
        on_sample: OnSample | None = None,
        on_skip: OnSkip | None = None,
        tta: bool = False,
        more: Mapping[str, Metric] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Scores of each image on its own grid."""
        return scores_of_nuclei(model, samples, on_image=on_sample, on_skip=on_skip, tta=tta, more=more)

    def summary(self, table: pd.DataFrame, *more: str) -> dict[str, float]:
        """Means over images."""
        return {name: float(table[name].mean()) for name in (*SHOWN, *more)}

    def tune(self, model: Segmenter, val: Sequence[Sample]) -> dict[str, float]:
        """Set the thresholds of the best weights, if they have any."""
        if not model.thresholds or not len(val):
            return {}
        return {"pq with tuned thresholds": tune(model, val)}

    def tune_classes(
        self,
        model: Segmenter,
        learned: Learned,
        *,
        sampler: Sampler,
        remedies: Balance | None,
        precision: float,
    ) -> dict[str, Any]:
        """Set the class rule, and record the appearance of the images that classes were learned from."""
        train, val = learned
        real = (train.real or train.synthetic) if isinstance(train, Mixture) else train
        seen, held = ([sample for sample in part if sample.has_classes] for part in (real, val))
        if not model.spec.classes or not seen:
            return {}
        prior = undoing(seen, sampler, remedies) if remedies else np.zeros(len(model.spec.classes))
        scores = tune_classes(model, held, prior=prior, precision=precision)
        looks = likeness.learned(_predicted(model, seen), _predicted(model, held), model.spec.mpp)
        return {"validation": scores} | ({} if looks is None else {likeness.KEY: looks.to_dict()})


def _check_truth(model: Segmenter, sample: Sample) -> None:
    if sample.instances is None:
        raise DataError(f"sample {sample.name!r} has no instance map to learn from")
    names = model.spec.classes
    top = 0 if sample.classes is None else int(sample.classes.max(initial=0))
    if names and top > len(names):
        raise DataError(
            f"sample {sample.name!r} has nuclei of class {top}, but the model knows 1 to {len(names)}: "
            f"{', '.join(names)}; name all classes in the data set's datasheet, or correct the label map"
        )


def _predicted(model: Segmenter, samples: Sequence[Sample]) -> Iterator[tuple[Image, Nuclei]]:
    """Images and the nuclei that a network finds there; some of many."""
    for sample in samples[:: -(-len(samples) // _MOST_LOOKED_AT) or 1]:
        yield sample.image, predict(sample.image, model, sample.mpp)


def _samples(plan: Plan, model: Segmenter, listener: Listener) -> Learned:
    """Training and validation samples in memory, the synthetic ones among them, at the model's resolution."""
    chosen, mpp, shown, note = plan.experiment.synthetic, model.spec.mpp, plan.shown, listener.note
    drawn, share = None, 0.0
    if chosen is not None:  # first: no pixel is read where its classes are others
        opened = open_synthetic(chosen, model.spec.classes, seed=plan.experiment.train.seed)
        drawn, share = normalised(opened, plan.normalizer), chosen.share
    note(f"reading {count(sum(len(part) for _, part in shown), 'image')}")
    real, val = at_model(shown.train, mpp) if share < 1 else [], at_model(shown.val, mpp)
    if real:
        for line in census.lines(plan.parts, real, val, model, plan.experiment.model.arguments):
            note(line)
    if drawn is None:
        return real, val
    note(
        f"learning from {count(len(real), 'real tile')} and {len(drawn):,} of {drawn.info.name}, which give "
        f"{share:.0%} of the patches"
    )
    return Mixture(real, at_model(drawn, mpp), share), val
