"""Tasks by name."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


def digest(*texts: str) -> str:
    """16 digits that represent some texts, suitable for a file name.

    Examples
    --------
    >>> digest("a/b"), digest("a", "b") == digest("ab")
    ('ed2449f884f9a47a', False)
    """
    text = json.dumps(texts, ensure_ascii=False)
    return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Task:
    """One piece of work, held by one worker at a time.

    Parameters
    ----------
    name : str
        Name of the work, such as its result folder; claims use it.
    asked : str
        Digest of everything that the result depends on. A result for another digest does not count.
    weight : float
        How long it takes, in any unit; the heaviest come first.
    what : str
        Data for the function that processes it, such as a path.
    after : str
        `row` of a task that must have a result first; "" if none.
    key, row : str
        File names of its claim and of its result, derived from name and digest.
    """

    name: str
    asked: str = ""
    weight: float = 0.0
    what: str = ""
    after: str = ""
    key: str = field(init=False, repr=False)
    row: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", digest(self.name))
        object.__setattr__(self, "row", f"{self.key}.{digest(self.asked)}.json")


def asked_of(settings: Mapping[str, Any]) -> str:
    """Settings on one line, independent of their order.

    Examples
    --------
    >>> asked_of({"b": 1, "a": None})
    '{"a": null, "b": 1}'
    """
    return json.dumps(settings, sort_keys=True, ensure_ascii=False)


def heaviest_first(tasks: "list[Task]") -> "list[Task]":
    """Sort tasks: the heaviest first, ties by name, so that no large one is left for the end.

    Examples
    --------
    >>> [task.name for task in heaviest_first([Task("a", weight=1), Task("c", weight=9)])]
    ['c', 'a']
    """
    return sorted(tasks, key=lambda task: (-task.weight, task.name))
