"""Scale bars, captions and round fields are painted out, and make no copies of sparse tiles."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from histoscope.data import Datasheet, InMemory, audit
from histoscope.data.leaks.marks import find_marks
from histoscope.synth import generate
from histoscope.types import Image, Sample

SIDE = 300
Change = Callable[[Image], Image]


def _sparse(seed: int, n: int = 5) -> Image:
    """Glass with wisps of pale tissue and a few nuclei."""
    rng = np.random.default_rng(seed)
    picture = np.full((SIDE, SIDE, 3), (236, 233, 237), float)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    for _ in range(n):
        row, column, a, b = *rng.uniform(0, SIDE, 2), *rng.uniform(10, 40, 2)
        wisp = np.exp(-2 * (((rows - row) / a) ** 2 + ((columns - column) / b) ** 2))
        picture -= wisp[..., None] * np.array((10, 50, 20)) * rng.uniform(0.4, 1)
    for _ in range(2 * n):
        row, column = rng.uniform(10, SIDE - 10, 2)
        picture[(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(3, 7) ** 2] = (110, 70, 150)
    return np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)


def _bar(picture: Image, colour: tuple[int, int, int] = (0, 0, 0)) -> Image:
    picture = picture.copy()
    cv2.rectangle(picture, (160, 275), (270, 281), colour, -1)
    cv2.putText(picture, "50 um", (180, 268), cv2.FONT_HERSHEY_SIMPLEX, 0.7, colour, 2, cv2.LINE_AA)
    return picture


def _caption(picture: Image) -> Image:
    picture = picture.copy()
    cv2.putText(picture, "Dept. 40x H&E", (10, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 0), 2, cv2.LINE_AA)
    cv2.putText(picture, "2024 No 7", (10, 50), cv2.FONT_HERSHEY_SIMPLEX, 0.6, (0, 0, 0), 1, cv2.LINE_AA)
    return picture


def _round(picture: Image) -> Image:
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE / 2
    return np.where((rows**2 + columns**2 > (0.48 * SIDE) ** 2)[..., None], np.uint8(4), picture)


def _saved(picture: Image) -> Image:
    stored = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return np.ascontiguousarray(cv2.imdecode(stored, cv2.IMREAD_COLOR)[..., ::-1])


CHANGES: dict[str, Change] = {
    "bar": _bar,
    "caption": _caption,
    "round field": _round,
    "blue": lambda picture: _bar(picture, (0, 0, 255)),
    "green": lambda picture: _bar(picture, (0, 255, 0)),
    "white": lambda picture: _bar(picture, (255, 255, 255)),
    "saved": lambda picture: _saved(_bar(_caption(picture))),
}


def _part(pictures: list[Image], name: str) -> InMemory:
    samples = [Sample(picture, 0.5, name=f"{name}{k}") for k, picture in enumerate(pictures)]
    return InMemory.of(samples, Datasheet("made", mpp=0.5))


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_is_drawn_on_sparse_tiles_makes_no_copies(change: Change) -> None:
    ours, theirs = ([change(_sparse(seed)) for seed in seeds] for seeds in (range(4), range(100, 104)))
    report = audit({"train": _part(ours, "a"), "test": _part(theirs, "b")})
    assert report.clean, str(report)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_copies_below_the_drawing_are_still_found(change: Change) -> None:
    pictures = [_sparse(seed, n=12) for seed in range(4)]
    turned = [change(np.ascontiguousarray(np.rot90(picture))) for picture in pictures]
    report = audit({"train": _part([change(p) for p in pictures], "a"), "test": _part(turned, "b")})
    found = {(leak.left_name, leak.right_name) for leak in report.leaks}
    assert found <= {(f"a{k}", f"b{k}") for k in range(4)}
    assert len(found) >= 3


def _glass(seed: int, side: int) -> Image:
    """Bare glass, each piece of another lamp."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.normal((236, 233, 237), 1.5, (side, side, 3)) + rng.normal(0, 4, 3), 0, 255).astype(
        np.uint8
    )


def _written(picture: Image, kind: str, colour: tuple[int, int, int], font: int = 0) -> Image:
    """Draw a caption, a bar with its length, a time or a filled box, in strokes that suit the size."""
    picture, side = picture.copy(), min(picture.shape[:2])
    size, width = side / 700, max(1, side // 350)

    def put(text: str, x: float, y: float, ink: tuple[int, int, int] = colour) -> None:
        place = round(x * side), round(y * side)
        cv2.putText(picture, text, place, font, max(size, 0.35), ink, width, cv2.LINE_AA)

    if "box" in kind:
        cv2.rectangle(picture, (0, round(0.93 * side)), (side, side), colour, -1)
        put("Camera 1 10:42:07", 0.03, 0.985, (255, 255, 255))
    if "caption" in kind:
        put("Dept. of Pathology 40x H&E", 0.02, 0.06)
    if "time" in kind:
        put("2024-03-17 10:42:07", 0.4, 0.97)
    if "bar" in kind:
        put("100 um", 0.7, 0.93)
        corners = (round(0.65 * side), round(0.95 * side)), (round(0.92 * side), round(0.96 * side))
        cv2.rectangle(picture, *corners, colour, -1)
    return picture


def _jpeg(picture: Image, quality: int, sampling: int) -> Image:
    settings = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return np.ascontiguousarray(
        cv2.imdecode(cv2.imencode(".jpg", picture[..., ::-1], settings)[1], cv2.IMREAD_COLOR)[..., ::-1]
    )


COLOURS = {
    "red": (255, 0, 0),
    "blue": (0, 0, 255),
    "green": (0, 160, 0),
    "black": (0, 0, 0),
    "grey": (120, 120, 120),
    "purple": (128, 0, 128),
    "orange": (255, 128, 0),
}
WHOLE, HALVED = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    ("kind", "side", "quality", "sampling", "font"),
    [
        ("caption", 400, 85, HALVED, cv2.FONT_HERSHEY_SIMPLEX),
        ("caption", 256, 60, HALVED, cv2.FONT_HERSHEY_DUPLEX),
        ("caption and bar", 400, 75, HALVED, cv2.FONT_HERSHEY_DUPLEX),
        ("caption and time", 600, 95, WHOLE, cv2.FONT_HERSHEY_TRIPLEX),
        ("box", 400, 80, HALVED, cv2.FONT_HERSHEY_SIMPLEX),
    ],
)
def test_captions_on_bare_glass_saved_as_jpeg_make_no_copies(
    colour: str, kind: str, side: int, quality: int, sampling: int, font: int
) -> None:
    ours, theirs = (
        [
            _jpeg(_written(_glass(seed, side), kind, COLOURS[colour], font), quality, sampling)
            for seed in seeds
        ]
        for seeds in ((0, 1), (100, 101))
    )
    report = audit({"train": _part(ours, "a"), "test": _part(theirs, "b")})
    assert report.clean, str(report)


@pytest.mark.parametrize(
    "change",
    [
        lambda picture: picture,
        lambda picture: np.ascontiguousarray(np.rot90(picture)),
        lambda picture: np.ascontiguousarray(picture[:, ::-1]),
        lambda picture: _jpeg(picture, 50, HALVED),
        lambda picture: (picture * 0.6 + 95).astype(np.uint8),
        lambda picture: np.ascontiguousarray(picture[40:, 60:]),
    ],
    ids=["same", "turned", "flipped", "jpeg", "paler", "cut"],
)
def test_copies_of_captioned_pictures_are_still_found(change: Change) -> None:
    captioned = [
        _jpeg(_written(_sparse(k, n=12), "caption and bar", (255, 0, 0)), 85, HALVED) for k in range(4)
    ]
    copies = [_jpeg(change(picture), 90, WHOLE) for picture in captioned]
    report = audit({"train": _part(captioned, "a"), "test": _part(copies, "b")})
    found = {(leak.left_name, leak.right_name) for leak in report.leaks}
    assert found == {(f"a{k}", f"b{k}") for k in range(4)}


def test_tissue_is_no_mark() -> None:
    assert not find_marks(_sparse(0)).any()
    dark = np.full((80, 80, 3), (200, 120, 170), np.uint8)
    dark[20:40, 20:40] = (45, 20, 80)
    assert not find_marks(dark).any()


@pytest.mark.parametrize("seed", range(3))
def test_texture_in_pieces_of_tissue_on_bare_glass_is_no_text(seed: int) -> None:
    picture = _glass(seed, 400)
    tissue = generate((400, 400), rng=np.random.default_rng(seed)).image
    piece = np.zeros((400, 400), np.uint8)
    for centre, axes in (((120, 150), (40, 25)), ((300, 280), (30, 45))):
        cv2.ellipse(piece, centre, axes, 0, 0, 360, 1, -1)
    assert not find_marks(_jpeg(np.where(piece[..., None] > 0, tissue, picture), 92, WHOLE)).any()


def test_pale_tissue_is_not_glass_with_rows_of_letters() -> None:
    tissue = generate((300, 300), rng=np.random.default_rng(1)).image
    assert not find_marks((255 - (255 - tissue) / 2).astype(np.uint8)).any()


def test_nuclei_in_rows_on_pale_stroma_are_not_text(rng: np.random.Generator) -> None:
    picture = np.full((300, 300, 3), (228, 190, 222), float)
    picture[:, 200:] = (240, 238, 241)  # a lumen, as white as glass
    rows, columns = np.mgrid[:300, :300]
    for row, column in ((r, c) for r in range(40, 300, 60) for c in range(15, 190, 14)):
        picture[((rows - row) / 5) ** 2 + ((columns - column) / 4) ** 2 < 1] = (120, 80, 160)
    assert not find_marks(np.clip(picture + rng.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)).any()


def test_a_dark_picture_has_no_marks() -> None:
    picture = np.zeros((80, 80, 3), np.uint8)
    picture[20:40, 20:40] = 180
    assert not find_marks(picture).any()


def test_overexposed_glass_is_no_mark(rng: np.random.Generator) -> None:
    picture = np.clip(rng.normal(252, 4, (80, 80, 3)), 0, 255).astype(np.uint8)
    picture[20:60, 20:60] = (200, 120, 170)
    assert not find_marks(picture).any()
