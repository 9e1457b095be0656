"""Checks of options that several commands share."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from histoscope.errors import ConfigError, DataError

if TYPE_CHECKING:
    from histoscope.data import Dataset


def refuse_given(context: typer.Context, *names: str, because: str) -> None:
    """Refuse options that have no effect in this call.

    Parameters
    ----------
    context : typer.Context
        That of the running command.
    *names : str
        Parameters of the command, such as ``"least_tissue"``.
    because : str
        Why they have no effect in this call; the message ends with it.

    Raises
    ------
    ConfigError
        If one of them was given, even with its default value.
    """
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"{option.opts[0]} {because}; leave it out")


def images_of(dataset: "Dataset", split: str, root: Path) -> "Dataset":
    """Images of a published part, however train, val and test are spelt; all of them if no part is named.

    Raises
    ------
    DataError
        If there is no such part.
    """
    from histoscope import data
    from histoscope.data.split import part_of
    from histoscope.types import Record

    named = [record.split for record in dataset.records]
    if split not in {"", *named} and (wanted := part_of(Record("", split=split))):
        named = [split if part_of(record) == wanted else record.split for record in dataset.records]
    chosen = [index for index, name in enumerate(named) if split in {"", name}]
    if not chosen:
        known = sorted({record.split for record in dataset.records})
        raise DataError(f"{root} has no part {split!r}; its index names {known}")
    return data.subset(dataset, chosen) if split else dataset
