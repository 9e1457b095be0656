"""Landmarks are found again in turned pictures, and votes lead to the right ones."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from histoscope.data.leaks import copies, landmarks
from histoscope.data.leaks.landmarks import Landmarks, candidate_pairs, find_landmarks
from histoscope.files import read_image, write_image


def _picture(seed: int, side: int = 128) -> np.ndarray:
    small = np.random.default_rng(seed).integers(60, 250, (16, 16, 3)).astype(np.uint8)
    return np.asarray(Pillow.fromarray(small).resize((side, side), Pillow.Resampling.BICUBIC))


def _same(a: Landmarks, b: Landmarks) -> float:
    """Share of the landmarks of `a` that stand in `b`, at the same place and looking the same."""
    near = np.abs(a.points[:, None] - b.points).max(axis=2) < 0.03
    alike = np.abs(a.descriptors[:, None].astype(int) - b.descriptors).mean(axis=2) < 6
    return float((near & alike).any(axis=1).mean())


@pytest.mark.parametrize("seed", range(3))
def test_descriptors_of_a_flipped_picture_are_the_flipped_descriptors(seed: int) -> None:
    picture = _picture(seed)
    here, there = find_landmarks(picture), find_landmarks(np.ascontiguousarray(picture[:, ::-1]))
    expected = Landmarks(here.points * [-1, 1], landmarks.flipped(here.descriptors), here.grey)
    assert _same(expected, there) > 0.7
    assert _same(Landmarks(here.points * [-1, 1], here.descriptors, here.grey), there) < 0.2
    assert np.array_equal(landmarks.flipped(landmarks.flipped(here.descriptors)), here.descriptors)


def test_files_arrays_and_grey_levels_agree(tmp_path: Path) -> None:
    import tifffile

    picture = _picture(2, 256)
    write_image(tmp_path / "a.png", picture)
    tifffile.imwrite(tmp_path / "a.tif", picture, compression="zlib", tile=(64, 64))
    write_image(tmp_path / "a.jpg", picture)
    Pillow.fromarray(picture).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    first = find_landmarks(read_image(tmp_path / "a.png"))
    for name in ("a.tif", "a.jpg", "cmyk.jpg"):
        assert _same(first, find_landmarks(read_image(tmp_path / name, least_px=224))) > 0.6
    assert _same(first, find_landmarks(picture)) == 1


def test_corners_of_an_oblong_picture() -> None:
    oblong = find_landmarks(_picture(0)[:64])
    assert np.allclose(oblong.corners, [[-2, -1], [2, -1], [2, 1], [-2, 1]])
    assert np.abs(oblong.points).max(axis=0)[0] > 1.2


def test_votes_lead_to_the_copies_and_are_repeatable() -> None:
    originals = [_picture(seed) for seed in range(30)]
    turned = [np.ascontiguousarray(np.rot90(picture[:, ::-1])) for picture in originals]
    pictures = [find_landmarks(picture) for picture in [*originals, *turned]]
    part = np.repeat([0, 1], 30)
    pairs = candidate_pairs(pictures, part)
    assert {(left, left + 30, 1) for left in range(30)} <= set(map(tuple, pairs.tolist()))
    assert (part[pairs[:, 0]] != part[pairs[:, 1]]).all()
    assert (pairs[:, 0] < pairs[:, 1]).all()
    assert len(pairs) < 30 * 30
    assert np.array_equal(pairs, candidate_pairs(pictures, part))


def test_pictures_without_landmarks() -> None:
    blank = find_landmarks(np.full((40, 40, 3), 240, np.uint8))
    for n in (2, 40):
        assert copies.find_copies([blank] * n, np.arange(n), 0.8) == []
    one = find_landmarks(_picture(0))
    many = [one, one, *[blank] * 40]
    assert [(copy.left, copy.right) for copy in copies.find_copies(many, np.arange(42), 0.8)] == [(0, 1)]


def test_a_copy_is_described() -> None:
    picture = _picture(4, 200)
    right = np.ascontiguousarray(picture[:120, 40:160])
    (copy,) = copies.find_copies([find_landmarks(picture), find_landmarks(right)], np.arange(2), 0.8)
    assert copy.overlap == pytest.approx(1, abs=0.02)
    assert copy.turn.zoom == pytest.approx(200 / 120, rel=0.02)
    assert copy.similarity > 0.97
    left, right = np.ascontiguousarray(picture[:, :130]), np.ascontiguousarray(picture[:, 70:])
    (copy,) = copies.find_copies([find_landmarks(left), find_landmarks(right)], np.arange(2), 0.8)
    assert copy.overlap == pytest.approx(60 / 130, abs=0.03)
