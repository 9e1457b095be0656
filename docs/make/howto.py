"""Draw the pictures of how-to pages in which things and ways are boxes and arrows: python docs/make/howto.py.

Writes docs/img/howto_NAME.svg for each function that is registered.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from drawing import Box, arrow, line, picture, text

OUT = Path(__file__).resolve().parents[1] / "img"
DRAWN: dict[str, Callable[[], str]] = {}
LEFT, RIGHT, HALF, WHOLE, ROW = 4, 228, 208, 432, 80


def page(draw: Callable[[], str]) -> Callable[[], str]:
    """Register a picture under the name of its function, which is that of its page."""
    DRAWN[draw.__name__] = draw
    return draw


def band(x: float, width: float, height: float, title: str) -> str:
    """A place that holds boxes, with its name above them."""
    ground = f'<rect x="{x}" y="2" width="{width}" height="{height}" rx="8" style="fill: var(--band)"/>'
    return ground + text(x + width / 2, 24, title, size=13, more='font-weight="600"')


@page
def remote() -> str:
    store = Box(LEFT, 4, "s3://lab/slides/", "or any store that fsspec supports", "pink", WHOLE)
    place = Box(LEFT, 4 + ROW, "read in place", "TIFF, SVS, DICOM: by ranges", width=HALF)
    stage = Box(RIGHT, 4 + ROW, "--stage", "the others: a copy on disk", "yellow", HALF)
    predict = Box(LEFT, 4 + 2 * ROW, "histoscope predict", "one worker or many", width=WHOLE)
    work = Box(LEFT, 4 + 3 * ROW, "--work", "shared, during the run", "yellow", HALF)
    out = Box(RIGHT, 4 + 3 * ROW, "OUT", "files of finished slides", "pink", HALF)
    boxes = (store, place, stage, predict, work, out)
    ways = ((store, place), (store, stage), (place, predict), (stage, predict), (predict, work), (work, out))
    parts = [*(arrow(*way) for way in ways), *(box.drawn() for box in boxes)]
    return picture(parts, 4 * ROW - 18, "From a store to the results: read in place, or by way of a copy")


@page
def containers() -> str:
    folder = Box(LEFT, 40, "your folder", "slide.svs, out/", "pink", 136)
    gpu = Box(LEFT, 120, "GPU", "if there is one", "yellow", 136)
    browser = Box(LEFT, 200, "browser", "localhost:8765", "yellow", 136)
    data = Box(272, 40, "/data", "the same folder", "pink", 152)
    predict = Box(272, 120, "predict", "models included", width=152)
    view = Box(272, 200, "view", "page of results", width=152)
    ties = ((folder, data, '-v "$PWD:/data"'), (gpu, predict, "--gpus all"), (browser, view, "-p 8765:8765"))
    parts = [band(260, 176, 262, "in the container")]
    for outside, inside, said in ties:
        y, x = outside.y + outside.height / 2, (outside.x + outside.width + inside.x) / 2
        parts += [
            line(f"M{outside.x + outside.width},{y} L{inside.x},{y}", tip=False),
            text(x - 6, y - 7, said),
        ]
    boxes = (folder, gpu, browser, data, predict, view)
    return picture([*parts, *(box.drawn() for box in boxes)], 268, "What a container shares with its machine")


@page
def offline() -> str:
    steps = [
        Box(16, 40, "pip wheel .", "Histoscope, its dependencies", width=184),
        Box(16, 120, "wheels/", "a folder of files", "yellow", 184),
        Box(240, 120, "wheels/", "the same files", "yellow", 184),
        Box(240, 200, "pip install", "--no-index --find-links wheels", width=184),
        Box(240, 280, "histoscope doctor", "checks the installation", width=184),
    ]
    parts = [band(4, 208, 182, "with a network"), band(228, 208, 342, "without a network")]
    parts += [arrow(one, other) for one, other in pairwise(steps)]
    return picture(
        [*parts, *(step.drawn() for step in steps)], 348, "Wheels are made on one machine and carried over"
    )


@page
def cohort() -> str:
    slides = Box(LEFT, 4, "slides/", "on a disk that all machines see", "pink", WHOLE)
    ledger = Box(LEFT, 4 + ROW, "out/.ledger", "hands out slides, largest first", "yellow", WHOLE)
    workers = [
        Box(4 + 149 * k, 4 + 2 * ROW, f"worker {k + 1}", about, width=134) for k, about in enumerate(WORKERS)
    ]
    out = Box(LEFT, 4 + 3 * ROW, "out/NAME/", "one folder per slide", "yellow", WHOLE)
    report = Box(LEFT, 4 + 4 * ROW, "histoscope cohort report", "also while workers run", width=WHOLE)
    parts = [arrow(slides, ledger), arrow(out, report)]
    parts += [way for worker in workers for way in (arrow(ledger, worker), arrow(worker, out))]
    parts += [box.drawn() for box in (slides, ledger, *workers, out, report)]
    return picture(parts, 5 * ROW - 18, "Workers share slides through a folder")


@page
def images() -> str:
    file = Box(LEFT, 4, "a file", "PNG, JPEG, TIFF, ...", "pink", WHOLE)
    first = Box(LEFT, 4 + ROW, "format", "first bytes, not suffix", width=HALF)
    size = Box(RIGHT, 4 + ROW, "resolution", "from the metadata, or --mpp", width=HALF)
    rgb = Box(LEFT, 4 + 2 * ROW, "pixels", "8-bit RGB, as viewers show it", "yellow", HALF)
    mpp = Box(RIGHT, 4 + 2 * ROW, "0.25", "micrometres per pixel", "yellow", HALF)
    parts = [arrow(file, first), arrow(file, size), arrow(first, rgb), arrow(size, mpp)]
    parts += [box.drawn() for box in (file, first, size, rgb, mpp)]
    return picture(parts, 3 * ROW - 18, "What is read from an image file")


@page
def plugins() -> str:
    mine = Box(LEFT, 4, "my_lab.py", "your classes and functions", "pink", WHOLE)
    name = Box(LEFT, 4 + ROW, "my_lab:Net", "package.module:Name", width=HALF)
    entry = Box(RIGHT, 4 + ROW, "our_net", "an entry point of your package", width=HALF)
    use = Box(LEFT, 4 + 2 * ROW, "Histoscope", "in YAML, on the command line, in Python", "yellow", WHOLE)
    parts = [arrow(mine, name), arrow(mine, entry), arrow(name, use), arrow(entry, use)]
    parts += [box.drawn() for box in (mine, name, entry, use)]
    return picture(parts, 3 * ROW - 18, "Two ways to name your own code")


WORKERS = ("a process", "a task of an array", "another machine")


if __name__ == "__main__":
    for name, draw in DRAWN.items():
        (OUT / f"howto_{name}.svg").write_text(draw(), encoding="utf-8")
