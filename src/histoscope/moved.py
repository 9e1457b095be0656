"""Moved modules of version 0.1: old names work for one more version, with a warning."""

import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType

from histoscope.renamed import warn

_SAME_NAME: dict[tuple[str, str], str] = {
    ("data", "data.readers"): (
        "aperio breakhis class_folder conic consep containers dsb2018 folder index kather2016 "
        "kumar lc25000 listed lizard monuseg nct_crc nuinsseg pannuke patch_files pcam sheet tnbc"
    ),
    ("data", "data.leaks"): "copies groups landmarks marks",
    ("data", "train"): "loader mixture patches",
    ("slides", "predict"): "batch classify detector patch_classifier tilemap",
    ("slides", "jobs"): "failures journal lines naming normalize ownership",
    ("slides", "export"): "features geojson heatmap overlay result",
    ("models", "models.nuclei"): "deeplab losses region_segmenter regions resunet smp star stardist unet",
    ("models", "models.patches"): "classifier hub initial published",
    ("synth", "generate"): "arrange bank bank_dyes bank_maps",
    ("studies", "generate"): "realism realism_encoder realism_page",
    ("studies", "report"): (
        "by_class effects figures gallery glossary learned methods outlines patch_figures "
        "results seen summary synthetic_figures"
    ),
    ("train", "classify"): "baselines batches calibration classification features probe",
    ("train", ""): "cores",
    ("studies", ""): "demo",
}
"""Old and new package -> modules that kept their names."""
_RENAMED = {
    "models.generator": "generate.network",
    "train.generate": "generate.generator",
    "train.generator": "generate.training",
    "train.generator_realism": "generate.tile_filter",
    "studies.report": "report.write",
    "studies.transfer.begin": "studies.transfer.initial",
    "studies.transfer.compare": "report.transfer_scores",
    "studies.transfer.figures": "report.transfer_figures",
    "studies.transfer.report": "report.transfer",
    "slides.outlines": "nuclei.outlines",
    "slides.resolution": "images.resolution",
    "studies.pages": "pages",
}

MODULES = {
    f"histoscope.{old}.{name}": ".".join(filter(None, ("histoscope", new, name)))
    for (old, new), names in _SAME_NAME.items()
    for name in names.split()
} | {f"histoscope.{old}": f"histoscope.{new}" for old, new in _RENAMED.items()}
"""Old name of a module -> new name."""
_SPECS: dict[int, ModuleSpec | None] = {}


class Moved:
    """Import finder for modules under their old names; it comes last."""

    @staticmethod
    def find_spec(
        name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Find a module that has moved."""
        del path, target
        return ModuleSpec(name, Moved()) if name in MODULES else None  # type: ignore[arg-type]

    @staticmethod
    def create_module(spec: ModuleSpec) -> ModuleType:
        """Import the module under its new name."""
        new = MODULES[spec.name]
        warn(spec.name, new)
        found = import_module(new)
        _SPECS[id(found)] = found.__spec__
        return found

    @staticmethod
    def exec_module(module: ModuleType) -> None:
        """Do not run the module again; restore its own specification."""
        module.__spec__ = _SPECS.pop(id(module))


def install() -> None:
    """Register the finder."""
    if not any(isinstance(each, Moved) for each in sys.meta_path):
        sys.meta_path.append(Moved())
