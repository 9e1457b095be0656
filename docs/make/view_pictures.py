"""Make the pictures of the page: python docs/make/view_pictures.py CMU MILLION MONUSEG [--all FOLDER].

CMU: a folder with CMU-1-Small-Region and its results; MILLION: what benchmarks/viewer_slide.py draws;
MONUSEG: results of images. The page is shown by Chromium as ``histoscope view`` serves it. With --all each
view is written as PNG, too, wide and narrow, light and dark, to be looked at. Needs Playwright and Chromium.
"""

import argparse
import io
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import uvicorn
from PIL import Image as Pillow
from playwright.sync_api import Browser, sync_playwright

from histoscope.viewer import running
from histoscope.viewer.library import Library
from histoscope.viewer.server import create_app

OUT = Path(__file__).resolve().parents[1] / "img"
MOST_BYTES = 220_000
WIDE, NARROW = (1280, 760), (400, 800)


@dataclass(frozen=True)
class View:
    """What is seen: a folder, a place (x, y, screen pixels for one of level 0), more of the address."""

    name: str
    folder: str
    place: tuple[float, float, float] | None = None
    more: str = ""
    size: tuple[int, int] = WIDE
    dark: bool = False
    clicks: bool = False
    result: str = ""


VIEWS = [
    View("view", "cmu", (1095.4, 1302.8, 1.8), clicks=True, result="research"),
    View("view_million", "million", dark=True),
    View("view_monuseg", "monuseg", (500, 480, 1.2), "&style=fill", size=NARROW),
]
OTHERS = [
    View("cmu_whole", "cmu", result="research"),
    View("cmu_two", "cmu", (1095.4, 1302.8, 1.0), "&split=none", result="research"),
    View("million_near", "million", (23_765, 21_660, 0.4)),
    View("million_probability", "million", (23_765, 21_660, 0.08), "&by=probability"),
    View("monuseg_whole", "monuseg"),
]


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, Library]]:
    """The address of a folder's page."""
    with running.listen("127.0.0.1", 0) as opened:
        library = Library([folder.resolve()]).search()
        server = uvicorn.Server(running.config_of(create_app(library)))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            yield running.address_of(opened, "127.0.0.1", ""), library
        finally:
            server.should_exit = True
            thread.join()


def shades(view: View) -> list[View]:
    """A view wide and narrow, light and dark."""
    return [replace(view, size=size, dark=dark) for size in (WIDE, NARROW) for dark in (False, True)]


def address_of(view: View, library: Library) -> str:
    """The part of the address that holds a view of the first slide with results."""
    item = next(item for item in library.items.values() if item.results)
    found = next((one for one in item.results if view.result in one.label), item.results[0])
    place = "" if view.place is None else "&x={}&y={}&zoom={}".format(*view.place)
    return f"#slide={item.id}&results={found.id}{place}{view.more}"


def seen(browser: Browser, address: str, view: View) -> bytes:
    """The page as PNG."""
    width, height = view.size
    scheme = "dark" if view.dark else "light"
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    settle(page)
    if view.clicks:
        box = page.locator("#pane-a").bounding_box()
        page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.move(box["x"] + 5, box["y"] + box["height"] - 5)
        settle(page)
    picture: bytes = page.screenshot()
    context.close()
    return picture


def settle(page: Any) -> None:
    """Wait until all that is in view is drawn."""
    while int(page.get_attribute("#in-view", "data-n") or -1) < 0:
        page.wait_for_timeout(100)
    page.wait_for_load_state("networkidle")
    page.wait_for_timeout(2500)


def write(path: Path, picture: bytes) -> None:
    """Write it as JPEG, as good as fits."""
    image = Pillow.open(io.BytesIO(picture)).convert("RGB")
    for quality in range(90, 40, -4):
        image.save(path, quality=quality, subsampling=0, optimize=True, progressive=True)
        if path.stat().st_size < MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size:,} bytes at quality {quality}")


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("cmu", "million", "monuseg"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--all", type=Path)
    given = parser.parse_args()
    if given.all:
        given.all.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as run:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = run.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name in ("cmu", "million", "monuseg"):
            with served(getattr(given, name)) as (address, library):
                for view in (one for one in VIEWS if one.folder == name):
                    write(OUT / f"{view.name}.jpg", seen(browser, address + address_of(view, library), view))
                for view in (one for one in VIEWS + OTHERS if one.folder == name and given.all):
                    for each in shades(view):
                        picture = seen(browser, address + address_of(each, library), each)
                        path = (
                            given.all / f"{each.name}_{each.size[0]}_{'dark' if each.dark else 'light'}.png"
                        )
                        path.write_bytes(picture)
        browser.close()


if __name__ == "__main__":
    main()
