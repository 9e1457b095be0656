"""Latency of tiles under many readers beside openslide's deep-zoom server and TIAToolbox's tile server.

    python benchmarks/viewer_tiles.py [--slide SLIDE] [--readers 50] [--tiles 20] [--rounds 3] [--json FILE]

All servers run at once, the rivals as their own examples start them (Flask with a thread for each request),
and are asked in turn by the same readers for the tiles at the same places of the same slide, at full, quarter
and sixteenth size. Each reader asks for its next tile when the last one has come. "memory" is the limit: one
thread that answers any request with the same JPEG from memory, without a look at it. The readers live in this
process and take CPU from the servers, alike from all of them. A rival takes part if it is installed. Without
--slide the drawn slide of viewer_slide.py is used. The first picture is timed if Playwright and a Chromium
are there.
"""

import argparse
import asyncio
import contextlib
import io
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from time import perf_counter, sleep
from typing import Any
from urllib.request import urlopen

import numpy as np
from PIL import Image
from viewer_slide import folder_of

from histoscope.slides import Box, Slide, open_slide

DOWNSAMPLES = (1, 1, 1, 4, 16)
RIVALS = {"openslide": "flask", "tiatoolbox": "tiatoolbox"}
Address = Callable[[int, int, int], tuple[str, Box]]
"""From a place (x, y) and a downsample: the address of a tile, and its pixels at that downsample."""


def serve(name: str, slide: Path, port: int) -> None:
    """Run one server, in a process of its own."""
    if name == "ours":
        command = [
            sys.executable,
            "-m",
            "histoscope",
            "view",
            str(slide.parent),
            "--no-open",
            "--port",
            str(port),
        ]
        os.execv(sys.executable, command)
    if name == "openslide":
        openslide_app(slide).run(host="127.0.0.1", port=port, threaded=True)
    if name == "tiatoolbox":
        from tiatoolbox.visualization.tileserver import TileServer

        TileServer("benchmark", {"slide": str(slide)}).run(host="127.0.0.1", port=port, threaded=True)
    if name == "memory":
        asyncio.run(from_memory(open_slide(slide), port))


def openslide_app(path: Path) -> Any:
    """The tiles of openslide-python's example ``deepzoom_server.py``, with its settings."""
    import openslide
    from flask import Flask, abort, make_response
    from openslide.deepzoom import DeepZoomGenerator

    app = Flask(__name__)
    generator = DeepZoomGenerator(openslide.OpenSlide(path), tile_size=254, overlap=1, limit_bounds=True)

    @app.route("/slide_files/<int:level>/<int:column>_<int:row>.jpeg")
    def tile(level: int, column: int, row: int) -> Any:
        try:
            picture = generator.get_tile(level, (column, row))
        except ValueError:
            abort(404)
        buffer = io.BytesIO()
        picture.save(buffer, "jpeg", quality=75)
        answer = make_response(buffer.getvalue())
        answer.mimetype = "image/jpeg"
        return answer

    return app


async def from_memory(slide: Slide, port: int) -> None:
    """Answer everything with one tile."""
    jpeg = slide.reader.jpeg_tile(0, 0, 0)
    whole = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n" % len(jpeg) + jpeg

    class Answers(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            for _ in range(data.count(b"\r\n\r\n")):
                self.transport.write(whole)

    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", port)
    await server.serve_forever()


def addresses_of(name: str, slide: Path, port: int) -> Address:
    """How a server names its tiles."""
    width, height = open_slide(slide).size

    def boxed(x: int, y: int, by: int, side: int) -> tuple[int, int, Box]:
        column, row = x // by // side, y // by // side
        across, down = (min(side, size // by - at * side) for size, at in ((width, column), (height, row)))
        return column, row, Box(column * side, row * side, across, down)

    if name == "ours":
        items = json.load(urlopen(f"http://127.0.0.1:{port}/api/library"))["items"]
        item = next(item for item in items if item["name"] == slide.name)
        facts = json.load(urlopen(f"http://127.0.0.1:{port}/api/slides/{item['id']}"))
        layers = {round(layer["downsample"]): number for number, layer in enumerate(facts["layers"])}

        def ours(x: int, y: int, by: int) -> tuple[str, Box]:
            column, row, box = boxed(x, y, by, facts["layers"][layers[by]]["tile_px"][0])
            return f"/api/slides/{item['id']}/tiles/{layers[by]}/{column}/{row}", box

        return ours
    last = {"openslide": math.ceil(math.log2(max(width, height)))}
    last["tiatoolbox"] = last["memory"] = math.ceil(math.log2(max(width, height) / 256))
    side = {"openslide": 254}.get(name, 256)

    def theirs(x: int, y: int, by: int) -> tuple[str, Box]:
        column, row, box = boxed(x, y, by, side)
        level = last[name] - round(math.log2(by))
        if name == "openslide":
            return f"/slide_files/{level}/{column}_{row}.jpeg", box
        return f"/tileserver/layer/slide/default/zoomify/TileGroup0/{level}-{column}-{row}@1x.jpg", box

    return theirs


async def fetch(port: int, streams: tuple | None, path: str) -> tuple[bytes, tuple | None]:
    """The body at an address, over a connection that is kept where the server keeps it."""
    reader, writer = streams or await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head.split(b"\r\n", 1)[0]:
        raise RuntimeError(f"{path} at {port}: {head[:200]!r}")
    body = await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
    if head.startswith(b"http/1.0") or b"connection: close" in head:
        writer.close()
        return body, None
    return body, (reader, writer)


async def read(port: int, paths: list[list[str]]) -> tuple[np.ndarray, float, int]:
    """Seconds that each tile took, seconds of all, and bytes of all; one list of paths for each reader."""
    taken, total = [], 0

    async def one(mine: list[str]) -> None:
        nonlocal total
        streams = None
        for path in mine:
            start = perf_counter()
            body, streams = await fetch(port, streams, path)
            taken.append(perf_counter() - start)
            total += len(body)
        if streams:
            streams[1].close()

    start = perf_counter()
    await asyncio.gather(*[one(mine) for mine in paths])
    return np.array(taken), perf_counter() - start, total


def places(slide: Path, readers: int, tiles: int, seed: int) -> list[list[tuple[int, int, int]]]:
    """Where each reader looks: at one place and around it, as people do, at one size after another."""
    rng, (width, height) = np.random.default_rng(seed), open_slide(slide).size
    found = []
    for _ in range(readers):
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        mine = []
        for k in range(tiles):
            by = DOWNSAMPLES[k % len(DOWNSAMPLES)]
            x, y = (
                float(np.clip(at + rng.normal(0, 600 * by), 0, size - 300 * by))
                for at, size in ((x, width), (y, height))
            )
            mine.append((int(x), int(y), by))
        found.append(mine)
    return found


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has taken, on Linux."""
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")
    return math.nan


@contextlib.contextmanager
def running(names: list[str], slide: Path) -> Iterator[dict[str, tuple[int, int]]]:
    """Port and process of each server."""
    with contextlib.ExitStack() as stack:
        found = {}
        for name in names:
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                port = free.getsockname()[1]
            command = [sys.executable, __file__, "--serve", name, "--port", str(port), "--slide", str(slide)]
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            stack.callback(process.wait)
            stack.callback(process.kill)
            found[name] = port, process.pid
        for name, (port, _) in found.items():
            wait_for(name, port)
        yield found


def wait_for(name: str, port: int) -> None:
    """Wait until a server listens."""
    for _ in range(600):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        sleep(0.1)
    raise RuntimeError(f"{name} did not start")


def check(port: int, address: Address, slide: Path) -> None:
    """Refuse to time a server that shows something else than the slide has there."""
    with open_slide(slide) as opened:
        levels = {round(level.downsample[0]): number for number, level in enumerate(opened.levels)}
        for by in sorted(set(DOWNSAMPLES)):
            path, box = address(opened.size[0] // 3, opened.size[1] // 3, by)
            shown = Image.open(io.BytesIO(asyncio.run(fetch(port, None, path))[0])).convert("RGB")
            expected = opened.read(box, levels[by]).reshape(-1, 3).mean(axis=0)
            if np.abs(np.asarray(shown).reshape(-1, 3).mean(axis=0) - expected).max() > 12:
                raise RuntimeError(f"{path} shows another place than {box} of level {levels[by]}")


def first_picture_ms(port: int) -> list[float]:
    """From the start of a visit to the first pixels of the slide in Chromium; four visits, nothing cached."""
    from playwright.sync_api import sync_playwright

    look = """(() => { const look = () => {
      const canvas = document.querySelector("#pane-a .openseadragon-canvas canvas:not(.marks)");
      const middle = canvas && canvas.width && [canvas.width / 2, canvas.height / 2, 1, 1];
      const is = middle && canvas.getContext("2d").getImageData(...middle).data[3];
      if (is) window.firstPicture = performance.now(); else requestAnimationFrame(look);
    }; requestAnimationFrame(look); })()"""
    found = []
    with sync_playwright() as run:
        browser = run.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for _ in range(4):
            page = browser.new_context(viewport={"width": 1280, "height": 800}, bypass_csp=True).new_page()
            page.add_init_script(look)
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_function("window.firstPicture", timeout=60_000)
            found.append(page.evaluate("window.firstPicture"))
            page.context.close()
        browser.close()
    return found


def table(slide: Path, readers: int, tiles: int, rounds: int) -> dict[str, dict[str, float]]:
    """Measure all servers, in turns."""
    names = ["ours", *[name for name, package in RIVALS.items() if find_spec(package)], "memory"]
    found: dict[str, list] = {name: [] for name in names}
    with running(names, slide) as servers:
        address = {name: addresses_of(name, slide, port) for name, (port, _) in servers.items()}
        for name, (port, _) in servers.items():
            if name != "memory":
                check(port, address[name], slide)
        for turn in range(rounds + 1):
            where = places(slide, readers, tiles if turn else 2, turn)
            for name, (port, pid) in servers.items():
                paths = [[address[name](*place)[0] for place in mine] for mine in where]
                before = cpu_s(pid)
                taken, wall, n_bytes = asyncio.run(read(port, paths))
                if turn:  # the first is to warm up
                    found[name].append((taken, wall, n_bytes, cpu_s(pid) - before))
        picture = (
            first_picture_ms(servers["ours"][0])
            if find_spec("playwright") and shutil.which("chromium")
            else []
        )
    rows = {}
    for name, turns in found.items():
        taken, n = np.concatenate([turn[0] for turn in turns]), readers * tiles * rounds
        rows[name] = {
            "p50_ms": 1e3 * float(np.quantile(taken, 0.5)),
            "p99_ms": 1e3 * float(np.quantile(taken, 0.99)),
            "tiles_per_s": n / sum(turn[1] for turn in turns),
            "cpu_ms": 1e3 * sum(turn[3] for turn in turns) / n,
            "kb": sum(turn[2] for turn in turns) / n / 1e3,
        }
    rows["first picture"] = {"ms": picture}
    return rows


def show(rows: dict[str, dict[str, float]]) -> None:
    """Print a table in Markdown."""
    print("| server | p50, ms | p99, ms | tiles a second | CPU a tile, ms | kB a tile |")
    print("|---|--:|--:|--:|--:|--:|")
    digits = {"p50_ms": 1, "p99_ms": 1, "tiles_per_s": 0, "cpu_ms": 2, "kb": 1}
    for name, row in rows.items():
        if "p50_ms" in row:
            print(f"| {name} |", " | ".join(f"{row[key]:.{n}f}" for key, n in digits.items()), "|")
    rivals = [rows[name]["p99_ms"] for name in RIVALS if name in rows]
    if rivals:
        print(f"\np99 of the better rival / ours: {min(rivals) / rows['ours']['p99_ms']:.1f}")
    picture = ", ".join(f"{ms:.0f}" for ms in rows["first picture"]["ms"])
    print(f"first picture in Chromium, ms, one visit after another: {picture or 'not timed'}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--slide", type=Path)
    parser.add_argument("--readers", type=int, default=50)
    parser.add_argument("--tiles", type=int, default=20, help="for each reader and round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--serve", choices=["ours", *RIVALS, "memory"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve, given.slide, given.port)
        return
    with tempfile.TemporaryDirectory() as folder:
        slide = (given.slide or folder_of(Path(folder)) / "big.tif").resolve()
        rows = table(slide, given.readers, given.tiles, given.rounds)
    show(rows)
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
