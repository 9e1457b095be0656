"""The option ``--backend`` of all commands that predict."""

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
        "onnx). Auto uses the fastest one installed, timed once.",
    ),
]


def devices_for(backend: str, names: str) -> tuple[str, ...]:
    """Devices by name; a CPU backend is refused on other devices.

    Raises
    ------
    ConfigError
    """
    from histoscope.models.device import devices_of

    devices = devices_of(names)
    if backend not in {Backend.AUTO, Backend.TORCH} and set(devices) - {"cpu"}:
        raise ConfigError(f"--backend {backend} runs on a CPU, but --device is {names}; leave one out")
    return devices
