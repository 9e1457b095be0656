"""Folders of studies among files: their test images, what each run found there, and its model."""

from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

import yaml

from histoscope.data import Datasheet
from histoscope.errors import CorruptDataError, HistoscopeError
from histoscope.report.results import RunResult, StudyResults
from histoscope.studies import folder as study_folder
from histoscope.tables import read_table
from histoscope.viewer.truth import sheet_of

_PREDICTIONS = "predictions"
_DEMO = "demo.yaml"
_TEST, _PRIMARY = "test", ("aji", "accuracy")
RUN = "run"
"""Factor of a run that is no part of a study."""
Output = tuple[Path, str]
"""A label map of a run, and what the page calls it."""


class Studies:
    """Studies among some files.

    Parameters
    ----------
    files : iterable of Path
    """

    def __init__(self, files: Iterable[Path]) -> None:
        self._files = [*files]
        self.folders = [path.parent for path in self._files if path.name == study_folder.STUDY]
        self.runs = [
            path.parent for path in self._files if path.name == study_folder.RESULT and self._is_run(path)
        ]
        self._demos = {path.parent for path in self._files if path.name == _DEMO}
        self._truth = {folder / "truth" / "images" for folder in self.folders}

    def _is_run(self, table: Path) -> bool:
        """Whether scores are those of a run of its own, with the model that they are of."""
        folder = table.parent
        has_all = (folder / study_folder.CONFIG).is_file() and is_model(folder / "model" / "card.json")
        return has_all and folder.parent not in self.folders

    def hides(self, path: Path) -> bool:
        """Whether a picture was drawn by a study or the demo, and is not a test image."""
        if path.parent in self._demos:
            return True
        return path.parent not in self._truth and any(folder in path.parents for folder in self.folders)

    def images_of(self, folder: Path) -> dict[Path, list[Output]]:
        """Test images of a study, with what its runs found there under each condition."""
        outputs: dict[str, list[Output]] = defaultdict(list)
        for path in self._files:
            if path.suffix.lower() in {".png", ".tif"} and folder in path.parents:
                run, kind, *rest = path.relative_to(folder).parts[:-1] or ("", "")
                if kind == _PREDICTIONS and len(rest) == 1:
                    outputs[path.stem].append((path, label_of(run, rest[0])))
        images = folder / "truth" / "images"
        return {path: outputs[path.stem] for path in self._files if path.parent == images}


def label_of(run: str, condition: str) -> str:
    """What the page calls the nuclei of a run under a condition.

    Examples
    --------
    >>> label_of("macenko-unet-seed0", "elsewhere")
    'macenko-unet-seed0, external'
    """
    return f"{run}, {study_folder.NEW_NAMES.get(condition, condition)}"


def prediction_of(folder: Path, run: str, condition: str, name: str) -> Path:
    """Where a run keeps its prediction for an image, under the current name of the condition."""
    old = {new: old for old, new in study_folder.NEW_NAMES.items()}.get(condition, condition)
    for part in (condition, old):
        path = folder / run / _PREDICTIONS / part / f"{name}.png"
        if path.is_file():
            return path
    return folder / run / _PREDICTIONS / condition / f"{name}.png"


def mpp_of_study(folder: Path) -> float | None:
    """Micrometres per pixel of a study's images: as it was set, or as its data folder says."""
    with suppress(HistoscopeError, OSError, KeyError, TypeError, ValueError, AttributeError):
        given = study_folder.read_settings(folder)["config"]["data"]
        if given.get("mpp"):
            return float(given["mpp"])
        sheet = sheet_of_study(folder, given["root"])
        if sheet is not None and sheet.mpp > 0:
            return sheet.mpp
    return None


def sheet_of_study(folder: Path, root: str) -> Datasheet | None:
    """Datasheet of the data of a study or run, where they lie or beside it."""
    places = (Path(root), folder / root, folder.parent / Path(root).name) if root else ()
    return next((sheet for place in places if (sheet := sheet_of(place)) is not None), None)


def name_of(folder: Path) -> str:
    """Name of a study; of its folder where there is none, or it cannot be read."""
    with suppress(HistoscopeError, OSError, KeyError):
        return str(study_folder.read_settings(folder)["study"])
    return folder.name


def read_run(folder: Path) -> StudyResults:
    """A run of `histoscope train` as a study of one level, on its test images.

    Raises
    ------
    CorruptDataError, DatasetNotFoundError
        If its scores or settings cannot be read.
    """
    try:
        config = yaml.safe_load((folder / study_folder.CONFIG).read_text(encoding="utf-8"))
        model, seed = str(config["model"]["name"]), int(config["train"]["seed"])
    except (yaml.YAMLError, OSError, ValueError, KeyError, TypeError) as error:
        raise CorruptDataError(f"{folder / study_folder.CONFIG} is not a configuration: {error!r}") from error
    table = read_table(folder / study_folder.RESULT).assign(condition=_TEST)
    run = RunResult(folder.name, model, folder.name, seed, "finished", folder, config, table=table)
    settings = {
        "study": folder.name,
        "question": f"How good is {folder.name} on its test images?",
        "factor": RUN,
        "levels": [folder.name],
        "baseline": folder.name,
        "models": [model],
        "metric": next((name for name in _PRIMARY if name in table), "aji"),
        "conditions": [{"name": _TEST, "about": "the test part of its data"}],
        "primary_condition": _TEST,
        "config": config,
    }
    return StudyResults(folder, settings, (run,))


def is_model(path: Path) -> bool:
    """Whether a file is the card of a model with its weights."""
    return path.name == "card.json" and path.with_name("model.safetensors").is_file()
