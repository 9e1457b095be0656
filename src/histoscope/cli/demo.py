"""``histoscope demo``: a whole study in about two minutes, with no data and no network."""

from pathlib import Path
from typing import Annotated

import typer

from histoscope.weights import DEFAULT
from histoscope.words import duration


def demo(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new or empty folder.")] = Path(
        "histoscope_demo"
    ),
    seed: Annotated[int, typer.Option(help="Seed of images and networks.", min=0)] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="A few seconds: too small for conclusions.")] = False,
    opens: Annotated[
        bool, typer.Option("--view", help="Then open the results in the browser, as `histoscope view` does.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
) -> None:
    """A stain study in two minutes: networks trained on one laboratory, tested on another.

    Needs no data, no internet and no GPU; takes about two minutes on two cores. If interrupted, the same
    command resumes. The tissue is synthetic: it shows how a study works, but says nothing about real slides.
    """
    import dataclasses
    import json
    import shlex

    from histoscope.cli.study import Screen

    if opens:
        from histoscope.viewer.running import require

        require()
    typer.echo("loading ...", err=True)
    from histoscope.demo import FULL, QUICK, run_demo

    size = QUICK if quick else FULL
    with Screen(2 * size.seeds) as screen:
        told = run_demo(out, seed=seed, size=size, tell=screen.tell, say=screen.say)
    if as_json:
        typer.echo(json.dumps(dataclasses.asdict(told), indent=2, default=str))
    else:
        typer.echo("\n" + "\n".join(told.sentences) + "\n")
        typer.echo(f"Report, to open in a browser:   {told.report.resolve()}")
        typer.echo(f"Laboratory B before and after:  {told.picture.resolve()}")
        typer.echo(f"Nuclei found in a tile of it:   {told.outlines.resolve()}")
        times = ", ".join(f"{stage} {duration(taken)}" for stage, taken in told.seconds.items())
        typer.echo(f"Time: {times}; {duration(sum(told.seconds.values()))} in all.")
        typer.echo(
            "The tissue is synthetic: this shows how a study works, and proves nothing about real slides."
        )
        typer.echo(f"See all results, image by image: histoscope view {shlex.quote(str(out))}")
        typer.echo(f"Find nuclei in your own image: histoscope predict {DEFAULT} IMAGE OUT --mpp 0.25")
    if told.summary.failed:
        for name, note in told.summary.failed.items():
            typer.secho(f"{name} failed: {note}", err=True)
        raise typer.Exit(1)
    if opens:
        from histoscope.cli.view import view

        view([out], port=0)
