"""The option ``--backend``, which verbs that predict share."""

from enum import StrEnum
from typing import Annotated, TypeAlias

import typer

from histoscope.errors import ConfigError


class Backend(StrEnum):
    """Library that a network predicts with."""

    AUTO = "auto"
    TORCH = "torch"
    OPENVINO = "openvino"
    ONNXRUNTIME = "onnxruntime"


BackendOption: TypeAlias = Annotated[
    Backend,
    typer.Option(
        envvar="HISTOSCOPE_BACKEND",
        help="Library that runs the network on a CPU: torch, openvino or onnxruntime (extras openvino, "
        "onnx). Auto uses the fastest that is installed, measured once.",
    ),
]


def devices_for(backend: str, names: str) -> tuple[str, ...]:
    """Devices by their names; a backend for processors is refused on another.

    Raises
    ------
    ConfigError
    """
    from histoscope.models.device import devices_of

    devices = devices_of(names)
    if backend not in {Backend.AUTO, Backend.TORCH} and set(devices) - {"cpu"}:
        raise ConfigError(f"--backend {backend} is for processors, and --device is {names}; leave one out")
    return devices
