"""``histoscope view``: a page that shows slides and their results."""

from pathlib import Path
from typing import Annotated, Any

import typer

from histoscope.words import count


def view(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="FOLDER", help="Folder of slides, images and results. Repeatable."),
    ],
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0: any free port.")] = 8765,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; any but the machine's own requires a token, which is printed."
        ),
    ] = "127.0.0.1",
    author: Annotated[
        str, typer.Option(help="Who corrects nuclei on the page; by default, your login name.")
    ] = "",
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open the page in the browser.")] = True,
    only_list: Annotated[bool, typer.Option("--list", help="List what there is to see, and exit.")] = False,
) -> None:
    """View slides and their results on a page in the browser, served from this machine.

    Shows each slide and image below the folders, with the nuclei or tiles that `histoscope predict` found:
    zoom to a single nucleus, click it for its measurements, switch classes, compare two models side by side.
    Numbers of a study open the images behind them, the worst first; data folders show their ground truth.
    Nothing leaves the machine. Nuclei can be corrected on the page, too: corrections are written beside the
    results, which stay unchanged. A hidden index is kept beside large tables of cells. A slide outside the
    folders is shown if their results name it and its digest matches. Needs `pip install
    'histoscope[viewer]'`. Press Ctrl-C to stop.

    - `histoscope view out/`

    - `histoscope view out/ slides/ --port 9000`
    """
    from histoscope.errors import DatasetNotFoundError
    from histoscope.viewer import running
    from histoscope.viewer.guard import is_loopback
    from histoscope.viewer.library import Library

    if not only_list:
        running.require()
    for folder in folders:
        if not folder.is_dir():
            what = "is a file, expected its folder" if folder.is_file() else "does not exist"
            raise DatasetNotFoundError(f"{folder} {what}; give a folder of slides, images or results")
    library = Library([folder.resolve() for folder in folders], beyond=is_loopback(host)).search()
    if not library.items and not library.studies:
        names = " ".join(map(str, folders))
        why = "".join(f"; {path} {reason}" for path, reason in library.left_out[:3])
        raise DatasetNotFoundError(
            f"nothing to show below {names}: no slides, images or results{why}; run histoscope predict "
            "nuclei IMAGES OUT, then histoscope view OUT"
        )
    if only_list:
        typer.echo("\n".join(_lines(library)))
        return
    _serve(library, host, port, running.author_of(author), opens=opens)


def _lines(library: Any) -> list[str]:
    """A line for each slide and study, and for everything that was left out."""
    from histoscope.viewer.study_folders import name_of

    lines = []
    shown = [item for item in library.items.values() if not item.study]
    for item in sorted(shown, key=lambda item: (item.folder, item.name)):
        results = ", ".join(one.label + ("" if one.n is None else f" ({one.n:,})") for one in item.results)
        where = f"{item.folder}/" if item.folder else ""
        missing = "" if item.path else " (results only; give the slide's folder, too)"
        lines.append(f"{where}{item.name}{missing}: {results or 'no results'}")
    lines += [f"study {name_of(folder)}: {folder}" for folder in library.studies.values()]
    return lines + [f"left out {path}: {why}" for path, why in library.left_out]


def _serve(library: Any, host: str, port: int, author: str, *, opens: bool) -> None:
    import gc
    import threading
    import webbrowser

    import uvicorn

    from histoscope.viewer import running
    from histoscope.viewer.server import create_app

    opened = running.listen(host, port)
    token = running.token_for(host)
    address = running.address_of(opened, host, token)
    with_results = sum(bool(item.results) for item in library.items.values())
    n = len(library.studies)
    studies = f"; {n} {'study' if n == 1 else 'studies'}" if n else ""
    typer.echo(
        f"{count(len(library.items), 'slide')}, {with_results} of them with results{studies}: {address}"
    )
    typer.echo("press Ctrl-C to stop", err=True)
    for path, why in library.left_out[:10]:
        typer.echo(f"left out {path}: {why}", err=True)
    if opens:
        threading.Timer(0.5, webbrowser.open, [address]).start()
    app = create_app(library, token=token, author=author)
    gc.collect()
    gc.freeze()  # loaded objects stay; scanning them for garbage would pause everything for 0.1 s
    uvicorn.Server(running.config_of(app)).run(sockets=[opened])
