"""Correcting in a real browser: what is said there is in the file, is undone, and is never there twice."""

import json
import re

import numpy as np
import pytest

from browsing import NEEDED, Visit, chromium
from histoscope.edits import Corrections
from histoscope.viewer.library import Library

pytestmark = NEEDED
SENT = "**/edits"


@pytest.fixture(scope="module")
def browser():
    with chromium() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path, cells, shown_slide):
    (tmp_path / "slide.tif").write_bytes(shown_slide.read_bytes())
    cells(tmp_path / "out" / "slide", n=60)
    return tmp_path


class Corrector(Visit):
    """A page on which nuclei are corrected."""

    def __init__(self, browser, address, table, **how):
        super().__init__(browser, address, **how)
        self.table, self.start = table, self.page.url.partition("&x=")[0]

    def corrects(self):
        self.page.keyboard.press("e")
        self.until(lambda: self.page.is_visible("#correct"))
        return self

    def at(self, row, zoom=6):
        """Look at a nucleus."""
        x, y = (self.table[name][row].as_py() for name in ("x_px", "y_px"))
        self.look(x, y, zoom)

    def look(self, x, y, zoom=6):
        self.open(f"{self.start}&x={x}&y={y}&zoom={zoom}")
        self.corrects()

    def open(self, address):
        self.page.goto("about:blank")
        self.page.goto(address)
        self.until(lambda: self.in_view() >= 0)

    def choose(self, row):
        self.at(row)
        self.page.mouse.click(*self.middle())
        self.until(lambda: "1 nucleus is selected" in self.page.inner_text("#correct .next"))

    def middle(self):
        box = self.page.locator("#pane-a").bounding_box()
        return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2

    def drag(self, points):
        self.page.mouse.move(*points[0])
        self.page.mouse.down()
        for point in points[1:]:
            self.page.mouse.move(*point)
        self.page.mouse.up()

    def circle(self, radius=30):
        x, y = self.middle()
        self.drag([(x + radius * np.cos(t), y + radius * np.sin(t)) for t in np.linspace(0, 6.1, 40)])

    def last(self):
        found = self.page.locator("#last li span button")
        return found.all_inner_texts()

    def waiting(self):
        """Edits that the browser keeps."""
        return self.page.evaluate(
            "Object.keys(localStorage).filter((key) => key.startsWith('histoscope-edit'))"
        )


@pytest.fixture
def corrector(browser, folder, serve):
    from contextlib import ExitStack

    from histoscope.viewer.server import create_app

    table = Corrections(folder / "out" / "slide" / "cells.parquet").found.table
    with ExitStack() as stack:
        opened = []

        def go(author="ada", **how):
            address = stack.enter_context(serve(create_app(Library([folder]).search(), author=author)))
            opened.append(Corrector(browser, address, table, **how))
            return opened[-1]

        yield go
        for one in opened:
            assert one.errors == []
            one.context.close()


@pytest.fixture
def written(folder):
    """The edits on disk, anew each time."""
    corrections = Corrections(folder / "out" / "slide" / "cells.parquet")
    return lambda: corrections.read().edits


def test_a_correction_is_drawn_counted_written_and_survives_a_reload(corrector, written):
    one = corrector()
    one.choose(6)
    one.page.keyboard.press("2")
    one.until(lambda: len(written()) == 1)
    (edit,) = written()
    assert (edit.kind, edit.class_name, edit.author) == ("reclassify", "inflammatory", "ada")
    one.until(lambda: one.waiting() == [])
    one.choose(8)
    one.page.keyboard.press("Delete")
    one.until(lambda: len(written()) == 2)
    one.until(lambda: "59 nuclei" in one.page.inner_text("#items"))
    one.open(one.start)
    one.until(lambda: one.in_view() == 59)
    one.until(lambda: "59 nuclei" in one.page.inner_text("#lead"))
    assert one.page.is_visible("#layers button:has-text('Corrected')")
    assert one.page.inner_text("#legend li[data-kind='2'] .count") == "31"
    assert one.page.inner_text("#legend li[data-kind='1'] .count") == "28"


def test_a_nucleus_that_was_clicked_before_is_selected_and_its_card_says_whose_numbers_it_has(corrector):
    one = corrector()
    x, y = (one.table[name][6].as_py() for name in ("x_px", "y_px"))
    one.open(f"{one.start}&x={x}&y={y}&zoom=6")
    one.page.mouse.click(*one.middle())
    one.until(lambda: "Class probabilities (model)" in one.page.inner_text("#nucleus"))
    one.corrects()
    one.until(lambda: "1 nucleus is selected" in one.page.inner_text("#correct .next"))
    assert one.page.is_disabled("#correct [data-held=undo]")
    one.page.keyboard.press("2")
    one.until(lambda: one.page.is_enabled("#correct [data-held=undo]"))
    one.page.mouse.click(*one.middle())
    one.until(lambda: "Model's class" in one.page.inner_text("#nucleus"))


def test_a_pressed_button_is_not_made_anew(corrector):
    """Else a click is lost when the panel is drawn again between press and release."""
    one = corrector().corrects()
    box = one.page.locator("#correct [data-held=done]").bounding_box()
    one.page.mouse.move(box["x"] + 5, box["y"] + 5)
    one.page.mouse.down()
    one.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    one.page.wait_for_timeout(800)
    one.page.mouse.up()
    one.until(lambda: not one.page.is_visible("#correct"))


def test_undone_with_keys_and_from_the_list_and_done_again(corrector, written):
    one = corrector()
    one.choose(6)
    one.page.keyboard.press("x")
    one.until(lambda: one.last() == ["not a nucleus"] and len(written()) == 1)
    one.page.keyboard.press("Control+z")
    one.until(lambda: one.last() == [] and len(written()) == 2)
    one.page.keyboard.press("Control+Shift+Z")
    one.until(lambda: one.last() == ["not a nucleus"] and len(written()) == 3)
    one.page.click("#last li > button")
    one.until(lambda: one.last() == [] and len(written()) == 4)


def test_a_nucleus_is_drawn_with_the_mouse_and_is_a_nucleus_like_others(corrector, written, folder):
    one = corrector()
    corner = 490, 22
    one.look(*corner)
    before = one.in_view()
    one.page.keyboard.press("w")
    one.page.keyboard.press("2")
    one.circle()
    one.until(lambda: len(written()) == 1)
    (edit,) = written()
    points = np.array(edit.polygon_px)
    assert edit.class_name == "inflammatory"
    assert np.abs(points.mean(axis=0) - corner).max() < 1
    assert 3 < np.ptp(points[:, 0]) / 2 < 6
    one.until(lambda: one.in_view() == before + 1)
    one.page.keyboard.press("v")
    one.page.mouse.click(*one.middle())
    one.until(lambda: "1 nucleus is selected" in one.page.inner_text("#correct .next"))
    one.page.keyboard.press("1")
    one.until(lambda: len(written()) == 2)
    assert Corrections(folder / "out" / "slide" / "cells.parquet").applied().table["class"][-1].as_py() == (
        "epithelial"
    )


def test_a_nucleus_is_drawn_with_a_finger(corrector, written):
    one = corrector(width=400)
    one.look(490, 22)
    one.page.click("#correct [data-tool=draw]")
    touch = one.context.new_cdp_session(one.page)
    touch.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def finger(kind, *points):
        places = [{"x": x, "y": y} for x, y in points]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": places})

    x, y = one.middle()
    ring = [(x + 30 * np.cos(t), y + 30 * np.sin(t)) for t in np.linspace(0, 6.1, 20)]
    place = one.place()
    finger("touchStart", ring[0])
    for point in ring[1:]:
        finger("touchMove", point)
    finger("touchEnd")
    one.until(lambda: len(written()) == 1)
    assert np.ptp(np.array(written()[0].polygon_px), axis=0) == pytest.approx([10, 10], abs=2)
    assert one.place() == place


def test_a_nucleus_is_drawn_and_chosen_with_the_keyboard_alone(corrector, written):
    one = corrector()
    one.look(490, 22)
    for key in ("w", "Enter"):
        one.page.keyboard.press(key)
    one.until(lambda: len(written()) == 1)
    for key in ("v", "Enter"):
        one.page.keyboard.press(key)
    one.until(lambda: "1 nucleus is selected" in one.page.inner_text("#correct .next"))
    one.page.keyboard.press("Delete")
    one.until(lambda: len(written()) == 2)


def test_several_are_chosen_with_shift_corrected_together_and_exported(corrector, written):
    one = corrector()
    one.look(256, 256, 1.5)
    x, y = one.middle()
    one.page.keyboard.down("Shift")
    one.drag([(x - 200, y - 200), (x, y), (x + 200, y + 200)])
    one.page.keyboard.up("Shift")
    said = one.page.inner_text("#correct .next")
    n = int(re.match(r"(\d+) nuclei are selected", said)[1])
    assert n > 5
    with one.page.expect_download() as waits:
        one.page.click("#correct button:has-text('GeoJSON')")
    saved = json.loads(waits.value.path().read_text())
    assert len(saved["features"]) == n
    one.page.keyboard.press("1")
    one.until(lambda: len(written()) == n)
    assert {edit.class_name for edit in written()} == {"epithelial"}
    one.until(lambda: one.waiting() == [])
    one.look(256, 256, 1.5)
    one.page.keyboard.press("u")  # all of it, after a reload too
    one.until(lambda: len(written()) == 2 * n)


def test_a_nucleus_that_was_deleted_is_chosen_and_is_one_again(corrector, written):
    one = corrector()
    one.choose(6)
    before = one.in_view()
    one.page.keyboard.press("x")
    one.until(lambda: len(written()) == 1 and one.in_view() == before - 1)
    one.page.mouse.click(*one.middle())
    one.until(lambda: "1 nucleus is selected" in one.page.inner_text("#correct .next"))
    one.until(lambda: "not a nucleus by ada" in one.page.inner_text("#nucleus"))
    one.page.keyboard.press("y")
    one.until(lambda: one.in_view() == before)


def test_several_share_a_server_each_with_a_name(corrector, written):
    one = corrector()
    one.choose(6)
    one.page.once("dialog", lambda dialog: dialog.accept("Dr Bob"))
    one.page.click("#correct .who")
    one.until(lambda: "as Dr Bob" in one.page.inner_text("#correct"))
    one.page.keyboard.press("x")
    one.until(lambda: len(written()) == 1)
    assert written()[0].author == "Dr Bob"


def test_a_part_that_is_right_is_a_region(corrector, written):
    one = corrector()
    one.look(256, 256, 1.5)
    one.page.keyboard.press("r")
    x, y = one.middle()
    one.drag([(x - 150, y - 150), (x, y), (x + 150, y + 150)])
    one.until(lambda: len(written()) == 1)
    (edit,) = written()
    assert (edit.kind, len(edit.polygon_px), edit.nucleus) == ("confirm", 4, "")
    assert np.array(edit.polygon_px).min(axis=0) == pytest.approx([156, 156], abs=2)
    assert one.last() == ["region confirmed"]


def test_two_people_at_one_nucleus_see_each_other_and_that_they_differ(corrector, written):
    ada, bob = corrector("ada"), corrector("bob")
    ada.choose(6)
    bob.choose(6)
    ada.page.keyboard.press("x")
    ada.until(lambda: len(written()) == 1)
    bob.page.keyboard.press("2")
    bob.until(lambda: "People differ about 1 nucleus" in bob.page.inner_text("#correct"))
    assert "ada: not a nucleus; bob: inflammatory (counts)" in bob.page.inner_text("#conflicts")
    ada.until(lambda: "People differ" in ada.page.inner_text("#correct"))
    assert len(written()) == 2


def test_what_the_server_did_not_hear_is_kept_and_sent_once(corrector, written):
    one = corrector()
    one.choose(6)
    one.page.route(SENT, lambda route: route.abort())
    one.page.keyboard.press("x")
    one.until(lambda: "kept in this browser" in one.page.inner_text("#correct"))
    assert len(one.waiting()) == 1
    assert one.last() == ["not a nucleus"]
    assert written() == ()
    one.page.reload()  # the laptop was closed, and the server is still away
    one.until(lambda: one.in_view() > 0)
    assert len(one.waiting()) == 1
    one.page.unroute(SENT)
    one.page.reload()
    one.until(lambda: len(written()) == 1 and one.waiting() == [])


def test_an_answer_that_is_lost_does_not_double_a_correction(corrector, written):
    one = corrector()
    one.choose(6)
    lost = []

    def lose(route):
        if route.request.method == "POST" and not lost:
            route.fetch()  # it is written
            lost.append(1)
            route.abort()
        else:
            route.continue_()

    one.page.route(SENT, lose)
    one.page.keyboard.press("x")
    one.until(lambda: lost and one.waiting() == [])
    assert len(written()) == 1


def test_a_full_disk_is_told_and_the_correction_waits(corrector, written, monkeypatch):
    one = corrector()
    one.choose(6)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("histoscope.edits.corrections.write", full)
        one.page.keyboard.press("x")
        one.until(lambda: "No space left" in one.page.inner_text("#correct"))
    one.until(lambda: len(written()) == 1)
    one.until(lambda: "No space left" not in one.page.inner_text("#correct"))


def test_the_least_sure_are_answered_with_one_key_each(corrector, written):
    one = corrector().corrects()
    one.page.keyboard.press("g")
    one.until(lambda: one.page.locator("#review .card").count() == 48)
    assert "0 of 48 answered, 48 left" in one.page.inner_text("#review-progress")
    one.page.wait_for_timeout(500)
    picture = one.page.locator("#review .card").nth(3).screenshot()
    assert len(picture) > 3000  # not flat
    for key in ("y", "x", "2"):
        one.page.keyboard.press(key)
    one.until(lambda: len(written()) == 3)
    assert "3 of 48 answered, 45 left" in one.page.inner_text("#review-progress")
    one.page.keyboard.press("u")
    one.until(lambda: "2 of 48 answered" in one.page.inner_text("#review-progress"))
    kinds = [edit.kind for edit in written()]
    assert kinds[:2] == ["confirm", "delete"]
    assert kinds[-1] == "undo"
    one.page.keyboard.press("Escape")
    assert not one.page.is_visible("#review")
    assert one.page.is_visible("#correct")


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_telephone_all_of_it_is_in_reach(corrector, written, dark):
    one = corrector(width=400, dark=dark)
    one.page.tap = one.page.click
    one.page.click("#correct-button")
    one.until(lambda: one.page.is_visible("#correct"))
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 400
    one.page.click("#review-button")
    one.until(lambda: one.page.locator("#review .card").count() == 48)
    for button in one.page.locator("#review footer button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 400
        assert box["y"] + box["height"] <= 800
        assert box["height"] >= 40
    one.page.click("#review footer button:has-text('Not a nucleus')")
    one.until(lambda: len(written()) == 1)
    assert one.page.evaluate("document.documentElement.scrollWidth") <= 400


def test_the_densities_far_out_count_what_was_corrected(corrector, written):
    one = corrector()
    one.choose(6)
    one.page.keyboard.press("x")
    one.until(lambda: len(written()) == 1)
    one.look(256, 256, 0.1)
    one.until(lambda: one.in_view() == 59)


def test_squares_far_out_are_what_the_server_would_send_of_a_corrected_table(
    corrector, written, folder, tmp_path_factory
):
    """Squares with the few changes of the page, and those of a table in which the same was changed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from histoscope.viewer.results import open_results

    one = corrector()
    path = folder / "out" / "slide" / "cells.parquet"
    Corrections(path).add("delete", "ada", row=6)
    for row in (7, 9, 20, 31):
        Corrections(path).add("reclassify", "ada", row=row, class_name="epithelial")
    one.page.reload()
    results = re.search(r"results=(\w+)", one.page.url)[1]
    squares = one.page.evaluate(
        """async (id) => {
            const [api, { parse }, { patched, patchOf }] = await Promise.all(
                ["api", "squares", "patch"].map((name) => import(`./js/${name}.js`)));
            const results = { id, ...(await api.results(id)) };
            const patch = patchOf(results, await api.edits(id), []);
            return Promise.all([0, 2].map(async (zoom) => {
                const at = { zoom, column: 0, row: 0 };
                const raw = parse(await api.square(results, "density", zoom, 0, 0));
                const data = patched(raw, at, results.square_px * 2 ** zoom, results.bins, patch);
                return [...Array(data.n).keys()].filter((k) => data.count[k])
                    .map((k) => [data.place[k], data.kind[k], data.band[k], data.count[k]]);
            }));
        }""",
        results,
    )
    table = pq.read_table(path)
    kinds = np.array(table["class_id"].to_pylist(), np.uint8)
    kinds[[7, 9, 20, 31]] = 1
    table = table.set_column(table.column_names.index("class_id"), "class_id", pa.array(kinds))
    table = table.filter(pa.array(np.arange(60) != 6))
    other = tmp_path_factory.mktemp("other") / "cells.parquet"
    pq.write_table(table, other)
    marks = open_results(other).marks()
    for zoom, square in zip((0, 2), squares, strict=True):
        packed = marks.density(zoom, 0, 0)
        n = int(np.frombuffer(packed, "<u4", 1, 4)[0])
        expected = zip(
            np.frombuffer(packed, "<u2", n, 16 + 4 * n).tolist(),
            np.frombuffer(packed, "u1", n, 16 + 6 * n).tolist(),
            np.frombuffer(packed, "u1", n, 16 + 7 * n).tolist(),
            np.frombuffer(packed, "<u4", n, 16).tolist(),
            strict=True,
        )
        assert sorted(map(tuple, square)) == sorted(expected)


def test_a_read_only_folder_says_so_and_takes_nothing(corrector, written, monkeypatch):
    from histoscope.errors import ConfigError

    def refuse(_):
        raise ConfigError("cannot write to out: it is read-only; choose another place")

    for module in ("notebook", "correcting"):
        monkeypatch.setattr(f"histoscope.viewer.{module}.require_writable", refuse)
    one = corrector()
    one.choose(6)
    assert "read-only" in one.page.inner_text("#correct")
    one.page.keyboard.press("x")
    one.until(lambda: "read-only" in one.page.inner_text("#message"))
    assert one.waiting() == []
    assert written() == ()


def test_the_same_results_in_both_panes_have_the_same_corrections(corrector, written):
    """Such as the original beside the normalised slide."""
    one = corrector()
    x, y = (one.table[name][6].as_py() for name in ("x_px", "y_px"))
    results = re.search(r"results=(\w+)", one.start)[1]
    one.open(f"{one.start}&split={results}&x={x}&y={y}&zoom=6")
    one.corrects()
    one.page.mouse.click(*one.middle())
    one.until(lambda: "1 nucleus is selected" in one.page.inner_text("#correct .next"))
    one.page.keyboard.press("x")
    one.until(lambda: len(written()) == 1 and one.last() == ["not a nucleus"])
    assert one.page.is_enabled("#correct [data-held=undo]")
