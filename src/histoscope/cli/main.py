"""The ``histoscope`` command: gathers the verbs, and turns errors into one clear line and an exit code.

Exit codes: 0 done; 1 done in part (some inputs failed; see the summary); 2 wrong input; 130 interrupted.
"""

import errno
import sys
from typing import Annotated

import typer

import histoscope
from histoscope.errors import HistoscopeError

app = typer.Typer(
    name="histoscope",
    help="Deep learning for H&E histopathology: which remedy helps, by how much, and is that real?",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


def _version(value: bool) -> None:
    if value:
        typer.echo(f"histoscope {histoscope.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Run the command line; the entry point of the installed ``histoscope`` script."""
    try:
        app()
    except HistoscopeError as error:
        sys.exit(_say(f"error: {error}", code=2))
    except KeyboardInterrupt:
        sys.exit(
            _say("interrupted; what was finished is kept, run the same command again to go on", code=130)
        )
    except OSError as error:
        if error.errno == errno.ENOSPC:
            sys.exit(
                _say(
                    f"error: the disk is full ({error.filename or 'no file name'}); free space and run again",
                    2,
                )
            )
        raise


def _say(message: str, code: int) -> int:
    sys.stderr.write(message + "\n")
    return code


if __name__ == "__main__":
    main()
