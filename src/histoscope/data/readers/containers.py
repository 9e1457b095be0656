"""Arrays in MATLAB and NumPy files, with a clear error if truncated or of the wrong shape."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Labels

_MAX_ID = 2**31 - 1


def read_mat(path: str | Path, *names: str) -> dict[str, Labels]:
    """Read variables of whole numbers from a MATLAB file (format 5, as every published set of nuclei uses).

    Raises
    ------
    DatasetNotFoundError, DataError, CorruptDataError, ShapeError
        If there is no such file, it is MATLAB 7.3 (HDF5), lacks a variable, cannot be decoded completely, or
        holds other values.
    """
    from scipy.io import loadmat

    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no labels at {path}; expected a MATLAB file of the same name as its image"
        )
    try:
        held = loadmat(path, variable_names=list(names))
    except MemoryError:
        raise
    except NotImplementedError as error:
        raise DataError(
            f"{path} is a MATLAB 7.3 (HDF5) file, expected MATLAB 5 as published; "
            "save it again in MATLAB with save(..., '-v7')"
        ) from error
    except Exception as error:  # the decoder raises dozens of types on broken files
        raise CorruptDataError(
            f"{path} cannot be decoded as a MATLAB file ({error}); get it again"
        ) from error
    lacking = [name for name in names if name not in held]
    if lacking:
        found = ", ".join(name for name in names if name in held) or "none"
        raise DataError(f"{path} holds no variable {lacking[0]!r} (found: {found}); get it again")
    numbers = {name: whole_numbers(np.asarray(held[name]), f"{path}: {name}") for name in names}
    if "inst_map" in numbers and numbers["inst_map"].ndim != 2:
        raise ShapeError(f"{path}: inst_map has shape {numbers['inst_map'].shape}, expected (H, W)")
    return numbers


def open_npy(path: str | Path, *shape: int) -> NDArray[Any]:
    """Map a NumPy file of the expected shape (-1 for any length) into memory: only indexed parts are read.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError, ShapeError
        If there is no such file, it is not a complete NumPy file or holds Python objects, or its shape
        differs.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no array at {path}; check that the archive was fully unpacked")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CorruptDataError(f"{path} is not a complete NumPy file ({error}); get it again") from error
    fits = len(array.shape) == len(shape) and all(
        want in (-1, side) for side, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("N" if side < 0 else str(side) for side in shape)
        raise ShapeError(f"{path} holds an array of shape {array.shape}, expected ({wanted})")
    return array


def open_pair(images: Path, labels: Path, channels: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Map an array of images (N, H, W, 3) and their labels (N, H, W, `channels`) into memory.

    Raises
    ------
    DatasetNotFoundError, CorruptDataError, ShapeError
        As for `open_npy`, or if the two do not fit together.
    """
    pair = open_npy(images, -1, -1, -1, 3), open_npy(labels, -1, -1, -1, channels)
    if pair[0].shape[:3] != pair[1].shape[:3]:
        raise ShapeError(
            f"{images} is {pair[0].shape}, {labels} {pair[1].shape}; the number of patches, height and "
            "width must agree"
        )
    return pair


def whole_numbers(array: NDArray[Any], what: str) -> Labels:
    """Return ids or classes as int32; they are often stored as float64. `what` is named in the error.

    Raises
    ------
    ShapeError
        If a value is negative, too large or not a whole number.

    Examples
    --------
    >>> whole_numbers(np.array([0.0, 70000.0]), "a label map")
    array([    0, 70000], dtype=int32)
    """
    if array.dtype.kind not in "buif":
        raise ShapeError(f"{what} holds {array.dtype}, expected whole numbers")
    low, high = (array.min(), array.max()) if array.size else (0, 0)
    if not (low >= 0 and high <= _MAX_ID):
        raise ShapeError(f"{what} runs from {low} to {high}, expected ids from 0 to {_MAX_ID}")
    numbers = array.astype(np.int32)
    if array.dtype.kind == "f" and not np.array_equal(numbers, array):
        raise ShapeError(f"{what} holds fractions, expected whole numbers")
    return numbers
