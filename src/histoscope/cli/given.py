"""Options that have no meaning in a call are refused, not ignored."""

import typer

from histoscope.errors import ConfigError


def refuse_given(context: typer.Context, *names: str, because: str) -> None:
    """Refuse options of the running verb that were written on the command line.

    Parameters
    ----------
    context : typer.Context
        Of the running verb.
    *names : str
        Of the verb's parameters, such as ``"least_tissue"``.
    because : str
        Why they have no meaning in this call; it ends the message.

    Raises
    ------
    ConfigError
        If one of them was given, also with its default value.
    """
    for option in context.command.params:
        source = context.get_parameter_source(option.name or "")
        if option.name in names and source is not None and source.name == "COMMANDLINE":
            raise ConfigError(f"{option.opts[0]} {because}; leave it out")
