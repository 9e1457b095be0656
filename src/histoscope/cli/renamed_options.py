"""Renamed options: old names work, hidden and with a warning."""

from collections.abc import Mapping
from typing import Any

from typer.core import TyperCommand

from histoscope.renamed import warn


def taking(names: Mapping[str, str]) -> type[TyperCommand]:
    """Command class that also takes old options.

    Parameters
    ----------
    names : mapping of str to str
        Old option -> new one, such as ``{"--turned": "--tta"}``.
    """

    class Verb(TyperCommand):
        def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
            for place, word in enumerate(args):
                if word == "--":
                    break
                option, sign, value = word.partition("=")
                if option in names:
                    warn(option, names[option])
                    args[place] = names[option] + sign + value
            return super().parse_args(ctx, args)

    return Verb
