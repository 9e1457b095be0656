"""Nuclei on demand: a model that stays loaded, one image or rectangle at a time."""

import asyncio
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import Request, Response

from histoscope import weights
from histoscope.errors import DatasetNotFoundError, HistoscopeError, MissingDependencyError
from histoscope.nuclei import Nuclei
from histoscope.types import Image
from histoscope.viewer.body import TooLargeError
from histoscope.viewer.desk import said
from histoscope.viewer.library import Library

MOST_PX = 1 << 24
"""Of an image or rectangle: 4,096 x 4,096."""
_MOST_WAITING = 4
_LIMIT_S = 120.0
_GONE = 499
_STATUS: dict[type[Exception], int] = {
    TooLargeError: 413,
    DatasetNotFoundError: 404,
    MissingDependencyError: 501,
    HistoscopeError: 422,
    OSError: 422,
}
"""What an error is called in answers; the first that fits."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Nuclei of an image, and how they were found.

    Parameters
    ----------
    nuclei : Nuclei
    classes : tuple of str
        Names of class 1, 2, ...
    model : str
    seconds : float
        That the model took.
    note : str
        What speaks against the nuclei, such as a resolution that the model was not tried at.
    """

    nuclei: Nuclei
    classes: tuple[str, ...]
    model: str
    seconds: float
    note: str = ""


class Predictor:
    """Opens a model when it is first asked for, and keeps it until another is.

    Parameters
    ----------
    library : Library
        Models below its folders can be named, beside those that come with Histoscope.
    """

    def __init__(self, library: Library) -> None:
        self._library = library
        self._held: tuple[str, Any] | None = None
        self._lock = threading.Lock()

    def models(self) -> dict[str, Any]:
        """Names of the models that find nuclei, with what their cards say; or what is missing."""
        problem = "" if find_spec("torch") else "torch is not installed: pip install histoscope installs it"
        found = []
        for name, folder in self._folders().items():
            try:
                card = weights.card(folder)
                if card["input"].get("patch_px"):
                    continue  # a classifier of patches
                found.append(
                    {
                        "name": name,
                        "about": str(card.get("about", "")),
                        "mpp": card["input"].get("mpp"),
                        "classes": list(card["input"].get("classes", [])),
                        "licence": str(card.get("weights licence", "")),
                    }
                )
            except (HistoscopeError, AttributeError):
                continue  # of no use here
        return {"models": found, "default": weights.DEFAULT, "problem": problem}

    def __call__(self, image: Image, mpp: float, model: str) -> Answer:
        """Find the nuclei of an image.

        Parameters
        ----------
        image : (H, W, 3) uint8
        mpp : float
            Micrometres per pixel.
        model : str
            From `models`.

        Raises
        ------
        DatasetNotFoundError
            If there is no such model.
        MissingDependencyError
            If torch is not installed.
        HistoscopeError
            If it cannot be opened.
        """
        with self._lock:
            detector = self._detector(model)
            began = time.perf_counter()
            nuclei = detector(image, mpp)
            taken = time.perf_counter() - began
        return Answer(nuclei, detector.classes, model, round(taken, 3), _note(detector.card, mpp))

    def _folders(self) -> dict[str, str | Path]:
        named: dict[str, str | Path] = {name: name for name in weights.WEIGHTS}
        return named | {name: path for name, path in self._library.models.items() if name not in named}

    def _detector(self, model: str) -> Any:
        if self._held is not None and self._held[0] == model:
            return self._held[1]
        folders = self._folders()
        if model not in folders:
            known = ", ".join(folders)
            raise DatasetNotFoundError(f"there is no model {model!r} here; available: {known}")
        try:
            from histoscope.predict import Detector
        except ImportError as error:
            raise MissingDependencyError(
                f"{error.name} is not installed, but models need it; pip install histoscope installs it"
            ) from error
        self._held = None  # its memory, before the next one is loaded
        detector = Detector.open(folders[model], backend="auto")
        self._held = model, detector
        return detector


class Line:
    """Requests that wait for the model: a few, one at a time, skipping those that nobody waits for any more.

    Parameters
    ----------
    most : int
        That may wait; further ones are asked to try again.
    """

    def __init__(self, most: int = _MOST_WAITING) -> None:
        self._most, self._waiting = most, 0
        self._turn = asyncio.Semaphore(1)
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="predict")

    async def answer(self, request: Request, work: Callable[[], Response]) -> Response:
        """What `work` makes, in its turn; or that too many wait, or why it cannot be had."""
        if self._waiting > self._most:
            return busy(f"{self._waiting} other requests are waiting for the model")
        self._waiting += 1
        try:
            async with self._turn:
                if await request.is_disconnected():
                    return Response(status_code=_GONE)
                made = asyncio.get_running_loop().run_in_executor(self._pool, work)
                return await asyncio.wait_for(made, _LIMIT_S)
        except TimeoutError:
            return said(504, f"took longer than {_LIMIT_S:.0f} s; take a smaller part")
        except tuple(_STATUS) as error:
            return said(next(_STATUS[kind] for kind in _STATUS if isinstance(error, kind)), str(error))
        finally:
            self._waiting -= 1


def busy(why: str) -> Response:
    """An answer that asks to come again."""
    answer = said(503, f"{why}; try again in a few seconds")
    answer.headers["Retry-After"] = "3"
    return answer


def check_size(width: int, height: int) -> None:
    """Refuse more pixels than a preview takes.

    Raises
    ------
    TooLargeError
    """
    if width * height > MOST_PX:
        side = math.isqrt(MOST_PX)
        raise TooLargeError(
            f"{width:,} x {height:,} pixels are too many for a preview, expected at most {side:,} x "
            f"{side:,}; "
            "choose a smaller part, or run histoscope predict"
        )


def _note(card: dict[str, Any] | None, mpp: float) -> str:
    from histoscope.models.pixel_sizes import Curve

    curve = Curve.of(card)
    if curve is None or curve.range[0] <= mpp <= curve.range[1]:
        return ""
    low, high = curve.range
    return f"the model works at {low:g} to {high:g} um/px, this is {mpp:g}"
