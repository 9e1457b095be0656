"""Deprecated names: they work for one more version, with a warning that names the new one.

A table ``{old: new}`` covers keywords of a function, fields of a class with their keys in YAML, and options.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar, cast

T = TypeVar("T")
TABLE = "__renamed__"


class RenamedWarning(DeprecationWarning):
    """A deprecated name was used; the command line shows one line."""


def warn(old: str, new: str, *, stacklevel: int = 2) -> None:
    """Warn that a name is deprecated."""
    text = f"{old} is now {new}; the old name will be removed in the next version"
    warnings.warn(text, RenamedWarning, stacklevel=stacklevel + 1)


def renamed(**names: str) -> Callable[[T], T]:
    """Decorator: a function or class also takes old keywords.

    Parameters
    ----------
    **names : str
        Old keyword -> new one. A class (also a configuration or dataclass) accepts the old names as
        attributes and as keys of a YAML file, too.

    Examples
    --------
    >>> @renamed(turned="tta")
    ... def predict(image, *, tta=False):
    ...     return tta
    >>> with warnings.catch_warnings(record=True) as told:
    ...     warnings.simplefilter("always")
    ...     predict(None, turned=True)
    True
    >>> print(told[0].message)
    predict(turned=) is now predict(tta=); the old name will be removed in the next version
    """

    def decorate(target: T) -> T:
        if not isinstance(target, type):
            return cast("T", _taking(target, names))
        setattr(target, TABLE, {**table_of(target), **names})
        target.__init__ = _taking(target.__init__, names, target.__name__)  # type: ignore[misc]
        for old, new in names.items():
            setattr(target, old, _attribute(f"{target.__name__}.{old}", f"{target.__name__}.{new}", new))
        return target

    return decorate


def table_of(kind: Any) -> dict[str, str]:
    """Old and new names of a class's fields or arguments."""
    return dict(getattr(kind, TABLE, {}))


def under_new_names(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Rename keys, without a warning.

    Examples
    --------
    >>> under_new_names({"settle": False, "rays": 32}, {"settle": "refine_with_mask"})
    {'refine_with_mask': False, 'rays': 32}
    """
    return {names.get(key, key): value for key, value in values.items()}


def _taking(function: Any, names: Mapping[str, str], called: str = "") -> Any:
    """Wrap a function so that it also takes the old keywords."""
    called = called or function.__qualname__

    @wraps(function)
    def call(*args: Any, **given: Any) -> Any:
        for old in names.keys() & given.keys():
            new = names[old]
            if new in given:
                raise TypeError(f"{called}: got both {old} and its new name {new}; leave {old} out")
            warn(f"{called}({old}=)", f"{called}({new}=)")
        return function(*args, **under_new_names(given, names))

    return call


def _attribute(old: str, new: str, name: str) -> property:
    def get(self: Any) -> Any:
        warn(old, new)
        return getattr(self, name)

    return property(get, doc=f"Old name of `{name}`.")
