"""Plug-ins, by the name of an installed entry point or by ``package.module:Name``.

A package offers a model, say, in its own ``pyproject.toml``; it is imported when its name is asked for::

    [project.entry-points."histoscope.models"]
    hovernet = "hovernet_lab.network:HoVerNet"

Histoscope's own names win. Only the user may name code to import: a name in a file, such as a model's card,
is not enough, see `is_trusted`.
"""

import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from histoscope.errors import ConfigError, UnknownNameError

_asked: set[str] = set()
"""Each ``package.module:Name`` that was asked for in this process."""


def find(kind: str, name: str, ours: Mapping[str, Any], group: str) -> Any:
    """Look up a name: built in, an installed plug-in, or ``package.module:Name``.

    Parameters
    ----------
    kind : str
        What is looked up, as messages call it: "model".
    name : str
    ours : mapping
        Built-in names and their objects.
    group : str
        Group of entry points, such as ``histoscope.models``.

    Returns
    -------
    object
        The object of that name; the caller checks whether it is usable.

    Raises
    ------
    UnknownNameError
        If nothing has that name; the message lists what exists, plug-ins too.
    ConfigError
        If a plug-in or ``package.module:Name`` cannot be imported; the message gives the reason.

    Examples
    --------
    >>> find("model", "unet", {"unet": 1}, "histoscope.models")
    1
    >>> find("number", "math:pi", {}, "histoscope.numbers")
    3.141592653589793
    """
    found = _installed(group).get(name, ())
    _tell_clash(kind, name, found, is_ours=name in ours)
    if name in ours:
        return ours[name]
    if found:
        return _loaded(kind, name, found[0])
    if not isinstance(name, str) or ":" not in name:
        raise UnknownNameError(kind, name, names(ours, group))
    return _by_path(kind, name)


def names(ours: Iterable[str], group: str) -> list[str]:
    """Built-in names and those of installed plug-ins. Nothing is imported."""
    return sorted({*ours, *_installed(group)})


def offers(group: str) -> dict[str, str]:
    """Installed plug-ins by name: ``package.module:Name of PACKAGE``. Nothing is imported."""
    return {name: f"{found[0].value} of {_package(found[0])}" for name, found in _installed(group).items()}


def name_of(what: Any, group: str) -> str:
    """Name under which `find` finds a class or function: its entry point's, or ``package.module:Name``."""
    path = f"{what.__module__}:{what.__qualname__}"
    offered = (name for name, found in _installed(group).items() if found[0].value == path)
    return next(offered, path)


def trust(name: str) -> None:
    """Import ``package.module:Name``; from then on, files may name it too.

    Raises
    ------
    ConfigError
        If it is not such a name, or cannot be imported.
    """
    if ":" not in name:
        raise ConfigError(f"got {name!r}, expected package.module:Name, such as my_lab:Net")
    _by_path("plug-in", name)


def is_trusted(name: str, ours: Iterable[str], group: str) -> bool:
    """Whether a name in a file may be imported: built in, installed, or named by the user before."""
    installed = _installed(group)
    paths = {entry.value for found in installed.values() for entry in found}
    return name in ours or name in installed or name in paths or name in _asked


@cache
def _installed(group: str) -> dict[str, list[EntryPoint]]:
    """Entry points of a group by name."""
    found: dict[str, list[EntryPoint]] = {}
    for entry in sorted(entry_points(group=group), key=lambda entry: (_package(entry), entry.value)):
        same = found.setdefault(entry.name, [])
        if entry not in same:  # a package found twice on the path counts once
            same.append(entry)
    return found


def _package(entry: EntryPoint) -> str:
    return entry.value.partition(":")[0] if entry.dist is None else entry.dist.name


def _tell_clash(kind: str, name: str, found: Sequence[EntryPoint], *, is_ours: bool) -> None:
    """Warn which of several plug-ins with one name is used."""
    others = found if is_ours else found[1:]
    if others:
        taken = "Histoscope's own" if is_ours else f"that of {_package(found[0])}"
        left = ", ".join(f"{entry.value} of {_package(entry)}" for entry in others)
        warnings.warn(
            f"{kind} {name!r}: {taken} is used, not {left}, which has the same name; to use that one, "
            "write package.module:Name",
            stacklevel=4,
        )


def _loaded(kind: str, name: str, entry: EntryPoint) -> Any:
    try:
        return entry.load()
    except Exception as error:  # third-party modules may raise anything on import
        raise ConfigError(
            f"{kind} {name!r} of the plug-in {_package(entry)} ({entry.value}) cannot be imported: "
            f"{_reason(error)}; repair or uninstall that package"
        ) from error


def _by_path(kind: str, name: str) -> Any:
    """Import ``package.module:Name``, also from the working folder."""
    module, _, attributes = name.partition(":")
    here = str(Path.cwd())
    if here not in sys.path and "" not in sys.path:
        sys.path.append(here)
    try:
        found: Any = import_module(module)
        for attribute in attributes.split("."):
            found = getattr(found, attribute)
    except Exception as error:
        raise ConfigError(
            f"{kind} {name!r} cannot be imported: {_reason(error)}; expected package.module:Name, in an "
            "installed package or in the working folder"
        ) from error
    _asked.add(name)
    return found


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
