"""Make the pictures of the tutorials from what they leave.

    python docs/make/tutorial_pictures.py FOLDER [NAME ...]

FOLDER/NAME is the folder in which docs/tutorials/NAME.sh was run; that of "cohort" (docs/cohort.md) is made
by benchmarks/cohort.py --slides 400 --folder FOLDER/cohort.
"""

import io
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from histoscope.files import read_image
from histoscope.tables import read_table

OUT = Path(__file__).resolve().parents[1] / "img"
WHITE, GAP_PX = 255, 8


def masks(run: Path) -> NDArray[np.uint8]:
    """An image, its mask, and the nuclei that were found."""
    name = "p011_001"
    image = read_image(run / f"lab/images/{name}.png")
    mask = Image.open(run / f"lab/masks/{name}.png").convert("RGB")
    found = read_image(run / f"out/{name}_overlay.png")[: len(image)]
    return beside(image, np.array(mask), found)


def slide(run: Path) -> NDArray[np.uint8]:
    """The overview of the slide, and the region that was corrected."""
    overview = Image.open(run / "out/slide/overview.png").convert("RGB").resize((800, 400))
    (region,) = (run / "from_qupath/overlays").glob("*.png")
    return beside(np.array(overview), read_image(region)[:400])


def classify(run: Path) -> NDArray[np.uint8]:
    """The patches of one photograph."""
    groups = read_table(run / "groups.csv")
    patches = groups["path"][groups["group"] == groups["group"].iloc[0]]
    return beside(*(read_image(run / "same" / path) for path in patches))


def network(run: Path) -> NDArray[np.uint8]:
    """An image, and the nuclei that the network of one's own found."""
    name = "p000_000"
    return beside(read_image(run / f"drawn/images/{name}.png"), read_image(run / f"out/{name}_overlay.png"))


def study(run: Path) -> NDArray[np.uint8]:
    """The top of the report."""
    return page(run / "runs/stain/report.html", "h2")


def cluster(run: Path) -> NDArray[np.uint8]:
    """The groups on the page of the cohort."""
    return page(run / "out/cohort.html", "h2")


def cohort(run: Path) -> NDArray[np.uint8]:
    """The groups of a larger cohort, with made-up numbers."""
    return cluster(run)


def page(path: Path, heading: str) -> NDArray[np.uint8]:
    """A page as the machine's own Chromium shows it, from its first such heading on."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as at:
        browser = at.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        opened = browser.new_page(viewport={"width": 560, "height": 660}, device_scale_factor=1.6)
        opened.goto(path.resolve().as_uri())
        opened.locator(heading).first.evaluate("one => one.scrollIntoView()")
        picture = opened.screenshot(type="png")
        browser.close()
    return np.array(Image.open(io.BytesIO(picture)).convert("RGB"))


def beside(*pictures: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pictures of one height in a row."""
    gap = np.full((len(pictures[0]), GAP_PX, 3), WHITE, np.uint8)
    return np.concatenate([part for picture in pictures for part in (gap, picture)][1:], axis=1)


MADE: dict[str, Callable[[Path], NDArray[np.uint8]]] = {
    one.__name__: one for one in (masks, slide, classify, network, study, cluster, cohort)
}

if __name__ == "__main__":
    folder, *chosen = sys.argv[1:]
    for name in chosen or MADE:
        picture = MADE[name](Path(folder) / name)
        Image.fromarray(picture).save(OUT / f"tutorial_{name}.jpg", quality=88)
