"""Default device."""

import torch


def fastest() -> torch.device:
    """The accelerator that CUDA sees, else the processor.

    Examples
    --------
    >>> fastest().type in {"cuda", "cpu"}
    True
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
