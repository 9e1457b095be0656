"""Seconds from a rectangle on the page to its nuclei: ``POST /predict`` beside the model alone.

    python benchmarks/viewer_predict.py SLIDE [--models nuclei nuclei-research] [--side 1000] [--times 20]

The server of ``histoscope view`` runs in a process of its own and is asked for the same rectangles, one after
another, as the page asks (nuclei are kept for the page, not sent). "model" is the limit: the time that the
network and the reading of its nuclei take inside the server, as the answer says it. The rest is reading the
slide, sorting nuclei for the page, and HTTP. The first request also loads the model; the page asks for that
while the rectangle is drawn.
"""

import argparse
import json
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import numpy as np

_WAIT_S = 60


def served(folder: Path) -> tuple[subprocess.Popen, str]:
    """A server of a folder, once it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "histoscope", "view", str(folder), "--no-open", "--port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + _WAIT_S
    while True:
        try:
            urlopen(f"{address}/api/library").read()
        except OSError:
            if time.monotonic() > end or process.poll() is not None:
                process.kill()
                raise
            time.sleep(0.1)
        else:
            return process, address


def corners(size_px: list[int], side: int, times: int) -> list[tuple[int, int]]:
    """Where rectangles lie: the same places in each run."""
    rng = np.random.default_rng(0)
    return [tuple(int(rng.integers(0, max(full - side, 1))) for full in size_px) for _ in range(times)]


def asked(address: str, slide: str, model: str, corner: tuple[int, int], side: int) -> tuple[float, dict]:
    """Seconds of one request, and what came."""
    given = {"slide": slide, "x": corner[0], "y": corner[1], "width": side, "height": side}
    query = urlencode(given | {"model": model, "answer": "results"})
    start = time.perf_counter()
    said = json.load(urlopen(Request(f"{address}/predict?{query}", method="POST")))
    return time.perf_counter() - start, said


def measured(address: str, slide: dict, model: str, side: int, times: int) -> dict:
    """One row of the table."""
    places = corners(slide["size_px"], side, times)
    first, _ = asked(address, slide["id"], model, places[0], side)
    rows = [asked(address, slide["id"], model, corner, side) for corner in places]
    taken, inside = (
        np.array(values) for values in zip(*[(s, said["seconds"]) for s, said in rows], strict=True)
    )
    return {
        "model": model,
        "nuclei": round(float(np.median([said["n"] for _, said in rows]))),
        "first_s": round(first, 2),
        "p50_s": round(float(np.median(taken)), 2),
        "p95_s": round(float(np.quantile(taken, 0.95)), 2),
        "model_p50_s": round(float(np.median(inside)), 2),
        "ratio": round(float(np.median(taken / inside)), 2),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("slide", type=Path)
    parser.add_argument("--models", nargs="+", default=["nuclei", "nuclei-research"])
    parser.add_argument("--side", type=int, default=1000, help="of the rectangle, in pixels of the slide")
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    process, address = served(given.slide.parent)
    try:
        items = json.load(urlopen(f"{address}/api/library"))["items"]
        item = next(one for one in items if one["name"] == given.slide.name)
        slide = json.load(urlopen(f"{address}/api/slides/{item['id']}"))
        rows = [measured(address, slide, model, given.side, given.times) for model in given.models]
    finally:
        process.terminate()
        process.wait()
    print(
        f"{given.slide.name}, {slide['mpp']:.3f} um/px: "
        f"{given.times} rectangles of {given.side} x {given.side} px"
    )
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
