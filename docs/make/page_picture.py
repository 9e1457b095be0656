"""Make a picture of the page after some clicks and keys: python docs/make/page_picture.py FOLDER OUT ...

docs/img/view_study.jpg: ``--click .number[data-level=macenko][data-condition=laboratory_B] --keys b``;
docs/img/correct.jpg: ``--keys e g y x 3``. Corrections do not reach the folder.
Needs Playwright and Chromium.
"""

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright
from view_pictures import WIDE, served, settle, write

PAUSE_MS = 2500


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--click", nargs="*", default=[], help="CSS selectors, one after another")
    parser.add_argument("--keys", nargs="*", default=[], help="pressed after that")
    given = parser.parse_args()
    with sync_playwright() as run, served(given.folder) as (address, _):
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDE[0], "height": WIDE[1]})
        page.route("**/edits", lambda one: one.abort() if one.request.method == "POST" else one.continue_())
        page.goto(address)
        steps = [lambda: None, *(lambda at=at: page.click(at) for at in given.click)]
        for step in (*steps, *(lambda key=key: page.keyboard.press(key) for key in given.keys)):
            step()
            page.wait_for_load_state("networkidle")
            page.wait_for_timeout(PAUSE_MS)
            if page.is_visible("#stage"):
                settle(page)
        write(given.out, page.screenshot())
        browser.close()


if __name__ == "__main__":
    main()
