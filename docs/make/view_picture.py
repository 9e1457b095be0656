"""Make docs/img/view.jpg: python docs/make/view_picture.py FOLDER [--at X Y ZOOM].

The page of ``histoscope view FOLDER`` as Chromium shows it, with a nucleus of its first slide clicked, or
after keys were pressed, as for docs/img/correct.jpg: ``--keys e g y x 3 --out docs/img/correct.jpg``.
Corrections do not reach the folder. Needs playwright and a Chromium of the machine.
"""

import argparse
import io
import shutil
import threading
from pathlib import Path

import uvicorn
from PIL import Image as Pillow
from playwright.sync_api import sync_playwright

from histoscope.viewer import running
from histoscope.viewer.library import Library
from histoscope.viewer.server import create_app

OUT = Path(__file__).resolve().parents[1] / "img" / "view.jpg"
MOST_BYTES = 150_000


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at", type=float, nargs=3, help="x, y and screen pixels for one of level 0")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--size", type=int, nargs=2, default=(1280, 760))
    parser.add_argument("--dark", action="store_true")
    parser.add_argument("--keys", nargs="*", default=[], help="pressed one after another")
    given = parser.parse_args()
    opened = running.listen("127.0.0.1", 0)
    app = create_app(Library([given.folder.resolve()]).search())
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
    thread.start()
    try:
        address = running.address_of(opened, "127.0.0.1", "")
        write(given.out, seen(address, given.at, given.size, given.keys, dark=given.dark))
    finally:
        server.should_exit = True
        thread.join()


def seen(
    address: str, at: list[float] | None, size: tuple[int, int], keys: list[str], *, dark: bool
) -> bytes:
    """The page as PNG."""
    with sync_playwright() as run:
        browser = run.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=["--no-sandbox"]
        )
        page = browser.new_page(
            viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
        )
        page.route("**/edits", lambda one: one.abort() if one.request.method == "POST" else one.continue_())
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.wait_for_timeout(2000)
        if at is not None:
            x, y, zoom = at
            place = f"&x={x}&y={y}&zoom={zoom}"
            page.goto(page.url.partition("&x=")[0] + place)  # the page loads itself anew
            page.wait_for_timeout(1500)
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(2000)
            box = page.locator("#pane-a").bounding_box()
            page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
            page.mouse.move(box["x"] + 5, box["y"] + box["height"] - 5)
            page.wait_for_timeout(1500)
        for key in keys:
            page.keyboard.press(key)
            page.wait_for_timeout(1500)
        picture: bytes = page.screenshot()
        page.evaluate("localStorage.clear()")
        browser.close()
    return picture


def write(path: Path, picture: bytes) -> None:
    """Write it as JPEG, as good as fits."""
    image = Pillow.open(io.BytesIO(picture)).convert("RGB")
    for quality in range(90, 40, -4):
        image.save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size < MOST_BYTES:
            break
    print(f"{path}: {path.stat().st_size:,} bytes at quality {quality}")


if __name__ == "__main__":
    main()
