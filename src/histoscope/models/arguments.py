"""Renamed arguments of models."""

from collections.abc import Mapping
from typing import Any

from histoscope.errors import ConfigError
from histoscope.renamed import under_new_names, warn

RENAMED = {"stardist": {"settle": "refine_with_mask"}}
"""Renamed arguments: model -> old -> new."""


def new_arguments(name: str, arguments: Mapping[str, Any], *, quiet: bool = False) -> dict[str, Any]:
    """Arguments of a model under their names of today, with a warning for old ones unless `quiet`."""
    names = RENAMED.get(name, {})
    for old in names.keys() & arguments.keys():
        if names[old] in arguments:
            raise ConfigError(f"model {name!r} got both {old} and {names[old]}, which is its new name")
        if not quiet:
            warn(f"{old} of model {name!r}", names[old], stacklevel=3)
    return under_new_names(arguments, names)
