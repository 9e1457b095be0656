"""Patch classification: batches, features, linear probes, baselines, calibration, scores."""

from typing import TYPE_CHECKING

from histoscope.lazy import attach

if TYPE_CHECKING:
    from histoscope.classify.baselines import by_colour, by_majority, predict_baseline
    from histoscope.classify.calibration import Calibrated, calibrate
    from histoscope.classify.classification import classify_features, predict_classes
    from histoscope.classify.features import Features, extract
    from histoscope.classify.probe import ProbeConfig, fit_probe

_LAZY = {
    "Calibrated": "calibration",
    "Features": "features",
    "ProbeConfig": "probe",
    "by_colour": "baselines",
    "by_majority": "baselines",
    "calibrate": "calibration",
    "classify_features": "classification",
    "extract": "features",
    "fit_probe": "probe",
    "predict_baseline": "baselines",
    "predict_classes": "classification",
}

__all__ = [
    "Calibrated",
    "Features",
    "ProbeConfig",
    "by_colour",
    "by_majority",
    "calibrate",
    "classify_features",
    "extract",
    "fit_probe",
    "predict_baseline",
    "predict_classes",
]

__getattr__, __dir__ = attach(__name__, _LAZY)
