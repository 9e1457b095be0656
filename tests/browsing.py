"""A browser that looks at the page, for tests: Chromium, and a visit."""

import io
import re
import shutil
import time
from contextlib import contextmanager

import numpy as np
import pytest
from PIL import Image as Pillow

from histoscope.viewer import running

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
NEEDED = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine"),
    pytest.mark.skipif(not running.VENDOR.is_file(), reason="OpenSeadragon was not fetched: build_page.py"),
]
PATIENCE_S = 60


@contextmanager
def chromium():
    """A browser."""
    with playwright.sync_playwright() as run:
        opened = run.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Visit:
    """A page, and what went wrong on it."""

    def __init__(self, browser, address, *, width=1280, dark=False, shows="#in-view"):
        scheme = "dark" if dark else "light"
        self.context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
        self.page, self.errors = self.context.new_page(), []
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.until(lambda: self.page.is_visible(shows) and self.page.inner_text(shows) != "–")

    def until(self, holds):
        """Wait for something that is asked for again and again."""
        end = time.monotonic() + PATIENCE_S
        while not holds():
            assert time.monotonic() < end, f"waited in vain; errors: {self.errors}"
            self.page.wait_for_timeout(50)

    def in_view(self):
        return int(self.page.get_attribute("#in-view", "data-n") or -1)

    def picture(self):
        """The pixels of the slide, without what lies over it."""
        return np.asarray(Pillow.open(io.BytesIO(self.page.locator("#stage").screenshot())).convert("RGB"))

    def place(self):
        found = re.findall(r"(x|y|zoom)=([-\d.e]+)", self.page.url)
        return {name: float(value) for name, value in found}
