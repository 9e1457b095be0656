"""Short ``repr`` of dataclasses: one line, arrays by shape."""

import dataclasses
from collections.abc import Mapping, Sized
from typing import Any, TypeVar

import numpy as np

C = TypeVar("C", bound=type)

_SHOWN, _WIDTH = 6, 100  # numbers of an array, and letters of a value, that are written out


def brief(cls: C) -> C:
    """Give a dataclass or named tuple a ``repr`` of one short line.

    Arrays and tables are shown by their shape, collections by their length; fields with their default value
    or with ``repr=False`` are left out. The attributes keep everything.

    Examples
    --------
    >>> @brief
    ... @dataclasses.dataclass
    ... class Found:
    ...     scores: object
    ...     names: list[str]
    ...     level: float = 0.95
    >>> Found(np.zeros((300, 4)), ["a"] * 7)
    Found(scores=<300 x 4 float64>, names=<7>)
    """

    def line(self: Any) -> str:
        inside = ", ".join(f"{name}={short(getattr(self, name))}" for name in _told(self))
        return f"{type(self).__name__}({inside})"

    cls.__repr__ = line  # type: ignore[assignment]  # a method of instances
    return cls


def short(value: object) -> str:
    """Short text of a value: large ones as shape or length in <>.

    Examples
    --------
    >>> short(np.eye(2)), short(np.zeros((64, 64), np.int32)), short(list(range(30))), short("a")
    ('[[1. 0.] [0. 1.]]', '<64 x 64 int32>', '<30>', "'a'")
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and hasattr(value, "columns"):
        return f"<{shape[0]} rows, {shape[1]} columns>"
    if isinstance(value, np.ndarray) and value.size <= _SHOWN and value.dtype.kind in "biuf":
        return " ".join(np.array2string(value, precision=3, max_line_width=10**6).split())
    if isinstance(shape, tuple) and shape and hasattr(value, "dtype"):
        return f"<{' x '.join(map(str, shape))} {value.dtype}>"
    is_many = isinstance(value, Sized) and not isinstance(value, str | bytes) and not _is_own(value)
    text = f"<{len(value)}>" if is_many and len(value) > _SHOWN else repr(value)  # type: ignore[arg-type]
    if is_many and (len(text) > _WIDTH or "\n" in text):
        return f"<{len(value)}>"  # type: ignore[arg-type]
    text = " ".join(text.split())
    return text if len(text) <= _WIDTH or _is_own(value) else f"{text[: _WIDTH - 40]}..."


def _told(of: Any) -> list[str]:
    """Fields that are shown."""
    if not dataclasses.is_dataclass(of):
        return list(of._fields)
    return [field.name for field in dataclasses.fields(of) if field.repr and not _is_default(field, of)]


def _is_default(field: "dataclasses.Field[Any]", of: Any) -> bool:
    value = getattr(of, field.name)
    if field.default_factory is not dataclasses.MISSING:
        return isinstance(value, list | tuple | Mapping) and not value
    plain = value is None or isinstance(value, bool | int | float | str | tuple)
    return plain and type(value) is type(field.default) and value == field.default


def _is_own(value: object) -> bool:
    return type(value).__module__.startswith("histoscope")
