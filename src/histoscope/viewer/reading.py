"""Files that others made: whatever they hold, what is said names the file and what is wrong with it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from histoscope.errors import CorruptDataError, HistoscopeError

_OF_CONTENT = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What Python says of content that is not as expected."""


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn what goes wrong while a file is read into what is wrong with the file.

    Raises
    ------
    CorruptDataError

    Examples
    --------
    >>> with reading(Path("cells.parquet")):
    ...     {}["class"]
    Traceback (most recent call last):
    histoscope.errors.CorruptDataError: cells.parquet is damaged, or has ... content (KeyError: 'class')
    """
    import pyarrow as pa
    import shapely

    try:
        yield
    except HistoscopeError:
        raise
    except (*_OF_CONTENT, pa.ArrowException, shapely.errors.ShapelyError) as error:
        said = f"{type(error).__name__}: {error}"[:200]
        raise CorruptDataError(f"{path.name} is damaged, or has unexpected content ({said})") from error
