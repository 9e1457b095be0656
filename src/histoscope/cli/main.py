"""The ``histoscope`` command: collects the subcommands, and turns errors into one line and an exit code.

Exit codes: 0 done; 1 done in part (some inputs failed; see the summary); 2 wrong input; 75 stopped by
SIGUSR1; 130 interrupted; 143 ended by SIGTERM.
"""

import errno
import sys
import warnings
from typing import Annotated, Any

import typer

import histoscope
from histoscope.cli import (
    annotated,
    cohort,
    compare,
    data,
    demo,
    doctor,
    edits,
    evaluate,
    explain,
    export,
    init,
    interrupts,
    measure,
    models,
    normalize,
    predict,
    pretrain,
    slurm,
    study,
    synth,
    terminal,
    train,
    view,
)
from histoscope.cli.renamed_options import taking
from histoscope.errors import HistoscopeError
from histoscope.memory import keep_freed
from histoscope.renamed import RenamedWarning

WRONG, INTERRUPTED = 2, 130
NOT_ALLOWED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG),
    *(errno.EEXIST, errno.EISDIR, errno.ELOOP),
}
"""File system errors that the user can solve."""

_REPAIR = "run pip install . again in the source folder (histoscope doctor says what else is missing)"

app = typer.Typer(
    name="histoscope",
    help="Deep learning for H&E histopathology: which remedy helps, by how much, and is that real?",
    epilog="Start with `histoscope demo`, `histoscope predict nuclei IMAGES OUT --mpp 0.25`, or "
    "`histoscope init FOLDER`. Exit codes: 0 done; 1 done in part; 2 wrong input; 130 interrupted.",
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
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
    use: Annotated[
        list[str] | None,
        typer.Option(help="Your own package.module:Name that model folders may use; see docs/plugins.md."),
    ] = None,
) -> None:
    if use:
        from histoscope import plugins

        for name in use:
            plugins.trust(name)


app.command("demo")(demo.demo)
app.command("doctor")(doctor.doctor)
app.command("init")(init.init)
app.command("train")(train.train)
app.command("pretrain")(pretrain.pretrain)
app.command("evaluate", cls=taking({"--turned": "--tta"}))(evaluate.evaluate)
app.command("explain")(explain.explain)
app.command("export")(export.export)
app.command("normalize")(normalize.normalize)
app.command("measure")(measure.measure)
app.command("predict", cls=taking({"--turned": "--tta"}), help=models.naming(predict.predict))(
    predict.predict
)
app.command("slurm", context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})(
    slurm.slurm
)
app.command("synth")(synth.synth)
app.command("view")(view.view)
data.app.command("compare")(compare.compare)
data.app.command("from-edits")(edits.from_edits)
data.app.command("from-qupath")(annotated.from_qupath)
app.add_typer(cohort.app, name="cohort")
app.add_typer(data.app, name="data")
app.add_typer(models.app, name="models")
app.add_typer(study.app, name="study")


def main() -> None:
    """Run the command line; the entry point of the installed ``histoscope`` script."""
    keep_freed()
    interrupts.watch(sys.stderr, INTERRUPTED)
    interrupts.leave_when_asked()
    warnings.showwarning = _warned
    warnings.simplefilter("default", RenamedWarning)
    for stream in (sys.stdout, sys.stderr):
        terminal.print_anywhere(stream)
    try:
        app()
    except SystemExit as leave:
        if leave.code != INTERRUPTED:  # Typer's exit code for Ctrl-C
            raise
        message = "interrupted; the same command resumes, or says what to delete"
        code = INTERRUPTED
    except HistoscopeError as error:
        message, code = f"error: {error}", WRONG
    except ModuleNotFoundError as error:
        if (error.name or "histoscope").startswith("histoscope"):
            raise
        message, code = f"error: {error.name} is missing, and Histoscope needs it; {_REPAIR}", WRONG
    except OSError as error:
        message, code = f"error: {_of_the_disk(error)}", WRONG
    sys.stderr.write(message + "\n")
    sys.exit(code)


def _warned(message: Warning | str, *_where: Any, **_more: Any) -> None:
    """Show a warning as one line, without the line of code that gave it."""
    sys.stderr.write(f"warning: {message}\n")


def _of_the_disk(error: OSError) -> str:
    """Message for a file system error; other errors are bugs and raised again."""
    place = str(error.filename or "")
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return f"the disk is full{f' ({place})' if place else ''}; free some space and run again"
    from histoscope.jobs.failures import GONE
    from histoscope.places import PlaceError

    if isinstance(error, PlaceError):
        return f"{place}: {error.strerror}"
    if error.errno in NOT_ALLOWED and place:
        return (
            f"cannot read or write {place}: {error.strerror}; choose another place, or change its permissions"
        )
    if error.errno in GONE:
        what = f"cannot read or write {place}" if place else "cannot read or write a file"
        return f"{what}: {error.strerror}; check that its disk is available, and run the same command again"
    raise error


if __name__ == "__main__":
    main()
