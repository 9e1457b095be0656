"""A million nuclei in the page: sorting them, opening them, squares of them, and frames while one moves.

    python benchmarks/viewer_million.py [--folder FOLDER] [--nuclei 1000000] [--picture IMAGE] [--json FILE]

Draws a slide of 60,000 x 60,000 pixels with its nuclei (viewer_slide.py; kept in --folder if that is given),
sorts them as the first visit does, asks the server for squares, and drags the slide about in headless
Chromium, which is timed if Playwright and a Chromium are there. Frames are those that the page's animation
callback sees: marks and slide are drawn on plain canvases, so WebGL is off.
"""

import argparse
import json
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter
from typing import Any
from urllib.request import urlopen

import numpy as np
from viewer_slide import SIDE_PX, folder_of
from viewer_tiles import running

from histoscope.viewer.keeping import path_of
from histoscope.viewer.library import Library
from histoscope.viewer.marks import TILE_PX
from histoscope.viewer.shelf import Shelf

ZOOMS = (0.012, 0.05, 0.2, 0.5, 1.0, 2.0)
"""Screen pixels for one of the slide."""
SQUARES = {"density": (7, 5, 3), "outlines": (2, 1, 0)}


def sort(folder: Path) -> dict[str, Any]:
    """Seconds and megabytes that the first visit takes, and seconds of the next."""
    found = next(iter(Library([folder]).search().items.values())).results[0]
    path_of(found.path).unlink(missing_ok=True)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = []
    for _ in range(2):
        shelf, start = Shelf(Library([folder]).search()), perf_counter()
        marks = shelf.marks(found)
        facts = marks.counts(), marks.busiest(), marks.reach_px()
        times.append(perf_counter() - start)
    squares, counts = np.unique(marks.key >> 4, return_counts=True)
    x, y = np.median(marks.centre[marks.key >> 4 == squares[counts.argmax()]], axis=0)
    return {
        "densest": (float(x), float(y)),
        "nuclei": sum(map(sum, facts[0])),
        "first_s": times[0],
        "next_s": times[1],
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "before_mb": before,
        "table_mb": found.path.stat().st_size / 1e6,
        "index_mb": path_of(found.path).stat().st_size / 1e6,
    }


def squares(port: int, n: int = 200) -> dict[str, dict[str, float]]:
    """Milliseconds for squares of each kind and size, one after another, over a connection each."""
    api, rng, rows = f"http://127.0.0.1:{port}/api", random.Random(0), {}
    results = json.load(urlopen(f"{api}/library"))["items"][0]["results"][0]["id"]
    urlopen(f"{api}/results/{results}").read()
    for what, zooms in SQUARES.items():
        for zoom in zooms:
            last, taken, sizes = SIDE_PX // (TILE_PX << zoom), [], []
            for _ in range(n):
                place = f"{zoom}/{rng.randint(0, last)}/{rng.randint(0, last)}"
                start = perf_counter()
                sizes.append(len(urlopen(f"{api}/results/{results}/{what}/{place}").read()))
                taken.append(1e3 * (perf_counter() - start))
            p50, p99 = np.quantile(taken, [0.5, 0.99])
            rows[f"{what} {zoom}"] = {"p50_ms": p50, "p99_ms": p99, "most_kb": max(sizes) / 1e3}
    return rows


def frames(port: int, x: float, y: float) -> list[dict[str, float]]:
    """Frames while the slide is dragged about where nuclei are densest, at several zooms."""
    from playwright.sync_api import sync_playwright

    look = """(() => { const times = [];
      const each = (time) => { times.push(time); requestAnimationFrame(each); };
      requestAnimationFrame(each); window.takeFrames = () => times.splice(0); })()"""
    rows = []
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True).new_page()
        page.add_init_script(look)
        start = perf_counter()
        page.goto(f"http://127.0.0.1:{port}/")
        page.wait_for_function("document.querySelector('#in-view').dataset.n > 0", timeout=120_000)
        rows.append({"opened_ms": 1e3 * (perf_counter() - start)})
        slide = page.url.partition("#")[2].partition("&x=")[0]
        for zoom in ZOOMS:
            page.goto("about:blank")
            page.goto(f"http://127.0.0.1:{port}/#{slide}&x={x:.0f}&y={y:.0f}&zoom={zoom}")
            page.wait_for_function("document.querySelector('#in-view').dataset.n > 0", timeout=120_000)
            page.wait_for_timeout(1500)
            rows.append(
                {"zoom": zoom, "in_view": int(page.get_attribute("#in-view", "data-n")), **dragged(page)}
            )
        browser.close()
    return rows


def dragged(page: Any) -> dict[str, float]:
    """Frames a second while the slide is drawn about, a little farther each time."""
    box = page.locator("#pane-a").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.evaluate("window.takeFrames()")
    for turn in range(3):
        page.mouse.move(x + 200, y + 100)
        page.mouse.down()
        for step in range(60):
            page.mouse.move(x + 200 - 7 * step, y + 100 - 3 * step * (turn + 1) / 3)
            page.wait_for_timeout(8)
        page.mouse.up()
    gaps = np.diff(page.evaluate("window.takeFrames()"))
    return {
        "fps": 1e3 * len(gaps) / gaps.sum(),
        "median_ms": float(np.median(gaps)),
        "p95_ms": float(np.quantile(gaps, 0.95)),
        "longest_ms": float(gaps.max()),
    }


def show(rows: dict[str, Any]) -> None:
    """Print what was measured, in Markdown."""
    one = rows["sort"]
    print(f"{one['nuclei']:,} nuclei, {one['table_mb']:.0f} MB: sorted in {one['first_s']:.1f} s,")
    print(f"memory {one['peak_mb']:.0f} MB ({one['before_mb']:.0f} MB before),")
    print(f"kept in {one['index_mb']:.0f} MB, opened again in {1e3 * one['next_s']:.0f} ms\n")
    print("| square | p50, ms | p99, ms | most, kB |\n|---|--:|--:|--:|")
    for name, row in rows["squares"].items():
        print(f"| {name} | {row['p50_ms']:.1f} | {row['p99_ms']:.1f} | {row['most_kb']:.0f} |")
    if rows["frames"]:
        print(f"\nopened in Chromium in {rows['frames'][0]['opened_ms']:.0f} ms\n")
        print("| zoom | nuclei in view | frames a second | median, ms | p95, ms | longest, ms |")
        print("|--:|--:|--:|--:|--:|--:|")
        for row in rows["frames"][1:]:
            times = " | ".join(f"{row[key]:.1f}" for key in ("fps", "median_ms", "p95_ms", "longest_ms"))
            print(f"| {row['zoom']} | {row['in_view']:,} | {times} |")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--nuclei", type=int, default=1_000_000)
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--sort", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.sort:
        print(json.dumps(sort(given.sort)))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = folder_of(given.folder or Path(temporary), given.nuclei, given.picture).resolve()
        command = [sys.executable, __file__, "--sort", str(folder)]  # its memory is its own
        rows: dict[str, Any] = {
            "sort": json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
        }
        with running(["ours"], folder / "big.tif") as servers:
            port = servers["ours"][0]
            rows["squares"] = squares(port)
            is_there = find_spec("playwright") and shutil.which("chromium")
            rows["frames"] = frames(port, *rows["sort"]["densest"]) if is_there else []
    show(rows)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
