"""The device that networks run on."""

import torch

from histoscope.errors import ConfigError


def fastest() -> torch.device:
    """The accelerator that CUDA sees, else the processor.

    Examples
    --------
    >>> fastest().type in {"cuda", "cpu"}
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def devices_of(names: str) -> tuple[str, ...]:
    """Devices by their names, such as ``cpu`` or ``cuda:0,cuda:1``; none for "".

    Raises
    ------
    ConfigError
        If this machine has none of that name.

    Examples
    --------
    >>> devices_of("cpu"), devices_of("")
    (('cpu',), ())
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["cpu", *(["cuda"] if count else []), *(f"cuda:{k}" for k in range(count))]
    wanted = tuple(name.strip() for name in names.split(",") if name.strip())
    for name in wanted:
        if name not in known:
            raise ConfigError(f"no device {name!r} on this machine, which has {', '.join(known)}")
    return wanted
