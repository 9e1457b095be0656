"""Class names by class number, from a datasheet."""

import unicodedata
from collections.abc import Hashable, Iterable, Mapping
from typing import Any

from histoscope.errors import DataError
from histoscope.types import class_key

UNSURE = "unsure"
"""Name for nuclei whose class a model is not sure enough of; see `histoscope.models.ClassRule`."""
_BACKGROUND = frozenset(("background", "bg", "backgr", "back", "hintergrund", "fond", "fondo"))
_NO_CLASS = _BACKGROUND | frozenset(
    (
        *("unknown", "unlabelled", "unlabeled", "unclassified", "undefined", "none", "null", "nothing"),
        *("void", "ignore", "empty", "no class", "no label", "nolabel", "nolabe", "no nucleus", ""),
    )
)
_MAX_CLASS = 255


def names_of_nuclei(given: Any, where: object) -> dict[int, str]:
    """Read the names of classes of nuclei; number 0 is background and gets no name.

    Parameters
    ----------
    given : mapping
        Names by number, as in a YAML or JSON file; numbers may be text.
    where : object
        The file, for messages.

    Returns
    -------
    dict of int to str
        By number, from 1.

    Raises
    ------
    DataError
        If a number is not one from 0 to 255, a name is empty or occurs twice (ignoring case), 0 is a class,
        or background is not 0.

    Examples
    --------
    >>> names_of_nuclei({"2": "stroma", "0": "background", "1": "tumour"}, "classes.json")
    {1: 'tumour', 2: 'stroma'}
    """
    names = _numbered(given, where)
    zero = names.pop(0, "")
    if _plain(zero) not in _NO_CLASS:
        raise DataError(
            f"{where}: class 0 is called {zero!r}, but 0 is background in label and class maps; "
            "number the classes from 1, in the class maps as well"
        )
    for number, name in names.items():
        if _plain(name) in _BACKGROUND:
            raise DataError(
                f"{where}: class {number} is called {name!r}, but background is 0 in label and class "
                f"maps; write 0 in place of {number} in the class maps, and remove the line"
            )
    return _checked(names, where)


def names_of_patches(given: Any, where: object) -> dict[int, str]:
    """Read the names of classes of whole patches, by label from 0; otherwise as `names_of_nuclei`."""
    return _checked(_numbered(given, where), where)


def names_in_order(classes: Mapping[int, str], *, first: int = 1) -> tuple[str, ...]:
    """Give the names of all classes from `first` on; a number without a name is called ``class 3``.

    The position of a name is its number (minus `first`), even if numbers are missing. Numbers below `first`,
    such as the background in a table of nuclei, are left out.

    Examples
    --------
    >>> names_in_order({0: "background", 1: "tumour", 3: "stroma"})
    ('tumour', 'class 2', 'stroma')
    """
    return tuple(classes.get(k, f"class {k}") for k in range(first, max(classes, default=first - 1) + 1))


def unique_keys(pairs: Iterable[tuple[Hashable, Any]]) -> dict[Hashable, Any]:
    """Dictionary of pairs; duplicate keys are errors.

    Raises
    ------
    ValueError
        If a key occurs twice: the first value would be lost.
    """
    found: dict[Hashable, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"duplicate key {key!r}")
        found[key] = value
    return found


def _numbered(given: Any, where: object) -> dict[int, str]:
    """Names by number, in order; names are not checked yet."""
    if not isinstance(given, Mapping):
        raise DataError(
            f"{where}: classes are {type(given).__name__}, expected numbers and names, such as "
            "classes: {1: tumour, 2: stroma}"
        )
    names: dict[int, str] = {}
    for key, name in given.items():
        number = _number(key, name, where)
        if number in names:
            raise DataError(f"{where}: class {number} is given twice; keep one line per class")
        if not isinstance(name, str | int | None) or isinstance(name, bool):
            raise DataError(
                f"{where}: the name of class {number} is {name!r}, expected a word; put it in quotes"
            )
        names[number] = "" if name is None else unicodedata.normalize("NFC", str(name)).strip()
    return dict(sorted(names.items()))


def _number(key: Any, name: Any, where: object) -> int:
    text = str(key).strip()
    if isinstance(key, bool) or not (text.isascii() and text.isdecimal()):
        swapped = isinstance(name, int) and not isinstance(name, bool)
        hint = f"; number and name seem to be swapped: write {name}: {text}" if swapped else ""
        raise DataError(f"{where}: {text!r} is not a class number; expected classes as 1: name{hint}")
    if int(text) > _MAX_CLASS:
        raise DataError(f"{where}: class {text}, expected numbers from 0 to {_MAX_CLASS}")
    return int(text)


def _checked(names: dict[int, str], where: object) -> dict[int, str]:
    seen: dict[str, int] = {}
    for number, name in names.items():
        if not name:
            raise DataError(f"{where}: class {number} has no name; write one, such as {number}: tumour")
        same = seen.setdefault(class_key(name), number)
        if same != number:
            raise DataError(
                f"{where}: classes {same} and {number} are called {names[same]!r} and {name!r}; names must "
                "differ by more than upper and lower case"
            )
    return names


def _plain(name: str) -> str:
    return class_key(name.replace("_", " ").replace("-", " "))
