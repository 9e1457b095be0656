"""A linear probe: the head alone is fitted, on features of the frozen backbone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from histoscope import models
from histoscope.classify import classification
from histoscope.classify.features import Features, extract
from histoscope.classify.probe import ProbeConfig, fit_probe
from histoscope.data import Dataset
from histoscope.data.base import Progress
from histoscope.metrics import Metric
from histoscope.models.patches.classifier import Classifier
from histoscope.train.log import RunLog
from histoscope.train.loop import Fitted
from histoscope.train.plan import Plan
from histoscope.train.tasks import Learned, Listener, OnSample, OnSkip
from histoscope.train.tasks.patches import ClassifyPatches
from histoscope.types import Sample

if TYPE_CHECKING:
    from histoscope.train.training import Training


class ProbePatches(ClassifyPatches):
    """Classification by a linear probe; training, validation and test part are data sets.

    Parameters
    ----------
    config : ProbeConfig
    spent : float
        Seconds that features in the cache have taken before, to be counted in.
    progress : callable, optional
        As of `histoscope.classify.extract`.
    """

    def __init__(self, config: ProbeConfig, *, spent: float = 0.0, progress: Progress | None = None) -> None:
        self.config, self.spent, self.progress = config, spent, progress

    def samples(self, plan: Plan, model: Classifier, listener: Listener) -> Learned:
        """Training and validation part; a patch is read when its features are computed."""
        self.describe(plan, model, listener)
        parts = plan.shown
        return cast("Learned", (parts.train, parts.val))

    def check_training(self, settings: "Training") -> None:
        """A probe takes patches of any size, and trains no step."""

    def train(self, settings: "Training", folder: Path, card: dict[str, Any], listener: Listener) -> Fitted:
        """Fit the head, and save the model."""
        model, recipe = cast("Classifier", settings.model), settings.recipe
        parts = cast("tuple[Dataset, Dataset]", (settings.train, settings.val))
        with RunLog(folder, tensorboard=recipe.config.tensorboard, seconds=self.spent) as log:
            train, val = (self._features(model, part, listener.skip) for part in parts)
            ready = log.seconds
            probed = fit_probe(model, train, val, l2=self.config.l2)
            scores = classification.scores(classification.classify_features(model, val, parts[1]))
            log.write(1, {"loss": scores["nll"], "l2": probed.l2})
            log.write(1, scores, part="val")
            seconds = log.seconds
        n, computed = len(train) + len(val), train.computed + val.computed
        about = {
            "probe": probed.to_dict(),
            "features": {"computed": computed, "seconds": round(ready, 2)},
            "validation": scores,
        }
        models.save(model, folder / "model", {**card, **about}, recipe.normalizer)
        listener.note(
            f"features of {n} patches in {ready:.1f} s ({computed} computed, the others from the cache); "
            f"probe fitted in {probed.seconds:.1f} s, L2 penalty {probed.l2:g}"
        )
        return Fitted(model, 1, scores["nll"], seconds)

    def evaluate(
        self,
        model: Classifier,
        samples: Iterable[Sample],
        *,
        on_sample: OnSample | None = None,
        on_skip: OnSkip | None = None,
        tta: bool = False,
        more: Mapping[str, Metric] = MappingProxyType({}),
    ) -> pd.DataFrame:
        """Probabilities of each patch, from its features."""
        if not hasattr(samples, "records"):
            return super().evaluate(model, samples, on_sample=on_sample, on_skip=on_skip, tta=tta, more=more)
        dataset = cast("Dataset", samples)
        return classification.classify_features(model, self._features(model, dataset, on_skip), dataset)

    def _features(self, model: Classifier, part: Dataset, on_skip: OnSkip | None) -> Features:
        return extract(model, part, cache=self.config.cache, progress=self.progress, on_skip=on_skip)
