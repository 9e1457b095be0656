"""YAML with fewer implicit types: dates, on and off are text, duplicate keys are errors.

YAML 1.1 reads ``2024-11-05`` as a date, ``010`` as 8, ``off`` as false and ``1e-3`` as text. Here only
numbers, true, false and null are more than text, and they keep their source text, so that a name written
``005`` stays a name.
"""

import re
from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"
_KINDS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9][0-9_]*", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+0123456789."),
    ),
    "merge": (r"<<", ["<"]),
}


@dataclass(frozen=True, slots=True)
class Plain:
    """An unquoted number, Boolean or null, with its source text."""

    value: Any
    text: str


class PlainLoader(yaml.SafeLoader):
    """YAML loader that gives `Plain` scalars and refuses duplicate keys."""

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002  # the signature of YAML's own loader
    ) -> dict[Hashable, Any]:
        """Construct a mapping; a duplicate key is an error."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                if key.value in seen:
                    name = bare(self.construct_object(key))
                    raise yaml.MarkedYAMLError(problem=f"duplicate key {name!r}", problem_mark=key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)


PlainLoader.yaml_implicit_resolvers = {}
for _name, (_pattern, _first) in _KINDS.items():
    PlainLoader.add_implicit_resolver(f"{_TAG}{_name}", re.compile(f"^(?:{_pattern})$"), _first)


def _number(text: str) -> float:
    return float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))


def _add(name: str, value_of: Any) -> None:
    def construct(loader: PlainLoader, node: yaml.ScalarNode) -> Plain:
        text = str(loader.construct_scalar(node))
        return Plain(value_of(text), text)

    PlainLoader.add_constructor(f"{_TAG}{name}", construct)


_add("null", lambda text: None)
_add("bool", lambda text: text.lower() == "true")
_add("int", lambda text: int(text.replace("_", "")))
_add("float", _number)


def read(text: str) -> Any:
    """Parse a YAML document, with `Plain` for unquoted numbers, Booleans and nulls.

    Raises
    ------
    ValueError
        If it is not YAML, or a key occurs twice; the message is one line, with the line and column.

    Examples
    --------
    >>> read("{out: 2024-11-05, name: 010, rate: 1e-3}")
    {'out': '2024-11-05', 'name': Plain(value=10, text='010'), 'rate': Plain(value=0.001, text='1e-3')}
    """
    try:
        return yaml.load(text, PlainLoader)  # which is a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        what = str(getattr(error, "problem", None) or error)
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise ValueError(where + " ".join(what.split())) from error
    except RecursionError as error:
        raise ValueError("it refers to itself, or is nested too deeply") from error


def bare(value: Any) -> Any:
    """Replace `Plain` by its value, at every depth.

    Examples
    --------
    >>> bare(read("{classes: {1: on, 2: 3.5}}"))
    {'classes': {1: 'on', 2: 3.5}}
    """
    if isinstance(value, Plain):
        return value.value
    if isinstance(value, dict):
        return {bare(key): bare(each) for key, each in value.items()}
    if isinstance(value, list):
        return [bare(each) for each in value]
    return value
