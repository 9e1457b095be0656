"""Configurations with comments, from the docstrings of their classes."""

import dataclasses
import inspect
import re
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

import yaml

WIDTH = 100


def described(kind: type) -> dict[str, str]:
    """Description of each setting, from the docstrings of a class and its bases, without markup.

    Examples
    --------
    >>> class Train:
    ...     '''How to train.
    ...
    ...     Parameters
    ...     ----------
    ...     steps, looks : int
    ...         Batches, and looks at
    ...         ``val``.
    ...     '''
    >>> described(Train)
    {'steps': 'Batches, and looks at val.', 'looks': 'Batches, and looks at val.'}
    """
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        found |= _described(vars(each).get("__doc__") or "")
    return found


def _described(docstring: str) -> dict[str, str]:
    found: dict[str, str] = {}
    names: list[str] = []
    _, _, section = inspect.cleandoc(docstring).partition("Parameters\n----------\n")
    for line in section.split("\n"):
        if line.startswith("---"):
            break  # the next section
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.partition(" : ")[0].split(",")]
        for name in names if line.startswith(" ") else ():
            found[name] = f"{found.get(name, '')} {_plain(line.strip())}".strip()
    return found


def fields_of(kind: Any) -> dict[str, Any]:
    """Fields of a configuration class and their types."""
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {field.name: field.type for field in dataclasses.fields(kind)}


def sections_of(kind: Any) -> list[type]:
    """Configuration class and the classes of its sections, each once, in order."""
    found = [kind]
    for annotation in fields_of(kind).values():
        found += [inner for section in _classes(annotation) for inner in sections_of(section)]
    return list(dict.fromkeys(found))


def example(settings: Any) -> str:
    """Write settings as YAML, each key under its description as a comment.

    Parameters
    ----------
    settings : Config or dataclass
        Its sections may be either, too.
    """
    return "\n".join(_lines(settings)) + "\n"


def _lines(settings: Any, indent: str = "") -> Iterator[str]:
    words = described(type(settings))
    for name in fields_of(type(settings)):
        value = getattr(settings, name)
        if words.get(name):
            yield from textwrap.wrap(
                words[name], WIDTH, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
            )
        if hasattr(type(value), "model_fields") or dataclasses.is_dataclass(value):
            yield f"{indent}{name}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{name}: {flow(value)}"


def flow(value: Any) -> str:
    """Write a value as YAML on one line."""
    simple = list(value) if isinstance(value, tuple) else value
    simple = simple if isinstance(simple, (int, float, bool, list, dict, type(None))) else str(simple)
    text = yaml.safe_dump({"k": simple}, default_flow_style=True, width=10_000, sort_keys=False)
    return text.strip()[len("{k: ") : -1]


def _classes(annotation: Any) -> list[type]:
    """Configuration classes inside ``Jitter | None`` or ``tuple[Jitter, ...]``."""
    if isinstance(annotation, type) and (
        hasattr(annotation, "model_fields") or dataclasses.is_dataclass(annotation)
    ):
        return [annotation]
    return [inner for argument in get_args(annotation) for inner in _classes(argument)]


def _plain(text: str) -> str:
    return re.sub(r"\s*\[\d+\]_", "", text).replace("`", "")
