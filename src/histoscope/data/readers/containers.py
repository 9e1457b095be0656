"""Arrays inside files: MATLAB and NumPy, with a clear error for what is cut off or of another shape."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscope.errors import CorruptDataError, DataError, DatasetNotFoundError, ShapeError
from histoscope.types import Labels

_MAX_ID = 2**31 - 1


def read_mat(path: str | Path, *names: str) -> dict[str, NDArray[Any]]:
    """Read variables of a MATLAB file (format 5, as every published set of nuclei uses).

    Parameters
    ----------
    path : str or Path
        The file.
    *names : str
        Variables wanted; those that the file does not hold are left out of the answer.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    DataError
        If it is a MATLAB 7.3 file, which is HDF5.
    CorruptDataError
        If it cannot be decoded to the end.
    """
    from scipy.io import loadmat

    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(
            f"no labels at {path}; expected the MATLAB file of the same name as its image"
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
    return {name: np.asarray(held[name]) for name in names if name in held}


def require_variable(held: Mapping[str, NDArray[Any]], name: str, path: Path) -> NDArray[Any]:
    """Return one variable of a file.

    Raises
    ------
    DataError
        If the file does not hold it.
    """
    if name not in held:
        raise DataError(
            f"{path} holds no variable {name!r} (found: {', '.join(held) or 'none'}); get it again"
        )
    return held[name]


def open_npy(path: str | Path, *shape: int) -> NDArray[Any]:
    """Map a NumPy file into memory: only what is indexed is read.

    Parameters
    ----------
    path : str or Path
        The file.
    *shape : int
        Expected shape; -1 for any length.

    Raises
    ------
    DatasetNotFoundError
        If there is no such file.
    CorruptDataError
        If it is no whole NumPy file, or holds Python objects.
    ShapeError
        If its shape is another.
    """
    path = Path(path)
    if not path.is_file():
        raise DatasetNotFoundError(f"no array at {path}; check that the archive was unpacked to its end")
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise CorruptDataError(f"{path} is not a whole NumPy file ({error}); get it again") from error
    fits = len(array.shape) == len(shape) and all(
        want in (-1, side) for side, want in zip(array.shape, shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("N" if side < 0 else str(side) for side in shape)
        raise ShapeError(f"{path} holds an array of shape {array.shape}, expected ({wanted})")
    return array


def whole_numbers(array: NDArray[Any], what: str) -> Labels:
    """Return ids or classes as int32; they are often stored as float64.

    Parameters
    ----------
    array : array of numbers
        The ids.
    what : str
        What they are, for the message.

    Raises
    ------
    ShapeError
        If a value is negative, too large or no whole number.

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
