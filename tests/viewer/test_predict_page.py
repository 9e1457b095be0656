"""Prediction in a real browser: a rectangle shows its nuclei, a dropped image is opened and predicted."""

import base64
import io

import numpy as np
import pytest
from PIL import Image as Pillow

from browsing import NEEDED, Visit, chromium
from histoscope import synth
from histoscope.nuclei import Nuclei
from histoscope.viewer.library import Library
from histoscope.viewer.predicting import Answer, Predictor

pytestmark = NEEDED
DROP = """
async ([packed, name]) => {
  const bytes = Uint8Array.from(atob(packed), (one) => one.charCodeAt(0)), data = new DataTransfer();
  data.items.add(new File([bytes], name));
  for (const kind of ["dragenter", "dragover", "drop"])
    dispatchEvent(new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }));
}
"""


def found(_, image, mpp, model):
    """A grid of nuclei of two classes, in any image."""
    labels = np.zeros(image.shape[:2], np.int32)
    rows, columns = np.indices(labels.shape)
    inside = (rows % 20 < 12) & (columns % 20 < 12)
    across = -(-labels.shape[1] // 20)
    labels[inside] = (rows // 20 * across + columns // 20 + 1)[inside]
    classes = np.arange(labels.max() + 1) % 2 + 1
    nuclei = Nuclei.from_labels(labels, mpp=mpp, classes=classes.astype(np.uint8))
    return Answer(nuclei, ("epithelial", "inflammatory"), model, 0.1)


@pytest.fixture
def one(shown, serve, monkeypatch):
    from histoscope.viewer.server import create_app

    monkeypatch.setattr(Predictor, "__call__", found)
    with serve(create_app(Library([shown]).search())) as address, chromium() as browser:
        visit = Visit(browser, address)
        yield visit
        assert visit.errors == []


def draw(one, share):
    """Draw a rectangle around the middle."""
    box = one.page.locator("#pane-a").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    half = share * box["height"] / 2
    one.page.mouse.move(x - half, y - half)
    one.page.mouse.down()
    one.page.mouse.move(x, y)
    one.page.mouse.move(x + half, y + half)
    one.page.mouse.up()


def test_a_rectangle_shows_its_nuclei_with_counts_and_goes_again(one):
    before = one.place()
    one.page.click("#legend li[data-kind='1'] button")  # no yellow but of the preview
    one.page.keyboard.press("p")
    one.until(lambda: one.page.is_visible("#predict-tools"))
    draw(one, 0.4)
    one.until(lambda: one.page.get_attribute("body", "data-previews") == "1")
    said = one.page.inner_text("#previews")
    assert "nuclei" in said
    assert "epithelial" in said
    assert "histoscope predict nuclei slide.tif out/" in said  # how to keep what is only a preview

    def yellow():
        return (np.abs(one.picture().astype(int) - (255, 255, 0)).sum(axis=2) < 90).sum()

    one.until(lambda: yellow() > 200)
    assert one.place() == pytest.approx(before, rel=1e-3)  # drawing does not move the slide
    one.page.keyboard.press("Escape")
    box = one.page.locator(".preview-box").bounding_box()
    one.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    one.page.click("#previews button")
    one.until(lambda: one.page.locator(".preview-box").count() == 0)
    one.until(lambda: yellow() < 20)


def test_a_dropped_image_is_opened_and_predicted(one):
    packed, resolution = io.BytesIO(), (50_800, 50_800)  # dots an inch of 0.5 um
    Pillow.fromarray(synth.generate((120, 160), mpp=0.5, rng=4).image).save(packed, "PNG", dpi=resolution)
    one.page.evaluate(DROP, [base64.b64encode(packed.getvalue()).decode(), "mine.png"])
    one.until(lambda: "48 nuclei" in one.page.inner_text("#previews"))
    assert one.page.inner_text("#title") == "mine.png"
    assert "dropped on the page" in one.page.inner_text("#items")
    one.until(lambda: one.picture()[200:600, 300:600].std() > 20)


def test_a_file_that_is_no_image_is_refused_with_words(one):
    one.page.evaluate(DROP, [base64.b64encode(b"no image").decode(), "notes.txt"])
    one.until(lambda: "PNG, JPEG or TIFF" in one.page.inner_text("#message"))
    assert one.page.inner_text("#title") == "slide.tif"


def test_where_an_image_does_not_say_its_pixel_size_the_page_asks(one):
    packed = io.BytesIO()
    Pillow.fromarray(synth.generate((120, 160), mpp=0.5, rng=4).image).save(packed, "PNG")
    asked = []

    def answer(dialog):
        asked.append(dialog.message)
        dialog.accept("0,5")  # as it is written in half of Europe

    one.page.on("dialog", answer)
    one.page.evaluate(DROP, [base64.b64encode(packed.getvalue()).decode(), "mine.png"])
    one.until(lambda: "48 nuclei" in one.page.inner_text("#previews"))
    assert asked == ["Pixel size in µm? It is about 0.25 for a 40x scan and 0.5 for 20x."]
