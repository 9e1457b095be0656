"""Counts, lists and times as people write them."""

from collections.abc import Sequence


def count(n: int, noun: str) -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> count(1, "patient"), count(3729, "patch"), count(2, "nucleus")
    ('1 patient', '3,729 patches', '2 nuclei')
    """
    if n == 1:
        return f"1 {noun}"
    if noun.endswith("nucleus"):
        return f"{n:,} {noun[:-2]}i"
    return f"{n:,} {noun}{'es' if noun.endswith(('ch', 'sh', 's', 'x')) else 's'}"


def listed(words: Sequence[str], last: str = "and") -> str:
    """Join words with commas, and `last` before the last one.

    Examples
    --------
    >>> listed(["train", "val", "test"])
    'train, val and test'
    """
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}" if words else ""


def duration(seconds: float) -> str:
    """Write seconds as people say them.

    Examples
    --------
    >>> duration(42), duration(1500), duration(9000)
    ('42 s', '25 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
