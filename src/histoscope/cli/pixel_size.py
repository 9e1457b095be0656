"""The options for pixel size, and their check."""

from typing import Annotated

import typer


def checked_mpp(option: typer.CallbackParam, value: float | None) -> float | None:
    """Callback of an option: the value, or a `ConfigError` if no microscope has such pixels."""
    from histoscope.images.resolution import check_mpp

    return None if value is None else check_mpp(value, option.opts[0])


Mpp = Annotated[
    float | None,
    typer.Option(
        callback=checked_mpp,
        help="Micrometres per pixel, if the files lack it: 0.25 at 40x, 0.5 at 20x.",
    ),
]
CutMpp = Annotated[
    float | None,
    typer.Option(callback=checked_mpp, help="Cut images out at this pixel size (default: the slide's own)."),
]
