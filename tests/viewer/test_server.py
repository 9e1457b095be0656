"""What the server answers: to whom it should, from below its folder, once, and with reasons."""

import numpy as np
import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import asyncio
import io

import httpx
from PIL import Image as Pillow

from histoscope.viewer.library import Library
from histoscope.viewer.server import create_app


class Asks:
    """Asks an application without a network."""

    def __init__(self, app, host="127.0.0.1:8765"):
        self.app, self.host, self.cookies = app, host, httpx.Cookies()

    def __call__(self, address, method="GET", **more):
        async def ask():
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(
                transport=transport, base_url=f"http://{self.host}", cookies=self.cookies
            ) as client:
                return await client.request(method, address, **more)

        return asyncio.run(ask())


@pytest.fixture(scope="module")
def ask(shown):
    return Asks(create_app(Library([shown]).search()))


@pytest.fixture(scope="module")
def items(ask):
    return {item["name"]: item for item in ask("/api/library").json()["items"]}


def test_the_page_is_served_and_loads_nothing_from_elsewhere(ask):
    page = ask("/")
    assert page.status_code == 200
    assert "histoscope" in page.text.lower()
    assert "https://" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_a_slide_says_its_size_and_its_tiles_are_pictures(ask, items):
    facts = ask(f"/api/slides/{items['slide.tif']['id']}").json()
    assert facts["size_px"] == [512, 512]
    assert facts["mpp"] == pytest.approx(0.5)
    assert facts["is_stored"]
    last = len(facts["layers"]) - 1
    tile = ask(f"/api/slides/{facts['id']}/tiles/{last}/1/2")
    assert tile.headers["content-type"] == "image/jpeg"
    assert np.asarray(Pillow.open(io.BytesIO(tile.content))).std() > 5
    assert Pillow.open(io.BytesIO(ask(f"/api/slides/{facts['id']}/thumbnail").content)).size == (320, 320)


def test_what_has_not_changed_is_not_sent_again(ask, items):
    address = f"/api/slides/{items['slide.tif']['id']}/tiles/0/0/0"
    tag = ask(address).headers["etag"]
    again = ask(address, headers={"If-None-Match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert ask(address, headers={"If-None-Match": '"other"'}).status_code == 200


def test_results_say_classes_and_numbers(ask, items):
    (found,) = items["slide.tif"]["results"]
    results = ask(f"/api/results/{found['id']}").json()
    assert results["classes"] == ["epithelial", "inflammatory"]
    assert np.sum(results["counts"], axis=1).tolist() == [0, 150, 150]
    assert len(results["colours"]) == 3
    packed = ask(f"/api/results/{found['id']}/outlines/0/0/0").content
    assert packed[:4] == b"HSO1"
    assert int(np.frombuffer(packed, "<u4", 1, 4)[0]) == 300
    assert ask(f"/api/results/{found['id']}/density/0/0/0").content[:4] == b"HSC1"
    row = ask(f"/api/results/{found['id']}/rows/150").json()
    assert row["class"] == "epithelial"
    assert row["probability"] == pytest.approx(150 / 299)


def test_nuclei_of_an_image_are_shown(ask, items):
    (found,) = items["field.png"]["results"]
    results = ask(f"/api/results/{found['id']}").json()
    assert results["n"] > 5
    assert ask(f"/api/results/{found['id']}/rows/0").json()["probability"] == 1.0


def test_tissue_is_in_pixels_of_the_slide(ask, items):
    rings = ask(f"/api/slides/{items['slide.tif']['id']}/tissue").json()
    assert rings["tissue"][0][0] == [15, 17]
    assert ask(f"/api/slides/{items['field.png']['id']}/tissue").status_code == 404


def test_a_broken_slide_says_why(ask, items):
    answer = ask(f"/api/slides/{items['broken.svs']['id']}")
    assert answer.status_code == 422
    assert "broken.svs" in answer.json()["detail"]


@pytest.mark.parametrize(
    "address",
    [
        "/api/slides/000000000000",
        "/api/results/000000000000/outlines/0/0/0",
        "/api/results/{found}/rows/300",
        "/api/slides/{slide}/tiles/9/0/0",
        "/api/slides/{slide}/tiles/0/7/0",
        "/../pyproject.toml",
        "/%2e%2e/server.py",
        "/js/%2e%2e/%2e%2e/server.py",
        "/..%2f..%2f..%2fetc/passwd",
        "/nothing",
    ],
)
def test_what_is_not_there_is_not_found(ask, items, address):
    known = {"slide": items["slide.tif"]["id"], "found": items["slide.tif"]["results"][0]["id"]}
    answer = ask(address.format(**known))
    assert answer.status_code == 404, answer.text


@pytest.mark.parametrize("address", ["/api/slides/..", "/api/slides/ABC", "/api/slides/{slide}/tiles/0/-1/0"])
def test_addresses_of_another_form_are_refused(ask, items, address):
    assert ask(address.format(slide=items["slide.tif"]["id"])).status_code in {404, 422}


def test_the_folder_is_looked_at_anew_when_asked(shown, tmp_path, cells):
    ask = Asks(create_app(Library([tmp_path]).search()))
    assert ask("/api/library").json()["items"] == []
    cells(tmp_path / "out" / "late")
    assert len(ask("/api/library", "POST").json()["items"]) == 1
    elsewhere = ask("/api/library", "POST", headers={"Origin": "https://example.org"})
    assert elsewhere.status_code == 403


def test_other_names_than_the_machines_own_are_refused(shown):
    """A page of elsewhere whose name leads here must not read slides."""
    app = create_app(Library([shown]).search())
    for host in ("example.org", "example.org:8765", "192.0.2.7"):
        assert Asks(app, host)("/api/library").status_code == 403
    for host in ("localhost:8765", "127.0.0.1", "[::1]:8765"):
        assert Asks(app, host)("/api/library").status_code == 200


def test_a_token_is_asked_for_once(shown):
    ask = Asks(create_app(Library([shown]).search(), token="s3cret"), "lab.example.org")
    assert ask("/").status_code == 401
    assert ask("/?token=wrong").status_code == 401
    assert ask("/api/library", headers={"Authorization": "Bearer s3cret"}).status_code == 200
    welcome = ask("/?token=s3cret&a=b")
    assert (welcome.status_code, welcome.headers["location"]) == (303, "/?a=b")
    assert "HttpOnly" in welcome.headers["set-cookie"]
    ask.cookies = welcome.cookies
    assert ask("/api/library").status_code == 200
    away = Asks(ask.app, "lab.example.org")("http://lab.example.org//evil.example.org/?token=s3cret")
    assert away.headers["location"] == "/evil.example.org/"


def test_a_table_that_changes_is_read_again(tmp_path, cells):
    cells(tmp_path / "out" / "slide", n=40)
    ask = Asks(create_app(Library([tmp_path]).search()))
    found = ask("/api/library").json()["items"][0]["results"][0]["id"]
    before = ask(f"/api/results/{found}").json()
    cells(tmp_path / "out" / "slide", n=60)
    after = ask(f"/api/results/{found}").json()
    assert (before["n"], after["n"]) == (40, 60)
    assert before["stamp"] != after["stamp"]
    (tmp_path / "out" / "slide" / "cells.parquet").unlink()
    gone = ask(f"/api/results/{found}")
    assert gone.status_code == 404
    assert "reload the page" in gone.json()["detail"]


def test_requests_that_nobody_waits_for_are_dropped(shown):
    from fastapi import Response

    from histoscope.viewer.desk import Desk

    class Left:
        query_params, headers = {}, {}

        async def is_disconnected(self):
            return True

    done = []
    answer = asyncio.run(Desk().answer(Left(), lambda: done.append(1) or Response()))
    assert (answer.status_code, done) == (499, [])


def test_work_that_takes_too_long_is_given_up():
    import time

    from histoscope.viewer.desk import Desk

    class Here:
        query_params, headers = {}, {}

        async def is_disconnected(self):
            return False

    answer = asyncio.run(Desk(1).answer(Here(), lambda: time.sleep(0.3), limit_s=0.01))
    assert answer.status_code == 504
    assert b"try again" in answer.body
