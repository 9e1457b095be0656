"""The frozen base of configuration files: YAML in, typed objects out, unknown keys refused."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from histoscope.errors import ConfigError, UnknownNameError


class Config(BaseModel):
    """Base of every configuration object: frozen, typed, and deaf to no unknown key."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


C = TypeVar("C", bound=Config)


def load(kind: type[C], path: str | Path, overrides: Sequence[str] = ()) -> C:
    """Read a YAML file as `kind`.

    Parameters
    ----------
    kind : type
        The configuration class.
    path : str or Path
        The YAML file.
    overrides : sequence of str
        ``a.b=value`` lines that win over the file; values are read as YAML.

    Raises
    ------
    ConfigError
        If the file is missing, is not YAML, or has an unknown key or a wrong value; the message
        names the key.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"no configuration file at {path}; check the path")
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not readable YAML: {error}") from error
    if not isinstance(values, dict):
        raise ConfigError(f"{path} holds {type(values).__name__}, expected keys and values at the top")
    for line in overrides:
        _override(values, line)
    return parse(kind, values, where=str(path))


def parse(kind: type[C], values: dict[str, Any], *, where: str = "configuration") -> C:
    """Turn plain values into `kind`, with errors that a person can act on."""
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
    """Settings that differ, by their place in the file, with both values.

    Examples
    --------
    >>> class Train(Config):
    ...     steps: int = 300
    >>> differences(Train(), Train(steps=400))
    {'steps': (300, 400)}
    """
    before, after = (_flat(each.model_dump(mode="json")) for each in (old, new))
    return {
        key: (before.get(key), after.get(key))
        for key in {**before, **after}
        if before.get(key) != after.get(key)
    }


def _flat(values: dict[str, Any], above: str = "") -> dict[str, Any]:
    """Values by their whole place, such as ``train.steps``."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        found |= _flat(value, f"{above}{key}.") if isinstance(value, dict) and value else {above + key: value}
    return found


def _explain(kind: type[Config], item: Any) -> str:
    place = ".".join(str(part) for part in item["loc"])
    if item["type"] in {"extra_forbidden", "unexpected_keyword_argument"}:  # of a model, of a dataclass
        name, known = str(item["loc"][-1]), _fields(kind, item["loc"][:-1])
        return f"{place}: {UnknownNameError('key', name, known)}" if known else f"{place}: unknown key"
    if item["type"] == "missing":
        return f"{place}: missing, please set it"
    return f"{place}: {item['msg']} (got {item['input']!r})"


def _fields(kind: Any, loc: Sequence[Any]) -> list[str]:
    """Names of the keys that may stand at `loc`."""
    kinds = [kind]
    for part in loc:
        found = [field for each in kinds for name, field in _fields_of(each).items() if name == part]
        if found:  # else it is an index of a list or the chosen name of a union, and its types are in `kinds`
            kinds = [inner for annotation in found for inner in _sections(annotation)]
    return list(dict.fromkeys(name for each in kinds for name in _fields_of(each)))


def _fields_of(kind: Any) -> dict[str, Any]:
    if hasattr(kind, "model_fields"):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    return {name: field.type for name, field in getattr(kind, "__dataclass_fields__", {}).items()}


def _sections(annotation: Any) -> list[Any]:
    """Classes with keys of their own inside ``Jitter | None``, ``list[Jitter]`` or ``Annotated[...]``."""
    if isinstance(annotation, type) and _fields_of(annotation):
        return [annotation]
    return [inner for argument in get_args(annotation) for inner in _sections(argument)]


def _override(values: dict[str, Any], line: str) -> None:
    key, sign, text = line.partition("=")
    parts = [part.strip() for part in key.split(".")]
    if not sign or not all(parts):
        raise ConfigError(f"--set {line!r}: expected key=value, such as train.lr=1e-3")
    *parents, last = parts
    for parent in parents:
        if values.get(parent) is None:  # absent, or a section left empty
            values[parent] = {}
        values = values[parent]
        if not isinstance(values, dict):
            raise ConfigError(f"--set {line!r}: {parent} is a value, not a section")
    try:
        values[last] = _scalar(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"--set {line!r}: {text!r} is not readable YAML: {error}") from error


def _scalar(text: str) -> Any:
    value = yaml.safe_load(text)
    if isinstance(value, str) and any(character.isdigit() for character in value):
        with suppress(ValueError):  # YAML 1.1 reads 1e-3 as text
            return float(value)
    return value
