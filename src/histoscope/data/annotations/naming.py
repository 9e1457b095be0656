"""Numbers for the classes in annotations."""

from collections import Counter
from collections.abc import Iterable, Sequence

from histoscope.errors import DataError
from histoscope.types import class_key
from histoscope.words import listed

_OURS = "nucleus"
"""How our exports spell nuclei without a class; QuPath users have classes Nucleus and Cell."""
_NO_CLASS = frozenset(("", "unclassified", "unknown", "none", "no class"))
_MOST = 255


def numbered_classes(
    names: Iterable[str], chosen: Sequence[str] | None = None
) -> tuple[dict[int, str], dict[str, int]]:
    """Number classes from 1.

    Parameters
    ----------
    names : iterable of str
        Class of each nucleus.
    chosen : sequence of str, optional
        Classes in order; others get 0, unknown. By default all that occur, in alphabetical order; capitals
        and spaces do not matter, and of several spellings the most common is kept.

    Returns
    -------
    classes : dict of int to str
    numbers : dict of str to int
        By `histoscope.types.class_key`; missing names are 0.

    Raises
    ------
    DataError
        If a chosen class does not occur or is given twice, or there are more than 255.

    Examples
    --------
    >>> numbered_classes(["Tumor", "stroma", "tumor", "Tumor", ""])
    ({1: 'stroma', 2: 'Tumor'}, {'stroma': 1, 'tumor': 2})
    """
    spellings: dict[str, Counter[str]] = {}
    for name, n in Counter(names).items():
        if chosen is None and name == _OURS:
            continue
        spellings.setdefault(class_key(name), Counter())[name] += n
    if chosen is None:
        keys = sorted(key for key in spellings if key not in _NO_CLASS)
        words = [spellings[key].most_common(1)[0][0] for key in keys]
    else:
        words, keys = list(chosen), [class_key(name) for name in chosen]
        for name, key in zip(words, keys, strict=True):
            if key not in spellings:
                known = sorted(each.most_common(1)[0][0] for key, each in spellings.items() if key)
                there = listed([*known, *["nuclei without a class"] * ("" in spellings)])
                raise DataError(f"no nucleus has the class {name!r}; there are {there}")
        if len(set(keys)) < len(keys):
            raise DataError(f"a class is given twice in {','.join(words)}; name each once")
    if len(keys) > _MOST:
        raise DataError(
            f"{len(keys)} classes, expected at most {_MOST}; choose some with --classes (are they names of "
            "single objects?)"
        )
    return dict(enumerate(words, 1)), {key: k for k, key in enumerate(keys, 1)}
