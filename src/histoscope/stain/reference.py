"""References as small JSON files, so that a laboratory can share what it normalises to.

::

    {"format": 1, "kind": "histoscope-stain-reference", "origin": "...", "pixels": ["..."],
     "methods": {"macenko": {"stains": [[...], [...]], "amounts": [...]},
                 "reinhard": {"mean": [...], "std": [...]}}}

``pixels`` are digests of the images that it was taken from. Beside the stains stands the ``white`` point of
the reference; files of before have none, and count as 255.
"""

import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import DataError, DatasetNotFoundError, FormatVersionError, UnknownNameError
from histoscope.files import write_text
from histoscope.stain.glass import WHITE

FORMAT = 1
KIND = "histoscope-stain-reference"
DEFAULT = "default"


def write(
    path: str | Path,
    method: str,
    values: dict[str, Any],
    *,
    origin: str = "",
    pixels: Sequence[str] = (),
) -> None:
    """Write one method's target."""
    about = {"origin": origin, "pixels": list(pixels)} if pixels else {"origin": origin}
    document = {"format": FORMAT, "kind": KIND, **about, "methods": {method: values}}
    write_text(path, json.dumps(document, indent=2) + "\n")


def read(path: str | Path) -> tuple[dict[str, dict[str, Any]], dict[str, Any]]:
    """Read the targets in a file, by method, and what is known of where they come from: origin and pixels.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    FormatVersionError
        If another version wrote it.
    DataError
        If it is something else.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no stain reference at {path}; check the path, or use the name {DEFAULT!r}"
        )
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(
            f"{path} is not a stain reference: not JSON ({error}); write one with save()"
        ) from error
    methods = _methods(document, str(path))
    pixels = tuple(map(str, document.get("pixels") or ()))
    return methods, {"origin": str(document.get("origin") or ""), "pixels": pixels}


def bundled(method: str) -> tuple[dict[str, Any], str]:
    """Values of the reference that ships with Histoscope, and where they come from."""
    text = files("histoscope.stain").joinpath("default_reference.json").read_text(encoding="utf-8")
    document = json.loads(text)
    return _methods(document, "the bundled reference")[method], document["origin"]


def choose(methods: dict[str, dict[str, Any]], method: str | None, where: str) -> tuple[str, dict[str, Any]]:
    """Pick a method's values, or the only ones there are."""
    if method is None and len(methods) == 1:
        return next(iter(methods.items()))
    if method is None:
        raise DataError(f"{where} holds {', '.join(sorted(methods))}; say which with method=")
    if method not in methods:
        raise UnknownNameError(f"method in {where}", method, methods)
    return method, methods[method]


def numbers(values: dict[str, Any], key: str, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Give an array out of a reference, checked."""
    try:
        array = np.asarray(values[key], np.float64)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"stain reference: {key!r} is missing or not numbers ({error})") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise DataError(
            f"stain reference: {key!r} is {array.tolist()}, expected finite numbers of shape {shape}"
        )
    if key in {"amounts", "std"} and (array <= 0).any():
        raise DataError(f"stain reference: {key!r} is {array.tolist()}, expected numbers above 0")
    return array


def white(values: dict[str, Any]) -> NDArray[np.float64]:
    """Give the white point of a reference, 255 where none is written."""
    levels = numbers({"white": WHITE.tolist(), **values}, "white", (3,))
    if levels.min() < 1 or levels.max() > 255:
        raise DataError(f"stain reference: 'white' is {levels.tolist()}, expected levels from 1 to 255")
    return levels


def _methods(document: Any, where: str) -> dict[str, dict[str, Any]]:
    if not isinstance(document, dict) or document.get("kind") != KIND:
        raise DataError(
            f"{where} is JSON but not a stain reference (no kind {KIND!r}); write one with save()"
        )
    if document.get("format") != FORMAT:
        raise FormatVersionError(
            f"{where} has format {document.get('format')!r}, this version reads {FORMAT}; "
            "update Histoscope or save it again"
        )
    methods = document.get("methods")
    if not isinstance(methods, dict) or not methods or not all(isinstance(v, dict) for v in methods.values()):
        raise DataError(f"{where} names no methods; write one with save()")
    return methods
