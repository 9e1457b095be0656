"""What OpenCV's DNN module computes, in a process of its own, since some networks make it crash."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

SECONDS = 300
_FAILED = 3
"""Exit code of the process where OpenCV says why."""
Arrays = list[NDArray[np.float32]]


class OpenCvError(Exception):
    """OpenCV cannot run a network; the message says why."""


def read(path: str | Path) -> Any:
    """Read ONNX by the engine of OpenCV 4, which most programs have, where there are two."""
    classic = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    return cv2.dnn.readNetFromONNX(str(path), **({} if classic is None else {"engine": classic}))


def outputs(path: Path, images: Sequence[NDArray[np.float32]], names: Sequence[str]) -> list[Arrays]:
    """Outputs of a network in ONNX, of each image, in the order of their names.

    Raises
    ------
    OpenCvError
        If OpenCV cannot read or run it.
    """
    with TemporaryDirectory() as folder:
        given, found = Path(folder) / "given.npz", Path(folder) / "found.npz"
        np.savez(given, *images)
        words = [sys.executable, "-P", __file__, str(path), str(given), str(found), *names]
        try:
            done = subprocess.run(words, capture_output=True, text=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise OpenCvError(f"it takes more than {SECONDS} seconds") from None
        if done.returncode == _FAILED:
            raise OpenCvError(" ".join(done.stdout.split()).strip("> "))
        if done.returncode:
            raise OpenCvError("it crashes")
        with np.load(found) as made:
            arrays = [made[f"arr_{number}"] for number in range(len(images) * len(names))]
    return [arrays[first : first + len(names)] for first in range(0, len(arrays), len(names))]


def _run(path: str, given: str, found: str, *names: str) -> int:
    """The process of its own: images in, outputs out."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    arrays: Arrays = []
    try:
        net = read(path)
        with np.load(given) as images:
            for name in images.files:
                net.setInput(images[name])
                arrays += net.forward(list(names))
    except cv2.error as error:
        sys.stdout.write(str(error.err or error))
        return _FAILED
    np.savez(found, *arrays)
    return 0


if __name__ == "__main__":
    sys.exit(_run(*sys.argv[1:]))
