"""The same work on several devices."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

from histoscope.predict.slides.work import Work


def on_devices(work: Work, devices: Sequence[str]) -> list[Work]:
    """The work, and a copy of it for each device but the first, with the networks on the devices.

    Parameters
    ----------
    work : Work
        With a ``detector`` or a ``classifier``, if devices are named.
    devices : sequence of str
        Such as ``("cuda:0", "cuda:1")``; with none, the network stays where it is.
    """
    every: list[Any] = [work, *(_copy(work) for _ in devices[1:])]
    for each, device in zip(every, devices, strict=False):
        getattr(each, _model(work)).network.to(device)
    return every


def _copy(work: Any) -> Any:
    model = getattr(work, _model(work))
    return replace(work, **{_model(work): replace(model, network=deepcopy(model.network))})


def _model(work: Any) -> str:
    return "detector" if hasattr(work, "detector") else "classifier"
