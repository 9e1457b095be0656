"""Configuration files: YAML to frozen, typed objects; unknown keys are errors."""

from collections.abc import Callable, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from histoscope import plain
from histoscope.errors import ConfigError, UnknownNameError
from histoscope.renamed import table_of, under_new_names, warn


class Config(BaseModel):
    """Base of every configuration object: frozen and typed; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _take_old_keys(cls, values: Any) -> Any:
        return new_keys(values, [cls], rename=_under_new_names)


C = TypeVar("C", bound=Config)
Rename: TypeAlias = Callable[[dict[Any, Any], Sequence[Any]], dict[Any, Any]]


def load(kind: type[C], path: str | Path, overrides: Sequence[str] = ()) -> C:
    """Read a YAML file as `kind`.

    Parameters
    ----------
    kind : type
        The configuration class.
    path : str or Path
        The YAML file.
    overrides : sequence of str
        ``a.b=value`` lines that override the file; values are read as YAML, or literally where text is
        expected.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or has an unknown key or a wrong value; the message
        names the key.

    Warns
    -----
    RenamedWarning
        For each key under an old name, which works for one more version.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no configuration file at {path}; check the path")
    try:
        written = plain.read(path.read_text(encoding="utf-8-sig"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML: {error}") from error
    values = typed(written, [kind])
    values = {} if values is None else values
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, expected keys and values at the top level")
    return parse(kind, overridden(kind, values, overrides), where=str(path))


def overridden(kind: type[Config], values: dict[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply ``a.b=value`` overrides to plain values of `kind`, in place; nothing is validated.

    Raises
    ------
    ConfigError
        If a line does not have that form.

    Examples
    --------
    >>> class Train(Config):
    ...     steps: int = 300
    >>> overridden(Train, {}, ["steps=5"])
    {'steps': 5}
    """
    for line in overrides:
        _override(values, line, kind)
    return values


def parse(kind: type[C], values: dict[str, Any], *, where: str = "configuration") -> C:
    """Validate plain values as `kind`; errors name the key and the fix."""
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"{where}: " + "; ".join(_explain(kind, item) for item in error.errors())
        ) from error


def dump(config: Config) -> str:
    """Write a configuration as YAML, in the order of its fields."""
    return str(yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False))


def differences(old: Config, new: Config) -> dict[str, tuple[Any, Any]]:
    """Settings that differ, by dotted key, with both values.

    Examples
    --------
    >>> class Train(Config):
    ...     steps: int = 300
    >>> differences(Train(), Train(steps=400))
    {'steps': (300, 400)}
    """
    before, after = (flat(each.model_dump(mode="json")) for each in (old, new))
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }


def flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Nested values by dotted key, such as ``train.steps``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {above + key: value}
    return found


def _explain(kind: type[Config], item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:  # of a model, of a dataclass
        name, known = str(item["loc"][-1]), _keys_at(kind, item["loc"][:-1])
        return f"{place}: {UnknownNameError('key', name, known)}" if known else f"{place}: unknown key"
    if item["type"] == "missing":
        return f"{place}: missing; set it"
    if item["type"] == "value_error":  # in our own words, with the value that was given
        told = str(item["ctx"]["error"])
        return told if told.startswith(place) else f"{place}: {told}"
    return f"{place}: {item['msg']} (got {item['input']!r})"


def _override(values: dict[str, Any], line: str, kind: type[Config]) -> None:
    key, sign, text = line.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not sign or not all(parts):
        raise ConfigError(f"--set {line!r}: expected key=value, such as train.lr=1e-3")
    *parents, last = parts = _new_place(parts, kind)
    for parent in parents:
        if values.get(parent) is None:  # absent, or a section left empty
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise ConfigError(f"--set {line!r}: {parent} is a value, not a section")
    text, options = text.strip(), _at(kind, parts)
    try:
        written = plain.read(text)
    except ValueError as error:
        if not _is_text(options):
            raise ConfigError(f"--set {line!r}: {text!r} is not readable YAML: {error}") from error
        written = text
    is_null = isinstance(written, plain.Plain) and written.value is None
    if _is_text(options) and text[:1] not in {"'", '"'} and not is_null:
        written = text  # literally, whatever it means in YAML
    values[last] = typed(written, options)


# From here on: types that are allowed at a key (`options`), from the annotations of the classes.


def typed(value: Any, options: Sequence[Any]) -> Any:
    """Resolve scalars by the expected types: text where text is expected, literally.

    Parameters
    ----------
    value : object
        From `histoscope.plain.read`.
    options : sequence of types
        Types that are allowed here, such as ``[Experiment]``.
    """
    if isinstance(value, dict):
        value = _under_new_names(value, options)
        return {_key(key, options): typed(each, _inside(options, key)) for key, each in value.items()}
    if isinstance(value, list):
        return [typed(each, _inside(options, None)) for each in value]
    if isinstance(value, plain.Plain):
        if value.value is None and (NoneType in options or str not in options):
            return None
        value = value.text if _is_text(options) else value.value
    if isinstance(value, str) and value.startswith("~") and Path in options and str not in options:
        return str(Path(value).expanduser())
    return value


def new_keys(values: Any, options: Sequence[Any], *, rename: Rename | None = None) -> Any:
    """Rename old keys, such as those of an older file; by default without a warning."""
    rename = rename or (lambda section, options: under_new_names(section, _renamed(options)))
    if isinstance(values, dict):
        values = rename(values, options)
        return {key: new_keys(each, _inside(options, key), rename=rename) for key, each in values.items()}
    if isinstance(values, list | tuple):
        return [new_keys(each, _inside(options, None), rename=rename) for each in values]
    return values


def _renamed(options: Sequence[Any]) -> dict[str, str]:
    """Old and new keys of these types."""
    return {old: new for option in options for old, new in table_of(option).items()}


def _under_new_names(values: dict[Any, Any], options: Sequence[Any]) -> dict[Any, Any]:
    """Rename the old keys of a section, with a warning for each."""
    names = _renamed(options)
    for old in names.keys() & values.keys():
        if names[old] in values:
            raise ConfigError(f"got both {old} and its new name {names[old]}; leave {old} out")
        warn(old, names[old])
    return under_new_names(values, names)


def _new_place(parts: Sequence[str], kind: Any) -> list[str]:
    """Rename the old keys of a dotted key, with a warning for each."""
    found: list[str] = []
    for part in parts:
        found += _under_new_names({part: None}, _at(kind, found))
    return found


def _key(key: Any, options: Sequence[Any]) -> Any:
    if not isinstance(key, plain.Plain):
        return key
    kinds = [_options(get_args(option)[0]) for option in options if get_origin(option) is dict]
    return key.text if not kinds or any(map(_is_text, kinds)) else key.value


def _is_text(options: Sequence[Any]) -> bool:
    """Whether only text, or null, is expected."""
    kinds = [option for option in options if option is not NoneType]
    return bool(kinds) and all(
        option in {str, Path}
        or (get_origin(option) is Literal and all(isinstance(word, str) for word in get_args(option)))
        for option in kinds
    )


def _at(kind: Any, place: Sequence[Any]) -> list[Any]:
    """Types that are allowed at a dotted key."""
    options = [kind]
    for part in place:
        options = _inside(options, part)
    return options


def _inside(options: Sequence[Any], part: Any) -> list[Any]:
    """Types that are allowed in one of `options`, under a key or in a list."""
    part = part.text if isinstance(part, plain.Plain) else part
    found = []
    for option in options:
        if part in _fields_of(option):
            found += _options(_fields_of(option)[part])
        elif get_origin(option) is dict:
            found += _options(get_args(option)[1])
        elif get_origin(option) in {list, tuple}:
            inner = [argument for argument in get_args(option) if argument is not ...]
            found += [each for argument in inner for each in _options(argument)]
        elif isinstance(option, type) and option.__name__ == part:
            found.append(option)  # the chosen one of a union
    return found


def _options(annotation: Any) -> list[Any]:
    """Types in ``Jitter | None`` or ``Annotated[...]``."""
    if get_origin(annotation) in {Union, UnionType}:
        return [option for each in get_args(annotation) for option in _options(each)]
    return _options(get_args(annotation)[0]) if get_origin(annotation) is Annotated else [annotation]


def _keys_at(kind: Any, place: Sequence[Any]) -> list[str]:
    """Keys that are allowed at a dotted key."""
    return list(dict.fromkeys(name for option in _at(kind, place) for name in _fields_of(option)))


def _fields_of(kind: Any) -> dict[Any, Any]:
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {name: field.type for name, field in getattr(kind, "__dataclass_fields__", {}).items()}
