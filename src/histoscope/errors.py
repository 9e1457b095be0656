"""The errors that Histoscope raises on purpose.

::

    HistoscopeError
    ├── ConfigError (ValueError)              a setting is wrong
    ├── DataError (ValueError)                a data set or a file in it is wrong
    │   ├── DatasetNotFoundError (FileNotFoundError)
    │   └── CorruptDataError                  a file cannot be decoded
    │       └── IncompleteError               a part of the file is missing
    ├── LeakError (ValueError)                the same patient or image on both sides of a split
    ├── ShapeError (ValueError)               an array of the wrong shape or type
    ├── StainError (ValueError)               no stains can be estimated where they are needed
    ├── FormatVersionError (ValueError)       written by another version of Histoscope
    ├── TrainingError (RuntimeError)          training diverged or cannot continue
    ├── UnknownNameError (KeyError)           an unknown name
    └── MissingDependencyError (ImportError)  an optional part is not installed

Every message says what was given, what was expected and what to do. The command line prints only the message
and exits with 2; the traceback is for programmers.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class HistoscopeError(Exception):
    """Base of every error raised on purpose."""


class ConfigError(HistoscopeError, ValueError):
    """A setting has a wrong name, type or value."""


class DataError(HistoscopeError, ValueError):
    """A data set, or a file in it, is not what its format says."""


class DatasetNotFoundError(DataError, FileNotFoundError):
    """A data set's folder or one of its files is missing."""


class CorruptDataError(DataError):
    """A file is there but cannot be decoded."""


class IncompleteError(CorruptDataError):
    """Part of a file is missing: no other reader could read it either."""


class LeakError(HistoscopeError, ValueError):
    """The same patient, source or image is on both sides of a split."""


class ShapeError(HistoscopeError, ValueError):
    """An array has the wrong shape, type or range."""


class StainError(HistoscopeError, ValueError):
    """Stains cannot be estimated from what was given."""


class FormatVersionError(HistoscopeError, ValueError):
    """A file was written by another, incompatible version."""


class TrainingError(HistoscopeError, RuntimeError):
    """Training diverged or cannot continue."""


class UnknownNameError(HistoscopeError, KeyError):
    """An unknown name; the message suggests the nearest known one.

    Parameters
    ----------
    kind : str
        What was looked for, in the user's words: "normaliser", "model".
    name : str
        The name that was given.
    known : iterable of str
        The names that exist.

    Examples
    --------
    >>> print(UnknownNameError("normaliser", "mackenko", ["macenko", "reinhard"]))
    unknown normaliser 'mackenko': did you mean 'macenko'? Known: macenko, reinhard
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(str(name).lower(), names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}? " if near else ""
        self.message = f"unknown {kind} {name!r}: {hint}Known: {', '.join(names) or 'none'}"
        super().__init__(self.message)

    def __str__(self) -> str:
        # KeyError would print the repr of the message
        return self.message


class MissingDependencyError(HistoscopeError, ImportError):
    """An optional part of Histoscope is not installed; the message gives the pip line."""
