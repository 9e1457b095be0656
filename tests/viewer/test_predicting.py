"""Nuclei on demand: of what is sent and of rectangles, within limits, in turn, and never of hostile files."""

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("httpx")

import asyncio
import io
import shutil
import threading
import zlib

import httpx
import numpy as np
from fastapi import Request, Response
from PIL import Image as Pillow

from histoscope import models, synth
from histoscope.nuclei import Nuclei
from histoscope.viewer import predict_routes, predicting
from histoscope.viewer.library import Library
from histoscope.viewer.predicting import Answer, Line, Predictor
from histoscope.viewer.server import create_app


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, and an image that does not say how large its pixels are."""
    folder = tmp_path_factory.mktemp("here")
    models.save(models.create("unet", width=4, depth=2, mpp=0.5), folder / "mine" / "model")
    Pillow.fromarray(synth.generate((120, 160), mpp=0.5, rng=2).image).save(folder / "field.png")
    return folder


@pytest.fixture
def truth(monkeypatch):
    """Let every model find the same two nuclei; give the images that it was asked for."""
    asked = []

    def find(self, image, mpp, model):
        asked.append((image, mpp, model))
        labels = np.zeros(image.shape[:2], np.int32)
        labels[10:20, 10:20], labels[30:50, 30:40] = 1, 2
        nuclei = Nuclei.from_labels(labels, mpp=mpp, classes=[0, 1, 2])
        return Answer(nuclei, ("epithelial", "inflammatory"), model, 0.1)

    monkeypatch.setattr(Predictor, "__call__", find)
    return asked


@pytest.fixture
def ask(folder):
    app = create_app(Library([folder]).search())

    def call(address, method="GET", **more):
        async def go():
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
                return await client.request(method, address, **more)

        return asyncio.run(go())

    return call


@pytest.fixture
def slide(ask):
    return ask("/api/library").json()["items"][0]["id"]


def png(pixels):
    packed = io.BytesIO()
    Pillow.fromarray(pixels).save(packed, "PNG")
    return packed.getvalue()


TISSUE = synth.generate((64, 80), mpp=0.5, rng=1).image


def test_an_image_gives_its_nuclei_as_geojson(ask, truth):
    answer = ask("/predict?mpp=0.5", "POST", content=png(TISSUE))
    assert answer.status_code == 200
    found = answer.json()
    assert len(found["features"]) == found["metadata"]["n"] == 2
    assert found["metadata"]["counts"] == {"epithelial": 1, "inflammatory": 1}
    ((image, mpp, model),) = truth
    assert (image == TISSUE).all()
    assert (mpp, model) == (0.5, "nuclei")


def test_a_rectangle_of_a_slide_gives_them_in_its_own_pixels(ask, truth, slide, folder):
    where = f"/predict?slide={slide}&x=50&y=30&width=500&height=60&mpp=0.25"
    (first, _) = ask(where, "POST").json()["features"]
    assert np.min(first["geometry"]["coordinates"][0], axis=0).tolist() == [60, 40]
    ((image, mpp, _),) = truth
    assert (image == np.asarray(Pillow.open(folder / "field.png"))[30:90, 50:]).all()
    assert mpp == 0.25


def test_results_are_kept_and_asked_for_like_others(ask, truth, slide):
    kept = ask(f"/predict?slide={slide}&x=50&width=100&mpp=0.5&answer=results", "POST").json()
    assert (kept["n"], kept["box"]) == (2, [50, 0, 100, 120])
    results = ask(f"/api/results/{kept['id']}").json()
    assert results["classes"] == ["epithelial", "inflammatory"]
    assert [sum(each) for each in results["counts"]] == [0, 1, 1]
    assert ask(f"/api/results/{kept['id']}/rows/1").json()["class"] == "inflammatory"
    assert ask(f"/api/results/{kept['id']}/outlines/0/0/0").content[:4] == b"HSO1"


def test_nuclei_are_compared_with_the_truth(folder, ask, truth):
    labels = np.zeros((120, 160), np.uint8)
    labels[10:20, 10:20], labels[80:90, 80:90] = 1, 2
    data = folder / "data"
    (data / "images").mkdir(parents=True)
    (data / "labels").mkdir()
    shutil.copy(folder / "field.png", data / "images" / "a.png")
    Pillow.fromarray(labels).save(data / "labels" / "a.png")
    items = ask("/api/library", "POST").json()["items"]
    (item,) = [one for one in items if one["name"] == "a.png"]
    where = f"/predict?slide={item['id']}&mpp=0.5&against={item['results'][0]['id']}"
    kept = ask(where, "POST").json()
    assert kept["kind"] == "outcomes"
    results = ask(f"/api/results/{kept['id']}").json()
    assert dict(zip(results["classes"], map(sum, results["counts"][1:]), strict=True)) == {
        "found": 1,
        "missed": 1,
        "false positive": 1,
        "merged": 0,
        "split": 0,
    }
    assert ask(where[:-12] + "0" * 12, "POST").status_code == 404
    shutil.rmtree(data)


@pytest.mark.parametrize(
    ("query", "body", "status", "word"),
    [
        ("", png(TISSUE), 422, "give mpp"),
        ("?mpp=0.5", b"", 422, "PNG, JPEG or TIFF"),
        ("?mpp=0.5", b"\x80\x04\x95cos\nsystem\n", 422, "PNG, JPEG or TIFF"),  # a pickle
        ("?mpp=0.5", b"GIF89a" + bytes(100), 422, "PNG, JPEG or TIFF"),
        ("?mpp=0.5", png(TISSUE)[:200], 422, "decoded"),
        ("?mpp=-1", png(TISSUE), 422, ""),
        ("?mpp=0.5&answer=pickle", png(TISSUE), 422, ""),
        ("?mpp=0.5&slide=0123456789ab", b"", 404, "reload the page"),
        ("?mpp=0.5&slide=../../etc", b"", 422, ""),
    ],
)
def test_what_cannot_be_predicted_is_refused_with_words(ask, truth, query, body, status, word):
    answer = ask(f"/predict{query}", "POST", content=body)
    assert answer.status_code == status
    assert word in str(answer.json()["detail"])
    assert not truth


def test_a_bomb_is_refused_before_it_is_decoded(ask, truth):
    head = np.array([5000, 5000], ">u4").tobytes() + bytes([8, 2, 0, 0, 0])

    def chunk(name, data):
        return len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")

    rows = zlib.compress(bytes(5000 * 15_001))
    bomb = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    assert len(bomb) < 2_000_000
    answer = ask("/predict?mpp=0.5", "POST", content=bomb)
    assert answer.status_code == 413
    assert "4,096 x 4,096" in answer.json()["detail"]


def test_more_bytes_than_are_taken_are_refused_while_they_come(ask, truth, monkeypatch):
    monkeypatch.setattr(predict_routes, "_MOST_BYTES", 1000)
    assert ask("/predict?mpp=0.5", "POST", content=bytes(5000)).status_code == 413

    async def endless():
        while True:
            yield bytes(500)

    assert ask("/predict?mpp=0.5", "POST", content=endless()).status_code == 413
    monkeypatch.setattr(predict_routes, "_UPLOAD_S", 0.05)

    async def slow():
        yield b"\x89PNG"
        await asyncio.sleep(10)

    assert ask("/predict?mpp=0.5", "POST", content=slow()).status_code == 408


def test_rectangles_that_are_too_large_or_beside_are_refused(ask, truth, slide, monkeypatch):
    monkeypatch.setattr(predicting, "MOST_PX", 100)
    assert ask(f"/predict?slide={slide}&mpp=0.5", "POST").status_code == 413
    monkeypatch.undo()
    beside = ask(f"/predict?slide={slide}&mpp=0.5&x=160", "POST")
    assert (beside.status_code, "beyond the slide" in beside.json()["detail"]) == (422, True)


def test_models_are_named_and_others_are_not_opened(ask, slide):
    known = [one["name"] for one in ask("/api/models").json()["models"]]
    assert {"nuclei", "mine/model"} <= set(known)
    for name in ("../mine/model", "/etc", "hf:owner/name"):
        answer = ask("/predict", "POST", params={"slide": slide, "mpp": 0.5, "model": name})
        assert (answer.status_code, "there is no model" in answer.json()["detail"]) == (404, True)


def test_a_model_of_the_folder_finds_nuclei(ask, slide):
    answer = ask(f"/predict?slide={slide}&mpp=0.5&model=mine/model", "POST")
    assert answer.status_code == 200
    assert answer.json()["metadata"]["model"] == "mine/model"


def test_a_dropped_image_is_kept_shown_and_forgotten(ask, folder, monkeypatch):
    monkeypatch.setattr("histoscope.viewer.scratch._MOST_IMAGES", 2)
    first, *_, last = (
        ask("/api/images?name=../a%2Fb.png", "POST", content=png(TISSUE)).json() for _ in range(3)
    )
    assert last["name"] == "b.png"
    facts = ask(f"/api/slides/{last['id']}").json()
    assert facts["size_px"] == [80, 64]
    assert ask(f"/api/slides/{last['id']}/thumbnail").content[:2] == b"\xff\xd8"
    items = ask("/api/library", "POST").json()["items"]
    assert [one["folder"] for one in items] == ["dropped on the page"] * 2 + [""]
    assert ask(f"/api/slides/{first['id']}").status_code == 404
    assert ask("/api/images", "POST", content=b"<svg/>").status_code == 422
    assert not [path for path in folder.rglob("*") if "b.png" in path.name]


def test_a_few_wait_in_line_and_others_are_told_to_come_again():
    line, hold = Line(most=1), threading.Event()
    done = []

    def request(is_gone):
        async def receive():
            if is_gone:
                return {"type": "http.disconnect"}
            await asyncio.sleep(60)
            return {}

        return Request({"type": "http", "headers": [], "method": "POST"}, receive)

    def work():
        hold.wait(10)
        done.append(1)
        return Response("found")

    async def go():
        first = asyncio.create_task(line.answer(request(False), work))
        await asyncio.sleep(0.05)
        gone = asyncio.create_task(line.answer(request(True), work))
        await asyncio.sleep(0.05)
        full = await line.answer(request(False), work)
        hold.set()
        return await first, await gone, full

    first, gone, full = asyncio.run(go())
    assert (first.body, full.status_code, full.headers["retry-after"]) == (b"found", 503, "3")
    assert len(done) == 1  # nobody waited for the second
    assert gone.status_code == 499
