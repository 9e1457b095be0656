"""Lazy names of a package: their modules are imported at first use."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from histoscope.renamed import warn


def attach(
    package: str, names: Mapping[str, str], moved: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package : str
        Its ``__name__``; ``dir`` shows its ``__all__``.
    names : mapping of str to str
        Lazy name -> the module that defines it, without the package's name if it is in the package. For a
        module itself, the value is empty.
    moved : mapping of str to str, optional
        Old name -> where it is now, ``module:name``. It works for one more version, with a warning.

    Returns
    -------
    (callable, callable)
        To be called ``__getattr__`` and ``__dir__``.
    """

    def get(name: str) -> Any:
        if name in names:
            module = names[name] or name
            found = import_module(module if module.startswith("histoscope.") else f"{package}.{module}")
            return getattr(found, name) if names[name] else found
        if moved and name in moved:
            module, _, attribute = moved[name].partition(":")
            warn(f"{package}.{name}", f"{module}.{attribute}")
            return getattr(import_module(module), attribute)
        offered = ", ".join(sys.modules[package].__all__)
        raise AttributeError(f"module {package!r} has no attribute {name!r}; it has {offered}")

    return get, lambda: list(sys.modules[package].__all__)
