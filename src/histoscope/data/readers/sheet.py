"""The datasheet of a folder: ``dataset.yaml``, and ``classes.json`` for class names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histoscope import plain
from histoscope.class_names import names_of_nuclei, names_of_patches, unique_keys
from histoscope.data.base import Datasheet
from histoscope.data.readers.index import read_text
from histoscope.errors import CorruptDataError, DataError, FormatVersionError

FORMAT = 1
_TEXTS = {"name", "title", "url", "licence", "citation"}
_SHEET_KEYS = {*_TEXTS, "format", "mpp", "classes", "counts"}


def read_sheet(root: Path, *, of_patches: bool = False) -> Datasheet:
    """Read ``dataset.yaml`` and, for class names, ``classes.json``; defaults if there is none.

    Classes are of nuclei, from 1, or of whole patches, by label from 0.

    Raises
    ------
    FormatVersionError, CorruptDataError, DataError
        If a newer Histoscope wrote it, it cannot be read, or the two files number the same class differently.
    """
    values = _read_yaml(root / "dataset.yaml")
    version = values.pop("format", FORMAT)
    if version != FORMAT:
        raise FormatVersionError(
            f"{root / 'dataset.yaml'} has format {version}, but this Histoscope reads {FORMAT}; update "
            "Histoscope"
        )
    classes = _class_names(root, values.get("classes"), of_patches=of_patches)
    try:
        mpp = float(values.get("mpp") or 0)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"{root / 'dataset.yaml'}: {error}; expected mpp as a number, such as 0.25"
        ) from error
    return Datasheet(
        name=str(values.get("name") or root.resolve().name),
        title=str(values.get("title") or ""),
        url=str(values.get("url") or ""),
        licence=str(values.get("licence") or ""),
        citation=str(values.get("citation") or ""),
        classes=classes,
        mpp=mpp,
    )


def _class_names(root: Path, in_sheet: Any, *, of_patches: bool) -> dict[int, str]:
    names_of = names_of_patches if of_patches else names_of_nuclei
    sources = {root / "dataset.yaml": in_sheet, root / "classes.json": _read_json(root / "classes.json")}
    named = {path: names_of(given, path) for path, given in sources.items() if given}
    if len(named) == 2:
        first, second = ({name: number for number, name in names.items()} for names in named.values())
        for name in sorted(set(first) & set(second)):
            if first[name] != second[name]:
                raise DataError(
                    f"{root}: {name!r} is class {first[name]} in dataset.yaml, but class {second[name]} "
                    "in classes.json; keep the right file"
                )
    return next(iter(named.values()), {})


def _read_yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        read = plain.read(read_text(path))
    except ValueError as error:
        raise CorruptDataError(f"{path} is not readable YAML: {error}") from error
    values = {} if plain.bare(read) is None else _as_written(read)
    if not isinstance(values, dict):
        raise DataError(f"{path} holds {type(values).__name__}, expected keys and values")
    unknown = set(values) - _SHEET_KEYS
    if unknown:
        raise DataError(
            f"{path}: unknown key {sorted(map(str, unknown))[0]!r}; known: {', '.join(sorted(_SHEET_KEYS))}"
        )
    return values


def _as_written(value: Any, key: Any = None) -> Any:
    """Numbers as numbers, but texts literally, also on, no and true, which are names here."""
    if isinstance(value, dict):
        return {plain.bare(inner): _as_written(each, plain.bare(inner)) for inner, each in value.items()}
    if isinstance(value, plain.Plain):
        as_text = value.value is not None and (isinstance(value.value, bool) or key in _TEXTS)
        return value.text if as_text else value.value
    return value


def _read_json(path: Path) -> Mapping[str, str]:
    if not path.is_file():
        return {}
    try:
        values = json.loads(read_text(path), object_pairs_hook=unique_keys)
    except ValueError as error:
        raise CorruptDataError(f"{path} is not readable JSON: {error}") from error
    if not isinstance(values, dict):
        raise DataError(f'{path} holds {type(values).__name__}, expected {{"1": "name of class 1", ...}}')
    return values
