"""What tasks with ground truth have in common: how their networks are checked and trained."""

from abc import ABC
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histoscope.train.checks import check_fit
from histoscope.train.loop import Fitted, fit_settings
from histoscope.train.tasks import Listener, Task

if TYPE_CHECKING:
    from histoscope.train.training import Training


class LabelledTask(Task, ABC):
    """A task whose networks learn from samples with ground truth, by `histoscope.train.fit`."""

    def check_training(self, settings: "Training") -> None:
        """Check as `histoscope.train.fit` does."""
        check_fit(settings.model, settings.train, settings.val, settings.recipe.config)

    def train(self, settings: "Training", folder: Path, card: dict[str, Any], listener: Listener) -> Fitted:
        """Train all layers, as `histoscope.train.fit` does."""
        return fit_settings(settings, folder, card, listener.step)
