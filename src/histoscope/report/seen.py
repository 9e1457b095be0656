"""Test images as a network saw them: re-stained as the condition says, normalised as the run's level says."""

import numpy as np

from histoscope.errors import HistoscopeError
from histoscope.models.card import normalizer_of
from histoscope.report.results import RunResult, StudyResults
from histoscope.studies.conditions import restainer
from histoscope.studies.study import Condition
from histoscope.types import Image


def restained(study: StudyResults, image: Image) -> Image:
    """Change an image as the condition does that answers the question; most change nothing."""
    (given,) = (each for each in study.settings["conditions"] if each["name"] == study.primary_condition)
    condition = Condition(given["name"], "", stains=given.get("stains"), amounts=given.get("amounts"))
    return restainer(condition)(image)


def normalised(run: RunResult, image: Image) -> Image | None:
    """Change an image as the normaliser in the run's model folder does.

    Returns
    -------
    (H, W, 3) uint8 or None
        The image itself where the run normalised nothing; None where it did and its normaliser is not there.
    """
    if run.config.get("normalizer", "none") == "none":
        return image
    try:
        normaliser = None if run.folder is None else normalizer_of(run.folder / "model")
    except HistoscopeError:
        normaliser = None
    return None if normaliser is None else np.asarray(normaliser(image))
