"""The folder of a training run: its settings, and whether a call may resume it."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from histoscope import config
from histoscope.config import Config
from histoscope.errors import ConfigError
from histoscope.files import write_text
from histoscope.renamed import RenamedWarning

CONFIG, RESULT, CHECKPOINT = "config.yaml", "per_image.csv", "checkpoint.safetensors"
CARD, CONTENT = "model/card.json", "content.csv"
STEPS = "train.steps"
C = TypeVar("C", bound=Config)


@dataclass(frozen=True, slots=True)
class Standing:
    """State of a run in its folder.

    Parameters
    ----------
    is_settled : bool
        These settings stand in it.
    shorter : int
        Steps of the run of fewer steps that is gone on with; 0 if there is none.
    """

    is_settled: bool = False
    shorter: int = 0


def stand(chosen: C, out: Path) -> Standing:
    """State of the run in a folder; one of other settings is an error. Nothing is written.

    A folder in which nothing was kept yet takes any settings. Where only ``train.steps`` differs, and is
    more, the run is made longer, if its last checkpoint was kept.

    Raises
    ------
    ConfigError
        If the folder holds a run of other settings, with both values of each; or something else.
    """
    path = out / CONFIG
    kept = [name for name in (CHECKPOINT, CARD, RESULT) if (out / name).is_file()]
    if not path.is_file():
        if kept:
            raise ConfigError(
                f"{out} holds {kept[0]}, but no {CONFIG}: it is not the folder of a run of this kind; choose "
                "another with --set out=..."
            )
        return Standing()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RenamedWarning)  # an earlier version wrote it, not the user
            there = config.load(type(chosen), path)
    except ConfigError as error:
        raise ConfigError(
            f"{out} holds a run with other settings, which cannot be read as these ({error}); choose another "
            "folder with --set out=..."
        ) from error
    changed = config.differences(there, chosen)
    changed.pop("out", None)
    if not changed:
        return Standing(is_settled=True)
    if not kept and path.read_text(encoding="utf-8") == config.dump(there):
        return Standing()
    before, after = changed.get(STEPS, (0, 0))
    if CHECKPOINT in kept and len(changed) == 1 and after > before > 0:
        return Standing(shorter=before)
    told = "; ".join(f"{key} is {old!r} there and {new!r} here" for key, (old, new) in changed.items())
    raise ConfigError(
        f"{out} holds a run with other settings: {told}. Choose another folder with --set out=..., or "
        "restore the settings"
    )


def begin(chosen: Config, out: Path, standing: Standing) -> None:
    """Write the settings; the scores of a shorter run are kept under another name."""
    if standing.shorter and (out / RESULT).is_file():
        (out / RESULT).replace(out / f"per_image_{standing.shorter}_steps.csv")
    if not standing.is_settled:
        write_text(out / CONFIG, config.dump(chosen))
